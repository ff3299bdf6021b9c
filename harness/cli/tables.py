"""What `harness run` prints in the terminal: the plan of a dry run, and the results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click
from rich.console import Console
from rich.table import Table

from harness.measures import MEASURES
from harness.run.plan import Plan, Task
from leaderboards.board.entry import Entry
from leaderboards.board.generation import MEASURE as GENERATION
from leaderboards.board.generation import SCORES, scale_of, score_rows
from leaderboards.board.labels import SETS
from leaderboards.board.quantities import Name, headlines
from leaderboards.records.schema import Quantity, Record, Value

FEWEST = 2
"""Columns of numbers that the results have however narrow the window is."""

ASCII = str.maketrans({"Δ": "d", "−": "-", "↑": "(up)", "↓": "(down)"})


def terminal() -> Console:
    """Where tables are printed. Names stand as they are: `mine[v2]` is no markup."""
    return Console(highlight=False, markup=False, emoji=False)


def wide(table: Table) -> None:
    """Print a table as wide as it needs where nobody's window sets the width (a pipe, a log)."""
    console = terminal()
    if not console.is_terminal:
        console.width = max(200, _needs(table))
    console.print(table)


def _needs(table: Table) -> int:
    """The width at which no cell of a table is folded."""
    endless = terminal()
    endless.width = 10_000
    return endless.measure(table).maximum


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


def columns(records: Sequence[Record]) -> dict[Name, Quantity]:
    """The headlines that the records have, a measure after the other; generated images have a table of their own.

    Records made before measures declared their values are read by what the measures declare today.
    """
    today = {
        (measure.name, value): said
        for measure in MEASURES.values()
        for value, said in measure.quantities().items()
        if said.kind == "headline"
    }
    entries = [Entry(record) for record in records]
    said = {**today, **headlines(records)}
    found = [name for name in said if name[0] != GENERATION and any(entry.measured(*name) for entry in entries)]
    order = [*MEASURES, *sorted({measure for measure, _ in found} - set(MEASURES))]
    return {name: said[name] for name in sorted(found, key=lambda name: order.index(name[0]))}


def heading(said: Quantity) -> str:
    """What stands over a column: its short title, its unit where the numbers do not show it, an arrow to the better end."""
    unit = {"fraction": ", %", "count": ", number"}.get(said.unit, "")
    text = said.heading + unit + {"higher": " ↑", "lower": " ↓", "neither": ""}[said.better]
    encoding = terminal().encoding
    # a log or a terminal that cannot hold the signs gets plain ones
    return text if encoding.startswith("utf") else text.translate(ASCII).encode(encoding, "replace").decode(encoding)


def written(value: Value | None, unit: str) -> str:
    """A number in its unit; accuracies with their interval."""
    if value is None or value.value is None:
        return "-"
    if unit == "fraction":
        ends = (value.low, value.high)
        interval = "" if None in ends else " [" + ", ".join(f"{100 * end:.1f}" for end in ends if end is not None) + "]"
        return f"{100 * value.value:.1f}{interval}"
    if unit == "seconds":
        return duration(value.value)
    return f"{value.value:,.0f}" if unit == "count" else f"{value.value:.3f}"


def show_results(records: Sequence[Record]) -> None:
    """The final table in the terminal, best robust accuracy first: a column for each headline that there is room for."""
    ranked = sorted(records, key=lambda record: -(ranking[0] if (ranking := Entry(record).ranking) else -1))
    every = columns(records)
    console = terminal()
    room = console.width if console.is_terminal else None
    for number in range(len(every), -1, -1):
        shown = dict(list(every.items())[:number])
        table = _results(ranked, shown)
        if room is None or number <= FEWEST or _needs(table) <= room:
            break
    wide(table)
    if len(shown) < len(every):
        left = ", ".join(heading(said) for name, said in every.items() if name not in shown)
        click.echo(f"No room for: {left}. The board has them, and a wider window.")
    for record in ranked:
        for measurement in record.measurements.values():
            for flag in measurement.flags:
                click.echo(f"* {record.entrant.name}, {measurement.measure}: {flag.message}")


def _results(records: Sequence[Record], shown: Mapping[Name, Quantity]) -> Table:
    table = Table(title="accuracies in percent, with 95 % intervals; an arrow shows which way is better")
    table.title_justify = "left"
    for text in ("entrant", "n", *map(heading, shown.values())):
        table.add_column(text, justify="left" if text == "entrant" else "right", overflow="fold")
    for record in records:
        n = max((m.n for name, m in record.measurements.items() if name != GENERATION), default=0)
        flags = " *" if any(measurement.flags for measurement in record.measurements.values()) else ""
        table.add_row(
            record.entrant.name + flags,
            f"{n}{' (partial)' if record.partial else ''}",
            *(written(Entry(record).measured(*name), said.unit) for name, said in shown.items()),
        )
    return table


def show_generation(records: Sequence[Record]) -> None:
    """Scores of generated images, a table an extractor, with the starts and the held-out images beside them."""
    found = [(record, record.measurements[GENERATION]) for record in records if GENERATION in record.measurements]
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
