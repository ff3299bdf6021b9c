"""Charts over the entrants of one board: robust against standard accuracy and smoothness, dE(x), AutoAttack's stages.

An accuracy under attack is an upper bound, so every robust accuracy in them errs high; intervals tell of chance alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import altair as alt

from leaderboards.board.columns import STAGE_COLUMNS
from leaderboards.board.entry import Basis, Entry
from leaderboards.charts.ridges import Ridges, ridges
from leaderboards.charts.vega import (
    COLOURS,
    INK,
    LINE,
    QUIET,
    RAISED,
    Chart,
    apart,
    drawn,
    number,
    plain,
    specification,
)
from leaderboards.records.schema import Value, is_number

MOST_NAMED = 12
"""Entrants that a chart names beside their marks; of more, tooltips tell the names."""

MOST_RIDGES = 24
MOST_LINES = 30
MOST_POINTS = 150
HEIGHT = 340


@dataclass(frozen=True)
class Axis:
    """A measured figure that robust accuracy is set against, where two entrants have it; `reading` says how to read it."""

    key: str
    words: str
    title: str
    reading: str
    measure: str
    value: str


AXES = (
    Axis(
        "energy",
        "the change of energy under attack",
        "Mean |ΔE(x)| / sd of E(x)",
        "Left is smoother. PGD's budget is short, so |ΔE(x)| errs low.",
        "energies",
        "pgd.delta_marginal_energy_normalised.mean",
    ),
    Axis(
        "lipschitz",
        "the Lipschitz constant of the energy",
        "Local Lipschitz constant of E(x) / sd of E(x)",
        "Left is smoother. A maximum that is searched for errs low.",
        "smoothness",
        "lipschitz_energy_normalised.mean",
    ),
    Axis(
        "linearity",
        "the local linearity gap",
        "Local linearity gap of the cross-entropy / sd of E(x)",
        "Left is straighter. A maximum that is searched for errs low.",
        "smoothness",
        "linearity_gap_normalised.mean",
    ),
    Axis(
        "fid",
        "the quality of generated images",
        "FID of generated images",
        "Left is closer to the real images, by the extractor and number of images that the record names.",
        "generation",
        "fid",
    ),
)


def board_charts(entries: Sequence[Entry], arrays: Path | None) -> tuple[Chart, ...]:
    """Every chart that the entries of one board have numbers for; entries in their order on the board."""
    found = [_against_standard(entries)]
    found += [_against(entries, axis) for axis in AXES]
    found += [_stages(entries), ridge_chart(ridges(entries, arrays, MOST_RIDGES))]
    return tuple(chart for chart in found if chart is not None)


def pictured(chart: Chart) -> Chart:
    """The chart with its picture; one of hundreds of points stays without, its table holds them too."""
    return drawn(chart) if chart.key in ("ridges", "stages-chart") or len(chart.data) <= MOST_POINTS else chart


def _against_standard(entries: Sequence[Entry]) -> Chart | None:
    rows = [row for entry in entries if (row := _accuracies(entry)) is not None]
    if len(rows) < 2:
        return None
    return Chart(
        "against-standard",
        "Robust against standard accuracy",
        "Up is more robust, right is more accurate on unchanged images. Filled marks were measured here and carry their"
        " intervals; hollow ones are published by others.",
        _scatter("Standard accuracy, %", percent=True),
        _named(rows),
    )


def _accuracies(entry: Entry) -> dict[str, Any] | None:
    """A row of the scatter: both accuracies from one source, measured where there are both."""
    robust, standard = (
        entry.measured("autoattack", "autoattack_accuracy"),
        entry.measured("standard", "standard_accuracy"),
    )
    if _has(robust) and _has(standard):
        return {**_row(entry, "measured"), **_ends("y", robust, 100), **_ends("x", standard, 100)}
    row = entry.published
    if (
        row is None
        or entry.ranking is None
        or entry.ranking[1] is Basis.MEASURED
        or not is_number(row.standard_accuracy)
    ):
        return None
    x, y = number(100 * row.standard_accuracy), number(100 * entry.ranking[0])
    return {**_row(entry, "published"), "x": x, "y": y}


def _against(entries: Sequence[Entry], axis: Axis) -> Chart | None:
    """Robust accuracy against one measured figure."""
    rows = []
    for entry in entries:
        robust, figure = entry.measured("autoattack", "autoattack_accuracy"), entry.measured(axis.measure, axis.value)
        if _has(robust) and _has(figure):
            rows.append({**_row(entry, "measured"), **_ends("y", robust, 100), **_ends("x", figure, 1)})
    if len(rows) < 2:
        return None
    return Chart(
        f"against-{axis.key}",
        f"Robust accuracy against {axis.words}",
        f"Measured entrants, each number with its interval. {axis.reading}",
        _scatter(axis.title, percent=False),
        _named(rows),
    )


def _has(value: Value | None) -> bool:
    return value is not None and is_number(value.value)


def _row(entry: Entry, kind: str) -> dict[str, Any]:
    return {"name": plain(entry.name), "kind": kind, "paper": plain(entry.text("venue"))}


def _ends(axis: str, value: Value | None, factor: float) -> dict[str, float]:
    """A value and its interval as fields of a row, as far as they are there."""
    ends = {axis: value.value, f"{axis}l": value.low, f"{axis}h": value.high} if value else {}
    return {field: number(factor * end) for field, end in ends.items() if is_number(end)}


def _named(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with places for names, moved apart where few enough have names at all."""
    if len(rows) > MOST_NAMED:
        return rows
    low, high = min(row["y"] for row in rows), max(row["y"] for row in rows)
    gap = (high - low or 1) * 16 / HEIGHT
    places = apart([row["y"] for row in rows], gap, low - gap, high + gap)
    middle = (min(row["x"] for row in rows) + max(row["x"] for row in rows)) / 2
    # a name stands on the side where there is room for it
    return [
        {**row, "ly": number(y), "side": "left" if row["x"] > middle else "right"}
        for row, y in zip(rows, places, strict=True)
    ]


