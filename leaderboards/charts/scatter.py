"""Robust accuracy against one other figure, an entrant a mark: against standard accuracy, smoothness, and FID.

An accuracy under attack is an upper bound, so every robust accuracy errs high; intervals tell of chance alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import altair as alt

from leaderboards.board.entry import Basis, Entry
from leaderboards.charts.vega import (
    COLOURS,
    HEIGHT,
    MOST_NAMED,
    QUIET,
    RAISED,
    Chart,
    apart,
    number,
    plain,
    specification,
)
from leaderboards.records.schema import Value, is_number


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
        "delta_marginal_energy_normalised.mean",
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


def against_standard(entries: Sequence[Entry]) -> Chart | None:
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


def against(entries: Sequence[Entry], axis: Axis) -> Chart | None:
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
    base = alt.Chart(alt.NamedData(name="rows"))
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
