"""Charts of one record: E(x) natural and under each attack, how attacks move both energies, the course of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import altair as alt
import numpy as np

from leaderboards.board.labels import SHORT
from leaderboards.charts.training_charts import training_charts
from leaderboards.charts.vega import COLOURS, LINE, QUIET, Chart, apart, number, specification, with_domains
from leaderboards.records.dynamics import Dynamics
from leaderboards.records.schema import Distribution, Measurement, Record, is_number

ROW = 30
ARROWS = 360


def entrant_charts(record: Record, dynamics: Dynamics | None) -> tuple[Chart, ...]:
    """Every chart that a record has numbers for. `dynamics` is the course of its training, where that is known."""
    energies = record.measurements.get("energies")
    found: list[Chart | None] = [_histograms(energies), _arrows(energies)] if energies else []
    if dynamics is not None:
        found += training_charts(dynamics)
    return tuple(chart for chart in found if chart is not None)


def _histograms(energies: Measurement) -> Chart | None:
    """Histograms of E(x), natural and under each attack, in the record's own bins."""
    natural = energies.distributions.get("marginal_energy")
    series = [("Unchanged images", "natural", natural)] + [
        (label, "attacked", energies.distributions.get(f"{attack}.marginal_energy_adv"))
        for attack, label in SHORT.items()
    ]
    shown = [(label, kind, found) for label, kind, found in series if found is not None and found.histogram is not None]
    if natural is None or natural.histogram is None or len(shown) < 2:
        return None
    rows: list[dict[str, Any]] = []
    span = _span([found for _, _, found in shown])
    for row, (label, kind, found) in enumerate(shown):
        histogram = found.histogram
        assert histogram is not None
        edges = histogram.edges
        most = max(histogram.counts) or 1
        for left, right, count in zip(edges[:-1], edges[1:], histogram.counts, strict=True):
            if span[0] <= (left + right) / 2 <= span[1]:
                rows.append(
                    {
                        "name": label,
                        "kind": kind,
                        "row": row,
                        "x": number(left),
                        "x2": number(right),
                        "d": number(count / most),
                        "count": count,
                    }
                )
        if is_number(found.mean.value):
            rows.append({"name": label, "kind": kind, "row": row, "m": number(found.mean.value)})
    return Chart(
        "energies-chart",
        "E(x) of unchanged images and under each attack",
        "Each row is the distribution of the marginal energy over the same examples. Every row has the same height, and a"
        " tick marks its mean. Further left the classifier finds the images more likely.",
        {**with_domains(_histogram_template(), x=span), "height": ROW * len(shown) + 40},
        rows,
    )


def _span(shown: Sequence[Distribution]) -> tuple[float, float]:
    """From the first bin that any histogram has an example in to the last, and one bin more on each side."""
    ends: list[float] = []
    for found in shown:
        if found.histogram is not None and any(found.histogram.counts):
            filled = np.flatnonzero(found.histogram.counts)
            edges = found.histogram.edges
            width = edges[1] - edges[0]
            ends += [edges[filled[0]] - width, edges[filled[-1] + 1] + width]
    return (min(ends), max(ends)) if ends else (0.0, 1.0)


@cache
def _histogram_template() -> Mapping[str, Any]:
    base = alt.Chart(alt.NamedData(name="rows"))
    scale = alt.Scale(reverse=True, nice=False, zero=False)
    x_scale = alt.Scale(nice=False)
    x = alt.X("x:Q", title="E(x)", scale=x_scale, axis=alt.Axis(tickCount=7))
    y = alt.Y("row:Q", scale=scale, axis=None)
    kind = alt.Color(
        "kind:N", scale=alt.Scale(domain=["natural", "attacked"], range=[COLOURS[1], COLOURS[0]]), legend=None
    )
    bars = (
        base.transform_filter("isValid(datum.d)")
        .transform_calculate(top="datum.row - 0.9 * datum.d")
        .mark_rect(opacity=0.55, strokeWidth=0)
        .encode(
            x=x,
            x2="x2:Q",
            y=alt.Y("top:Q", scale=scale, axis=None),
            y2="row:Q",
            color=kind,
            tooltip=[
                alt.Tooltip("name:N", title="under"),
                alt.Tooltip("x:Q", title="E(x) from", format=".3~f"),
                alt.Tooltip("x2:Q", title="to", format=".3~f"),
                alt.Tooltip("count:Q", title="examples"),
            ],
        )
    )
    means = base.transform_filter("isValid(datum.m)")
    tick = means.mark_rule(strokeWidth=2).encode(
        x=alt.X("m:Q", title="E(x)", scale=x_scale), y=y, y2=alt.Y2("up:Q"), color=kind,
        tooltip=[alt.Tooltip("name:N", title="under"), alt.Tooltip("m:Q", title="mean E(x)", format=".4~g")],
    ).transform_calculate(up="datum.row - 0.9")  # fmt: skip
    floor = means.mark_rule(color=LINE).encode(y=y)
    name = means.mark_text(align="left", baseline="bottom", dy=-3, fontSize=11).encode(
        x=alt.value(0), y=y, text="name:N"
    )
    return specification(alt.layer(floor, bars, tick, name))


