"""The distribution of dE(x) = E(x) - E(x_adv) under PGD, entrant by entrant, on bins that all of them share.

Over the standard deviation of E(x), so that entrants of other logit scales compare. From the per-sample arrays where they are
there and sound; else from the record's histogram, whose bins are coarser. PGD's budget is short: |dE| errs low.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from leaderboards.board.by_energy import read_measured
from leaderboards.board.entry import Entry
from leaderboards.records.schema import Record

BINS = 72
REACH = 0.995
"""The share of each entrant's examples that lies inside the bins, at the least."""


@dataclass(frozen=True)
class Ridges:
    """Heights in [0,1] by the entrant's name, at the middles of common bins; `of` entrants had any."""

    middles: tuple[float, ...]
    heights: dict[str, tuple[float, ...]]
    of: int


def ridges(entries: Sequence[Entry], arrays: Path | None, most: int) -> Ridges | None:
    """The ridges of the first `most` entries that have one; None where none has."""
    spread: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    count = 0
    for entry in entries:
        energies = entry.record.measurements.get("energies") if entry.record else None
        if energies is None or ("pgd.delta_marginal_energy" not in energies.distributions and energies.arrays is None):
            continue
        count += 1
        if len(spread) < most and entry.record is not None:
            found = _samples(entry.record, arrays)
            if found is not None:
                spread[entry.name] = found
    if not spread:
        return None
    ends = [_quantile(values, weights, q) for values, weights in spread.values() for q in (1 - REACH, REACH)]
    edges = np.linspace(min(*ends, -0.1), max(*ends, 0.1), BINS + 1)
    middles = (edges[1:] + edges[:-1]) / 2
    heights = {}
    for name, (values, weights) in spread.items():
        counts = np.histogram(values, edges, weights=weights)[0]
        # a little smoothing: 200 examples in 72 bins are mostly noise
        counts = np.convolve(counts, (0.06, 0.24, 0.4, 0.24, 0.06), mode="same")
        heights[name] = tuple((counts / (counts.max() or 1)).round(4).tolist())
    return Ridges(tuple(middles.tolist()), heights, count)


def _samples(record: Record, arrays: Path | None) -> tuple[np.ndarray, np.ndarray] | None:
    """dE(x) over the standard deviation of E(x), and how many examples each value stands for."""
    kept = read_measured(record, "energies", arrays) if arrays is not None else {}
    if {"marginal_energy", "pgd.marginal_energy_adv"} <= set(kept):
        natural, attacked = (kept[name].astype(np.float64) for name in ("marginal_energy", "pgd.marginal_energy_adv"))
        sd = natural.std(ddof=1) if len(natural) > 1 else 0.0
        if sd > 0 and len(natural) == len(attacked) and np.isfinite(natural).all() and np.isfinite(attacked).all():
            return (natural - attacked) / sd, np.ones(len(natural))
    spread = record.measurements["energies"].distributions.get("pgd.delta_marginal_energy")
    if spread is None or spread.histogram is None:
        return None
    edges = np.array(spread.histogram.edges) / spread.histogram.unit
    counts = np.array(spread.histogram.counts, dtype=np.float64)
    if not counts.any():
        return None
    # ten points a bin stand for its examples
    points = (edges[:-1, None] + np.diff(edges)[:, None] * (np.arange(10) + 0.5) / 10).ravel()
    return points, np.repeat(counts / 10, 10)


def _quantile(values: np.ndarray, weights: np.ndarray, level: float) -> float:
    order = np.argsort(values, kind="stable")
    place = np.searchsorted(np.cumsum(weights[order]), level * weights.sum())
    return float(values[order][min(int(place), len(values) - 1)])
