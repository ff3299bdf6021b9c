"""Accuracy of unchanged images and after each stage of AutoAttack, a line an entrant. Each is an upper bound: it errs high."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import altair as alt

from leaderboards.board.columns import STAGE_COLUMNS
from leaderboards.board.entry import Entry
from leaderboards.charts.vega import COLOURS, HEIGHT, INK, MOST_NAMED, Chart, apart, number, plain, specification
from leaderboards.records.schema import Value, is_number

MOST_LINES = 30


def stage_chart(entries: Sequence[Entry]) -> Chart | None:
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
    base = alt.Chart(alt.NamedData(name="rows"))
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