def _arrows(energies: Measurement) -> Chart | None:
    """Where each attack takes the mean example in the plane of E(x) and E(x,y)."""

    def mean(name: str) -> float | None:
        value = energies.values.get(f"{name}.mean")
        return value.value if value is not None and is_number(value.value) else None

    start = mean("marginal_energy"), mean("joint_energy")
    ends = [
        (label, mean(f"{attack}.marginal_energy_adv"), mean(f"{attack}.joint_energy_adv"))
        for attack, label in SHORT.items()
    ]
    heads = [(label, x, y) for label, x, y in ends if x is not None and y is not None]
    if start[0] is None or start[1] is None or not heads:
        return None
    xs, ys = [start[0], *(x for _, x, _ in heads)], [start[1], *(y for _, _, y in heads)]
    wide, high = (max(xs) - min(xs)) or 1.0, (max(ys) - min(ys)) or 1.0
    # the names stand in a column of their own, so that arrows which end side by side can be told apart
    x_domain = (min(xs) - 0.08 * wide, max(xs) + 1.0 * wide)
    y_domain = (min(ys) - 0.12 * high, max(ys) + 0.12 * high)
    places = apart([y for _, _, y in heads], (y_domain[1] - y_domain[0]) * 17 / ARROWS, y_domain[0], y_domain[1])
    rows = [
        {
            "name": label,
            "x": number(x),
            "y": number(y),
            "x0": number(start[0]),
            "y0": number(start[1]),
            "lx": number(max(xs) + 0.3 * wide),
            "ly": number(place),
        }
        for (label, x, y), place in zip(heads, places, strict=True)
    ]
    return Chart(
        "arrows",
        "Where each attack takes the energies",
        "The ring is the mean (E(x), E(x,y)) of unchanged images. Each arrow leads from it to the mean under one attack."
        " Higher means that the label fits less. Further left means that the classifier finds the image more likely.",
        with_domains(_arrow_template(), x=x_domain, y=y_domain),
        rows,
    )


@cache
def _arrow_template() -> Mapping[str, Any]:
    base = alt.Chart(alt.NamedData(name="rows"))
    xs, ys = alt.Scale(nice=False), alt.Scale(nice=False)

    def x(field: str) -> alt.X:
        return alt.X(f"{field}:Q", title="mean E(x)", scale=xs, axis=alt.Axis(tickCount=6))

    def y(field: str) -> alt.Y:
        return alt.Y(f"{field}:Q", title="mean E(x,y)", scale=ys, axis=alt.Axis(tickCount=6))

    tooltip = [
        alt.Tooltip("name:N", title="under"),
        alt.Tooltip("x:Q", title="E(x)", format=".4~g"),
        alt.Tooltip("y:Q", title="E(x,y)", format=".4~g"),
    ]
    leader = base.mark_rule(color=QUIET, strokeDash=[1, 3], opacity=0.7).encode(
        x=x("x"), y=y("y"), x2="lx:Q", y2="ly:Q"
    )
    shaft = base.mark_rule(strokeWidth=1.8, color=COLOURS[0], opacity=0.8).encode(
        x=x("x0"), y=y("y0"), x2="x:Q", y2="y:Q"
    )
    head = base.mark_point(filled=True, size=60, color=COLOURS[0], opacity=1).encode(
        x=x("x"), y=y("y"), tooltip=tooltip
    )
    name = base.mark_text(align="left", dx=4, fontSize=11).encode(x=x("lx"), y=y("ly"), text="name:N")
    ring = base.mark_point(size=90, strokeWidth=2, color=COLOURS[1], opacity=1).encode(
        x=alt.X("x0:Q", aggregate="mean", title="mean E(x)"), y=alt.Y("y0:Q", aggregate="mean", title="mean E(x,y)")
    )
    return specification(alt.layer(leader, shaft, head, name, ring).properties(height=ARROWS))
