"""What a board shows of an entry: one `Column` a number or text, all of them listed in the tuples at the end.

The tuples say which columns there are, in which order and under which group. How a measured number is to be read (title, unit,
which way is better) is declared by its measure and stands in the records: `measures` puts it on the columns, and adds those of
measures that are not named here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from leaderboards.board import formats
from leaderboards.board.entry import Entry
from leaderboards.board.labels import CALIBRATED, STAGES
from leaderboards.board.quantities import assumed, plain, says
from leaderboards.records.schema import Quantity, Value, is_number

Content = Value | float | str | None
Kind = Literal["rank", "entrant", "number", "text", "notes"]


@dataclass(frozen=True)
class Source:
    """The measured value that a column shows, and how it is to be read. `heading` is what this board calls it in any case."""

    measure: str
    value: str
    quantity: Quantity
    heading: str = ""


@dataclass(frozen=True)
class Column:
    """One column of a board.

    `key` names it in the DataFrame, `heading` on the page (under `group`, where neighbours share one), `title` explains
    it. `get` takes it from an entry: a Value brings its interval along; None where there is nothing. `write` turns a
    number (and the n that it rests on) into text. `better` says which direction is, where one is. `bar` draws the
    interval on a scale that the columns of its group share. `essential` columns stand on a page even when empty.
    `source` is the measured value that it shows, where it shows one. `order` gives what it sorts by, where that is not what
    it shows.
    """

    key: str
    heading: str
    title: str
    get: Callable[[Entry], Content]
    kind: Kind = "number"
    write: Callable[[float, int | None], str] = formats.decimal
    better: Literal["higher", "lower", ""] = ""
    group: str = ""
    bar: bool = False
    essential: bool = False
    source: Source | None = None
    order: Callable[[Entry], float | None] | None = None

    @property
    def numeric(self) -> bool:
        return self.kind in ("number", "rank")


def number_of(content: Content) -> float | None:
    """The bare number of a content; None where it holds none."""
    if isinstance(content, Value):
        return content.value
    return None if isinstance(content, str) else content


def measured(
    measure: str,
    value: str,
    group: str,
    quantity: Quantity | None = None,
    *,
    key: str = "",
    heading: str = "",
    bar: bool = False,
) -> Column:
    """The column of a measured value. Without `quantity` it says what the value's name tells."""
    said = quantity or assumed(value)
    return Column(
        key or value,
        heading or plain(said.heading, 60),
        says(said),
        lambda entry: entry.measured(measure, value),
        write=formats.by_unit(said.unit),
        better="" if said.better == "neither" else said.better,
        group=group,
        bar=bar and said.unit == "fraction",
        source=Source(measure, value, said, heading),
    )


def _published(field: str) -> Callable[[Entry], Content]:
    return lambda entry: getattr(entry.published, field) if entry.published else None


def _difference(measure: str, value: str) -> Callable[[Entry], Content]:
    def get(entry: Entry) -> float | None:
        measured, published = entry.measured(measure, value), getattr(entry.published, value, None)
        if measured is None or not is_number(measured.value) or not is_number(published):
            return None
        return measured.value - published

    return get


def _additional_data(entry: Entry) -> str:
    return {True: "yes", False: "no", None: ""}[entry.additional_data]


ROBUST = "Robust accuracy, %"
STANDARD = "Standard accuracy, %"
ENERGY = "Energy"
SMOOTH = "Smoothness"
MODEL = "Model"
RUN = "Run"

