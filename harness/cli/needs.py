"""What a run needs and has not: a table on stderr, and the command that fetches it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console

from harness.cli import options
from harness.cli.tables import wide, worded
from harness.run.needs import Need, Needs, as_bytes, flaws
from harness.run.outline import Outline
from harness.run.report import PLAN_HEADINGS


def again(*more: str, without: Sequence[str] = (), **changed: str) -> str:
    """The command that was given, to be typed again: with `more` at its end, less the options named `without`, with others."""
    context = click.get_current_context()
    words = context.command_path.split()
    for parameter in context.command.params:
        name = parameter.name or ""
        given = context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
        if name in without or not isinstance(parameter, click.Option) or not (given or name in changed):
            continue
        flag, value = max(parameter.opts, key=len), changed.get(name, context.params[name])
        if parameter.is_flag:
            words += [flag if value else parameter.secondary_opts[0]]
            continue
        for one in value if parameter.multiple else (value,):
            words += [flag, str(one)]
    return shlex.join([*words, *more])


def show_needs(needs: Needs) -> None:
    """The table, room on disk, and what to do."""
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    rows = [row for need in needs.missing for row in _rows(need)]
    headings, title = ("missing", "size", "where it belongs", "from"), f"{needs.suite.name}: not here"
    table = worded(title, headings, rows, headings)
    endless = Console(width=10_000)
    width = endless.measure(table).maximum
    if not console.is_terminal:
        console.width = max(console.width, width)
    narrow = console.width < width
    if narrow:
        table = worded(title, headings[:3], [row[:3] for row in rows], headings)
    console.print(table)
    for line in _lines(needs):
        options.told(line)
    options.told("by hand: fetch each file with a browser and put it where it belongs")
    for need in needs.missing if narrow else ():
        for file in need.files:
            options.told(f"  {file.path.name}: {file.address or 'no address is known'}")


def _rows(need: Need) -> list[tuple[str, str, str, str]]:
    """A row a file; what they are and their size stand in the first."""
    what = need.name if need.kind == "weights" else f"{need.name} (images)"
    if need.why:
        return [(what, need.size_text, need.why, "")]
    heads = [(what, need.size_text), *[("", "")] * (len(need.files) - 1)]
    return [(*head, _place(file.path), file.address) for head, file in zip(heads, need.files, strict=True)]


def _place(path: Path) -> str:
    """A path, from the working directory where it is below that."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _lines(needs: Needs) -> list[str]:
    lines = [f"not usable: {flaw}" for flaw in flaws(needs.missing)]
    total, known = needs.total()
    if total:
        more = "" if known else " and what is not known"
        lines.append(f"in all: about {as_bytes(total)}{more} to fetch ({needs.room()})")
        lines.append(f"fetch all of it, and measure: {again('--download', without=('download', 'dry_run'))}")
        lines.append("  with --dry-run too: fetch it, and stop before anything is measured")
    if hand := [need.name for need in needs.missing if not need.fetched]:
        lines.append(f"has no download: {', '.join(hand)}; put it there by hand")
    if needs.ready and any(not need.here for need in needs.weights):
        fetched = not needs.data_here and all(need.fetched for need in needs.data)
        command = again(
            *(("--download",) if fetched else ()), without=("download", "dry_run"), entrants=",".join(needs.ready)
        )
        data = "" if needs.data_here else f" but the data ({', '.join(need.size_text for need in needs.data)})"
        lines.append(f"runs with nothing{data}: {command}")
    if not needs.data_here:
        lines.append("runs with nothing: harness run --suite digits")
    return lines


def show_outline(outline: Outline) -> None:
    """What --dry-run prints of entrants whose images or weights are not here."""
    if outline.entrants:
        title = f"{outline.suite.name}: to measure, once data and weights are here"
        wide(worded(title, PLAN_HEADINGS, outline.rows(), ("entrant", "measure")))
        click.echo("Passes are upper bounds. The time is not known until data and weights are here.")
