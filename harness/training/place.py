"""Where a trained entrant is written, and what is never written over: shipped entrants, and what another command made."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import BadInput, one_line
from harness.training.recipes import Recipe
from leaderboards.records.files import file_stem
from zoo.cards import read_card
from zoo.checkpoints import SHIPPED
from zoo.entrant import EntrantError
from zoo.project import ENTRANTS, old_folder, own_folder, shown_place

DECIDES = ("recipe", "objective_sources", "norm", "eps", "dataset", "fingerprint", "images", "synthetic")
"""Keys of a card's training that make two commands one; device and versions may differ."""


def writable(folder: Path) -> Path:
    """The folder, made where it is not there: what cannot be written is told before training and not after it."""
    if folder == Path():
        raise BadInput("expected a folder of its own as --out, got the working directory; name another")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError("it is read-only")
    except OSError as error:
        raise BadInput(
            f"expected a folder to write to as --out, got {folder} ({one_line(error)}); name another"
        ) from error
    return folder


def found_by_name(folder: Path) -> bool:
    """Whether entrants in <folder>/<suite>/ are found by their names."""
    return folder.resolve() in {place.resolve() for place in _places()}


def require_free(name: str, suite: str, folder: Path, *, named: bool) -> None:
    """Raise BadInput for a name that an entrant has elsewhere: one of the two would be hidden by the other.

    A shipped entrant's name is free in a folder that the user has `named` and in which none is found by its name; the shipped
    one itself is written to where its folder is named.
    """
    here = folder.resolve()
    by_name = found_by_name(folder)
    if (SHIPPED / suite / f"{name}.json").exists() and (not named or (by_name and here != SHIPPED.resolve())):
        raise BadInput(
            f"expected a name of its own, got {name!r}, an entrant of {suite} that ships with the project; give another"
            " --name, or a folder by --out (--out zoo in the project's checkout replaces the shipped one)"
        )
    if not by_name:
        return
    for other in (place for place in _places() if place.resolve() not in (here, SHIPPED.resolve())):
        if (other / suite / f"{name}.json").exists():
            raise BadInput(
                f"expected a name of its own, got {name!r}, which an entrant in {shown_place(other / suite)} has; give another"
                f" --name, move that one to {shown_place(folder / suite)}, or train it on with --out {shown_place(other)}"
            )


def _places() -> tuple[Path, ...]:
    """The folders whose entrants are found by their names, there or not."""
    own = (own_folder(), Path.cwd() / ENTRANTS, old_folder())
    return (SHIPPED, *(folder for folder in own if folder is not None))


def checkpoint_of(place: Path) -> Path:
    """Where the training of the entrant <place>.safetensors saves how far it is."""
    return place.with_name(f".{file_stem(place.name)}.checkpoint")


def finished(place: Path) -> bool:
    """Whether an entrant is there, weights and card, and no training of it that was interrupted."""
    whole = all(place.with_name(f"{place.name}{kind}").exists() for kind in (".safetensors", ".json"))
    return whole and not checkpoint_of(place).exists()


ANOTHER = "give another --name, or --force to replace it"


def require_same_command(
    place: Path, checkpoint: Path, suite: str, made: Mapping[str, Any], mend: str = ANOTHER
) -> None:
    """Raise BadInput where <place>.safetensors or .json is there and not of this very command, whose card would say `made`.
    `mend` says what to do then.

    Weights without a card are of this command where its checkpoint is there still: the trainer holds that against it.
    """
    other = _other(place, checkpoint, suite, made)
    if other:
        raise BadInput(f"expected a new name, got {place.name!r}, {other}; {mend}")


def _other(place: Path, checkpoint: Path, suite: str, made: Mapping[str, Any]) -> str:
    """What is there already, in words; empty where nothing is, or the same command's."""
    for which in ("best", "last"):  # an entrant of its own may have the name of the weights that are not selected
        if place.with_name(f"{place.name}.{which}.json").exists():
            return f"whose {which} epoch would be written over the entrant {place.name}.{which}"
    card = place.with_name(f"{place.name}.json")
    if not card.exists():
        kinds = ("", ".best", ".last")
        weights = any(place.with_name(f"{place.name}{kind}.safetensors").exists() for kind in kinds)
        return "whose weights are there without a card" if weights and not checkpoint.exists() else ""
    try:
        found = read_card(card, "zoo")
    except EntrantError:
        return "whose card is there and cannot be read"
    if found.suite != suite:
        return f"an entrant of the suite {found.suite}"
    before, now = _decisive(found.card.training), _decisive(json.loads(json.dumps(made)))  # a card has lists, no tuples
    changed = next((key for key in now if before.get(key) != now[key]), None)
    if changed is None:
        return ""
    return (
        f"an entrant that another command made ({changed}: {_short(before.get(changed))}, now {_short(now[changed])})"
    )


def _decisive(training: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the weights, the recipe's fields by their names; a field that a card does not have yet is neutral."""
    told = {key: training.get(key) for key in DECIDES}
    recipe, synthetic = told.pop("recipe"), told["synthetic"]
    if isinstance(synthetic, Mapping):
        told["synthetic"] = {key: synthetic[key] for key in sorted(synthetic) if key != "file"}  # it may have moved
    neutral = {
        field.name: None if field.default is dataclasses.MISSING else field.default
        for field in dataclasses.fields(Recipe)
    }
    return {**neutral, **(recipe if isinstance(recipe, Mapping) else {}), **told}


def _short(value: object) -> str:
    return "none" if value is None else str(value)[:60]
