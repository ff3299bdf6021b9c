"""What `harness run` prints in the terminal: the plan of a dry run, and the results."""

from __future__ import annotations

from collections.abc import Sequence

import click
from rich.console import Console
from rich.table import Table

from harness.run.plan import Plan, Task
from leaderboards.board.generation import SCORES, scale_of, score_rows
from leaderboards.board.labels import SETS
from leaderboards.records.schema import Record, Value


def wide(table: Table) -> None:
    """Print a table as wide as it needs where nobody's window sets the width (a pipe, a log)."""
    console = Console(highlight=False)
    (console if console.is_terminal else Console(highlight=False, width=200)).print(table)


def duration(seconds: float) -> str:
    """Seconds as a person reads them."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def show_plan(plan: Plan, todo: Sequence[Task], seconds: float) -> None:
    """What --dry-run prints: one row an entrant and measure, passes at most, and the estimate."""
    table = Table(title=f"{plan.suite.name}: {len(todo)} of {len(plan.tasks)} shards to measure", title_justify="left")
    for heading in ("entrant", "measure", "shards", "to do", "forward passes", "backward passes"):
        table.add_column(heading, justify="left" if heading in ("entrant", "measure") else "right")
    waiting = {task.key for task in todo}
    for index, judged in enumerate(plan.judged):
        for measure in plan.measures:
            tasks = plan.of(index, measure.name)
            left = [task for task in tasks if task.key in waiting]
            cost = plan.cost(left)
            table.add_row(
                judged.name, measure.name, str(len(tasks)), str(len(left)), f"{cost.forward:,}", f"{cost.backward:,}"
            )
    wide(table)
    click.echo(f"Passes are upper bounds. Estimated time: at most about {duration(seconds)}.")


def show_results(records: Sequence[Record]) -> None:
    """The final table in the terminal, best robust accuracy first."""

    def number(record: Record, measure: str, name: str) -> Value | None:
        found = record.measurements.get(measure)
        return found.values.get(name) if found else None

    def percent(value: Value | None) -> str:
        if value is None or value.value is None:
            return "-"
        interval = (
            f" [{100 * value.low:.1f}, {100 * value.high:.1f}]"
            if value.low is not None and value.high is not None
            else ""
        )
        return f"{100 * value.value:.1f}{interval}"

    def plain(value: Value | None) -> str:
        return "-" if value is None or value.value is None else f"{value.value:.3f}"

    table = Table(title="percent, with 95 % intervals", title_justify="left")
    for heading in (
        "entrant",
        "n",
        "standard",
        "AutoAttack",
        "PGD",
        "mean E(x)",
        "mean dE(x)",
        "|dE(x)|/sd",
        "Lipschitz E/sd",
    ):
        table.add_column(heading, justify="left" if heading == "entrant" else "right", overflow="fold")
    ranked = sorted(
        records,
        key=lambda r: (
            -(v.value if (v := number(r, "autoattack", "autoattack_accuracy")) and v.value is not None else -1)
        ),
    )
    for record in ranked:
        n = max((m.n for name, m in record.measurements.items() if name != "generation"), default=0)
        flags = " *" if any(measurement.flags for measurement in record.measurements.values()) else ""
        table.add_row(
            record.entrant.name + flags,
            f"{n}{' (partial)' if record.partial else ''}",
            percent(number(record, "standard", "standard_accuracy")),
            percent(number(record, "autoattack", "autoattack_accuracy")),
            percent(number(record, "energies", "pgd.accuracy")),
            plain(number(record, "energies", "marginal_energy.mean")),
            plain(number(record, "energies", "pgd.delta_marginal_energy.mean")),
            plain(number(record, "energies", "pgd.delta_marginal_energy_normalised.mean")),
            plain(number(record, "smoothness", "lipschitz_energy_normalised.mean")),
        )
    wide(table)
    for record in ranked:
        for measurement in record.measurements.values():
            for flag in measurement.flags:
                click.echo(f"* {record.entrant.name}, {measurement.measure}: {flag.message}")


def show_generation(records: Sequence[Record]) -> None:
    """Scores of generated images, a table an extractor, with the starts and the held-out images beside them."""
    found = [(record, record.measurements["generation"]) for record in records if "generation" in record.measurements]
    for scale in dict.fromkeys(scale_of(measurement) for _, measurement in found):
        title = f"generation, {scale.images:,} images, scored by {scale.label}" if scale else "generation, not scored"
        table = Table(title=title, title_justify="left")
        for heading in ("entrant", "images", *(heading for _, heading in SCORES), "n"):
            table.add_column(heading, justify="left" if heading in ("entrant", "images") else "right")
        shared: set[str] = set()  # starts and held-out images are those of every entrant: one row each will do
        for record, measurement in found:
            if scale_of(measurement) == scale:
                for row in score_rows(measurement):
                    name = record.entrant.name if row.label == SETS[0][1] else ""
                    line = (name, row.label, *row.cells, row.n)
                    if name or str(line) not in shared:
                        table.add_row(*line)
                    shared.add(str(line))
        wide(table)
