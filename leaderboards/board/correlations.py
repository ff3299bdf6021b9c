"""Does smoothness go with robustness? Spearman's rank correlation over the entrants of one board, with its p-value.

Entrants of one board are few and chosen by hand, often related: a small p-value says that the order is unlikely by chance,
not why it is so. Nothing is corrected for the number of figures that are looked at.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from leaderboards.board.entry import Entry
from leaderboards.board.labels import CALIBRATED, SMOOTHNESS, label
from leaderboards.records.schema import is_number

FEWEST = 4
"""Entrants below which no correlation is given: of three, even a perfect order comes by chance one time in three."""

EXACT = 8
"""Up to so many entrants the p-value is exact, over all orders; beyond, by the t distribution."""

FIGURES: tuple[tuple[str, str], ...] = (
    ("energies", "pgd.delta_marginal_energy_normalised.mean"),
    ("energies", "pgd.delta_joint_energy_normalised.mean"),
    *(
        ("smoothness", f"{name}.mean" if name == "gradient_misalignment" else f"{name}_normalised.mean")
        for name in SMOOTHNESS
    ),
)
"""What is correlated, as measure and value. In place of each stands the figure at the calibrated scale of the logits where any
entrant has it: the others depend on the scale that an entrant gives its logits."""


@dataclass(frozen=True)
class Correlation:
    """One figure against AutoAttack accuracy over n entrants. `rho` and `p` are None where `reason` says why."""

    label: str
    n: int
    rho: float | None = None
    p: float | None = None
    method: str = ""
    reason: str = ""


def correlations(entries: Sequence[Entry]) -> tuple[Correlation, ...]:
    """Every figure that at least one entry has, over the entries of one board; a published number counts nowhere.

    An entry counts where both numbers were measured here, by the newest version of each measure and on as many examples
    as any.
    """
    measured = [entry for entry in entries if entry.record is not None]
    found = []
    for measure, before in FIGURES:
        level = _level(_level(measured, "autoattack"), measure)
        value = comparable(level, measure, before)
        pairs = [
            (figure.value, robust.value)
            for entry in level
            if (figure := entry.measured(measure, value)) is not None
            and is_number(figure.value)
            and (robust := entry.measured("autoattack", "autoattack_accuracy")) is not None
            and is_number(robust.value)
        ]
        if pairs:
            found.append(_correlation(label(value), *(np.array(side) for side in zip(*pairs, strict=True))))
    return tuple(found)


def comparable(entries: Sequence[Entry], measure: str, value: str) -> str:
    """The mean of a figure at the calibrated scale where an entry has it, else the value itself."""
    instead = f"{CALIBRATED.get(value.removesuffix('.mean'), value.removesuffix('.mean'))}.mean"
    return instead if any(entry.measured(measure, instead) is not None for entry in entries) else value


def _level(entries: Sequence[Entry], measure: str) -> list[Entry]:
    """The entries whose measurement is of the newest version that any of them has, on the most examples."""
    ranks = {
        id(entry): (measurement.version, measurement.n)
        for entry in entries
        if entry.record is not None and (measurement := entry.record.measurements.get(measure)) is not None
    }
    newest = max(ranks.values(), default=None)
    return [entry for entry in entries if id(entry) in ranks and ranks[id(entry)] == newest]


def _correlation(name: str, figure: np.ndarray, robust: np.ndarray) -> Correlation:
    n = len(figure)
    if n < FEWEST:
        return Correlation(name, n, reason=f"not given for fewer than {FEWEST} entrants")
    if len(set(figure)) == 1 or len(set(robust)) == 1:
        return Correlation(name, n, reason="all entrants are level")
    from scipy import stats  # half a second to import: only a board with figures needs it

    found = stats.spearmanr(figure, robust)
    if n > EXACT:
        return Correlation(name, n, float(found.statistic), float(found.pvalue), "t distribution")
    left, right = (stats.rankdata(side) - (n + 1) / 2 for side in (figure, robust))
    exact = stats.permutation_test(
        (left,),
        lambda shuffled, axis: np.sum(shuffled * right, axis=axis),
        permutation_type="pairings",
        n_resamples=math.factorial(EXACT),
        vectorized=True,
    )
    return Correlation(name, n, float(found.statistic), float(exact.pvalue), "exact, over all orders")
