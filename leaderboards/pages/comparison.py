"""The comparison of chosen entrants: what the page of a suite holds of each, for the script that sets them side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import altair as alt

from leaderboards.board.cells import Grid
from leaderboards.board.columns import STAGE_COLUMNS
from leaderboards.board.entry import Entry
from leaderboards.charts.ridges import ridge_template, ridges
from leaderboards.charts.scripts import Script
from leaderboards.charts.stages import stage_template
from leaderboards.charts.vega import COLOURS, Rows, number, plain, specification
from leaderboards.pages import bundle
from leaderboards.pages.site import record_page
from leaderboards.records.schema import Value, is_number

STAGES = tuple(column for column in STAGE_COLUMNS if column.bar)
NAMES = ("no attack", *(column.heading.removeprefix("After ") for column in STAGES))
MOST = 400
"""Entrants whose distributions the page carries."""


@dataclass(frozen=True)
class Line:
    """One number or text of every entrant: a column of the board."""

    heading: str
    group: str
    says: str
    words: bool


@dataclass(frozen=True)
class Compared:
    """One entrant: its page ('' where it was not measured), a cell a line as text and interval, and rows for the charts."""

    name: str
    page: str
    cells: tuple[tuple[str, str], ...]
    accuracies: Rows
    stages: tuple[float, ...]
    ridge: tuple[float, ...]


@dataclass(frozen=True)
class Comparison:
    """All that the script needs. `middles` are those of the ridges' bins, `charts` specifications by their place."""

    lines: tuple[Line, ...]
    entrants: tuple[Compared, ...]
    middles: tuple[float, ...]
    charts: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class CompareView:
    """All that the page shows: `title` is its board's, `data` what its script reads."""

    title: str
    root: str
    comparison: Comparison

    @property
    def scripts(self) -> tuple[Script, ...]:
        return (bundle.charts(), bundle.compare())

    @property
    def data(self) -> dict[str, Any]:
        return asdict(self.comparison)


def comparison(grid: Grid) -> Comparison:
    """The rows of a board, ready to be compared."""
    found = ridges([row.entry for row in grid.entrants], MOST)
    heights = found.heights if found else {}
    columns = [(place, column) for place, column in enumerate(grid.columns) if column.kind != "entrant"]
    charts = {"accuracies": _accuracy_template(), "stages": stage_template(NAMES, 0.0, 100.0, True)}
    return Comparison(
        lines=tuple(
            Line(column.heading, column.group, column.title, words=not column.numeric) for _, column in columns
        ),
        entrants=tuple(
            Compared(
                name=plain(row.entry.name, 120),
                page=record_page(row.entry.record) if row.entry.record else "",
                cells=tuple((row.cells[place].text, row.cells[place].interval) for place, _ in columns),
                accuracies=_accuracies(row.entry),
                stages=_stages(row.entry),
                ridge=tuple(number(height) for height in heights.get(row.entry.name, ())),
            )
            for row in grid.entrants
        ),
        middles=tuple(number(x) for x in found.middles) if found else (),
        charts=charts | ({"ridges": ridge_template(found.middles[0], found.middles[-1])} if found else {}),
    )


def _accuracies(entry: Entry) -> Rows:
    rows = []
    for kind, measure, name in (
        ("standard", "standard", "standard_accuracy"),
        ("robust", "autoattack", "autoattack_accuracy"),
    ):
        value = entry.measured(measure, name)
        published = getattr(entry.published, name, None)
        if value is not None and is_number(value.value):
            ends = {"low": value.low, "high": value.high}
            rows.append(
                {"kind": kind, "source": "measured", "x": number(100 * value.value)}
                | {end: number(100 * x) for end, x in ends.items() if is_number(x)}
            )
        elif value is not None and value.bounded and is_number(value.low) and is_number(value.high):
            ends = {"low": number(100 * value.low), "high": number(100 * value.high)}
            rows.append({"kind": kind, "source": "measured, bounded", **ends})
        elif is_number(published):
            rows.append({"kind": kind, "source": "published", "x": number(100 * published)})
    return rows


def _stages(entry: Entry) -> tuple[float, ...]:
    contents = [entry.measured("standard", "standard_accuracy"), *(column.get(entry) for column in STAGES)]
    values = [c.value for c in contents if isinstance(c, Value) and is_number(c.value)]
    return tuple(number(100 * value) for value in values if value is not None) if len(values) == len(contents) else ()


@cache
def _accuracy_template() -> Mapping[str, Any]:
    """Accuracies with intervals, an entrant a line: fields name, kind, source, x, low, high."""
    base = alt.Chart(alt.NamedData(name="rows"))
    y = alt.Y("row:Q", axis=None, scale=alt.Scale(reverse=True, nice=False, padding=20))
    x = alt.X("x:Q", title="Accuracy, %", scale=alt.Scale(domain=[0, 100]), axis=alt.Axis(tickCount=6))
    colour = alt.Color("kind:N", scale=alt.Scale(domain=["robust", "standard"], range=[COLOURS[0], COLOURS[1]]))
    shape = alt.Shape("kind:N", scale=alt.Scale(domain=["robust", "standard"], range=["circle", "diamond"]))
    interval = base.mark_rule(strokeWidth=4, opacity=0.4).encode(
        x=alt.X("low:Q", title="Accuracy, %"), x2="high:Q", y=y, color=colour
    )
    point = base.mark_point(filled=True, size=80, opacity=1).encode(
        x=x,
        y=y,
        color=colour,
        shape=shape,
        tooltip=[
            alt.Tooltip("name:N", title="entrant"),
            alt.Tooltip("kind:N", title="accuracy"),
            alt.Tooltip("x:Q", title="%", format=".2f"),
            alt.Tooltip("source:N"),
        ],
    )
    name = (
        base.transform_filter("datum.first")
        .mark_text(align="left", baseline="bottom", dy=-7)
        .encode(x=alt.value(0), y=y, text="name:N")
    )
    return specification(alt.layer(interval, point, name))
