"""What boards and pages show of generated images. FIDs of different extractors, numbers of images or real sets are on
different scales: each combination has columns of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from leaderboards.board import formats
from leaderboards.board.columns import Column, Content, measured
from leaderboards.board.entry import Entry
from leaderboards.board.labels import SETS
from leaderboards.board.quantities import Name, assumed, declared, says
from leaderboards.records.schema import Measurement, Quantity, Value

MEASURE = "generation"

SCORES = (
    ("fid", "FID"),
    ("kid", "KID"),
    ("inception_score", "Inception Score"),
    ("precision", "Precision"),
    ("recall", "Recall"),
    ("nearest_distance.mean", "Nearest, mean"),
    ("nearest_distance.min", "Nearest, least"),
)

SCORED = ("fid", "starts.fid", "kid", "inception_score")
"""Scores with a column on the board, in their order; other headlines of the measure follow."""


@dataclass(frozen=True)
class Scale:
    """What scores must share to stand in one column: extractor (name and sha256), number of images, real images."""

    extractor: str
    sha256: str
    images: int
    real: str

    @property
    def label(self) -> str:
        return f"{self.extractor} {self.sha256[:8]}"


def scale_of(measurement: Measurement | None) -> Scale | None:
    """The scale of a measurement's scores; None where nothing scored it, or its settings do not say what did."""
    if measurement is None:
        return None
    extractor, real = measurement.settings.get("extractor"), measurement.settings.get("train")
    if not isinstance(extractor, dict) or not isinstance(real, dict):
        return None
    name, digest, fingerprint = extractor.get("name"), extractor.get("sha256"), real.get("fingerprint")
    if not (isinstance(name, str) and isinstance(digest, str) and isinstance(fingerprint, str)):
        return None
    return Scale(name, digest, measurement.n, fingerprint)


def _generation(entry: Entry) -> Measurement | None:
    return entry.record.measurements.get(MEASURE) if entry.record else None


def _score(scale: Scale, name: str) -> Callable[[Entry], Content]:
    def get(entry: Entry) -> Content:
        return entry.measured(MEASURE, name) if scale_of(_generation(entry)) == scale else None

    return get


def seconds_per_thousand(measurement: Measurement) -> float | None:
    """Compute time per 1,000 images, scoring included."""
    return 1000 * measurement.seconds / measurement.n if measurement.n else None


def _seconds(scale: Scale) -> Callable[[Entry], Content]:
    def get(entry: Entry) -> Content:
        found = _generation(entry)
        return seconds_per_thousand(found) if found is not None and scale_of(found) == scale else None

    return get


def _columns(scale: Scale, said: Mapping[Name, Quantity]) -> tuple[Column, ...]:
    more = (value for (measure, value), quantity in said.items() if measure == MEASURE and quantity.kind == "headline")
    group = f"Generation, {formats.count(scale.images)} images, {scale.label}"
    key = f"{scale.extractor}_{scale.sha256[:8]}_{scale.images}_{scale.real[:8]}"
    by = (
        f"{formats.count(scale.images)} images, by {scale.extractor} (sha256 {scale.sha256[:16]}…). It compares with scores"
        " by this extractor, of as many images, alone"
    )

    def score(name: str) -> Column:
        quantity = said.get((MEASURE, name)) or assumed(name)
        of_it = measured(MEASURE, name, group, quantity, key=f"{name}_{key}")
        return replace(of_it, title=says(quantity, f" of {by}"), get=_score(scale, name))

    return (
        *(score(name) for name in dict.fromkeys((*SCORED, *more))),
        Column(
            f"seconds_per_thousand_{key}",
            "Time / 1,000",
            "Compute time for 1,000 images with their features, on the device that the entrant's page names.",
            _seconds(scale),
            write=formats.duration,
            group=group,
        ),
    )


def generation_columns(entries: Sequence[Entry]) -> tuple[Column, ...]:
    """Columns for each scale that occurs among the entries, more images first."""
    scales = {scale for entry in entries if (scale := scale_of(_generation(entry))) is not None}
    ordered = sorted(scales, key=lambda s: (-s.images, s.extractor, s.sha256, s.real))
    said = declared(entry.record for entry in entries if entry.record)
    return tuple(column for scale in ordered for column in _columns(scale, said))


def with_generation(columns: Sequence[Column], entries: Sequence[Entry]) -> tuple[Column, ...]:
    """Columns with those of generation before what describes the model."""
    place = next((i for i, column in enumerate(columns) if column.key == "architecture"), len(columns))
    return (*columns[:place], *generation_columns(entries), *columns[place:])


@dataclass(frozen=True)
class ScoreRow:
    """One set of images and its scores as texts, with the reasons of those that are not there."""

    label: str
    n: str
    cells: tuple[str, ...]
    reasons: tuple[str, ...]


def score_rows(measurement: Measurement) -> tuple[ScoreRow, ...]:
    """Generated images beside the starts alone and held-out real ones, in the order of SCORES."""
    rows = []
    for prefix, label in SETS:
        values = [measurement.values.get(f"{prefix}{key}") for key, _ in SCORES]
        if any(value is not None for value in values):
            reasons = dict.fromkeys(value.reason for value in values if value is not None and value.reason)
            n = next(value.n for value in values if value is not None)
            rows.append(ScoreRow(label, formats.count(n), tuple(map(_text, values)), tuple(reasons)))
    return tuple(rows)


def _text(value: Value | None) -> str:
    return formats.decimal(value.value) if value is not None and value.value is not None else formats.NOTHING
