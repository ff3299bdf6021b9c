"""A bounded answer: what AutoAttack would give, from its first two stages on all examples and the last two on a tenth.

FAB-T and Square take three quarters of AutoAttack's time and break next to nothing that both APGD have left. So of these
survivors a tenth is chosen by key, before anything is known of them, and goes on to the end. Where none of it breaks, the
number of breakable points among the rest is bounded by the exact hypergeometric distribution (one-sided, 95 %). Where one
breaks, the rest is run: the bound is then not needed.

Both decisions are taken over all examples of an entrant at once. Taken shard by shard they would be wrong: the shards in which
nothing happened to break would be bounded, and the others completed, so a bound of 95 % would be one of fewer.

The interval covers the choice of the tenth, and so the full attack on these examples; it errs as AutoAttack does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from harness.attacks.engine.draws import image_keys, subkey, uniform
from harness.attacks.engine.outcome import STAGES, SURVIVED
from harness.measures.intervals import LEVEL
from leaderboards.records.schema import Value

SHARE = 0.1
"""Of the survivors of both APGD, the part that goes on to the end."""

FIRST = STAGES.index("fab-t")
"""How many stages are run on every example; the stages from this number on, on the chosen ones."""

METHOD = "hypergeometric, one-sided"

REASON = "bounded: not every example was attacked to the end"

_CHOICE = 201
"""What sets the choice's random numbers apart from those of the attacks."""


def chosen(x: Tensor, seed: int) -> Tensor:
    """(N,) bool: which images (N, C, H, W) go on to the end, by seed and image alone; equal images go together."""
    return chosen_keys(image_keys(x), seed)


def chosen_keys(keys: Tensor, seed: int | Tensor) -> Tensor:
    """(N,) bool: which keys of images (N,) go on to the end, for a seed, or one for each."""
    return uniform(subkey(subkey(keys, seed), _CHOICE), 1)[:, 0] < SHARE


def through(x: Tensor, seed: int) -> Tensor:
    """(N,) int8: how many stages are run on each image."""
    return torch.where(chosen(x, seed), SURVIVED, FIRST).to(torch.int8)


def most_breakable(survivors: int, sampled: int, broke: int = 0, level: float = LEVEL) -> int:
    """The most of `survivors` that can be breakable, `sampled` at random and `broke` of those: the upper end of the exact
    one-sided interval, so that it is below the truth in at most 1 - `level` of all samples.

    Raises ValueError where the numbers do not fit.
    """
    if not 0 <= broke <= sampled <= survivors:
        raise ValueError(f"expected broke <= sampled <= survivors, got {broke}, {sampled}, {survivors}")
    from scipy.stats import hypergeom  # half a second to import: only who bounds needs it

    # so few broken ones become less likely with every breakable point
    low, high = broke, survivors - (sampled - broke)
    while low < high:
        middle = (low + high + 1) // 2
        if hypergeom.cdf(broke, survivors, middle, sampled) > 1 - level:
            low = middle
        else:
            high = middle - 1
    return low


@dataclass(frozen=True)
class Bound:
    """What is known of n examples: `survivors` of the first stages, `sampled` of them run to the end, of which `broke`."""

    n: int
    survivors: int
    sampled: int
    broke: int = 0

    @staticmethod
    def of(arrays: Mapping[str, np.ndarray]) -> Bound:
        """From the per-sample arrays `stage` and `reached`."""
        stage, reached = arrays["stage"], arrays["reached"]
        broke = (stage >= FIRST) & (stage < SURVIVED)
        survived = stage == SURVIVED
        return Bound(
            n=len(stage),
            survivors=int(np.count_nonzero(survived | broke)),
            sampled=int(np.count_nonzero((survived & (reached >= SURVIVED)) | broke)),
            broke=int(np.count_nonzero(broke)),
        )

    @property
    def holds(self) -> bool:
        """Whether the bound is the answer: something is left out, and none of the sample broke. Else all is to be run."""
        return self.broke == 0 and self.sampled < self.survivors

    @property
    def more(self) -> int:
        """At most so many more would break, were all of them run to the end (one-sided, 95 %)."""
        return most_breakable(self.survivors, self.sampled, self.broke) - self.broke

    @property
    def value(self) -> Value:
        """The accuracy that the full attack would give: no number, an interval that holds it."""
        left = self.survivors - self.broke
        return Value(
            value=None,
            low=(left - self.more) / self.n,
            high=left / self.n,
            level=LEVEL,
            method=METHOD,
            n=self.n,
            reason=REASON,
        )

    @property
    def words(self) -> str:
        """What was run and what follows, for a reader of the record."""
        return (
            f"an interval, not the full attack: FAB-T and Square ran on {self.sampled:,} of the {self.survivors:,} examples"
            f" that both APGD left, chosen beforehand, and broke {'none' if not self.broke else self.broke}; of the others at"
            f" most {self.more:,} would break (one-sided, 95 %). Run it without :bounded to complete it"
        )
