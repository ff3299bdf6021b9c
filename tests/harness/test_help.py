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


@pytest.mark.parametrize(
    "verb",
    [
        "list",
        "list suites",
        "list measures",
        "list recipes",
        "list entrants",
        "doctor",
        "render",
        "export",
        "verify",
        "publish",
        "challenge",
        "experiment",
        "experiment removal",
        "experiment sampling",
        "experiment seeds",
    ],
)
def test_help_imports_nothing_slow(verb: str) -> None:
    arguments = [*verb.split(), "--help"]
    program = (
        f"from harness.cli import main\ntry:\n    main({arguments})\nexcept SystemExit as end:\n    assert not end.code"
    )
    assert imported_by(program) == set()


def test_the_names_that_help_shows_are_there_without_torch() -> None:
    assert imported_by("import zoo.architectures, zoo.published\nassert zoo.architectures.ARCHITECTURES") == set()


def test_a_name_with_brackets_is_shown_whole() -> None:
    rows = [{"name": "mine[v2]", "settings": "lr=[0.1, 0.2], [bold]x[/bold]", "here": None}]
    shown = io.StringIO()
    Console(file=shown, width=200).print(table(rows, "entrants of my[suite]"))
    for text in ("mine[v2]", "lr=[0.1, 0.2], [bold]x[/bold]", "entrants of my[suite]"):
        assert text in shown.getvalue()
