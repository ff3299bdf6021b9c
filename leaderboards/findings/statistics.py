"""The tests behind the verdicts. Each gives an effect with its interval, and one-sided p-values for both directions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import permutations

import numpy as np

EXACT = 8
"""Up to so many pairs, the p-value of a rank correlation is over all orders; beyond, over DRAWS random ones."""

DRAWS = 19_999


@dataclass(frozen=True)
class Outcome:
    """An effect over n observations, its interval of 95 %, and the p-values of its being `above` and `below` what chance
    gives."""

    effect: float
    low: float | None
    high: float | None
    above: float
    below: float
    n: int

    @property
    def p(self) -> float:
        """Two-sided: twice the smaller of the two."""
        return min(1.0, 2 * min(self.above, self.below))


def sign_test(shifts: np.ndarray) -> Outcome | None:
    """The share of positive shifts among those that are not zero, by the exact sign test with Clopper and Pearson's interval.

    `shifts` is (n,), paired differences; None where all are zero. It asks about the median alone and needs no symmetric
    shifts, as Wilcoxon's signed-rank
    test does: an attack moves what it breaks far and the rest a little.
    """
    from scipy import stats  # half a second to import: only boards with arrays need it

    moved = shifts[shifts != 0]
    n, up = len(moved), int(np.count_nonzero(moved > 0))
    if n == 0:
        return None
    low = float(stats.beta.ppf(0.025, up, n - up + 1)) if up else 0.0
    high = float(stats.beta.ppf(0.975, up + 1, n - up)) if up < n else 1.0
    return Outcome(up / n, low, high, float(stats.binom.sf(up - 1, n, 0.5)), float(stats.binom.cdf(up, n, 0.5)), n)


def rank_sum_test(first: np.ndarray, second: np.ndarray) -> Outcome | None:
    """How often a value of the first group is above one of the second (ties count half), by Mann and Whitney's test.

    Exact for small groups without ties, else by the normal distribution. The interval is by Hanley and McNeil's variance
    (1982), cut to [0,1]; there is none where the groups lie wholly apart, for their variance is 0 then, however few they are.
    None where a group is empty.
    """
    from scipy import stats

    n, m = len(first), len(second)
    if not n or not m:
        return None
    above = stats.mannwhitneyu(first, second, alternative="greater")
    below = stats.mannwhitneyu(first, second, alternative="less")
    share = float(above.statistic) / (n * m)
    if share in (0.0, 1.0):
        return Outcome(share, None, None, float(above.pvalue), float(below.pvalue), n + m)
    one, both = share / (2 - share), 2 * share**2 / (1 + share)
    half = 1.959963984540054 * math.sqrt(
        (share * (1 - share) + (n - 1) * (one - share**2) + (m - 1) * (both - share**2)) / (n * m)
    )
    return Outcome(
        share, max(0.0, share - half), min(1.0, share + half), float(above.pvalue), float(below.pvalue), n + m
    )


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> Outcome | None:
    """Spearman's rank correlation with its permutation p-values; None for fewer than 3 pairs or a side that is level.

    The interval is Fisher's with Bonett and Wright's variance (2000): rough for fewer than ten pairs, and none for a perfect
    order.
    """
    from scipy import stats

    n = len(x)
    if n < 3 or len(set(x)) == 1 or len(set(y)) == 1:
        return None
    first, second = (np.asarray(stats.rankdata(side)) - (n + 1) / 2 for side in (x, y))
    length = float(np.linalg.norm(first) * np.linalg.norm(second))
    rho = max(-1.0, min(1.0, float(first @ second) / length))
    drawn = first[_orders(n)] @ second / length
    # equal orders differ by rounding
    above, below = (int(np.count_nonzero(side)) for side in (drawn >= rho - 1e-9, drawn <= rho + 1e-9))
    # the order that was found is one of the random ones too
    extra = 0 if n <= EXACT else 1
    low = high = None
    if n > 3 and abs(rho) < 1 - 1e-9:
        half = 1.959963984540054 * math.sqrt((1 + rho**2 / 2) / (n - 3))
        low, high = math.tanh(math.atanh(rho) - half), math.tanh(math.atanh(rho) + half)
    total = len(drawn) + extra
    return Outcome(rho, low, high, (above + extra) / total, (below + extra) / total, n)


@cache
def _orders(n: int) -> np.ndarray:
    """Orders of n things, one a row: all of them up to EXACT things, else random ones from a fixed seed."""
    if n <= EXACT:
        return np.array(list(permutations(range(n))))
    return np.random.default_rng(0).permuted(np.tile(np.arange(n), (DRAWS, 1)), axis=1)


def merged(found: Sequence[Outcome]) -> Outcome:
    """The tests of one recipe's seeds as one: the mean effect, and twice the mean of their p-values in each direction.

    Twice the mean is a p-value whatever the dependence (Vovk and Wang 2020): seeds of one recipe share their images. It is
    small
    only where nearly every seed agrees. One test stays as it is; of several, the interval spans the means of the ends and n is
    that of the fewest.
    """
    if len(found) == 1:
        return found[0]
    lows, highs = [t.low for t in found if t.low is not None], [t.high for t in found if t.high is not None]
    ends = len(lows) == len(highs) == len(found)
    return Outcome(
        float(np.mean([t.effect for t in found])),
        float(np.mean(lows)) if ends else None,
        float(np.mean(highs)) if ends else None,
        min(1.0, 2 * float(np.mean([t.above for t in found]))),
        min(1.0, 2 * float(np.mean([t.below for t in found]))),
        min(t.n for t in found),
    )
