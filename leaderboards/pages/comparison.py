"""The comparison of chosen entrants: what the page of a suite holds of each, for the script that sets them side by side."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import altair as alt

from leaderboards.board.cells import Grid
from leaderboards.board.columns import STAGE_COLUMNS
from leaderboards.board.entry import Entry
from leaderboards.charts.ridges import ridge_template, ridges
from leaderboards.charts.stages import stage_template
from leaderboards.charts.vega import COLOURS, number, plain, specification
from leaderboards.records.schema import Value, is_number

STAGES = tuple(column for column in STAGE_COLUMNS if column.bar)
NAMES = ("natural", *(column.heading.removeprefix("After ") for column in STAGES))
MOST = 400
"""Entrants whose distributions the page carries."""


def comparison(grid: Grid, arrays: Path | None, pages: Sequence[str]) -> dict[str, Any]:
    """All that the script needs: a line a column, an entrant a row of the board. `pages` are the rows' own pages or ''."""
    entries = [row.entry for row in grid.rows]
    found = ridges(entries, arrays, MOST)
    columns = [(place, column) for place, column in enumerate(grid.columns) if column.kind not in ("entrant",)]
    return {
        "lines": [
            {"heading": column.heading, "group": column.group, "says": column.title, "words": not column.numeric}
            for _, column in columns
        ],
        "entrants": [
            {
                "name": plain(row.entry.name, 120),
                "page": page,
                "cells": [[row.cells[place].text, row.cells[place].interval] for place, _ in columns],
                "accuracies": _accuracies(row.entry),
                "stages": _stages(row.entry),
                "ridge": [number(d) for d in found.heights[row.entry.name]]
                if found and row.entry.name in found.heights
                else [],
            }
            for row, page in zip(grid.rows, pages, strict=True)
        ],
        "middles": [number(x) for x in found.middles] if found else [],
        "charts": {
            "accuracies": _accuracy_template(),
            "stages": stage_template(NAMES, 0.0, 100.0, True),
            **({"ridges": ridge_template(found.middles[0], found.middles[-1])} if found else {}),
        },
    }


def _accuracies(entry: Entry) -> list[dict[str, Any]]:
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
        elif is_number(published):
            rows.append({"kind": kind, "source": "published", "x": number(100 * published)})
    return rows


def _stages(entry: Entry) -> list[float]:
    contents = [entry.measured("standard", "standard_accuracy"), *(column.get(entry) for column in STAGES)]
    values = [c.value for c in contents if isinstance(c, Value) and is_number(c.value)]
    return [number(100 * value) for value in values if value is not None] if len(values) == len(contents) else []


@cache
def _accuracy_template() -> dict[str, Any]:
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
