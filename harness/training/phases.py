"""Phases of training: change points of a series of dE(train) by a continuous piecewise-linear fit.

Mirza et al. 2024 see three phases in dE on the training set: it falls, stays flat, and falls away where robust overfitting
sets in. The fit starts with a line and adds one change point at a time, for as long as the gain in fit is larger than what
noise around the fit so far gives: a bootstrap of the sup-F statistic with independent normal noise, whose size follows the
residuals around each epoch, for early epochs are noisier than late ones. With noise five times as large in the first tenth to
third of the epochs, simulated false alarms at alpha 0.01 are 0.2 to 2 % for 60 and 100 epochs, 1 to 4 % for 30 (noise of one
size in all: 9 to 36 %). It errs towards too many change points where the noise of neighbouring epochs is correlated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.errors import BadInput

MARGIN = 3
"""Epochs that a phase has at least: a line through fewer says nothing."""


@dataclass(frozen=True)
class Phase:
    """Epochs `first` to `last`, on which the fitted series has the slope `slope` per epoch."""

    first: int
    last: int
    slope: float


@dataclass(frozen=True)
class Phases:
    """The phases of a series, in order, and the epoch at which robust overfitting sets in (None: it does not)."""

    phases: tuple[Phase, ...]
    overfitting: int | None

    @property
    def change_points(self) -> tuple[int, ...]:
        """The epochs at which one phase gives way to the next; empty for a series without any."""
        return tuple(phase.first for phase in self.phases[1:])


def _basis(n: int, knots: Sequence[int]) -> np.ndarray:
    """Columns of a continuous piecewise-linear function: 1, t, and (t - knot)+ of each knot; (n, 2 + knots)."""
    t = np.arange(n, dtype=np.float64)
    return np.column_stack([np.ones(n), t, *(np.maximum(t - knot, 0) for knot in knots)])


def _candidates(n: int, knots: Sequence[int]) -> np.ndarray:
    """Where one more knot may stand: at least MARGIN epochs from the ends and from the knots there are."""
    places = np.arange(MARGIN, n - MARGIN)
    apart = [np.abs(places - knot) >= MARGIN for knot in knots]
    return places[np.logical_and.reduce(apart)] if apart else places


def _gains(series: np.ndarray, knots: Sequence[int], candidates: np.ndarray) -> np.ndarray:
    """How much of the residual sum of squares each candidate knot takes away: (..., n) series to (..., candidates)."""
    n = series.shape[-1]
    orthogonal, _ = np.linalg.qr(_basis(n, knots))
    hinges = np.maximum(np.arange(n)[:, None] - candidates[None], 0).astype(np.float64)
    hinges -= orthogonal @ (orthogonal.T @ hinges)
    hinges /= np.linalg.norm(hinges, axis=0)
    return ((series - (series @ orthogonal) @ orthogonal.T) @ hinges) ** 2


def _residual(series: np.ndarray, knots: Sequence[int]) -> np.ndarray:
    """Residual sums of squares of the fit: (..., n) to (...)."""
    orthogonal, _ = np.linalg.qr(_basis(series.shape[-1], knots))
    return ((series - (series @ orthogonal) @ orthogonal.T) ** 2).sum(-1)


def _noise(series: np.ndarray, knots: Sequence[int]) -> np.ndarray:
    """The size of the noise at each epoch: the root mean square of the residuals in a window around it, (n,) to (n,)."""
    n = len(series)
    orthogonal, _ = np.linalg.qr(_basis(n, knots))
    window = np.ones(max(5, n // 6))
    squares = np.convolve((series - orthogonal @ (orthogonal.T @ series)) ** 2, window, "same")
    return np.sqrt(squares / np.convolve(np.ones(n), window, "same"))


def _settled(series: np.ndarray, knots: list[int]) -> list[int]:
    """Each knot moved to its best place given the others, until none moves."""
    for _ in range(20):
        before = list(knots)
        for index in range(len(knots)):
            others = knots[:index] + knots[index + 1 :]
            places = _candidates(len(series), others)
            knots = sorted([*others, int(places[_gains(series, others, places).argmax()])])
        if knots == before:
            break
    return knots


def find_phases(
    series: Sequence[float],
    *,
    first_epoch: int = 1,
    alpha: float = 0.01,
    most: int = 4,
    draws: int = 499,
    seed: int = 0,
) -> Phases:
    """The phases of a series with one value an epoch (n >= 10), of which at most `most` + 1 are looked for.

    `alpha` is the chance of one more change point than there is. Overfitting sets in with the last change point after
    which the series falls (by more than three standard errors of its slope), and falls faster than before. Raises BadInput
    for a series that is short or not finite.
    """
    values = np.asarray(series, dtype=np.float64)
    n = len(values)
    if values.ndim != 1 or n < 10 or not np.isfinite(values).all():
        raise BadInput(f"expected a series of at least 10 finite values, got {n} values; train for more epochs")
    generator = np.random.default_rng(seed)
    knots: list[int] = []
    while len(knots) < most:
        places = _candidates(n, knots)
        residual = float(_residual(values, knots))
        if len(places) == 0 or residual <= n * (1e-12 * float(np.abs(values).max())) ** 2:
            break  # nothing is left but rounding
        gains = _gains(values, knots, places)
        statistic = gains.max() / (residual - gains.max() + 1e-300)
        noise = generator.standard_normal((draws, n)) * _noise(values, knots)
        drawn = _gains(noise, knots, places).max(1)
        null = drawn / (_residual(noise, knots) - drawn + 1e-300)
        if (1 + np.count_nonzero(null >= statistic)) / (1 + draws) > alpha:
            break
        knots = _settled(values, sorted([*knots, int(places[gains.argmax()])]))
    basis = _basis(n, knots)
    coefficients, *_ = np.linalg.lstsq(basis, values, rcond=None)
    slopes = np.cumsum(coefficients[1:])
    # a phase's slope is a sum of coefficients: its standard error comes from their covariance
    sums = np.tri(len(slopes))
    covariance = np.linalg.inv(basis.T @ basis)[1:, 1:] * float(_residual(values, knots)) / max(n - basis.shape[1], 1)
    errors = np.sqrt(np.diag(sums @ covariance @ sums.T))
    edges = [0, *knots, n]
    phases = tuple(
        Phase(first_epoch + edges[i], first_epoch + edges[i + 1] - 1, float(slope)) for i, slope in enumerate(slopes)
    )
    falls = [i for i in range(1, len(phases)) if phases[i].slope < min(-3 * errors[i], phases[i - 1].slope)]
    return Phases(phases, phases[falls[-1]].first if falls else None)
