"""Has a number become worse? The statistics of a gate, as pure functions on paired results of a baseline and a candidate.

Every gate looks at a worsening w, positive where the candidate is worse: for accuracies the drop, (lost - gained) / n, where
`lost` counts examples that the baseline had right and the candidate has not, and `gained` the reverse. A gate

- fails where there is a significant worsening (H0: w <= 0 is rejected at alpha) and the estimate of w is above the margin;
- passes where a worsening of the margin or more is excluded (H0: w >= margin is rejected at alpha);
- is undecided otherwise.

So at most alpha of the candidates that are no worse fail, and at most alpha of those that are worse by the margin pass. One
that is worse by less than the margin may do either or stay undecided.

Accuracies: the exact one-sided McNemar test (McNemar 1947), which is the binomial test on discordant pairs. A pass rests on an
upper bound of w that is exact and errs high, so that a gate passes too seldom: with theta the share of `lost` among the
discordant pairs and psi the share of discordant pairs, w = (2 theta - 1) psi, and each of the two gets Clopper-Pearson's bound
at alpha / 2. A bootstrap interval would be shorter, but it has no width where no pair is discordant, and most harmless changes
leave none. The interval that a gate shows is the bootstrap's (BCa, Efron 1987). Values: Student's paired t test where both
sides have them by example, else a z test from their two intervals.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Literal

import numpy as np
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from leaderboards.records.schema import Value

LEVEL = 0.95
"""Coverage of the intervals that a gate shows."""

RESAMPLES = 2000
"""Of the bootstrap. Its random numbers are seeded: the same flags give the same interval."""

MANY = 10**8
"""More examples than this are called none: no number of examples decides."""

Worse = Literal["lower", "higher", "either"]


class Outcome(StrEnum):
    """What a gate, or all of them together, came to. STOPPED: another gate had failed before this one was decided."""

    PASS = "pass"
    FAIL = "fail"
    UNDECIDED = "undecided"
    STOPPED = "stopped"


def significance(lost: np.ndarray | int, gained: np.ndarray | int) -> np.ndarray:
    """p of the exact one-sided McNemar test of H0: no drop; 1 where no pair is discordant. Arrays of counts, any shape."""
    lost, gained = np.asarray(lost), np.asarray(gained)
    return stats.binom.sf(lost - 1, lost + gained, 0.5)


def two_sided(lost: int, gained: int) -> float:
    """p of the exact two-sided McNemar test of H0: no difference; 1 where no pair is discordant."""
    return min(1.0, 2 * float(significance(max(lost, gained), min(lost, gained))))


def upper_bound(lost: np.ndarray | int, gained: np.ndarray | int, n: np.ndarray | int, alpha: float) -> np.ndarray:
    """A drop that is exceeded with probability alpha at most, in [0,1]; it errs high. Arrays of counts, any shape."""
    lost, gained, n = np.asarray(lost), np.asarray(gained), np.asarray(n)
    discordant = lost + gained
    # where nothing is discordant nothing is known of theta: it may be 1
    theta = np.where(discordant > 0, _clopper_pearson(lost, np.maximum(discordant, 1), alpha / 2), 1.0)
    return np.maximum(2 * theta - 1, 0) * _clopper_pearson(discordant, n, alpha / 2)


def _clopper_pearson(count: np.ndarray, n: np.ndarray, alpha: float) -> np.ndarray:
    """The one-sided upper bound of a proportion."""
    return np.asarray(proportion_confint(count, n, alpha=2 * alpha, method="beta")[1])


def judge(
    lost: np.ndarray | int, gained: np.ndarray | int, n: np.ndarray | int, margin: float, alpha: float
) -> np.ndarray:
    """Outcomes of counts of any shape, at one look with all of alpha: array of Outcome's values."""
    drop = (np.asarray(lost) - np.asarray(gained)) / np.asarray(n)
    fails = (significance(lost, gained) <= alpha) & (drop > margin)
    passes = upper_bound(lost, gained, n, alpha) < margin
    return np.where(fails, Outcome.FAIL.value, np.where(passes, Outcome.PASS.value, Outcome.UNDECIDED.value))


