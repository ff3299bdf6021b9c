"""What a board shows of an entry: one `Column` a number or text, all of them listed in the tuples at the end.

To add a column, add it to a tuple: the tables, the pages, the sorting and the legend follow from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from leaderboards.board import formats
from leaderboards.board.entry import Entry
from leaderboards.board.labels import STAGES
from leaderboards.records.schema import Value, is_number

Content = Value | float | str | None
Kind = Literal["rank", "entrant", "number", "text", "notes"]


@dataclass(frozen=True)
class Column:
    """One column of a board.

    `key` names it in the DataFrame, `heading` on the page (under `group`, where neighbours share one), `title` explains
    it. `get` takes it from an entry: a Value brings its interval along; None where there is nothing. `write` turns a
    number (and the n that it rests on) into text. `better` says which direction is, where one is. `bar` draws the
    interval on a scale that the columns of its group share. `essential` columns stand on a page even when empty.
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

    @property
    def numeric(self) -> bool:
        return self.kind in ("number", "rank")


def number_of(content: Content) -> float | None:
    """The bare number of a content; None where it holds none."""
    if isinstance(content, Value):
        return content.value
    return None if isinstance(content, str) else content


def _measured(measure: str, value: str) -> Callable[[Entry], Content]:
    return lambda entry: entry.measured(measure, value)


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
    "Place by robust accuracy; equal accuracies share a place. Measured AutoAttack accuracy where there is one, else"
    " the best known published one, else the published AutoAttack accuracy.",
    lambda entry: entry.rank,
    kind="rank",
    write=formats.count,
    better="lower",
    essential=True,
)
ENTRANT = Column(
    "entrant",
    "Entrant",
    "The classifier, with its paper. A measured one links to all that was measured of it.",
    lambda entry: entry.name,
    kind="entrant",
    essential=True,
)
RANKED_BY = Column(
    "ranked_by",
    "Ranked by",
    "'measured': measured here; 'published': only what others publish, not measured here; 'not ranked': neither.",
    lambda entry: str(entry.ranking[1]) if entry.ranking else "not ranked",
    kind="text",
    essential=True,
)
AUTOATTACK = Column(
    "autoattack_accuracy",
    "Measured",
    "Share of examples that stay correct under AutoAttack, measured here, with its interval: an upper bound on the true"
    " robust accuracy.",
    _measured("autoattack", "autoattack_accuracy"),
    write=formats.percent,
    better="higher",
    group=ROBUST,
    bar=True,
)
STANDARD_ACCURACY = Column(
    "standard_accuracy",
    "Measured",
    "Share of unchanged examples that are classified correctly, measured here, with its interval.",
    _measured("standard", "standard_accuracy"),
    write=formats.percent,
    better="higher",
    group=STANDARD,
    bar=True,
)
ENERGIES = (
    Column(
        "marginal_energy_mean",
        "Mean E(x)",
        "Marginal energy of the unchanged examples, E(x) = -logsumexp of the logits. It scales with the logits.",
        _measured("energies", "marginal_energy.mean"),
        group=ENERGY,
    ),
    Column(
        "delta_marginal_energy_mean",
        "Mean ΔE(x)",
        "Mean of E(x) - E(x_adv) under PGD: negative where the attacked examples have the higher energy.",
        _measured("energies", "pgd.delta_marginal_energy.mean"),
        group=ENERGY,
    ),
    Column(
        "delta_marginal_energy_normalised",
        "Mean |ΔE(x)| / sd",
        "Mean |E(x) - E(x_adv)| over the standard deviation of E(x): it does not depend on the scale of the logits."
        " Small where the energy is smooth.",
        _measured("energies", "pgd.delta_marginal_energy_normalised.mean"),
        better="lower",
        group=ENERGY,
    ),
)
SMOOTHNESS = (
    Column(
        "lipschitz_energy_normalised",
        "Lipschitz of E / sd",
        "Largest |E(x) - E(x')| / ||x - x'|| found in the ball, over the standard deviation of E(x): small where the energy"
        " is smooth.",
        _measured("smoothness", "lipschitz_energy_normalised.mean"),
        better="lower",
        group=SMOOTH,
    ),
    Column(
        "linearity_gap_normalised",
        "Linearity gap / sd",
        "Largest distance of the cross-entropy from its tangent found in the ball, over the standard deviation of E(x):"
        " small where the loss is straight.",
        _measured("smoothness", "linearity_gap_normalised.mean"),
        better="lower",
        group=SMOOTH,
    ),
    Column(
        "gradient_misalignment",
        "1 − cos",
        "1 less the cosine between the gradients of the cross-entropy at the image and at random points of the ball: 0 where"
        " they are aligned.",
        _measured("smoothness", "gradient_misalignment.mean"),
        better="lower",
        group=SMOOTH,
    ),
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

COLUMNS: tuple[Column, ...] = (
    RANK,
    ENTRANT,
    RANKED_BY,
    AUTOATTACK,
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
    *ENERGIES,
    *SMOOTHNESS,
    ARCHITECTURE,
    PARAMETERS,
    ADDITIONAL_DATA,
    SECONDS,
    MEASURED_AT,
    NOTES,
)
"""Of the main table."""

STAGE_COLUMNS: tuple[Column, ...] = (
    RANK,
    ENTRANT,
    *(
        Column(
            f"accuracy_after_{key}",
            f"After {heading}",
            f"Robust accuracy when AutoAttack has run up to and with {heading}.",
            _measured("autoattack", f"accuracy_after.{key}"),
            write=formats.percent,
            better="higher",
            group=ROBUST,
            bar=True,
        )
        for key, heading in STAGES
    ),
)
"""Of the table that shows what each stage of AutoAttack still breaks; measured entrants only."""

PARTIAL_COLUMNS: tuple[Column, ...] = (
    ENTRANT,
    Column(
        "examples",
        "Examples",
        "Examples that were judged: the first ones of the suite.",
        lambda entry: entry.examples,
        write=formats.count,
        essential=True,
    ),
    AUTOATTACK,
    STANDARD_ACCURACY,
    *ENERGIES,
    *SMOOTHNESS,
    ARCHITECTURE,
    PARAMETERS,
    ADDITIONAL_DATA,
    SECONDS,
    MEASURED_AT,
    NOTES,
)
"""Of the table of partial runs, which has no ranks."""
