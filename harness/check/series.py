"""Energies by example, as series: what a baseline and its candidate are compared by, pair by pair."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from harness.attacks.named import MAIN, prefix

PAIRED = ("marginal_energy", "joint_energy")
"""Energies that a baseline holds by example, at natural points; as `pgd.<energy>_adv`, at those that PGD found."""

PGD = prefix(MAIN)

SERIES = (
    *PAIRED,
    *(f"{PGD}{energy}_adv" for energy in PAIRED),
    *(f"{PGD}delta_{energy}" for energy in PAIRED),
)
"""All that can be compared by example: energies at natural and at adversarial points, and delta energies."""


def series_of(value: str) -> str | None:
    """The series whose mean a value is: 'pgd.delta_joint_energy' of 'energies.pgd.delta_joint_energy.mean'; else None."""
    measure, _, key = value.partition(".")
    name, _, what = key.rpartition(".")
    return name if measure == "energies" and what == "mean" and name in SERIES else None


def arrays_of(name: str) -> tuple[str, ...]:
    """The per-sample arrays that a series is made of."""
    energy = name.removeprefix(f"{PGD}delta_")
    return (name,) if energy == name else (energy, f"{PGD}{energy}_adv")


def series(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """(n,) float64 of a series in SERIES, in the units of the logits; a delta energy is natural minus adversarial."""
    found = [arrays[one].astype(np.float64) for one in arrays_of(name)]
    return found[0] - found[1] if len(found) == 2 else found[0]
