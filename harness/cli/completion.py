"""Completion of values in the shell: suites, entrants, measures, recipes, architectures, data sets, devices.

Names are read from small files and constants: torch, which takes seconds, is not imported while a person waits for a Tab.
`tests/harness/test_completion.py` holds the constants against what they name.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path

import click
from click.shell_completion import CompletionItem

import zoo
from harness.training.plans import OBJECTIVE_NAMES, PLANS
from zoo.architectures import ARCHITECTURES

SUITES = {
    "digits": ("digits", "Linf"),
    "mnist": ("mnist", "Linf"),
    "cifar10": ("cifar10", "Linf"),
    "cifar10-l2": ("cifar10", "L2"),
    "cifar100": ("cifar100", "Linf"),
    "svhn": ("svhn", "Linf"),
    "tiny-imagenet": ("tiny-imagenet", "Linf"),
    "imagenet": ("imagenet", "Linf"),
}
"""The built-in suites, each with the data set and the norm by which RobustBench lists entrants for it."""

MEASURES = ("standard", "autoattack", "autoattack:bounded", "energies", "smoothness", "generation")


def recipes() -> list[str]:
    """An objective alone, or with a plan."""
    return [*OBJECTIVE_NAMES, *(f"{objective}-{plan}" for objective in OBJECTIVE_NAMES for plan in PLANS)]


def entrants(suite: str | None) -> list[str]:
    """Names of a suite's entrants (by name, or of the suite that a file varies): own ones, then RobustBench's."""
    from harness.run.folders import own_folders
    from zoo.published import published

    name = _base(suite) if suite else None
    if name not in SUITES:
        return []
    found: list[str] = []
    for folder in (Path(zoo.__file__).parent, *own_folders()):
        for card in sorted((folder / name).glob("*.json")):
            try:
                if json.loads(card.read_text(encoding="utf-8"))["suite"] == name:
                    found.append(card.stem)
            except (OSError, ValueError, KeyError, TypeError):
                continue  # what is wrong with a card is told by the command that uses it
    return [*dict.fromkeys(found), *(row.name for row in published(*SUITES[name]) if row.in_zoo)]


def _base(suite: str) -> str | None:
    """A built-in suite's name, or that of the one which a .toml file varies; None where there is none."""
    if Path(suite).suffix != ".toml":
        return suite
    try:
        return str(tomllib.loads(Path(suite).read_text(encoding="utf-8")).get("base"))
    except (OSError, ValueError):
        return None


def _data_sets(ctx: click.Context) -> list[str]:
    """Folders of --data-dir that hold images."""
    root = Path(ctx.params.get("data_dir") or "data")
    return sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []


def _devices(ctx: click.Context) -> list[str]:
    return ["auto", "cpu", "cuda", "cuda:0", "mps"]


Names = Callable[[click.Context], Iterable[str]]

VALUES: dict[str, Names] = {
    "suite_name": lambda ctx: SUITES,
    "suite": lambda ctx: SUITES,
    "entrants": lambda ctx: entrants(ctx.params.get("suite_name") or ctx.params.get("suite")),
    "entrant": lambda ctx: entrants(ctx.params.get("suite_name")),
    "measures": lambda ctx: MEASURES,
    "recipe_name": lambda ctx: recipes(),
    "recipe_names": lambda ctx: recipes(),
    "architecture": lambda ctx: ARCHITECTURES,
    "dataset": _data_sets,
    "train_on": _data_sets,
    "device": _devices,
    "drop": lambda ctx: ("high-energy", "low-energy", "misclassified", "random"),
    "arms": lambda ctx: ("none", "high-energy", "low-energy", "misclassified", "random"),
}
"""What the values of an option may be, by the name of its field."""

LISTS = ("entrants", "measures", "recipe_names", "arms")
"""Options of several names with commas between them: the last one is completed."""

OR_FILES = ("suite_name", "recipe_name", "recipe_names")
"""Options that take a path as well."""


class _Named(click.types.StringParamType):
    """A text whose values the shell completes."""

    def __init__(self, names: Names, several: bool, files: bool) -> None:
        self._names, self._several, self._files = names, several, files

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        before, comma, last = incomplete.rpartition(",") if self._several else ("", "", incomplete)
        if "@" in last:  # checkpoint:PATH@ARCHITECTURE
            path, _, typed = last.rpartition("@")
            found = [f"{path}@{name}" for name in ARCHITECTURES if name.startswith(typed)]
        elif last.startswith("checkpoint:"):
            found = [f"checkpoint:{path}" for path in _files(last.removeprefix("checkpoint:"))]
        else:
            taken = before.split(",")
            found = [name for name in self._names(ctx) if name.startswith(last) and name not in taken]
        if not found and self._files and not comma:
            return [CompletionItem(incomplete, type="file")]
        return [CompletionItem(f"{before}{comma}{name}") for name in found]


def _files(typed: str) -> list[str]:
    """Paths that begin as typed; folders end with a slash."""
    folder, slash, _ = typed.rpartition("/")
    root = Path(folder or ("/" if slash else "."))
    if not root.is_dir():
        return []
    paths = (f"{folder}{slash}{path.name}{'/' if path.is_dir() else ''}" for path in sorted(root.iterdir()))
    return [path for path in paths if path.startswith(typed)]


def completing(parameter: click.Parameter) -> None:
    """Let the shell complete a parameter's values, where they are known by its name."""
    name = parameter.name or ""
    if name in VALUES and isinstance(parameter.type, click.types.StringParamType):
        parameter.type = _Named(VALUES[name], name in LISTS, name in OR_FILES)
