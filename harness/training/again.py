"""Training an entrant again: the recipe, the seed and the data that its card names."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from harness.errors import BadInput
from harness.suites.suite import Suite
from harness.training.recipes import Recipe, checked
from zoo.architectures import is_own
from zoo.catalogue import find
from zoo.entrant import Card
from zoo.own_code import working_directory_importable
from zoo.project import own_folders, project_root


@dataclass(frozen=True)
class Again:
    """How an entrant was trained: its recipe, on how many images of which data (`train_on`: None for the suite's own)."""

    card: Card
    recipe: Recipe
    train_on: str | None
    images: int | None

    def differs(self, made: Mapping[str, Any]) -> str:
        """What the training data of another card have that its own had not, in a line; empty where they are the same."""
        ours, theirs = (one.get("fingerprint") for one in (self.card.training, made))
        if ours == theirs or ours is None:
            return ""
        return (
            f"expected the images that {self.card.name} was trained on (fingerprint {str(ours)[:12]}), got others"
            f" ({str(theirs)[:12]}); the weights differ for that reason"
        )


def trained_as(spec: str, suite: Suite, *, synthetic: bool = False) -> Again:
    """How the entrant that `spec` names was trained, by its card. `synthetic` says that synthetic images are given.

    Raises EntrantError for an unknown entrant, BadInput where its card has no recipe of this version of the harness, or
    where it was trained with synthetic images and none are given.
    """
    card = find(spec, suite.domain, model_dir=Path("models"), own_folders=own_folders()).card
    said = card.training.get("recipe")
    if not isinstance(said, Mapping):
        raise BadInput(
            f"expected an entrant that harness train made, got {card.name}, whose card has no recipe; name another, or give"
            " --recipe"
        )
    objective, architecture = (str(said.get(key)) for key in ("objective", "architecture"))
    for named, code in ((objective, ":" in objective), (architecture, is_own(architecture))):
        if code:
            _require_ones_own(named, card.name)
    # cards of earlier versions lack fields, which then had one value only: that of today's defaults
    known = {field.name for field in fields(Recipe)}
    recipe = Recipe(
        **checked({key: value for key, value in said.items() if key in known}, f"in the card of {card.name}")
    )
    if unknown := sorted(set(said) - known):
        raise BadInput(
            f"expected a recipe of this version in the card of {card.name}, got the unknown {', '.join(unknown)}; install the"
            " version that its card names"
        )
    if recipe.synthetic_fraction and not synthetic:
        raise BadInput(
            f"expected --synthetic FILE with the synthetic images that {card.name} was trained with, got none; its card names"
            " their file and fingerprint"
        )
    data, images = card.training.get("dataset"), card.training.get("images")
    return Again(
        card,
        recipe,
        train_on=str(data) if data and data != suite.dataset else None,
        images=images if isinstance(images, int) and images > 0 else None,
    )


def _require_ones_own(named: str, entrant: str) -> None:
    """Raise BadInput where `module:callable` of a card is of another place than the user's project.

    A card may come from somebody else, and a function of an installed package, called with the card's settings, does as its
    author likes. Nothing is imported.
    """
    folders = tuple(dict.fromkeys((Path.cwd().resolve(), project_root())))
    with working_directory_importable():
        try:
            found = importlib.util.find_spec(named.partition(":")[0].partition(".")[0])
        except (ImportError, ValueError):
            return  # what builds the recipe says that there is none
    places = (
        []
        if found is None
        else [found.origin]
        if found.has_location
        else found.submodule_search_locations or ["built in"]
    )
    for place in (Path(str(one)) for one in places):
        # what is built into Python has "frozen" for a place
        inside = place.is_absolute() and any(place.resolve().is_relative_to(folder) for folder in folders)
        if not inside or "site-packages" in place.parts:
            raise BadInput(
                f"expected {named}, which the card of {entrant} names, in a module of {folders[-1]}, got {place}; if you trust"
                " the card's author write its recipe to a file, and give that with --recipe"
            )
