"""Help is there at once: no verb imports torch, or anything as slow, before it has work to do."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import pytest
from rich.console import Console

from harness.cli.list import table

SLOW = {"torch", "torchvision", "numpy", "pandas", "scipy", "sklearn", "statsmodels", "altair", "PIL", "pydantic"}


def imported_by(program: str) -> set[str]:
    told = f"{program}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    return set(json.loads(done.stderr)) & SLOW


EVERY_HELP = """
import contextlib, io, json, sys
import click
from harness.cli import harness, main

def verbs(command, words=()):
    yield list(words)
    if isinstance(command, click.Group):
        for name in command.list_commands(None):
            yield from verbs(command.get_command(None, name), (*words, name))

told = {}
for words in verbs(harness):
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        try:
            main([*words, "--help"])
        except SystemExit as end:
            assert not end.code, words
    told[" ".join(words)] = [shown.getvalue(), sorted(sys.modules)]
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def helps() -> dict[str, tuple[str, set[str]]]:
    """The help of every verb, and which modules one process had imported when it was shown."""
    done = subprocess.run([sys.executable, "-c", EVERY_HELP], capture_output=True, text=True, check=True)
    return {verb: (shown, set(modules)) for verb, (shown, modules) in json.loads(done.stdout).items()}


def test_no_help_imports_anything_slow(helps: dict[str, tuple[str, set[str]]]) -> None:
    assert {"", "run", "train", "check", "baseline", "list entrants", "experiment seeds"} <= helps.keys()
    assert {verb: modules & SLOW for verb, (_, modules) in helps.items() if modules & SLOW} == {}


def test_the_names_that_help_shows_are_there_without_torch() -> None:
    assert imported_by("import zoo.architectures, zoo.published\nassert zoo.architectures.ARCHITECTURES") == set()


def test_the_objectives_that_help_names_are_all_that_there_are() -> None:
    from harness.training.objectives import OBJECTIVES
    from harness.training.plans import OBJECTIVE_NAMES

    assert tuple(OBJECTIVES) == OBJECTIVE_NAMES


def test_a_name_with_brackets_is_shown_whole() -> None:
    rows = [{"name": "mine[v2]", "settings": "lr=[0.1, 0.2], [bold]x[/bold]", "here": None}]
    shown = io.StringIO()
    Console(file=shown, width=200).print(table(rows, "entrants of my[suite]"))
    for text in ("mine[v2]", "lr=[0.1, 0.2], [bold]x[/bold]", "entrants of my[suite]"):
        assert text in shown.getvalue()
