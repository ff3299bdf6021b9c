"""Values with their intervals. The statistics are statsmodels' and scipy's; here they only take a record's form."""

from __future__ import annotations

import math

import numpy as np

from leaderboards.records.schema import Value

LEVEL = 0.95
"""Coverage of every interval that the harness reports."""


def proportion(flags: np.ndarray) -> Value:
    """The share of true flags (N,), with Wilson's score interval. It covers sampling of examples, not of attack seeds."""
    n = len(flags)
    if n == 0:
        return Value(value=None, n=0, reason="no examples")
    from statsmodels.stats.proportion import proportion_confint  # a second to import: only who summarises needs it

    count = int(np.count_nonzero(flags))
    low, high = proportion_confint(count, n, alpha=1 - LEVEL, method="wilson")
    return Value(value=count / n, low=float(low), high=float(high), level=LEVEL, method="wilson", n=n)


def mean(values: np.ndarray) -> Value:
    """The mean of (N,) values with Student's t interval."""
    n = len(values)
    if n == 0:
        return Value(value=None, n=0, reason="no examples")
    wide = np.asarray(values, dtype=np.float64)
    if not np.isfinite(wide).all():
        return Value(value=None, n=n, reason=f"{np.count_nonzero(~np.isfinite(wide))} of {n} values are not finite")
    centre = float(wide.mean())
    if n == 1:
        return Value(value=centre, n=1)
    from scipy import stats

    half = float(stats.t.ppf((1 + LEVEL) / 2, n - 1)) * float(wide.std(ddof=1)) / math.sqrt(n)
    return Value(value=centre, low=centre - half, high=centre + half, level=LEVEL, method="t", n=n)


def standard_deviation(values: np.ndarray) -> Value:
    """The sample standard deviation (n - 1) of (N,) values, without an interval: energies are far from normal."""
    n = len(values)
    wide = np.asarray(values, dtype=np.float64)
    if n < 2:
        return Value(value=None, n=n, reason="fewer than two examples")
    if not np.isfinite(wide).all():
        return Value(value=None, n=n, reason=f"{np.count_nonzero(~np.isfinite(wide))} of {n} values are not finite")
    return Value(value=float(wide.std(ddof=1)), n=n)
