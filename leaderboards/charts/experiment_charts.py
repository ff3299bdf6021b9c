"""Charts of experiments: accuracy against the share of samples that was removed, a line an arm; the seeds of recipes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import altair as alt

from leaderboards.charts.vega import COLOURS, INK, QUIET, Chart, number, plain, specification

DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3])
SHAPES = ("circle", "square", "triangle-up", "diamond")


@dataclass(frozen=True)
class ArmPoint:
    """Robust accuracy of one arm at one fraction, both in [0,1], with the ends of what is drawn around it."""

    arm: str
    fraction: float
    accuracy: float
    low: float | None = None
    high: float | None = None


def removal_chart(baseline: ArmPoint | None, points: Sequence[ArmPoint], ends: str) -> Chart | None:
    """Robust accuracy against the fraction removed. Every line starts at the baseline, which removes nothing; `ends` says in
    words what the bars around a point are. None where there is no point."""
    if not points:
        return None
    arms = tuple(dict.fromkeys(point.arm for point in points))
    starts = [ArmPoint(arm, 0.0, baseline.accuracy) for arm in arms] if baseline else []
    rows: list[dict[str, Any]] = []
    width = 100 * max(point.fraction for point in points)
    for point in (*starts, *points):
        # arms at one fraction stand side by side, or their bars would hide each other
        aside = (arms.index(point.arm) - (len(arms) - 1) / 2) * width * 0.012 if point.fraction else 0.0
        row = {"arm": plain(point.arm), "x": number(100 * point.fraction + aside), "y": number(100 * point.accuracy)}
        row |= {"fraction": number(100 * point.fraction)}
        rows.append(row | _ends(point))
    if baseline:
        row = {"x": 0.0, "fraction": 0.0, "none": number(100 * baseline.accuracy), "says": "none"}
        rows.append(row | _ends(baseline))
    compared = " The mark at 0 is the arm that removes nothing." if baseline else ""
    return Chart(
        "removal-chart",
        "Robust accuracy against the share of samples removed",
        f"A line for each arm. {ends}{compared}",
        _removal_template(arms, tuple(sorted({0.0, *(number(100 * point.fraction) for point in points)}))),
        rows,
    )


def _ends(point: ArmPoint) -> dict[str, float]:
    if point.low is None or point.high is None:
        return {}
    return {"low": number(100 * point.low), "high": number(100 * point.high)}


@cache
def _removal_template(arms: tuple[str, ...], fractions: tuple[float, ...]) -> dict[str, Any]:
    names = [plain(arm) for arm in arms]
    count = len(names)
    base = alt.Chart(alt.NamedData(name="rows"))
    axis = alt.Axis(values=list(fractions), format="~g")
    x = alt.X("x:Q", title="removed from each batch, %", scale=alt.Scale(zero=True, nice=False, padding=12), axis=axis)
    y = alt.Y("y:Q", title="Robust accuracy, %", scale=alt.Scale(zero=False, nice=True), axis=alt.Axis(tickCount=6))
    ranges = [COLOURS[i % 4] for i in range(count)], [DASHES[i % 4] for i in range(count)]
    colour = alt.Color("arm:N", scale=alt.Scale(domain=names, range=ranges[0]), title=None)
    dash = alt.StrokeDash("arm:N", scale=alt.Scale(domain=names, range=ranges[1]), title=None)
    shape = alt.Shape("arm:N", scale=alt.Scale(domain=names, range=[SHAPES[i % 4] for i in range(count)]), title=None)
    said = [
        alt.Tooltip("arm:N"),
        alt.Tooltip("fraction:Q", title="removed, %", format=".3~g"),
        alt.Tooltip("y:Q", title="robust accuracy, %", format=".2f"),
    ]
    mine = base.transform_filter("isValid(datum.arm)")
    alone = base.transform_filter("isValid(datum.none)")
    bars = mine.transform_filter("isValid(datum.low)").mark_rule(strokeWidth=2, opacity=0.5)
    at = alt.Y("none:Q", title="Robust accuracy, %")
    layers = [
        bars.encode(x=x, y=alt.Y("low:Q", title="Robust accuracy, %"), y2="high:Q", color=colour),
        mine.mark_line(strokeWidth=2).encode(x=x, y=y, color=colour, strokeDash=dash),
        mine.mark_point(filled=True, size=60, opacity=1).encode(x=x, y=y, color=colour, shape=shape, tooltip=said),
        alone.transform_filter("isValid(datum.low)")
        .mark_rule(strokeWidth=2, color=QUIET)
        .encode(x=x, y=alt.Y("low:Q", title="Robust accuracy, %"), y2="high:Q"),
        alone.mark_point(filled=True, size=70, opacity=1, shape="cross", color=INK).encode(x=x, y=at),
        alone.mark_text(align="left", baseline="bottom", dx=6, dy=-4).encode(x=x, y=at, text="says:N"),
    ]
    return specification(alt.layer(*layers).properties(height=320))


@dataclass(frozen=True)
class SeedPoint:
    """One seed of a recipe: an accuracy in [0,1]; `kind` is "robust" or "standard"."""

    recipe: str
    seed: int
    kind: str
    accuracy: float


def seeds_chart(points: Sequence[SeedPoint]) -> Chart | None:
    """The accuracies of every seed, a line a recipe, in the order given; a tick is the mean. None where there is none."""
    if not points:
        return None
    recipes = tuple(dict.fromkeys(plain(point.recipe) for point in points))
    rows: list[dict[str, Any]] = [
        {"recipe": plain(p.recipe), "seed": p.seed, "kind": p.kind, "x": number(100 * p.accuracy)} for p in points
    ]
    for recipe, kind in dict.fromkeys((plain(p.recipe), p.kind) for p in points):
        mine = [100 * p.accuracy for p in points if (plain(p.recipe), p.kind) == (recipe, kind)]
        rows.append({"recipe": recipe, "kind": kind, "mean": number(sum(mine) / len(mine))})
    return Chart(
        "seeds-chart",
        "Accuracy of every seed",
        "A circle is robust accuracy, a diamond is standard accuracy. A tick is the mean over the seeds.",
        _seeds_template(recipes),
        rows,
    )


@cache
def _seeds_template(recipes: tuple[str, ...]) -> dict[str, Any]:
    base = alt.Chart(alt.NamedData(name="rows"))
    y = alt.Y("recipe:N", sort=list(recipes), title=None, axis=alt.Axis(labelLimit=180))
    kinds = ["robust", "standard"]
    colour = alt.Color("kind:N", scale=alt.Scale(domain=kinds, range=[COLOURS[0], COLOURS[1]]), title=None)
    shape = alt.Shape("kind:N", scale=alt.Scale(domain=kinds, range=["circle", "diamond"]), title=None)
    scale = alt.Scale(zero=False, nice=True)
    points = (
        base.transform_filter("isValid(datum.x)")
        .mark_point(filled=True, size=70, opacity=0.75)
        .encode(
            x=alt.X("x:Q", title="Accuracy, %", scale=scale, axis=alt.Axis(tickCount=6)),
            y=y,
            color=colour,
            shape=shape,
            tooltip=[
                alt.Tooltip("recipe:N"),
                alt.Tooltip("seed:Q"),
                alt.Tooltip("kind:N", title="accuracy"),
                alt.Tooltip("x:Q", title="%", format=".2f"),
            ],
        )
    )
    means = (
        base.transform_filter("isValid(datum.mean)")
        .mark_tick(thickness=3, size=26)
        .encode(x=alt.X("mean:Q", title="Accuracy, %"), y=y, color=colour)
    )
    return specification(alt.layer(means, points).properties(height=60 + 44 * len(recipes)))