def interval(
    lost: int, gained: int, n: int, *, level: float = LEVEL, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """The bootstrap interval (BCa) of the drop. Where no pair is discordant, or all are so one way: the exact bounds.

    Those are needed because resampling equal differences gives equal means, and an interval without width.
    """
    tail = (1 - level) / 2
    if n in (lost, gained, n - lost - gained):
        # the others: of n examples none, so at most this share
        unseen = float(_clopper_pearson(np.array(0), np.array(n), tail))
        if lost == gained:
            bound = float(upper_bound(0, 0, n, tail))
            return -bound, bound
        return (1 - 2 * unseen, 1.0) if lost else (-1.0, 2 * unseen - 1)
    differences = np.repeat([1.0, -1.0, 0.0], [lost, gained, n - lost - gained])
    found = stats.bootstrap(
        (differences,),
        np.mean,
        confidence_level=level,
        n_resamples=resamples,
        batch=max(1, 5_000_000 // n),
        method="BCa",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(found.low), float(found.high)


def difference_interval(lost: int, gained: int, n: int, *, level: float = LEVEL) -> tuple[float, float]:
    """The interval of the difference (gained - lost) / n of two paired shares: Wald's with half an example added to each of the
    four cells (Agresti & Min 2005). Few discordant pairs do not take its width away, as they take the bootstrap's."""
    more, less, total = gained + 0.5, lost + 0.5, n + 2
    centre = (more - less) / total
    spread = math.sqrt(more + less - (more - less) ** 2 / total) / total
    half = float(stats.norm.ppf((1 + level) / 2)) * spread
    return max(-1.0, centre - half), min(1.0, centre + half)


def examples_needed(lost: int, gained: int, n: int, margin: float, alpha: float) -> int | None:
    """So many examples would decide, if the rates of lost and gained ones stay as they are; None where no number does.

    An expectation and no promise: at the rates seen, about half of all runs on so many examples decide.
    """
    drop = (lost - gained) / n
    if drop == margin:
        return None
    # asked for is the outcome that the rates lead to: rounded counts may be on the margin's other side
    wanted = Outcome.FAIL if drop > margin else Outcome.PASS
    sizes = np.unique(np.geomspace(n, max(MANY, n), 5000).astype(np.int64))
    counts = [np.round(count / n * sizes).astype(np.int64) for count in (lost, gained)]
    decided = judge(counts[0], counts[1], sizes, margin, alpha) == wanted.value
    return int(sizes[decided.argmax()]) if decided.any() else None


@dataclass(frozen=True)
class Change:
    """A value's worsening with its interval. `p` is None where there is no interval to test with: numbers are compared."""

    worsening: float
    low: float | None
    high: float | None
    level: float | None
    p: float | None
    excluded: bool
    """A worsening of the margin or more is excluded at alpha."""


def paired_change(baseline: np.ndarray, candidate: np.ndarray, worse: Worse, margin: float, alpha: float) -> Change:
    """The mean worsening of (N,) values by example, N >= 2, with Student's t. For "either", worsening is signed as given."""
    if baseline.shape != candidate.shape or len(baseline) < 2:
        raise ValueError(f"expected two vectors of one length, at least 2, got {baseline.shape} and {candidate.shape}")
    by_example = (candidate.astype(np.float64) - baseline.astype(np.float64)) * (-1.0 if worse == "lower" else 1.0)
    mean = float(by_example.mean())
    if np.ptp(by_example) == 0:  # the same entrant: t would divide by zero
        p = 1.0 if mean == 0 or (worse != "either" and mean < 0) else 0.0
        return Change(mean, mean, mean, LEVEL, p, _size(mean, worse) < margin)
    two_sided = stats.ttest_1samp(by_example, 0.0)
    ends = two_sided.confidence_interval(LEVEL)
    p = two_sided.pvalue if worse == "either" else stats.ttest_1samp(by_example, 0.0, alternative="greater").pvalue
    above = stats.ttest_1samp(by_example, margin, alternative="less").pvalue
    below = stats.ttest_1samp(by_example, -margin, alternative="greater").pvalue if worse == "either" else 0.0
    return Change(mean, float(ends.low), float(ends.high), LEVEL, float(p), bool(max(above, below) <= alpha))


def unpaired_change(baseline: Value, candidate: Value, worse: Worse, margin: float, alpha: float) -> Change:
    """The worsening of a value that comes with its own interval (FID, a standard deviation), by the normal approximation.

    The two are taken as independent: where they share examples, the interval errs wide. Without an interval on one side
    there is no test: the numbers are compared with the margin.
    """
    if baseline.value is None or candidate.value is None:
        raise ValueError("expected two numbers")
    w = (candidate.value - baseline.value) * (-1.0 if worse == "lower" else 1.0)
    errors = [_standard_error(value) for value in (baseline, candidate)]
    if any(error is None for error in errors) or not (spread := math.hypot(*(error or 0.0 for error in errors))):
        return Change(w, None, None, None, None, _size(w, worse) <= margin)
    half = float(stats.norm.ppf((1 + LEVEL) / 2)) * spread
    one_sided = float(stats.norm.sf(w / spread))
    p = 2 * float(stats.norm.sf(abs(w) / spread)) if worse == "either" else one_sided
    above = float(stats.norm.cdf((w - margin) / spread))
    below = float(stats.norm.sf((w + margin) / spread)) if worse == "either" else 0.0
    return Change(w, w - half, w + half, LEVEL, p, max(above, below) <= alpha)


def _size(worsening: float, worse: Worse) -> float:
    return abs(worsening) if worse == "either" else worsening


def _standard_error(value: Value) -> float | None:
    """What an interval says of its standard error, as if it were normal; None where there is none."""
    if value.low is None or value.high is None or value.level is None:
        return None
    return (value.high - value.low) / 2 / float(stats.norm.ppf((1 + value.level) / 2))


def judge_change(change: Change, p: float | None, worse: Worse, margin: float, alpha: float) -> Outcome:
    """The outcome of a value's gate; `p` is the change's own after the correction for many gates."""
    if p is None:
        return Outcome.PASS if change.excluded else Outcome.FAIL
    if p <= alpha and _size(change.worsening, worse) > margin:
        return Outcome.FAIL
    return Outcome.PASS if change.excluded else Outcome.UNDECIDED


def holm(p: Sequence[float]) -> list[float]:
    """p values of several gates, corrected (Holm 1979): that one of them fails by chance has probability alpha at most.

    Passes need no correction: all gates pass together only if each one does (an intersection-union test).
    """
    return list(_holm(tuple(p))) if len(p) > 1 else list(p)


@lru_cache(maxsize=1024)
def _holm(p: tuple[float, ...]) -> tuple[float, ...]:
    # asked for at every look, mostly with the numbers of the one before
    return tuple(float(value) for value in multipletests(p, method="holm")[1])
