"""The distribution of dE(x) = E(x) - E(x_adv) under PGD, entrant by entrant, on bins that all of them share.

Over the standard deviation of E(x), both at the calibrated scale of the logits where the per-sample arrays are there, sound and
have them: only so do entrants of other logit scales compare. Else at the entrant's own scale, from the arrays or from the
record's histogram, whose bins are coarser. PGD's budget is short: |dE| errs low.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import altair as alt
import numpy as np

from leaderboards.board.by_energy import read_measured
from leaderboards.board.entry import Entry
from leaderboards.charts.vega import COLOURS, LINE, QUIET, Chart, number, plain, specification
from leaderboards.records.home import Home
from leaderboards.records.schema import Record

BINS = 72
ENERGIES = ("marginal_energy", "pgd.marginal_energy_adv")
REACH = 0.995
"""The share of each entrant's examples that lies inside the bins, at the least."""


@dataclass(frozen=True)
class Ridges:
    """Heights in [0,1] by the entrant's name, at the middles of common bins; `of` entrants had any."""

    middles: tuple[float, ...]
    heights: dict[str, tuple[float, ...]]
    of: int


def ridges(entries: Sequence[Entry], most: int) -> Ridges | None:
    """The ridges of the first `most` entries that have one; None where none has."""
    spread: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    count = 0
    for entry in entries:
        energies = entry.record.measurements.get("energies") if entry.record else None
        if energies is None or ("pgd.delta_marginal_energy" not in energies.distributions and energies.arrays is None):
            continue
        count += 1
        if len(spread) < most and entry.record is not None:
            found = _samples(entry.record, entry.home)
            if found is not None:
                spread[entry.name] = found
    if not spread:
        return None
    ends = [
        float(end)
        for values, weights in spread.values()
        for end in np.quantile(values, (1 - REACH, REACH), weights=weights, method="inverted_cdf")
    ]
    edges = np.linspace(min(*ends, -0.1), max(*ends, 0.1), BINS + 1)
    middles = (edges[1:] + edges[:-1]) / 2
    heights = {}
    for name, (values, weights) in spread.items():
        counts = np.histogram(values, edges, weights=weights)[0]
        # a little smoothing: 200 examples in 72 bins are mostly noise
        counts = np.convolve(counts, (0.06, 0.24, 0.4, 0.24, 0.06), mode="same")
        heights[name] = tuple((counts / (counts.max() or 1)).round(4).tolist())
    return Ridges(tuple(middles.tolist()), heights, count)


def _samples(record: Record, home: Home | None) -> tuple[np.ndarray, np.ndarray] | None:
    """dE(x) over the standard deviation of E(x), and how many examples each value stands for."""
    kept = read_measured(record, "energies", home.arrays) if home is not None else {}
    names = [f"{name}_calibrated" for name in ENERGIES]
    names = names if set(names) <= set(kept) else list(ENERGIES)
    if set(names) <= set(kept):
        natural, attacked = (kept[name].astype(np.float64) for name in names)
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


def ridge_chart(found: Ridges | None) -> Chart | None:
    """How far the energy moves under PGD: one distribution an entrant, above each other."""
    if found is None:
        return None
    rows = [
        {
            "name": plain(name),
            "row": row,
            "x": number(x),
            "d": number(d),
            **({"first": True} if x == found.middles[0] else {}),
        }
        for row, (name, heights) in enumerate(found.heights.items())
        for x, d in zip(found.middles, heights, strict=True)
    ]
    more = f" The first {len(found.heights)} of {found.of} entrants." if found.of > len(found.heights) else ""
    spec = {**ridge_template(found.middles[0], found.middles[-1]), "height": 30 * len(found.heights) + 50}
    return Chart(
        "ridges",
        "How far the energy moves under attack",
        "The distribution of E(x) − E(x_adv) under PGD, divided by the standard deviation of E(x), over the examples. A narrow"
        " peak at 0 means a smooth energy. Left of 0 the attacked image has the higher energy. Every ridge has the same"
        f" height.{more}",
        spec,
        rows,
    )


@cache
def ridge_template(low: float, high: float) -> Mapping[str, Any]:
    """Ridges of fields name, row, x, d (height in [0,1]) of its rows."""
    x = alt.X(
        "x:Q", title="ΔE(x) / sd of E(x)", scale=alt.Scale(domain=[low, high], nice=False), axis=alt.Axis(tickCount=7)
    )
    scale = alt.Scale(reverse=True, nice=False, zero=False)
    base = alt.Chart(alt.NamedData(name="rows")).transform_calculate(top="datum.row - 1.35 * datum.d")
    y = alt.Y("row:Q", scale=scale, axis=None)
    zero = alt.Chart(alt.InlineData(values=[{"x": 0}])).mark_rule(strokeDash=[3, 3], color=QUIET).encode(x="x:Q")
    ridge = base.mark_area(fillOpacity=0.35, fill=COLOURS[0], line={"color": COLOURS[0], "strokeWidth": 1.6}).encode(
        x=x,
        y=alt.Y("top:Q", scale=scale, axis=None),
        y2="row:Q",
        detail="name:N",
        tooltip=alt.Tooltip("name:N", title="entrant"),
    )
    floor = base.mark_rule(color=LINE).encode(y=y)
    name = (
        base.transform_filter("datum.first")
        .mark_text(align="left", baseline="bottom", dy=-3, dx=2)
        .encode(x=alt.value(0), y=y, text="name:N")
    )
    return specification(alt.layer(floor, zero, ridge, name))
