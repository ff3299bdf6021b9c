"""The sampling experiment as its page shows it: scores by what was varied, the starts alone, and strips of images."""

from __future__ import annotations

from collections.abc import Sequence

from safetensors.numpy import load_file

from harness.experiments.cells import NOTHING
from harness.experiments.sampling import Drawn, Sampling
from harness.sampling.gallery import grid
from harness.suites.suite import Suite
from leaderboards.board import formats
from leaderboards.board.generation import writer
from leaderboards.pages.experiment import Cell, Column, ExperimentView, Strip, Table, strip_of
from leaderboards.records.schema import Value

SCORES = (
    ("fid", Column("FID ↓", "Fréchet distance to the training images. It errs high for few images.")),
    ("kid", Column("KID ↓", "Unbiased squared kernel distance to the training images.")),
    ("inception_score", Column("IS ↑", "Inception Score, by the extractor of the suite.")),
    ("precision", Column("precision ↑", "Share of the images that lie among training images.")),
    ("recall", Column("recall ↑", "Share of the training images that lie among these images.")),
    ("nearest_distance.mean", Column("nearest", "Mean L2 distance of an image in [0,1] to its nearest training image. Images"
                                     " that lie much nearer than held-out real ones may be copies.")),
)  # fmt: skip
SETTING = Column(
    "setting", "What differs from the default. A start alone is what the images begin as: 0 steps.", words=True
)
ENERGY = Column("E(x,y)", "Mean joint energy of the images, in the units of the entrant's logits.")
STEPS = Column("steps")
COUNT = Column("n", "Images that every score of the row is of.")

SHOWN = 10
"""Images of a strip, one a class."""

CAPTIONS = {
    "start": "Starts: where the images begin",
    "sampler": "Samplers: how they move",
    "objective": "Objectives: what they descend",
    "all": "All combinations: start, sampler, objective",
}


def sampling_view(sampling: Sampling, drawn: Sequence[Drawn], suite: Suite, entrant: str) -> ExperimentView:
    """The page of the experiment."""
    base = drawn[0].setting.measure
    extractor = base.material.extractor if base.material else None
    about = f"{base.start.name}, {base.sampler.name}, {base.objective.name}"
    notes = [
        f"Entrant: {entrant}. Each setting draws {base.images:,} images, equally many of each class, with about"
        f" {base.sampler.gradients * base.sampler.steps} gradients an image.",
        f"Scored by {extractor.label}."
        if extractor
        else f"Not scored: {base.material.reason if base.material else ''}.",
        "Step sizes are not tuned to each setting. A poor score may be the fault of the step size.",
    ]
    if not sampling.every:
        notes.insert(0, f"One thing is varied at a time. The default is the preset {sampling.base.preset}: {about}.")
    reasons = {value.reason for one in drawn for name, _ in SCORES if (value := one.value(name)) and value.reason}
    factors = ["all"] if sampling.every else [f for f in CAPTIONS if any(one.setting.factor == f for one in drawn)]
    return ExperimentView(
        title="Sampling",
        suite=suite.title,
        lead="How do starts, samplers and objectives of generation compare? The start alone stands beside every result: much of"
        " an image's quality may come from where it begins.",
        notes=(*notes, *sorted(f"{reason}." for reason in reasons)),
        tables=tuple(_table(factor, drawn) for factor in factors or ["start"]),
        strips=tuple(strip for one in drawn for strip in _strip(one)),
        strips_say="The first image of each class; none were selected. First row: the start. Second row: the generated image.",
    )


def name_of(one: Drawn) -> str:
    """What a setting is called in tables: of the default, what it consists of."""
    measure = one.setting.measure
    if one.setting.factor:
        return one.setting.name
    return f"default: {measure.start.name}, {measure.sampler.name}, {measure.objective.name}"


def _table(factor: str, drawn: Sequence[Drawn]) -> Table:
    mine = [one for one in drawn if one.setting.factor in ("", factor)]
    rows, alone = [], set()
    for one in mine:
        steps = one.measured_steps
        rows.append(_row(name_of(one), one, "", one.energy(one.last), steps))
        start = one.setting.measure.start.name
        if factor in ("start", "all") and start not in alone:
            alone.add(start)
            rows.append(_row(f"{start} alone", one, "starts.", one.energy(0), "0"))
    rows.append(_row("real images, held out", mine[0], "held_out.", None, ""))
    columns = (SETTING, *(column for _, column in SCORES), ENERGY, STEPS, COUNT)
    return Table(CAPTIONS[factor], columns, tuple(rows))


def _row(name: str, one: Drawn, prefix: str, energy: Value | None, steps: str) -> tuple[Cell, ...]:
    values = [one.value(key, prefix) for key, _ in SCORES]
    n = next((value.n for value in values if value is not None), None)
    last = NOTHING if n is None else Cell(formats.count(n))
    scores = (_shown(value, key) for value, (key, _) in zip(values, SCORES, strict=True))
    return Cell(name), *scores, _shown(energy), Cell(steps or formats.NOTHING), last


def _shown(value: Value | None, key: str = "") -> Cell:
    return NOTHING if value is None or value.value is None else Cell(writer(key)(value.value, None))


def _strip(one: Drawn) -> tuple[Strip, ...]:
    if one.samples is None:
        return ()
    arrays = load_file(one.samples)
    classes = sorted(set(arrays["label"].tolist()))[:SHOWN]
    first = [int((arrays["label"] == klass).argmax()) for klass in classes]
    picture = grid([arrays["start_image"][first], arrays["image"][first]])
    says = f"{name_of(one)}: starts above, generated images below, one of each class"
    return (strip_of(picture, name_of(one), says),)
