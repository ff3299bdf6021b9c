"""Accuracy and robust accuracy by the energy of the natural image, from a record's per-sample arrays.

Examples of high energy are those that the classifier finds unlikely. Fifths of one entrant's examples: each has its own
energies, so the ranges of two entrants are not comparable, the order of the fifths is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from leaderboards.board.labels import STAGES
from leaderboards.records.arrays import measured_arrays
from leaderboards.records.schema import Record, RecordError, Value

PARTS = 5
LEVEL = 0.95


@dataclass(frozen=True)
class Part:
    """The examples whose E(x) lies in [low, high]: their accuracy, and what an attack leaves correct of them."""

    low: float
    high: float
    accuracy: Value
    robust: Value


@dataclass(frozen=True)
class ByEnergy:
    """Parts from the lowest energies to the highest. `attack` names what the robust accuracies are under."""

    attack: str
    parts: tuple[Part, ...]


def by_energy(record: Record, folder: Path) -> ByEnergy | None:
    """A record's examples in fifths of E(x); None where the arrays that this needs are not there or not sound.

    Robust accuracy is AutoAttack's where the same examples were attacked by it, else PGD's.
    """
    energies = read_measured(record, "energies", folder)
    if not {"marginal_energy", "pgd.correct"} <= set(energies):
        return None
    energy = energies["marginal_energy"].astype(np.float64)
    n = len(energy)
    correct = energies.get("natural_correct", read_measured(record, "standard", folder).get("correct"))
    stage = read_measured(record, "autoattack", folder).get("stage")
    # of a bounded result no flag is known for the examples that were not attacked to the end
    whole = "autoattack" in record.measurements and not record.measurements["autoattack"].bounded
    by_autoattack = stage is not None and len(stage) == n and whole
    robust = stage == len(STAGES) if stage is not None and by_autoattack else energies["pgd.correct"]
    if n < PARTS or correct is None or len(correct) != n or not np.isfinite(energy).all():
        return None
    # equal parts by rank; among equal energies the order of the examples decides
    parts = [
        Part(float(energy[of].min()), float(energy[of].max()), _share(correct[of]), _share(robust[of]))
        for of in np.array_split(np.argsort(energy, kind="stable"), PARTS)
    ]
    return ByEnergy("AutoAttack" if by_autoattack else "PGD", tuple(parts))


def read_measured(record: Record, measure: str, folder: Path) -> Mapping[str, np.ndarray]:
    """The per-sample arrays of one measure; empty where there are none or they are not sound."""
    measurement = record.measurements.get(measure)
    if measurement is None:
        return {}
    try:
        return measured_arrays(folder, measurement)
    except RecordError:
        return {}  # the page tells of it elsewhere


def _share(flags: np.ndarray) -> Value:
    """The share of true flags with Wilson's score interval."""
    from statsmodels.stats.proportion import proportion_confint  # a second to import: only pages with arrays need it

    n, count = len(flags), int(np.count_nonzero(flags))
    low, high = proportion_confint(count, n, alpha=1 - LEVEL, method="wilson")
    # at the ends of [0,1] the formula is exact but its rounding is not
    return Value(
        value=count / n,
        low=float(low) if count else 0.0,
        high=float(high) if count < n else 1.0,
        level=LEVEL,
        method="wilson",
        n=n,
    )
