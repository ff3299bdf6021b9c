"""The removal experiment: which samples does adversarial training need? (Mirza et al. 2024)

Each arm removes samples of its own kind from every batch of training. All arms of a fraction remove equally many: where an arm
names too few, random others fill up, and the cards say how many. So an arm that fills up much differs little from the arm
`random`; read the column `filled` first. Robust accuracy is an upper bound, as everywhere. The interval of a difference covers
the sampling of test images and not the spread of training: that is what several seeds are for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, get_args

import numpy as np

from harness.check.statistics import LEVEL, difference_interval, two_sided
from harness.errors import BadInput
from harness.experiments.measuring import Found, as_json
from harness.experiments.spread import Spread, over_seeds
from harness.experiments.trials import Ground, Trial, settings_of
from harness.training.recipes import Drop, Recipe
from leaderboards.records.schema import Value
from zoo.entrant import Card, did_you_mean

ARMS: tuple[Drop, ...] = ("none", "high-energy", "low-energy", "misclassified", "random")
"""In the order in which they are trained and shown; the same names as the recipe's field `drop` has."""

assert set(ARMS) == set(get_args(Drop))


@dataclass(frozen=True)
class Arm:
    """One entrant of the experiment: `count` samples leave each batch, which is the `fraction` of it, by the rule `how`."""

    how: Drop
    fraction: float
    count: int
    seed: int
    trial: Trial


@dataclass(frozen=True)
class Difference:
    """Robust accuracy less that of the arm `none` of the same seed, on the same n images. `lost` are images that only `none`
    keeps, `gained` those that only this arm keeps; `p` is of the exact two-sided McNemar test."""

    value: float
    low: float
    high: float
    level: float
    p: float
    lost: int
    gained: int
    n: int
    by_image: np.ndarray = field(repr=False, compare=False)
    """(n,) of -1, 0, 1: lost, unchanged, gained."""

    def to_json(self) -> dict[str, Any]:
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name != "by_image"}


def paired(before: np.ndarray, after: np.ndarray) -> Difference:
    """Of two arrays of flags (n,) bool on the same images. Raises ValueError where they are not equally many."""
    lost, gained, n = (int(x) for x in ((before & ~after).sum(), (~before & after).sum(), len(before)))
    low, high = difference_interval(lost, gained, n)
    return Difference(
        (gained - lost) / n, low, high, LEVEL, two_sided(lost, gained), lost, gained, n, after.astype(int) - before
    )


@dataclass(frozen=True)
class Row:
    """What came of one arm. `removed` is of all epochs, `named` by the arm's rule and `filled` at random, `of` all samples."""

    arm: Arm
    removed: Mapping[str, int]
    found: Found | None
    difference: Difference | None

    def to_json(self) -> dict[str, Any]:
        found, how = self.found, self.arm
        return {
            "entrant": how.trial.name,
            "arm": how.how,
            "fraction": how.fraction,
            "removed_from_each_batch": how.count,
            "seed": how.seed,
            "removed": {"all": self.removed["named"] + self.removed["filled"], **self.removed},
            "standard_accuracy": as_json(found.standard) if found else None,
            "robust_accuracy": as_json(found.robust) if found else None,
            "robust_by": found.attacked if found else None,
            "difference_to_none": self.difference.to_json() if self.difference else None,
            "record": found.file if found else None,
        }


@dataclass(frozen=True)
class ArmSpread:
    """One arm and fraction over its seeds: accuracies, and the difference to the arm none of the same seed."""

    how: Drop
    fraction: float
    standard: Spread
    robust: Spread
    difference: Spread | None

    def to_json(self) -> dict[str, Any]:
        parts = {name: getattr(self, name) for name in ("standard", "robust", "difference")}
        values = {name: part.to_json() if part else None for name, part in parts.items()}
        return {"arm": self.how, "fraction": self.fraction, **values}


