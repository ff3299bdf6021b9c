"""Robust accuracy against one other figure, an entrant a mark: against standard accuracy, smoothness, and FID.

An accuracy under attack is an upper bound, so every robust accuracy errs high; intervals tell of chance alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import altair as alt

from leaderboards.board.correlations import comparable
from leaderboards.board.entry import Basis, Entry
from leaderboards.board.generation import MEASURE as GENERATION
from leaderboards.board.generation import Scale, scale_of
from leaderboards.charts.vega import (
    COLOURS,
    HEIGHT,
    MOST_NAMED,
    QUIET,
    RAISED,
    Chart,
    Rows,
    apart,
    number,
    plain,
    specification,
)
from leaderboards.records.schema import Value, is_number


@dataclass(frozen=True)
class Axis:
    """A measured figure that robust accuracy is set against, where two entrants have it; `reading` says how to read it.

    `calibrated` is the title where the figure at the calibrated scale takes its place.
    """

    key: str
    words: str
    title: str
    reading: str
    measure: str
    value: str
    calibrated: str = ""


AXES = (
    Axis(
        "energy",
        "the change of energy under attack",
        "Mean |ΔE(x)| / sd of E(x)",
        "Further left is smoother. PGD takes few steps, so |ΔE(x)| errs low.",
        "energies",
        "pgd.delta_marginal_energy_normalised.mean",
        "Mean |ΔE(x)| at the calibrated scale",
    ),
    Axis(
        "lipschitz",
        "the Lipschitz constant of the energy",
        "Local Lipschitz constant of E(x) / sd of E(x)",
        "Further left is smoother. The search for the maximum takes few steps, so it errs low.",
        "smoothness",
        "lipschitz_energy_normalised.mean",
        "Local Lipschitz constant of E(x) at the calibrated scale",
    ),
    Axis(
        "linearity",
        "the local linearity gap",
        "Local linearity gap of the cross-entropy / sd of E(x)",
        "Further left is straighter. The search for the maximum takes few steps, so it errs low.",
        "smoothness",
        "linearity_gap_normalised.mean",
        "Local linearity gap at the calibrated scale",
    ),
    Axis(
        "fid",
        "the quality of generated images",
        "FID of generated images",
        "Further left is closer to the real images. The record names the extractor and the number of images.",
        "generation",
        "fid",
    ),
)


@dataclass(frozen=True)
class Reach:
    """A number of a mark with its interval, as far as there is one, in the units of its axis."""

    at: float
    low: float | None = None
    high: float | None = None
    bounded: bool = False

    @staticmethod
    def of(value: Value | None, factor: float) -> Reach | None:
        """A measured value times `factor`; None where there is no finite one. A bounded one stands at its low end."""
        if value is None:
            return None
        if value.bounded and is_number(value.low) and is_number(value.high):
            return Reach(number(factor * value.low), number(factor * value.low), number(factor * value.high), True)
        if not is_number(value.value):
            return None
        low, high = (number(factor * end) if is_number(end) else None for end in (value.low, value.high))
        return Reach(number(factor * value.value), low, high)


@dataclass(frozen=True)
class Point:
    """One entrant's mark: `y` is its robust accuracy in percent. `measured` here, or published by others."""

    entry: Entry
    measured: bool
    x: Reach
    y: Reach

    def row(self, label: float | None, left: bool) -> Mapping[str, str | float]:
        """The mark as Vega reads it; `label` is the height of its name, which stands to its left or right, None without."""
        row: dict[str, str | float | None] = {
            "name": plain(self.entry.name),
            "kind": "measured" if self.measured else "published",
            "paper": plain(self.entry.text("venue")),
            "y": None if self.y.bounded else self.y.at,  # an interval without a mark
            "yl": self.y.low,
            "yh": self.y.high,
            "x": self.x.at,
            "xl": self.x.low,
            "xh": self.x.high,
        }
        if label is not None:
            row |= {"ly": number(label), "side": "left" if left else "right"}
        return {field: content for field, content in row.items() if content is not None}


