"""Per-sample numbers as distributions in a record's form: mean with interval, standard deviation, quantiles, histogram.

Bins are fixed multiples of the standard deviation of E(x) around a centre, the same ones for every entrant and every attack.
Divided by that standard deviation, histograms of one kind lie on one axis, whatever the scale of an entrant's logits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.measures.intervals import mean
from leaderboards.records.schema import Distribution, Histogram

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

ENERGY_EDGES = tuple(k / 2 for k in range(-20, 21))
"""Of energies, around the mean natural energy: bins of half a standard deviation, ten to either side."""

_OUTWARDS = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0)
DELTA_EDGES = (*(-edge for edge in reversed(_OUTWARDS)), 0.0, *_OUTWARDS)
"""Of differences of energies, around 0: narrow where robust entrants have their peak. Symmetric: absolute values fold."""


@dataclass(frozen=True)
class Bins:
    """Edges as multiples of a unit around a centre."""

    multiples: tuple[float, ...]
    centre: float
    unit: float

    def histogram(self, values: np.ndarray) -> Histogram | None:
        """Counts of (N,) values; None where the unit or a value is not a usable number."""
        if not (np.isfinite(self.unit) and self.unit > 0 and np.isfinite(self.centre) and np.isfinite(values).all()):
            return None
        edges = self.centre + self.unit * np.asarray(self.multiples)
        if not (np.diff(edges) > 0).all():  # a unit too small for float64 beside the centre
            return None
        counts, _ = np.histogram(values, edges)
        return Histogram(
            edges=tuple(edges.tolist()),
            counts=tuple(counts.tolist()),
            below=int((values < edges[0]).sum()),
            above=int((values > edges[-1]).sum()),
            centre=self.centre,
            unit=self.unit,
        )


def distribution(values: np.ndarray, bins: Bins | None = None) -> Distribution:
    """(N,) values as a distribution. Where one of them is not finite there is no number, and the mean says why."""
    wide = np.asarray(values, dtype=np.float64)
    centre = mean(wide)
    if centre.value is None:
        return Distribution(mean=centre)
    return Distribution(
        mean=centre,
        sd=float(wide.std(ddof=1)) if len(wide) > 1 else None,
        quantiles={str(level): float(q) for level, q in zip(QUANTILES, np.quantile(wide, QUANTILES), strict=True)},
        histogram=bins.histogram(wide) if bins else None,
    )