@dataclass(frozen=True)
class Removal:
    """The arms of one recipe. Raises BadInput for an unknown arm, a fraction out of (0,1), and one of less than a sample."""

    recipe: Recipe
    label: str
    arms: tuple[str, ...] = ARMS
    fractions: tuple[float, ...] = (0.1, 0.2)
    seeds: tuple[int, ...] = (1,)

    def __post_init__(self) -> None:
        for arm in self.arms:
            if arm not in ARMS:
                raise BadInput(f"expected an arm, got {arm!r};{did_you_mean(arm, ARMS)} choose among {', '.join(ARMS)}")
        for fraction in self.fractions:
            if not 0 < fraction < 1:
                raise BadInput(f"expected a fraction above 0 and below 1, got {fraction}; correct --fractions")
        if not any(arm != "none" for arm in self.arms):
            raise BadInput("expected an arm that removes samples, got none alone; add one to --arms")
        if self.recipe.drop != "none":
            raise BadInput(
                f"expected a recipe without drop, got {self.recipe.drop!r}; the arms of the experiment set it"
            )

    def planned(self, ground: Ground) -> tuple[Arm, ...]:
        """Every arm: of each seed first none, then by fraction. As many samples leave a batch in all arms of a fraction."""
        size = min(self.recipe.batch_size, ground.trained_on(self.recipe))
        found = []
        for seed in dict.fromkeys(self.seeds):
            recipe = self.recipe.changed({"seed": seed})
            if "none" in self.arms:
                found.append(Arm("none", 0.0, 0, seed, Trial(f"{self.label}-none-s{seed}", recipe)))
            for fraction in sorted(dict.fromkeys(self.fractions)):
                count = round(fraction * size)
                if not 1 <= count <= size - 2:
                    raise BadInput(
                        f"expected a fraction that removes 1 to {size - 2} of a batch of {size}, got {fraction}, which"
                        f" is {count}; choose another"
                    )
                for how in (arm for arm in ARMS if arm in self.arms and arm != "none"):
                    dropping = recipe.changed({"drop": how, "drop_count": count})
                    name = f"{self.label}-{how}-{100 * fraction:g}-s{seed}"
                    found.append(Arm(how, fraction, count, seed, Trial(name, dropping)))
        return tuple(found)

    def rows(self, arms: Sequence[Arm], cards: Mapping[str, Card], found: Mapping[str, Found]) -> tuple[Row, ...]:
        """What came of the arms, from the cards and measurements by the entrants' names; an arm that was not measured has none.

        Raises BadInput where two arms of a fraction have removed different numbers: nothing may be compared then.
        """
        baselines = {arm.seed: found.get(arm.trial.name) for arm in arms if arm.how == "none"}
        rows = []
        for arm in arms:
            removed = cards[arm.trial.name].training.get("removed") or {"named": 0, "filled": 0, "of": 0}
            mine, before = found.get(arm.trial.name), baselines.get(arm.seed)
            difference = None
            if arm.how != "none" and mine and before and mine.survivors is not None and before.survivors is not None:
                difference = paired(before.survivors, mine.survivors)
            rows.append(Row(arm, removed, mine, difference))
        totals: dict[float, set[int]] = {}
        for row in rows:
            totals.setdefault(row.arm.fraction, set()).add(row.removed["named"] + row.removed["filled"])
        for fraction, total in totals.items():
            if len(total) > 1:
                raise BadInput(
                    f"expected every arm to remove as many samples at {fraction}, got {', '.join(map(str, sorted(total)))};"
                    " name another --out and train them anew"
                )
        return tuple(rows)

    def to_json(self, rows: Sequence[Row], spreads: Sequence[ArmSpread], ground: Ground) -> dict[str, Any]:
        """All numbers, plain."""
        return {
            "experiment": "removal",
            "suite": ground.suite.name,
            "trained_on": {
                "dataset": ground.images.name,
                "fingerprint": ground.images.fingerprint,
                "images": len(ground.images),
                "images_of_an_epoch": ground.trained_on(self.recipe),
            },
            "recipe": settings_of(self.recipe, without=("drop", "drop_fraction", "drop_count", "seed")),
            "arms": [row.to_json() for row in rows],
            "over_seeds": [spread.to_json() for spread in spreads],
        }


def arm_spreads(rows: Sequence[Row]) -> tuple[ArmSpread, ...]:
    """Arms by fraction, over the seeds that were measured; nothing of an arm that has fewer than two."""
    groups: dict[tuple[Drop, float], list[Row]] = {}
    for row in rows:
        if row.found is not None:
            groups.setdefault((row.arm.how, row.arm.fraction), []).append(row)
    spreads = []
    for (how, fraction), mine in groups.items():
        found = [row.found for row in mine if row.found is not None]
        standard = over_seeds([one.standard for one in found], [one.flags.get("standard") for one in found])
        robust = over_seeds([one.robust for one in found], [one.survivors for one in found])
        changes = [row.difference for row in mine if row.difference is not None]
        values = [Value(value=change.value, n=change.n) for change in changes]
        difference = over_seeds(values, [change.by_image for change in changes], -1.0)
        if standard is not None and robust is not None:
            spreads.append(ArmSpread(how, fraction, standard, robust, difference))
    return tuple(spreads)
