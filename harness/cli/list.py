"""harness list: suites, measures, recipes, and the entrants of a suite."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from harness.cli import options
from harness.errors import BadInput

FOR_MACHINES = ("spec",)
"""Columns that --json has and the table does not: they say again what others say."""


@dataclass(frozen=True)
class EntrantsOptions:
    """What `harness list entrants` is asked for."""

    suite_name: str
    model_dir: Path
    as_json: bool


def table(rows: list[dict[str, Any]], title: str) -> Table:
    """Rows as a table for people. Names and texts are users' own: they are shown as they are, brackets too."""
    made = Table(title=escape(title), title_justify="left")
    shown = [column for column in rows[0] if column not in FOR_MACHINES]
    for column in shown:
        made.add_column(column.replace("_", " "), overflow="fold", justify="right" if "accuracy" in column else "left")
    for row in rows:
        made.add_row(*(escape(_cell(column, row[column])) for column in shown))
    return made


def _print(rows: list[dict[str, Any]], as_json: bool, title: str) -> None:
    if as_json:
        click.echo(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    from harness.cli.tables import wide

    wide(table(rows, title))


def _cell(key: str, value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and "accuracy" in key:
        return f"{100 * value:.2f} %"
    return str(value)


def _short(setting: Any) -> str:
    """A setting for people: of settings of several things only their names; --json has all."""
    nested = isinstance(setting, dict) and all(isinstance(value, dict) for value in setting.values())
    return f"[{', '.join(setting)}]" if nested else str(setting)


@click.group(name="list")
def command() -> None:
    """What there is: suites, measures, recipes, entrants."""


@command.command(name="suites")
@click.option("--json", "as_json", is_flag=True)
def list_suites(as_json: bool) -> None:
    """Built-in suites."""
    from harness.suites.suite import SUITES

    rows = [
        {
            "name": suite.name,
            "version": suite.version,
            "dataset": suite.dataset,
            "norm": suite.norm,
            "eps": suite.eps,
            "examples": suite.examples if suite.examples is not None else "all",
            "measures": ", ".join(suite.measures),
        }
        for suite in SUITES.values()
    ]
    _print(rows, as_json, "suites")


@command.command(name="measures")
@click.option("--json", "as_json", is_flag=True)
def list_measures(as_json: bool) -> None:
    """Measures, with their default settings and passes for one example of ten classes."""
    from harness.measures import MEASURES

    rows: list[dict[str, Any]] = []
    for measure in MEASURES.values():
        cost = asdict(measure.cost(10))
        what = (type(measure).__doc__ or "").strip().splitlines()[0]
        settings = measure.settings()
        rows.append(
            {
                "name": measure.name,
                "version": measure.version,
                "what": what,
                "settings": settings if as_json else ", ".join(f"{k}={_short(v)}" for k, v in settings.items()),
                "forward_passes_at_most": cost["forward"],
                "backward_passes_at_most": cost["backward"],
            }
        )
    _print(rows, as_json, "measures")


@command.command(name="recipes")
@click.option("--json", "as_json", is_flag=True)
def list_recipes(as_json: bool) -> None:
    """Recipes of training: what they change of each other; --json has every field."""
    from harness.training.recipes import built_in

    rows: list[dict[str, Any]] = []
    for name, recipe in built_in().items():
        fields = recipe.to_json() | {"beta": recipe.strength}
        shown = ("objective", "architecture", "epochs", "schedule", "lr", "beta", "validation", "select")
        rows.append({"name": name, **(fields if as_json else {field: fields[field] for field in shown})})
    _print(rows, as_json, "recipes (an objective alone stands for its -digits or -paper recipe, as the suite needs)")


@command.command(name="entrants")
@click.option("--suite", "suite_name", required=True)
@options.model_dir
@click.option("--json", "as_json", is_flag=True)
@options.typed(EntrantsOptions)
def list_entrants(given: EntrantsOptions) -> int:
    """Entrants of a suite: source, architecture, published numbers, whether their files are here."""
    import zoo
    from harness.suites.files import find_suite
    from zoo.published import published_result

    suite = find_suite(given.suite_name)
    rows: list[dict[str, Any]] = []
    for entrant in zoo.entrants(suite.domain, model_dir=given.model_dir, own_folders=options.own_folders()):
        card = entrant.card
        known = (
            published_result(suite.domain.dataset, suite.domain.norm, card.name)
            if card.source == "robustbench"
            else None
        )
        rows.append(
            {
                "name": card.name,
                "source": card.source,
                "architecture": card.architecture,
                "published_standard_accuracy": known.standard_accuracy if known else None,
                "published_autoattack_accuracy": known.autoattack_accuracy if known else None,
                "published_best_known_accuracy": known.best_known_accuracy if known else None,
                "files_here": not entrant.missing(),
                "spec": entrant.spec,
            }
        )
    if not rows:
        raise BadInput(
            f"expected entrants of {suite.name}, got none that ship or that RobustBench has;"
            " train one (harness train) or name one: checkpoint:PATH@ARCHITECTURE, python:MODULE:CALLABLE"
        )
    _print(rows, given.as_json, f"entrants of {suite.name}")
    return 0
