"""The course of an entrant's training: what its trainer logged after each epoch, and the phases found in it.

The rows lie beside the per-sample arrays, in a file named by the sha256 of its bytes that the record names; the phases stand in
the card's `training`. Both come from the trainer and are taken as they are: nothing here was measured by the harness.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from leaderboards.records.arrays import read_arrays
from leaderboards.records.schema import EntrantInfo, RecordError

EPOCH = "epoch"


@dataclass(frozen=True)
class Phase:
    """Epochs `first` to `last`, both included."""

    first: int
    last: int


@dataclass(frozen=True)
class Dynamics:
    """Series by name, one number an epoch; `epoch` is one of them, the others are like 'train.delta_marginal_energy'."""

    series: Mapping[str, tuple[float, ...]]
    phases: tuple[Phase, ...] = ()
    overfitting_epoch: int | None = None


def columns(rows: Iterable[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Rows of a training log as float64 arrays by name: nested numbers get dotted names, `number` becomes `epoch`.

    A number that a row does not have is NaN. Empty where no row counts its epoch.
    """
    flat = [dict(_numbers(row)) for row in rows]
    flat = [row for row in flat if "number" in row]
    if not flat:
        return {}
    names = sorted({name for row in flat for name in row})
    arrays = {name: np.array([row.get(name, math.nan) for row in flat], dtype=np.float64) for name in names}
    return {EPOCH: arrays.pop("number"), **arrays}


def _numbers(row: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, float]]:
    for name, value in row.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{prefix}{name}", float(value)


def dynamics_of(entrant: EntrantInfo, folder: Path) -> Dynamics | None:
    """The course of an entrant's training; None where the record names none or its file is not sound."""
    if entrant.dynamics is None:
        return None
    try:
        kept = read_arrays(folder, entrant.dynamics)
    except RecordError:
        return None  # the page tells of it elsewhere
    epochs = kept.get(EPOCH)
    if epochs is None or epochs.ndim != 1 or not np.isfinite(epochs).all():
        return None
    series = {name: tuple(array.tolist()) for name, array in kept.items() if array.shape == epochs.shape}
    told = entrant.training.get("dynamics")
    told = told if isinstance(told, dict) else {}
    overfitting = told.get("overfitting_epoch")
    phases = told.get("phases")
    return Dynamics(
        series,
        tuple(found for phase in (phases if isinstance(phases, list) else []) if (found := _phase(phase)) is not None),
        overfitting if type(overfitting) is int else None,
    )


def _phase(phase: Any) -> Phase | None:
    """A phase of the card; None for anything else, since a card may hold what it likes."""
    if not isinstance(phase, dict) or type(phase.get("first")) is not int or type(phase.get("last")) is not int:
        return None
    return Phase(phase["first"], phase["last"])
