"""What boards and pages show of generated images. FIDs of different extractors, numbers of images or real sets are on
different scales: each combination has columns of its own on a board, and a table of its own on a page and in the terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from leaderboards.board import formats
from leaderboards.board.columns import Column, Content, measured
from leaderboards.board.entry import Entry
from leaderboards.board.labels import EQUAL_N, SETS
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

DISTANCES = ("fid", "kid")
"""Scores without a scale: of digits in the hundreds, of Inception's features a KID is some thousandths."""

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


def scale_of(measurement: Measurement | None, n: int | None = None) -> Scale | None:
    """The scale of a measurement's scores of n images (of all its draws unless given); None where nothing scored it, or its
    settings do not say what did. A score's own n counts: draws that failed are in none."""
    if measurement is None:
        return None
    extractor, real = measurement.settings.get("extractor"), measurement.settings.get("train")
    if not isinstance(extractor, dict) or not isinstance(real, dict):
        return None
    name, digest, fingerprint = extractor.get("name"), extractor.get("sha256"), real.get("fingerprint")
    if not (isinstance(name, str) and isinstance(digest, str) and isinstance(fingerprint, str)):
        return None
    return Scale(name, digest, measurement.n if n is None else n, fingerprint)


def _generation(entry: Entry) -> Measurement | None:
    return entry.record.measurements.get(MEASURE) if entry.record else None


def _score(scale: Scale, name: str) -> Callable[[Entry], Content]:
    def get(entry: Entry) -> Content:
        value = entry.measured(MEASURE, name)
        return value if value is not None and scale_of(_generation(entry), value.n) == scale else None

    return get


def seconds_per_thousand(measurement: Measurement) -> float | None:
    """Compute time per 1,000 images, scoring included."""
    return 1000 * measurement.seconds / measurement.n if measurement.n else None


def _seconds(scale: Scale) -> Callable[[Entry], Content]:
    def get(entry: Entry) -> Content:
        found = _generation(entry)
        return seconds_per_thousand(found) if found is not None and scale_of(found) == scale else None

    return get


def _scored(said: Mapping[Name, Quantity]) -> tuple[str, ...]:
    """Scores with a column, in their order."""
    more = (value for (measure, value), quantity in said.items() if measure == MEASURE and quantity.kind == "headline")
    return tuple(dict.fromkeys((*SCORED, *more)))


def _columns(scale: Scale, said: Mapping[Name, Quantity], entries: Sequence[Entry]) -> tuple[Column, ...]:
    group = f"Generation, {formats.count(scale.images)} images, {scale.label}"
    key = f"{scale.extractor}_{scale.sha256[:8]}_{scale.images}_{scale.real[:8]}"
    by = (
        f"{formats.count(scale.images)} images, by {scale.extractor} (sha256 {scale.sha256[:16]}…). It compares with scores"
        " by this extractor, of as many images, alone"
    )

    def score(name: str) -> Column:
        quantity = said.get((MEASURE, name)) or assumed(name)
        of_it = measured(MEASURE, name, group, quantity, key=f"{name}_{key}")
        title = says(quantity, f" of {by}")
        write = of_it.write if quantity.unit else writer(name)
        return replace(of_it, title=title, get=_score(scale, name), write=write)

    scores = tuple(score(name) for name in _scored(said))
    if all(scale_of(_generation(entry)) != scale for entry in entries):
        # some draws of each entrant failed: only what is of the others stands here
        return tuple(column for column in scores if any(column.get(entry) is not None for entry in entries))
    return (
        *scores,
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
    said = declared(entry.record for entry in entries if entry.record)
    scales: set[Scale | None] = set()
    for entry in entries:
        values = (entry.measured(MEASURE, name) for name in _scored(said))
        numbers = {None, *(value.n for value in values if value is not None)}
        scales |= {scale_of(_generation(entry), n) for n in numbers}
    ordered = sorted((scale for scale in scales if scale), key=lambda s: (-s.images, s.extractor, s.sha256, s.real))
    return tuple(column for scale in ordered for column in _columns(scale, said, entries))


def with_generation(columns: Sequence[Column], entries: Sequence[Entry]) -> tuple[Column, ...]:
    """Columns with those of generation before what describes the model."""
    place = next((i for i, column in enumerate(columns) if column.key == "architecture"), len(columns))
    return (*columns[:place], *generation_columns(entries), *columns[place:])


@dataclass(frozen=True)
class ScoreRow:
    """One set of n images and its scores as texts, in the order of SCORES (None: the record has no such score of n), with the
    reasons of those that are not there."""

    label: str
    images: int
    cells: tuple[str | None, ...]
    reasons: tuple[str, ...]

    @property
    def n(self) -> str:
        return formats.count(self.images)


@dataclass(frozen=True)
class ScoreTable:
    """Sets of one number of images, which compare: no score of another number stands here. `scores` are the places in SCORES
    that a row has."""

    images: int
    rows: tuple[ScoreRow, ...]

    @property
    def scores(self) -> tuple[int, ...]:
        return tuple(place for place in range(len(SCORES)) if any(row.cells[place] is not None for row in self.rows))

    @property
    def headings(self) -> tuple[str, ...]:
        return tuple(SCORES[place][1] for place in self.scores)

    def cells(self, row: ScoreRow) -> tuple[str, ...]:
        """Of one of its rows, under the headings."""
        return tuple(row.cells[place] or formats.NOTHING for place in self.scores)


def score_rows(measurement: Measurement) -> tuple[ScoreRow, ...]:
    """Generated images, the starts alone and held-out real ones: a row a set and number of images."""
    rows = []
    for prefix, label in SETS:
        of: dict[int, dict[str, Value]] = {}
        for key, _ in SCORES:
            for name in (f"{EQUAL_N}{prefix}{key}", f"{prefix}{key}"):
                if (value := measurement.values.get(name)) is not None:
                    of.setdefault(value.n, {}).setdefault(key, value)
        for n, values in of.items():
            reasons = tuple(dict.fromkeys(value.reason for value in values.values() if value.reason))
            cells = tuple(_text(values[key], key) if key in values else None for key, _ in SCORES)
            rows.append(ScoreRow(label, n, cells, reasons))
    return tuple(rows)


def score_tables(rows: Sequence[ScoreRow]) -> tuple[ScoreTable, ...]:
    """A table a number of images: first those that hold most sets beside each other, then those of more images."""
    found = {n: tuple(row for row in rows if row.images == n) for n in dict.fromkeys(row.images for row in rows)}
    tables = [ScoreTable(n, mine) for n, mine in found.items()]
    return tuple(sorted(tables, key=lambda t: (-len({row.label for row in t.rows}), -len(t.scores), -t.images)))


def _text(value: Value, key: str) -> str:
    return writer(key)(value.value, None) if value.value is not None else formats.NOTHING


def writer(name: str) -> Callable[[float, int | None], str]:
    """What writes a score: distances, whose size depends on the extractor, by digits that say something."""
    return formats.score if name.removesuffix(".sd").rpartition(".")[2] in DISTANCES else formats.decimal
