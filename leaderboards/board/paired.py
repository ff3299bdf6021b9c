"""Two recipes on the same images: is the AutoAttack accuracy of one above that of the other?

Each seed of one recipe is set beside the same seed of the other, image by image. Of one pair of seeds, McNemar's exact test
(McNemar 1947) says whether these two networks differ on such images. Of the recipes, the mean difference over pairs of seeds
and images decides, with an interval that takes both as drawn at random (see `crossed`). The seeds alone, with Student's paired
t, give an interval for these very images: of three seeds it is wide, for it has two degrees of freedom.

Nothing is corrected for the number of recipes that are compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from leaderboards.board import formats
from leaderboards.board.columns import AUTOATTACK
from leaderboards.board.crossed import CrossedMean, crossed_mean
from leaderboards.board.groups import FEWEST, Group, flags
from leaderboards.records.schema import Measurement

REFERENCE = "trades"
"""The recipe that others are set beside, where a board has it."""

DRAWN = ("shard_size", "batch_size", "search")
"""Settings of AutoAttack that draw it anew and change nothing of what is asked."""


@dataclass(frozen=True)
class SeedPair:
    """The networks of one seed of two recipes. `gained` images are right under attack by the first alone, `lost` by the
    reference alone; `p` is McNemar's exact one, two-sided, of no difference."""

    seed: int
    gained: int
    lost: int
    images: int
    p: float

    @property
    def difference(self) -> float:
        """Accuracy of the first less the reference's, in [-1,1]."""
        return (self.gained - self.lost) / self.images


@dataclass(frozen=True)
class Paired:
    """A recipe beside the reference. `difference` is its AutoAttack accuracy less the reference's, over the `pairs`; where they
    do not compare it is None, and `reason` says why."""

    name: str
    reference: str
    difference: CrossedMean | None = None
    pairs: tuple[SeedPair, ...] = ()
    reason: str = ""

    @property
    def verdict(self) -> Literal["above", "below", "undecided"]:
        """Above or below where the interval over seeds and images excludes no difference."""
        if self.difference is None or self.difference.low <= 0 <= self.difference.high:
            return "undecided"
        return "above" if self.difference.mean > 0 else "below"

    @property
    def sentence(self) -> str:
        """The result in one line, in percentage points, with the sign of the difference; the verdict ends it."""
        found = self.difference
        if found is None:
            return f"{self.name} and {self.reference} are not compared: {self.reason}."
        return (
            f"{self.name} against {self.reference}: {formats.points(found.mean, found.images)} points,"
            f" 95{formats.THIN}% interval {_ends(found.low, found.high, found.images)}"
            f" ({found.seeds} seeds, {formats.count(found.images)} images): {self.verdict}."
        )

    @property
    def details(self) -> str:
        """Seed by seed, and over the seeds alone; empty where nothing was compared."""
        found = self.difference
        if found is None:
            return ""
        each = ", ".join(
            f"seed {pair.seed}: {formats.points(pair.difference, pair.images)} ({_p(pair.p)})" for pair in self.pairs
        )
        alone = _ends(found.seeds_low, found.seeds_high, found.images)
        return (
            f"Points seed by seed, with McNemar's exact test: {each}. The 95{formats.THIN}% interval over the seeds alone, for"
            f" these very images (Student's paired t, {found.seeds - 1} degree{'s' if found.seeds > 2 else ''} of freedom):"
            f" {alone}."
        )


def compared(groups: Sequence[Group]) -> tuple[Paired, ...]:
    """Every group of a board beside the reference: trades, or where it is not there the group that stands first. Empty for
    fewer than two groups."""
    if len(groups) < 2:
        return ()
    reference = next((group for group in groups if group.recipe == REFERENCE), groups[0])
    return tuple(paired(group, reference) for group in groups if group is not reference)


def paired(group: Group, reference: Group) -> Paired:
    """Two groups of one board on the same images, over the seeds that both have."""
    seeds = sorted(set(group.seeds) & set(reference.seeds))
    if len(seeds) < FEWEST:
        return Paired(group.name, reference.name, reason=f"they have fewer than {FEWEST} seeds in common")
    sides = [[one.members[one.seeds.index(seed)] for seed in seeds] for one in (group, reference)]
    both = [*sides[0], *sides[1]]
    asked = [_asked(entry.record.measurements.get("autoattack") if entry.record else None) for entry in both]
    if any(one != asked[0] for one in asked):
        return Paired(group.name, reference.name, reason="they were attacked with other settings")
    table = flags(both, AUTOATTACK.source)
    if table is None:
        return Paired(group.name, reference.name, reason="not every seed has the results of AutoAttack image by image")
    mine, theirs = table[: len(seeds)], table[len(seeds) :]
    return Paired(
        name=group.name,
        reference=reference.name,
        difference=crossed_mean(mine.astype(np.float64) - theirs, -1.0, 1.0),
        pairs=tuple(seed_pair(seed, one, other) for seed, one, other in zip(seeds, mine, theirs, strict=True)),
    )


def seed_pair(seed: int, mine: np.ndarray, theirs: np.ndarray) -> SeedPair:
    """The networks of one seed, from flags by image (n,) bool of both; `theirs` are the reference's."""
    from scipy import stats  # a second to import: only boards with groups need it

    gained, lost = int((mine & ~theirs).sum()), int((~mine & theirs).sum())
    p = float(stats.binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
    return SeedPair(seed, gained, lost, len(mine), p)


def _asked(measurement: Measurement | None) -> tuple[int, int, dict[str, Any]] | None:
    """How AutoAttack was run, less what only draws its random numbers; None where it was not."""
    if measurement is None:
        return None
    settings = {key: value for key, value in measurement.settings.items() if key not in DRAWN}
    return measurement.version, measurement.n, settings


def _ends(low: float, high: float, n: int) -> str:
    return f"{formats.points(low, n)} to {formats.points(high, n)}"


def _p(p: float) -> str:
    return f"p = {formats.decimal(p)}" if p >= 0.001 else "p < 0.001"