RANK = Column(
    "rank",
    "Rank",
    "Place by robust accuracy; equal accuracies share a place. Measured AutoAttack accuracy where there is one (of a"
    " bounded one the low end), or what is best known here where that is lower; else the best known published one, else the"
    " published AutoAttack accuracy.",
    lambda entry: entry.rank, kind="rank", write=formats.count, better="lower", essential=True,
    order=lambda entry: entry.place,
)  # fmt: skip
ENTRANT = Column(
    "entrant",
    "Entrant",
    "The classifier, with its paper. A measured one links to all that was measured of it.",
    lambda entry: entry.name, kind="entrant", essential=True,
)  # fmt: skip
RANKED_BY = Column(
    "ranked_by",
    "Ranked by",
    "'measured': measured here; 'measured, best known': measured here, and images found beside AutoAttack break more;"
    " 'measured, bounded': measured here, not to the end: an interval that holds the number; 'published': only what others"
    " publish, not measured here; 'not ranked': neither.",
    lambda entry: str(entry.ranking[1]) if entry.ranking else "not ranked",
    kind="text", essential=True,
)  # fmt: skip
AUTOATTACK = measured("autoattack", "autoattack_accuracy", ROBUST, heading="Measured", bar=True)
BEST_KNOWN = Column(
    "measured_best_known_accuracy",
    "Best known, here",
    "Share of examples that nothing has broken: neither AutoAttack, nor images that were handed in, nor images that were made"
    " for another entrant. Each of these images is kept, and was shown to the classifier here.",
    lambda entry: entry.best_known, write=formats.percent, better="higher", group=ROBUST, bar=True,
)  # fmt: skip
STANDARD_ACCURACY = measured("standard", "standard_accuracy", STANDARD, heading="Measured", bar=True)
ENERGIES = (
    measured("energies", "marginal_energy.mean", ENERGY, key="marginal_energy_mean"),
    measured("energies", "pgd.delta_marginal_energy.mean", ENERGY, key="delta_marginal_energy_mean"),
    measured(
        "energies", "pgd.abs_delta_marginal_energy_calibrated.mean", ENERGY, key="abs_delta_marginal_energy_calibrated"
    ),
    measured("energies", "pgd.delta_marginal_energy_normalised.mean", ENERGY, key="delta_marginal_energy_normalised"),
)
SMOOTHNESS = tuple(
    measured("smoothness", f"{figure}.mean", SMOOTH, key=figure)
    for before in ("lipschitz_energy_normalised", "linearity_gap_normalised", "gradient_misalignment")
    for figure in (CALIBRATED[before], before)
)
ARCHITECTURE = Column(
    "architecture",
    "Architecture",
    "As its card names it.",
    lambda entry: entry.text("architecture"),
    "text",
    group=MODEL,
)
PARAMETERS = Column(
    "parameters",
    "Parameters",
    "Number of parameters of the measured classifier.",
    lambda entry: entry.record.entrant.parameters if entry.record else None,
    write=formats.quantity,
    group=MODEL,
)
ADDITIONAL_DATA = Column(
    "additional_data",
    "Extra data",
    "Whether data beside the suite's training set was used, as the card says; RobustBench does not count generated data.",
    _additional_data,
    kind="text",
    group=MODEL,
)
SECONDS = Column(
    "seconds",
    "Compute time",
    "Added over all measures and shards, on the device that the entrant's page names: not wall time.",
    lambda entry: entry.seconds,
    write=formats.duration,
    group=RUN,
)
MEASURED_AT = Column(
    "measured_at",
    "Date",
    "Day of the newest measurement, UTC.",
    lambda entry: formats.day(entry.measured_at),
    kind="text",
    group=RUN,
)
NOTES = Column(
    "notes",
    "Notes",
    "What a reader must know: warnings of the attacks, doubts of the publisher, runs that differ from the others.",
    lambda entry: "; ".join(entry.notes),
    kind="notes",
)

_REST = (*ENERGIES, *SMOOTHNESS, ARCHITECTURE, PARAMETERS, ADDITIONAL_DATA, SECONDS, MEASURED_AT, NOTES)

COLUMNS: tuple[Column, ...] = (
    RANK,
    ENTRANT,
    RANKED_BY,
    AUTOATTACK,
    BEST_KNOWN,
    Column(
        "published_autoattack_accuracy",
        "Published",
        "AutoAttack accuracy that others publish.",
        _published("autoattack_accuracy"),
        write=formats.percent,
        better="higher",
        group=ROBUST,
    ),
    Column(
        "autoattack_difference",
        "Difference",
        "Measured less published AutoAttack accuracy, in percentage points.",
        _difference("autoattack", "autoattack_accuracy"),
        write=formats.points,
        group=ROBUST,
    ),
    Column(
        "best_known_accuracy",
        "Best known",
        "Robust accuracy under the strongest attack that others publish, where it goes below AutoAttack.",
        _published("best_known_accuracy"),
        write=formats.percent,
        better="higher",
        group=ROBUST,
    ),
    STANDARD_ACCURACY,
    Column(
        "published_standard_accuracy",
        "Published",
        "Standard accuracy that others publish.",
        _published("standard_accuracy"),
        write=formats.percent,
        better="higher",
        group=STANDARD,
    ),
    Column(
        "standard_difference",
        "Difference",
        "Measured less published standard accuracy, in percentage points.",
        _difference("standard", "standard_accuracy"),
        write=formats.points,
        group=STANDARD,
    ),
    *_REST,
)
"""Of the main table."""

STAGE_COLUMNS: tuple[Column, ...] = (
    RANK,
    ENTRANT,
    *(
        measured(
            "autoattack",
            f"accuracy_after.{key}",
            ROBUST,
            key=f"accuracy_after_{key}",
            heading=f"After {heading}",
            bar=True,
        )
        for key, heading in STAGES
    ),
)
"""Of the table that shows what each stage of AutoAttack still breaks; measured entrants only."""
