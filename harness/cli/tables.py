"""What `harness run` prints in the terminal: the plan of a dry run, and the results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import click
from rich.console import Console
from rich.table import Table

from harness.run import report
from harness.run.forecast import Left
from harness.run.plan import Plan, Task
from leaderboards.records.schema import Quantity, Record
from zoo.faults import escaped

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


def worded(title: str, headings: Iterable[str], rows: Iterable[Sequence[str]], left: Sequence[str]) -> Table:
    """Rows of text, numbers to the right; columns named in `left` to the left."""
    table = Table(title=title, title_justify="left")
    for text in headings:
        table.add_column(text, justify="left" if text in left else "right", overflow="fold")
    for row in rows:
        table.add_row(*map(escaped, row))
    return table


def show_plan(plan: Plan, todo: Sequence[Task], left: Left) -> None:
    """What --dry-run prints: one row an entrant and measure, passes at most, and the estimate."""
    title = f"{plan.suite.name}: {len(todo)} of {len(plan.tasks)} shards to measure"
    wide(worded(title, report.PLAN_HEADINGS, report.plan_rows(plan, todo), ("entrant", "measure")))
    click.echo(f"Passes are upper bounds: examples that break take few. Estimated time: {report.span(left)}.")


def _as_held(text: str) -> str:
    """A text as a log or a terminal can hold it: plain signs where it has no others."""
    encoding = terminal().encoding
    return text if encoding.startswith("utf") else text.translate(ASCII).encode(encoding, "replace").decode(encoding)


def _say(line: str) -> None:
    """A line below a table, folded between words where a window sets the width."""
    console = terminal()
    console.print(_as_held(line), soft_wrap=not console.is_terminal)


def heading(said: Quantity) -> str:
    """What stands over a column."""
    return _as_held(report.heading(said))


def show_results(records: Sequence[Record]) -> None:
    """The final table in the terminal, best robust accuracy first: a column for each headline that there is room for."""
    ranked, every = report.ranked(records), report.headline_columns(records)
    console = terminal()
    room = console.width if console.is_terminal else None
    title = "accuracies in percent"
    for number in range(len(every), -1, -1):
        shown = dict(list(every.items())[:number])
        headings = ("entrant", "n", *map(heading, shown.values()))
        table = worded(title, headings, (report.result_row(record, shown) for record in ranked), ("entrant",))
        if room is None or number <= FEWEST or _needs(table) <= room:
            break
    wide(table)
    for line in report.legend(ranked, shown):
        _say(line)
    if len(shown) < len(every):
        left = ", ".join(heading(said) for name, said in every.items() if name not in shown)
        click.echo(f"No room for: {left}. The board has them, and a wider window.")
    for line in report.flag_lines(ranked):
        click.echo(line)


def show_generation(records: Sequence[Record]) -> None:
    """Scores of generated images, a table an extractor and number of images: starts and held-out images beside them."""
    tables = report.generation_tables(records)
    for title, headings, rows in tables:
        wide(worded(title, headings, rows, ("entrant", "images")))
    if tables:
        _say(report.GENERATION_LEGEND)
