"""Charts of the findings on one board: where each attack takes E(x), and by which figures robust entrants are smoother."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import altair as alt

from leaderboards.charts.vega import COLOURS, QUIET, Chart, number, plain, specification
from leaderboards.findings import orders, shifts
from leaderboards.findings.findings import Findings
from leaderboards.findings.statement import Statement

ROW = 26
KINDS = ("standard", "robust")
SCALES = ("as it is", "over the sd of E(x)", "calibrated scale")


def findings_charts(found: Findings) -> Mapping[str, Chart]:
    """The charts that a board has numbers for, by the topic that they stand under."""
    charts = {shifts.TOPIC: _shifts(found), orders.TOPIC: _correlations(found)}
    return {topic: chart for topic, chart in charts.items() if chart is not None}


def _shifts(found: Findings) -> Chart | None:
    parts = [
        (part, statement.key.rpartition("-")[2])
        for statement in found.statements
        if statement.topic == shifts.TOPIC
        for part in statement.parts
        if part.size is not None
    ]
    if not parts:
        return None
    rows = [
        {"name": plain(part.of), "attack": part.name, "x": number(part.size or 0.0), "kind": kind}
        for part, kind in parts
    ]
    attacks = list(dict.fromkeys(part.name for part, _ in parts))
    return Chart(
        "shifts",
        "Where each attack takes E(x)",
        "Each mark is a recipe: the median over the images of E(x_adv) − E(x), in standard deviations of E(x). Left of 0 the"
        " attack makes images that the classifier finds more likely. Right of 0 it makes less likely ones. Circles are robust"
        " recipes, diamonds are standard ones.",
        {**_shift_template(tuple(attacks)), "height": ROW * len(attacks) + 60},
        rows,
    )


@cache
def _shift_template(attacks: tuple[str, ...]) -> Mapping[str, Any]:
    base = alt.Chart(alt.NamedData(name="rows"))
    x = alt.X(
        "x:Q", title="median E(x_adv) − E(x), in sd of E(x)", scale=alt.Scale(zero=True), axis=alt.Axis(tickCount=8)
    )
    points = base.mark_point(filled=True, size=70, opacity=0.8).encode(
        x=x,
        y=_rows("attack", attacks),
        color=alt.Color("kind:N", scale=alt.Scale(domain=list(KINDS), range=[COLOURS[1], COLOURS[0]])),
        shape=alt.Shape("kind:N", scale=alt.Scale(domain=list(KINDS), range=["diamond", "circle"])),
        tooltip=[
            alt.Tooltip("name:N", title="recipe"),
            alt.Tooltip("attack:N", title="under"),
            alt.Tooltip("x:Q", title="median shift, sd", format=".3~f"),
        ],
    )
    return specification(alt.layer(_zero(), points))


def _correlations(found: Findings) -> Chart | None:
    of = {statement.key: statement for statement in found.statements}
    smoother = [of[f"smoother-{key}"] for key, *_ in orders.SCALES]
    names = dict.fromkeys(part.name for statement in smoother for part in statement.parts)
    rows = [
        *_row_of_shifts(of["smaller-shift"]),
        *(
            {"name": part.name, "x": number(part.effect), "scale": scale, "said": str(part.verdict), "n": part.n}
            for statement, scale in zip(smoother, SCALES, strict=True)
            for part in statement.parts
            if part.effect is not None
        ),
    ]
    if not rows:
        return None
    lines = ([orders.SHIFT] if rows[0]["name"] == orders.SHIFT else []) + list(names)
    return Chart(
        "correlations-chart",
        "By which figures robust recipes are smoother",
        "Spearman's rank correlation of each figure with AutoAttack accuracy, a recipe a point. Every figure is small"
        " where the landscape is"
        " smooth, so left of 0 the more robust recipes are the smoother ones. Colour and shape tell at which scale of the"
        " logits. A filled mark is decided, an empty one is not.",
        {**_correlation_template(tuple(lines)), "height": ROW * len(lines) + 60},
        rows,
    )


def _row_of_shifts(statement: Statement) -> list[dict[str, Any]]:
    scale_of = dict(zip((figure.name for figure in orders.SHIFTS), SCALES, strict=True))
    return [
        {
            "name": orders.SHIFT,
            "x": number(part.effect),
            "scale": scale_of[part.name],
            "said": str(part.verdict),
            "n": part.n,
        }
        for part in statement.parts
        if part.effect is not None
    ]


@cache
def _correlation_template(lines: tuple[str, ...]) -> Mapping[str, Any]:
    base = alt.Chart(alt.NamedData(name="rows"))
    colour = alt.Scale(domain=list(SCALES), range=list(COLOURS[:3]))
    x = alt.X("x:Q", title="Spearman's ρ with AutoAttack accuracy", scale=alt.Scale(domain=[-1, 1]))
    shape = alt.Shape("scale:N", scale=alt.Scale(domain=list(SCALES), range=["circle", "square", "triangle-up"]))
    decided = "datum.said == 'undecided'"
    points = base.mark_point(size=70, strokeWidth=2, opacity=1).encode(
        x=x,
        y=_rows("name", lines),
        color=alt.Color("scale:N", scale=colour),
        shape=shape,
        fillOpacity=alt.condition(decided, alt.value(0), alt.value(1)),
        fill=alt.Fill("scale:N", scale=colour),
        tooltip=[
            alt.Tooltip("name:N", title="figure"),
            alt.Tooltip("scale:N", title="scale"),
            alt.Tooltip("x:Q", title="ρ", format=".3~f"),
            alt.Tooltip("n:Q", title="recipes"),
            alt.Tooltip("said:N", title="smoother"),
        ],
    )
    return specification(alt.layer(_zero(), points))


def _rows(field: str, names: tuple[str, ...]) -> alt.Y:
    axis = alt.Axis(title=None, grid=True, labelLimit=260, labelOverlap=False)
    return alt.Y(f"{field}:N", sort=list(names), axis=axis, scale=alt.Scale(domain=list(names), padding=0.5))


def _zero() -> alt.Chart:
    """A line at 0. It has the rows as its data, so that the page draws one table alone: equal rules lie on each other."""
    return (
        alt.Chart(alt.NamedData(name="rows"))
        .transform_aggregate(n="count()")
        .transform_calculate(zero="0")
        .mark_rule(color=QUIET, strokeDash=[3, 3])
        .encode(x="zero:Q")
    )
