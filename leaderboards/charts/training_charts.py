"""The course of an entrant's training: dE(x) and accuracy under PGD after each epoch, with the phases found in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import altair as alt

from leaderboards.charts.vega import COLOURS, QUIET, Chart, number, specification
from leaderboards.records.dynamics import Dynamics
from leaderboards.records.schema import is_number


@dataclass(frozen=True)
class Course:
    """One number of a training log, on images of train and on held-out ones: their series by name, shown times `factor`."""

    key: str
    title: str
    says: str
    axis: str
    factor: float
    train: str
    held_out: str


COURSES = (
    Course(
        "dynamics-energy",
        "ΔE(x) in training",
        "Mean E(x) − E(x_adv) under the training attack after each epoch, on fixed training images and on held-out images.",
        "mean ΔE(x)",
        1.0,
        "train.delta_marginal_energy",
        "validation.delta_marginal_energy",
    ),
    Course(
        "dynamics-accuracy",
        "Accuracy under PGD in training",
        "Share of the same images that are still correct under PGD after each epoch. If the held-out line falls while the"
        " other one rises, training overfits.",
        "PGD accuracy, %",
        100.0,
        "train.pgd_accuracy",
        "validation.pgd_accuracy",
    ),
)


def training_charts(dynamics: Dynamics) -> tuple[Chart, ...]:
    """Every chart that a log of training has numbers for."""
    return tuple(chart for course in COURSES if (chart := _chart(course, dynamics)) is not None)


def _chart(course: Course, dynamics: Dynamics) -> Chart | None:
    rows: list[dict[str, Any]] = [
        {"epoch": int(epoch), "y": number(course.factor * value), "kind": kind}
        for kind, name in (("train", course.train), ("held out", course.held_out))
        # a course that the log does not hold has no values
        for epoch, value in zip(dynamics.series["epoch"], dynamics.series.get(name, ()), strict=False)
        if is_number(value)
    ]
    if not rows:
        return None
    rows += [{"begin": phase.first, "end": phase.last, "n": i + 1} for i, phase in enumerate(dynamics.phases)]
    marks = ""
    if dynamics.phases:
        words = ", ".join(f"{phase.first} to {phase.last}" for phase in dynamics.phases)
        marks = (
            f" The phases are epochs {words}, found by change points of ΔE(x) on training images. Dashed lines separate"
            " them."
        )
    if dynamics.overfitting_epoch is not None:
        rows.append({"overfit": dynamics.overfitting_epoch})
        marks += f" Robust overfitting begins at epoch {dynamics.overfitting_epoch}."
    spec = _template(course.axis, dynamics.overfitting_epoch is not None)
    return Chart(course.key, course.title, f"{course.says}{marks}", spec, rows)


@cache
def _template(title: str, overfits: bool) -> Mapping[str, Any]:
    base = alt.Chart(alt.NamedData(name="rows"))
    x_axis = alt.Axis(tickCount=8, tickMinStep=1, format="d")
    x = alt.X("epoch:Q", title="epoch", axis=x_axis, scale=alt.Scale(nice=False, zero=False))
    y = alt.Y("y:Q", title=title, scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=5))
    kinds = alt.Scale(domain=["train", "held out"], range=[COLOURS[0], COLOURS[1]])
    dashes = alt.Scale(domain=["train", "held out"], range=[[1, 0], [5, 3]])
    line = (
        base.transform_filter("isValid(datum.y)")
        .mark_line(strokeWidth=2, interpolate="linear")
        .encode(
            x=x,
            y=y,
            color=alt.Color("kind:N", scale=kinds, title=None),
            strokeDash=alt.StrokeDash("kind:N", scale=dashes, title=None),
        )
    )
    dots = (
        base.transform_filter("isValid(datum.y)")
        .mark_point(size=60, opacity=0)
        .encode(
            x=x,
            y=y,
            tooltip=[
                alt.Tooltip("epoch:Q"),
                alt.Tooltip("kind:N", title="images"),
                alt.Tooltip("y:Q", title=title, format=".4~g"),
            ],
        )
    )
    parted = base.transform_filter("datum.begin > 1")
    border = parted.mark_rule(strokeDash=[3, 3], color=QUIET).encode(x=alt.X("begin:Q", title="epoch"))
    phases = base.transform_filter("isValid(datum.begin)").transform_calculate(
        says="datum.n == 1 ? 'phase 1' : '' + datum.n"
    )
    name = phases.mark_text(align="left", baseline="top", dx=4, dy=3, fontSize=11, color=QUIET).encode(
        x=alt.X("begin:Q", title="epoch"), y=alt.value(0), text="says:N"
    )
    layers: list[alt.Chart] = [border, name, line, dots]
    if overfits:
        mark = base.transform_filter("isValid(datum.overfit)").mark_rule(strokeWidth=2, color=COLOURS[3])
        layers.append(mark.encode(x=alt.X("overfit:Q", title="epoch")))
    return specification(alt.layer(*layers).properties(height=240))
