"""harness list: suites, measures, recipes, architectures, and the entrants of a suite."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from harness.cli import options
from harness.cli.verbs import Verbs
from zoo.architectures import ARCHITECTURES, FORMS
from zoo.faults import escaped

FOR_MACHINES = ("spec", "files_here", "bytes", "files_missing")
"""Columns that --json has and the table does not: they say again what others say."""


@dataclass(frozen=True)
class EntrantsOptions:
    """What `harness list entrants` is asked for."""

    suite_name: str
    model_dir: Path
    as_json: bool


def table(rows: list[dict[str, Any]], title: str) -> Table:
    """Rows as a table for people. Names and texts are users' own: they are shown as they are, brackets too, on any console."""
    from harness.run.listing import as_text

    made = Table(title=Text(escaped(title)), title_justify="left")
    shown = [column for column in rows[0] if column not in FOR_MACHINES]
    for column in shown:
        made.add_column(column.replace("_", " "), overflow="fold", justify="right" if "accuracy" in column else "left")
    for row in rows:
        made.add_row(*(Text(escaped(as_text(column, row[column]))) for column in shown))
    return made


def _print(rows: list[dict[str, Any]], as_json: bool, title: str) -> None:
    if as_json:
        click.echo(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    if not rows:
        return
    from harness.cli.tables import wide

    wide(table(rows, title))


@click.group(name="list", cls=Verbs)
def command() -> None:
    """What there is: suites, measures, recipes, architectures, entrants."""


@command.command(name="suites")
@click.option("--json", "as_json", is_flag=True)
def list_suites(as_json: bool) -> None:
    """Built-in suites."""
    from harness.run.listing import suite_rows

    _print(suite_rows(), as_json, "suites")


@command.command(name="measures")
@click.option("--json", "as_json", is_flag=True)
def list_measures(as_json: bool) -> None:
    """Measures, with their default settings and passes for one example of ten classes."""
    from harness.run.listing import measure_rows

    _print(measure_rows(), as_json, "measures")


@command.command(name="recipes")
@click.option("--json", "as_json", is_flag=True)
def list_recipes(as_json: bool) -> None:
    """Recipes of training: what they change of each other; --json has every field."""
    from harness.run.listing import recipe_rows

    shown = ("name", "objective", "architecture", "epochs", "schedule", "lr", "beta", "validation", "select")
    rows = recipe_rows() if as_json else [{column: row[column] for column in shown} for row in recipe_rows()]
    _print(rows, as_json, "recipes (an objective alone stands for its -digits or -paper recipe, as the suite needs)")


@command.command(name="architectures")
@click.option("--json", "as_json", is_flag=True)
def list_architectures(as_json: bool) -> None:
    """Architectures, with their parameters for the data that suites have, and what each is for."""
    from harness.run.listing import architecture_rows

    _print(architecture_rows(), as_json, "architectures")
    if not as_json:
        others = FORMS.removeprefix(f"one of {', '.join(sorted(ARCHITECTURES))}, ").removeprefix("or ")
        click.echo(f"Parameters are for ten classes; -: it does not take such images. Also: {others}.")


@command.command(name="entrants")
@click.option("--suite", "suite_name", required=True)
@options.model_dir
@click.option("--json", "as_json", is_flag=True)
@options.typed(EntrantsOptions)
def list_entrants(given: EntrantsOptions) -> int:
    """Entrants of a suite: source, architecture, where they lie, published numbers, whether their files are here."""
    from harness.run.folders import own_folders
    from harness.run.listing import entrant_rows
    from harness.suites.files import find_suite

    suite = find_suite(given.suite_name)
    rows = entrant_rows(suite, model_dir=given.model_dir, own_folders=own_folders())
    if not rows:
        options.told(
            f"no entrant of {suite.name} ships or is in RobustBench; train one: harness train --suite {given.suite_name}"
            " --recipe sat; or judge your own: --entrants checkpoint:PATH@ARCHITECTURE or python:MODULE:CALLABLE"
        )
    _print(rows, given.as_json, f"entrants of {suite.name}")
    return 0
