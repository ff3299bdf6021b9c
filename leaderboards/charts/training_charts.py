"""The course of an entrant's training: dE(x) and accuracy under PGD after each epoch, with the phases found in it; and, on the
page of a training, everything else that its log holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import altair as alt

from leaderboards.charts.vega import COLOURS, QUIET, Chart, number, specification
from leaderboards.records.dynamics import Dynamics
from leaderboards.records.schema import is_number

Lines = tuple[tuple[str, str], ...]
"""What a chart's lines are called, each with the series that it shows."""

DASHES = {"train": [1, 0], "held out": [5, 3]}
"""Of lines by their names: colour alone does not tell them apart."""


@dataclass(frozen=True)
class Course:
    """Numbers of a training log, one line a series, shown times `factor`. Where `whole` says so, the words name the phases."""

    key: str
    title: str
    says: str
    axis: str
    factor: float
    lines: Lines
    whole: bool = False


def _both(name: str) -> Lines:
    return ("train", f"train.{name}"), ("held out", f"validation.{name}")


COURSES = (
    Course(
        "dynamics-energy",
        "ΔE(x) in training",
        "Mean E(x) − E(x_adv) under the training attack after each epoch, on fixed training images and on held-out images.",
        "mean ΔE(x)",
        1.0,
        _both("delta_marginal_energy"),
        True,
    ),
    Course(
        "dynamics-accuracy",
        "Accuracy under PGD in training",
        "Share of the same images that are still correct under PGD after each epoch. If the held-out line falls while the"
        " other one rises, training overfits.",
        "PGD accuracy, %",
        100.0,
        _both("pgd_accuracy"),
        True,
    ),
)
"""On the page of an entrant."""

EVERY = (
    Course(
        "dynamics-loss",
        "Loss",
        "Mean of the training objective over the batches of each epoch.",
        "loss",
        1.0,
        (("train", "loss"),),
    ),
    Course(
        "dynamics-standard",
        "Standard accuracy",
        "Share of the unchanged images that are correct after each epoch, on fixed training images and on held-out images.",
        "standard accuracy, %",
        100.0,
        _both("standard_accuracy"),
    ),
    COURSES[1],
    COURSES[0],
    Course(
        "dynamics-joint-delta",
        "ΔE(x,y) in training",
        "Mean E(x,y) − E(x_adv,y) under the training attack after each epoch, on the same images.",
        "mean ΔE(x,y)",
        1.0,
        _both("delta_joint_energy"),
    ),
    Course(
        "dynamics-marginal",
        "E(x) in training",
        "Mean E(x) of the unchanged images after each epoch. Lower means that the classifier sees the images as more likely.",
        "mean E(x)",
        1.0,
        _both("marginal_energy"),
    ),
    Course(
        "dynamics-joint",
        "E(x,y) in training",
        "Mean E(x,y) of the unchanged images with their labels after each epoch.",
        "mean E(x,y)",
        1.0,
        _both("joint_energy"),
    ),
    Course(
        "dynamics-weight",
        "Mean weight",
        "Mean of WEAT's weight w(x) = 1 / log(1 + exp |E(x)|) on the same images after each epoch. Only WEAT trains with it.",
        "mean w(x)",
        1.0,
        _both("mean_weight"),
    ),
    Course(
        "dynamics-rate",
        "Learning rate",
        "The learning rate at the end of each epoch.",
        "learning rate",
        1.0,
        (("train", "lr"),),
    ),
)
"""On the page of a training."""


def training_charts(dynamics: Dynamics, courses: Sequence[Course] = COURSES) -> tuple[Chart, ...]:
    """Every chart that a log of training has numbers for."""
    return tuple(chart for course in courses if (chart := _chart(course, dynamics)) is not None)


def _chart(course: Course, dynamics: Dynamics) -> Chart | None:
    rows: list[dict[str, Any]] = [
        {"epoch": int(epoch), "y": number(course.factor * value), "kind": kind}
        for kind, name in course.lines
        # a course that the log does not hold has no values
        for epoch, value in zip(dynamics.series["epoch"], dynamics.series.get(name, ()), strict=False)
        if is_number(value)
    ]
    if not rows:
        return None
    rows += [{"begin": phase.first, "end": phase.last, "n": i + 1} for i, phase in enumerate(dynamics.phases)]
    marks = ""
    if dynamics.phases and course.whole:
        words = ", ".join(f"{phase.first} to {phase.last}" for phase in dynamics.phases)
        marks = (
            f" The phases are epochs {words}, found by change points of ΔE(x) on training images. Dashed lines separate"
            " them."
        )
    if dynamics.overfitting_epoch is not None:
        rows.append({"overfit": dynamics.overfitting_epoch})
        marks += f" Robust overfitting begins at epoch {dynamics.overfitting_epoch}." if course.whole else ""
    kinds = tuple(kind for kind, _ in course.lines)
    spec = _template(course.axis, dynamics.overfitting_epoch is not None, kinds)
    return Chart(course.key, course.title, f"{course.says}{marks}", spec, rows)


@cache
def _template(title: str, overfits: bool, kinds: tuple[str, ...]) -> Mapping[str, Any]:
    base = alt.Chart(alt.NamedData(name="rows"))
    x_axis = alt.Axis(tickCount=8, tickMinStep=1, format="d")
    x = alt.X("epoch:Q", title="epoch", axis=x_axis, scale=alt.Scale(nice=False, zero=False))
    y = alt.Y("y:Q", title=title, scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=5))
    colours = alt.Scale(domain=list(kinds), range=list(COLOURS[: len(kinds)]))
    dashes = alt.Scale(domain=list(kinds), range=[DASHES[kind] for kind in kinds])
    legend = alt.Undefined if len(kinds) > 1 else None
    line = (
        base.transform_filter("isValid(datum.y)")
        .mark_line(strokeWidth=2, interpolate="linear")
        .encode(
            x=x,
            y=y,
            color=alt.Color("kind:N", scale=colours, title=None, legend=legend),
            strokeDash=alt.StrokeDash("kind:N", scale=dashes, title=None, legend=legend),
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