def _data() -> alt.NamedData:
    return alt.NamedData(name="rows")


@cache
def _scatter(title: str, percent: bool) -> Mapping[str, Any]:
    kind = alt.Color(
        "kind:N", scale=alt.Scale(domain=["measured", "published"], range=[COLOURS[0], QUIET]), legend=None
    )
    unit = ".2f" if percent else ".4~g"
    x_scale = alt.Scale(zero=False, nice=True, padding=14)
    x = alt.X("x:Q", title=title, scale=x_scale, axis=alt.Axis(tickCount=6, grid=True))
    y = alt.Y(
        "y:Q",
        title="Robust accuracy, %",
        scale=alt.Scale(zero=False, nice=False, padding=14),
        axis=alt.Axis(tickCount=6),
    )
    base = alt.Chart(_data())
    across = base.mark_rule(strokeWidth=2, opacity=0.35).encode(
        x=alt.X("xl:Q", title=title), x2="xh:Q", y=y, color=kind
    )
    along = base.mark_rule(strokeWidth=2, opacity=0.35).encode(
        x=x, y=alt.Y("yl:Q", title="Robust accuracy, %"), y2="yh:Q", color=kind
    )
    tooltip = [
        alt.Tooltip("name:N", title="entrant"),
        alt.Tooltip("kind:N", title="source"),
        alt.Tooltip("y:Q", title="robust, %", format=".2f"),
        alt.Tooltip("x:Q", title=title.removesuffix(", %").lower() if percent else title, format=unit),
    ]
    points = base.mark_point(size=62, strokeWidth=1.6, opacity=1).encode(
        x=x,
        y=y,
        color=kind,
        fill=alt.condition("datum.kind == 'measured'", alt.value(COLOURS[0]), alt.value(RAISED)),
        tooltip=tooltip,
    )
    label = base.transform_filter("isValid(datum.ly)")
    right = label.transform_filter("datum.side == 'right'").mark_text(align="left", dx=10)
    left = label.transform_filter("datum.side == 'left'").mark_text(align="right", dx=-10)
    words = [text.encode(x=x, y=alt.Y("ly:Q", title="Robust accuracy, %"), text="name:N") for text in (right, left)]
    return specification(alt.layer(across, along, *words, points).properties(height=HEIGHT))