def against_standard(entries: Sequence[Entry]) -> Chart | None:
    """Robust against standard accuracy, both from one source: measured where there are both, else published."""
    points = [point for entry in entries if (point := _measured(entry) or _published(entry)) is not None]
    if len(points) < 2:
        return None
    hollow = "" if all(point.measured for point in points) else " Hollow marks are published by others."
    return Chart(
        "against-standard",
        "Robust against standard accuracy",
        "Higher is more robust. Further right is more accurate on unchanged images. Filled marks were measured here and show"
        f" their intervals.{hollow}{_unmarked(points)}",
        _scatter("Standard accuracy, %", percent=True),
        _rows(points),
    )


def _measured(
    entry: Entry, measure: str = "standard", value: str = "standard_accuracy", factor: float = 100
) -> Point | None:
    """Robust accuracy against one measured figure, shown times `factor`."""
    x = Reach.of(entry.measured(measure, value), factor)
    y = Reach.of(entry.measured("autoattack", "autoattack_accuracy"), 100)
    return Point(entry, True, x, y) if x is not None and y is not None else None


def _published(entry: Entry) -> Point | None:
    row, ranking = entry.published, entry.ranking
    if row is None or ranking is None or not is_number(row.standard_accuracy):
        return None
    if ranking[1] in (Basis.MEASURED, Basis.BOUNDED):
        return None
    return Point(entry, False, Reach(number(100 * row.standard_accuracy)), Reach(number(100 * ranking[0])))


def against(entries: Sequence[Entry], axis: Axis) -> Chart | None:
    """Robust accuracy against one measured figure, at the calibrated scale of the logits where an entry has it so."""
    value = comparable(entries, axis.measure, axis.value)
    title = axis.title if value == axis.value else axis.calibrated
    points = [point for entry in entries if (point := _measured(entry, axis.measure, value, 1)) is not None]
    if axis.measure == GENERATION:
        points = _of_one_scale(points, value)
    if len(points) < 2:
        return None
    return Chart(
        f"against-{axis.key}",
        f"Robust accuracy against {axis.words}",
        f"Only measured entrants, with intervals. {axis.reading}{_unmarked(points)}",
        _scatter(title, percent=False),
        _rows(points),
    )


def _unmarked(points: Sequence[Point]) -> str:
    """What an interval without a mark means, where there is one."""
    return " An interval without a mark is a bounded result." if any(point.y.bounded for point in points) else ""


def _of_one_scale(points: Sequence[Point], value: str) -> list[Point]:
    """Those whose scores compare: the most that share extractor, real images and number of images; else the first."""

    def scale(point: Point) -> tuple[Scale | None, int]:
        record, found = point.entry.record, point.entry.measured(GENERATION, value)
        n = found.n if found else 0
        return scale_of(record.measurements.get(GENERATION) if record else None, n), n

    scales = [scale(point) for point in points]
    return [point for point, one in zip(points, scales, strict=True) if one == max(scales, key=scales.count)]


def _rows(points: Sequence[Point]) -> Rows:
    """The marks, with places for names, moved apart where few enough have names at all."""
    if len(points) > MOST_NAMED:
        return [point.row(None, False) for point in points]
    xs, ys = [point.x.at for point in points], [point.y.at for point in points]
    gap = (max(ys) - min(ys) or 1) * 16 / HEIGHT
    labels = apart(ys, gap, min(ys) - gap, max(ys) + gap)
    middle = (min(xs) + max(xs)) / 2
    # a name stands on the side where there is room for it
    return [point.row(label, point.x.at > middle) for point, label in zip(points, labels, strict=True)]


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
        x=x,
        y=alt.Y("yl:Q", title="Robust accuracy, %"),
        y2="yh:Q",
        color=kind,
        tooltip=[
            alt.Tooltip("name:N", title="entrant"),
            alt.Tooltip("yl:Q", title="robust, %, from", format=".2f"),
            alt.Tooltip("yh:Q", title="to", format=".2f"),
        ],
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
