"""Looking at a gate's flags while they come in, and stopping as soon as the outcome is clear, with the error rates kept.

Two rules, both valid whatever the flags depend on:

- Group-sequential by Bonferroni's inequality: each interim look spends part of alpha. The number of looks and each look's
  share of alpha are fixed beforehand, the shares add up to one, and look k tests at share_k * alpha. The chance that any look
  errs is then at most alpha, however the looks depend on one another (Haybittle 1971 and Peto et al. 1976 give the last look
  nearly all of alpha; here it has 80 %). The rule errs on the safe side: fewer than alpha of equal candidates fail. A gate's p
  is the least of p_k / share_k, itself a p value.
- Curtailment: a look may count examples as unbroken that a later attack could still break. More broken examples only make
  McNemar's p smaller and the drop larger, so a gate that fails at such a look would fail with the final flags too: stopping
  there spends no alpha. This holds between the attacks of a cascade, and for the last look taken early, with the examples that
  nothing has attacked yet counted as unbroken.

A wrong failure and a wrong pass are errors of two different tests: each has an alpha of its own. Which examples come first is
drawn with a seed, without a look at the flags. Beyond that, McNemar's test itself needs exchangeable examples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from harness.check.statistics import Outcome, significance, upper_bound

INTERIM = 0.2
"""The share of alpha that all looks but the last have together, evenly."""


def shares(looks: int) -> tuple[float, float]:
    """Each interim look's share of alpha, and the last one's; they add up to one over so many looks."""
    if looks < 1:
        raise ValueError(f"expected at least one look, got {looks}")
    return (0.0, 1.0) if looks == 1 else (INTERIM / (looks - 1), 1 - INTERIM)


def sizes(total: int, least: int) -> tuple[int, ...]:
    """How many of `total` have been seen at each look: doubling from 1/32 of them, at least `least`, up to all."""
    return tuple(sorted({min(total, max(least, -(-total // 2**k))) for k in range(6)}))


@dataclass
class FlagGate:
    """A gate on true/false results by example, while they are being measured.

    `baseline` (N,) bool. `upper` and `lower` (N,) bool bracket the candidate's flag: True and False where nothing is known,
    equal where it is. `fail_looks` and `pass_looks` count the looks at which it may fail or pass, the last one included.
    """

    name: str
    margin: float
    alpha: float
    baseline: np.ndarray
    fail_looks: int = 1
    pass_looks: int = 1
    upper: np.ndarray = field(init=False)
    lower: np.ndarray = field(init=False)
    p: float = field(default=1.0, init=False)
    """p of no drop, over all looks so far; before the correction for other gates."""
    seen: tuple[int, int, int] = field(default=(0, 0, 0), init=False)
    """(lost, gained, n) of the look that is shown: the newest, or the one that decided. Where flags are not settled, the fewest
    that can be lost and the most that can be gained."""
    open: int = field(default=0, init=False)
    """How many of these `gained` are not settled: an attack that has not been run may still break them."""
    share_correct: float = field(default=0.0, init=False)
    """The baseline's share of true flags among the examples of that look."""
    stage: str = field(default="", init=False)
    outcome: Outcome | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.upper = np.ones(len(self.baseline), dtype=bool)
        self.lower = np.zeros(len(self.baseline), dtype=bool)

    @property
    def least_bound(self) -> float:
        """The bound on the drop where none is lost and none gained: a candidate that is as good passes no smaller margin."""
        return float(upper_bound(0, 0, len(self.baseline), self._last))

    @property
    def examples_to_pass(self) -> int | None:
        """So many examples would let a candidate that is as good pass; None for a margin of 0, which no number does."""
        if self.margin <= 0:
            return None
        # 1 - (alpha / 2) ** (1 / n) < margin, with the last look's share of alpha, which is least where there are several
        return math.floor(math.log(self.alpha * shares(2)[1] / 2) / math.log1p(-self.margin)) + 1

    @property
    def _last(self) -> float:
        return self.alpha * shares(self.pass_looks)[1]

    def at_most(self, examples: np.ndarray, flags: np.ndarray) -> None:
        """Examples (indices) whose flag is at most this one: what an attack broke stays broken."""
        self.upper[examples] &= flags

    def exactly(self, examples: np.ndarray, flags: np.ndarray) -> None:
        """Examples (indices) whose flag is this one."""
        self.at_most(examples, flags)
        self.lower[examples] = self.upper[examples]

    def counts(self, examples: np.ndarray) -> tuple[int, int, int]:
        """(lost, gained, n) among examples; with flags that are not settled, the fewest lost and the most gained."""
        was, now = self.baseline[examples], self.upper[examples]
        return int((was & ~now).sum()), int((~was & now).sum()), len(examples)

    def look(self, examples: np.ndarray, *, last: bool, stage: str, curtailed: bool = False) -> None:
        """Take the p of these examples into account: an interim look, or the last one (all N).

        `curtailed`: some of them have not been attacked at all, and count as unbroken. Such a look is shown only if it decides.
        """
        lost, gained, n = self.counts(examples)
        interim, final = shares(self.fail_looks)
        # where no more are lost than gained, p is at least one half: no look need say more of it
        p = float(significance(lost, gained)) / (final if last else interim) if lost > gained else 1.0
        self.p = min(self.p, p)
        if not curtailed or (p <= self.alpha and (lost - gained) / n > self.margin):
            self.seen, self.stage = (lost, gained, n), stage
            self.open = int((~self.baseline & self.upper & ~self.lower)[examples].sum())
            self.share_correct = float(self.baseline[examples].mean())

    def fails(self, corrected: float) -> bool:
        """Whether it fails, given its p after the correction for other gates."""
        lost, gained, n = self.seen
        return n > 0 and corrected <= self.alpha and (lost - gained) / n > self.margin

    def passes(self, examples: np.ndarray, *, last: bool) -> bool:
        """Whether a drop of the margin or more is excluded at this look. Raises ValueError where a flag is not settled."""
        if (self.upper[examples] != self.lower[examples]).any():
            raise ValueError("expected flags that are settled")
        interim, final = shares(self.pass_looks)
        lost, gained, n = self.counts(examples)
        if (lost - gained) / n >= self.margin:  # no bound is below the estimate
            return False
        return float(upper_bound(lost, gained, n, self.alpha * (final if last else interim))) < self.margin