def _stages(entries: Sequence[Entry]) -> Chart | None:
    """Accuracy of unchanged images and after each stage of AutoAttack, a line an entrant."""
    columns = [column for column in STAGE_COLUMNS if column.bar]
    lines: list[tuple[str, list[Value]]] = []
    for entry in entries:
        contents = [entry.measured("standard", "standard_accuracy"), *(column.get(entry) for column in columns)]
        values = [content for content in contents if isinstance(content, Value) and is_number(content.value)]
        if len(values) == len(contents):
            lines.append((plain(entry.name), values))
    if not lines:
        return None
    more = f" The first {MOST_LINES} of {len(lines)} entrants." if len(lines) > MOST_LINES else ""
    lines = lines[:MOST_LINES]
    names = ["natural", *(column.heading.removeprefix("After ") for column in columns)]
    every = [100 * value.value for _, values in lines for value in values if value.value is not None]
    low, high = max(0.0, min(every) - 4), min(100.0, max(every) + 4)
    last = [100 * (values[-1].value or 0) for _, values in lines]
    labels = apart(last, (high - low) * 15 / HEIGHT, low, high)
    rows = [
        {
            "name": name,
            "stage": stage,
            "y": number(100 * (value.value or 0)),
            **({"ly": number(labels[i])} if stage == names[-1] and len(lines) <= MOST_NAMED else {}),
        }
        for i, (name, values) in enumerate(lines)
        for stage, value in zip(names, values, strict=True)
    ]
    return Chart(
        "stages-chart",
        "What each stage of AutoAttack leaves",
        "The four attacks run one after the other, each on what is still classified correctly. A late fall says that the"
        f" first ones were misled.{more}",
        stage_template(tuple(names), low, high, len(lines) <= MOST_NAMED),
        rows,
    )


@cache
def stage_template(stages: tuple[str, ...], low: float, high: float, named: bool) -> Mapping[str, Any]:
    axis = alt.Axis(labelAngle=0, grid=True, labelOverlap=False, labelFontSize=11)
    # an empty place at the end is room for the names
    scale = alt.Scale(domain=[*stages, " "] if named else list(stages), paddingOuter=0.3)
    x = alt.X("stage:N", sort=list(stages), title=None, axis=axis, scale=scale)
    y = alt.Y("y:Q", title="Accuracy, %", scale=alt.Scale(domain=[low, high], nice=False), axis=alt.Axis(tickCount=6))
    base = alt.Chart(_data())
    hover = alt.selection_point(on="pointerover", fields=["name"], nearest=True, empty=False, name="hover")
    colour = alt.condition(hover, alt.value(INK), alt.value(COLOURS[0]))
    line = base.mark_line(strokeWidth=1.8, opacity=0.75).encode(
        x=x, y=y, detail="name:N", color=colour, strokeWidth=alt.condition(hover, alt.value(3), alt.value(1.6))
    )
    points = (
        base.mark_point(filled=True, size=34, opacity=1)
        .encode(
            x=x,
            y=y,
            color=colour,
            tooltip=[
                alt.Tooltip("name:N", title="entrant"),
                alt.Tooltip("stage:N", title="after"),
                alt.Tooltip("y:Q", title="accuracy, %", format=".2f"),
            ],
        )
        .add_params(hover)
    )
    layers = [line, points]
    if named:
        text = base.transform_filter("isValid(datum.ly)").mark_text(align="left", dx=9)
        layers.append(text.encode(x=x, y=alt.Y("ly:Q", title="Accuracy, %"), text="name:N"))
    return specification(alt.layer(*layers).properties(height=HEIGHT))


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
        "E(x) − E(x_adv) under PGD, over the standard deviation of E(x), for every example. A narrow peak at 0 is a smooth"
        f" energy; left of 0 the attacked image has the higher energy. Each ridge is scaled to its own height.{more}",
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
    base = alt.Chart(_data()).transform_calculate(top="datum.row - 1.35 * datum.d")
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
