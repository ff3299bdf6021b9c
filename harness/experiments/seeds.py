"""Seeds: each recipe trained with several seeds, and the recipes compared on the same images.

A claim such as "this recipe is above that one" is about trainings, so it needs several of each. The mean and the standard
deviation over seeds stand beside every seed; all pairs of recipes are compared seed by seed, image by image
(leaderboards.board.paired). Nothing is corrected for the number of pairs: read the one that was asked about.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from harness.errors import BadInput
from harness.experiments.measuring import Found, as_json
from harness.experiments.spread import Spread, over_seeds
from harness.experiments.trials import Ground, Trial, settings_of
from harness.training.recipes import Recipe
from leaderboards.board.entry import Entry
from leaderboards.board.groups import Group
from leaderboards.board.paired import Paired, paired
from leaderboards.records.home import Home


@dataclass(frozen=True)
class Seed:
    """One entrant of the experiment: a recipe, by its name here, with a seed."""

    recipe: str
    seed: int
    trial: Trial


@dataclass(frozen=True)
class Line:
    """A recipe over its seeds; a spread is None where fewer than two seeds were measured."""

    recipe: str
    seeds: tuple[int, ...]
    standard: Spread | None
    robust: Spread | None

    def to_json(self) -> dict[str, Any]:
        values = {name: part.to_json() if part else None for name, part in self._parts.items()}
        return {"recipe": self.recipe, "seeds": list(self.seeds), **values}

    @property
    def _parts(self) -> dict[str, Spread | None]:
        return {"standard": self.standard, "robust": self.robust}


@dataclass(frozen=True)
class Seeds:
    """Recipes by their names here, each with every seed. Raises BadInput for none."""

    recipes: Mapping[str, Recipe]
    seeds: tuple[int, ...] = (1, 2, 3)

    def __post_init__(self) -> None:
        if not self.recipes:
            raise BadInput("expected a recipe, got none; name some after --recipes")

    def planned(self) -> tuple[Seed, ...]:
        """Every entrant, <recipe>-s<seed>: seed by seed, so that what is done early compares all recipes."""
        return tuple(
            Seed(name, seed, Trial(f"{name}-s{seed}", recipe.changed({"seed": seed})))
            for seed in dict.fromkeys(self.seeds)
            for name, recipe in self.recipes.items()
        )

    def lines(self, seeds: Sequence[Seed], found: Mapping[str, Found]) -> tuple[Line, ...]:
        """Recipes over those of their seeds that were measured."""
        lines = []
        for name in self.recipes:
            mine = {one.seed: found[one.trial.name] for one in seeds if one.recipe == name and one.trial.name in found}
            every = list(mine.values())
            standard = over_seeds([one.standard for one in every], [one.flags.get("standard") for one in every])
            robust = over_seeds([one.robust for one in every], [one.survivors for one in every])
            lines.append(Line(name, tuple(mine), standard, robust))
        return tuple(lines)

    def pairs(self, seeds: Sequence[Seed], found: Mapping[str, Found], ground: Ground) -> tuple[Paired, ...]:
        """All pairs of recipes under AutoAttack, the one that was named later beside the earlier one."""
        home, groups = Home(ground.folder), []
        for name in self.recipes:
            mine = {
                one.seed: Entry(found[one.trial.name].record, home=home)
                for one in sorted(seeds, key=lambda one: one.seed)
                if one.recipe == name and one.trial.name in found
            }
            groups.append(Group(name, name, tuple(mine), tuple(mine.values())))
        return tuple(paired(later, earlier) for earlier, later in itertools.combinations(groups, 2))

    def to_json(
        self,
        seeds: Sequence[Seed],
        found: Mapping[str, Found],
        lines: Sequence[Line],
        pairs: Sequence[Paired],
        ground: Ground,
    ) -> dict[str, Any]:
        """All numbers, plain."""
        images = ground.images
        return {
            "experiment": "seeds",
            "suite": ground.suite.name,
            "trained_on": {"dataset": images.name, "fingerprint": images.fingerprint, "images": len(images)},
            "recipes": {name: settings_of(recipe, without=("seed",)) for name, recipe in self.recipes.items()},
            "entrants": [_entrant(one, found.get(one.trial.name)) for one in seeds],
            "over_seeds": [line.to_json() for line in lines],
            "pairs": [_pair(pair) for pair in pairs],
        }


def _entrant(one: Seed, found: Found | None) -> dict[str, Any]:
    return {
        "entrant": one.trial.name,
        "recipe": one.recipe,
        "seed": one.seed,
        "standard_accuracy": as_json(found.standard) if found else None,
        "robust_accuracy": as_json(found.robust) if found else None,
        "robust_by": found.attacked if found else None,
        "record": found.file if found else None,
    }


def _pair(pair: Paired) -> dict[str, Any]:
    return {**asdict(pair), "verdict": pair.verdict, "sentence": pair.sentence}
