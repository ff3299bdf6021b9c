"""An entry: one line of a board, made of what was measured of an entrant, what is published of it, or both."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import UTC, datetime
from enum import StrEnum

from leaderboards.records.home import Home
from leaderboards.records.schema import Record, Value, is_number
from leaderboards.records.standing import Standing


@dataclass(frozen=True)
class Published:
    """What others publish of one entrant: fractions in [0,1], None where nothing is published.

    `best_known_accuracy` is the lowest robust accuracy that any published attack has reached, where it is below
    AutoAttack's. `unreliable` says that the publisher does not trust its own AutoAttack figure: it is then too high.
    """

    name: str
    standard_accuracy: float | None = None
    autoattack_accuracy: float | None = None
    best_known_accuracy: float | None = None
    architecture: str = ""
    title: str = ""
    authors: str = ""
    venue: str = ""
    link: str = ""
    additional_data: bool | None = None
    unreliable: bool = False

    def __post_init__(self) -> None:
        for field in fields(self):
            number = getattr(self, field.name)
            if field.name.endswith("_accuracy") and number is not None and not 0 <= number <= 1:
                raise ValueError(f"expected {field.name} of {self.name!r} in [0,1], got {number}; is it in percent?")


class Basis(StrEnum):
    """What an entry is ranked by."""

    MEASURED = "measured"
    MEASURED_BEST_KNOWN = "measured, best known"
    BOUNDED = "measured, bounded"
    BEST_KNOWN = "published, best known"
    PUBLISHED = "published"


@dataclass(frozen=True)
class Entry:
    """One entrant on one suite: at least one of `record` and `published` is there. `notes` are words for its row.

    `place` is where it stands in the order of its board (1 first, level ones share it; None without a robust accuracy), `rank`
    its place among those that are ranked there: on the board of the first examples, the measured ones.
    `home` is where the record lives, and its arrays beside it; None for a record in memory. `standing` says whether its file
    can be taken at its word; None where nobody looked.
    """

    record: Record | None = None
    published: Published | None = None
    rank: int | None = None
    notes: tuple[str, ...] = ()
    home: Home | None = None
    standing: Standing | None = None
    place: int | None = None

    @property
    def name(self) -> str:
        return self.record.entrant.name if self.record else self.published.name if self.published else ""

    def text(self, field: str) -> str:
        """A text of the card ('architecture', 'title', 'authors', 'venue', 'link'), else the published one."""
        measured = getattr(self.record.entrant, field) if self.record else ""
        return measured or (getattr(self.published, field) if self.published else "")

    @property
    def additional_data(self) -> bool | None:
        """Whether data beside the suite's training set was used; None where nobody has said."""
        known = self.record.entrant.additional_data if self.record else None
        return known if known is not None else self.published.additional_data if self.published else None

    def measured(self, measure: str, value: str) -> Value | None:
        """A measured number by its measure and name; None where it was not measured."""
        measurement = self.record.measurements.get(measure) if self.record else None
        return measurement.values.get(value) if measurement else None

    @property
    def best_known(self) -> Value | None:
        """The measured share of examples that nothing broke: AutoAttack, and what was found beside it; None without that."""
        return self.record.best_known.value if self.record and self.record.best_known else None

    @property
    def seconds(self) -> float | None:
        """Compute time over all measures."""
        return sum(m.seconds for m in self.record.measurements.values()) if self.record else None

    @property
    def examples(self) -> int | None:
        """Examples that every measurement of the record rests on."""
        if self.record is None:
            return None
        found = self.record.measurements
        # generated images are no examples of the suite
        return min((m.n for name, m in found.items() if name != "generation" or len(found) == 1), default=0)

    @property
    def measured_at(self) -> datetime | None:
        """When the last measurement was made; None where no measurement gives a time that can be read."""
        if self.record is None:
            return None
        times = [moment(m.provenance.measured_at) for m in self.record.measurements.values()]
        return max((time for time in times if time is not None), default=None)

    @property
    def ranking(self) -> tuple[float, Basis] | None:
        """The robust accuracy to rank by, and what it is; an upper bound on the true one in every case.

        Measured AutoAttack accuracy where it was measured, and below it what is best known here; else what is published: best
        known, else AutoAttack. Of a bounded one the low end: so it never stands above a number that its interval holds. None
        for a record that contradicts itself.
        """
        if self.standing is not None and self.standing.contradictions:
            return None
        measured = self.measured("autoattack", "autoattack_accuracy")
        if measured is not None and measured.bounded and measured.low is not None:
            return measured.low, Basis.BOUNDED
        if measured is not None and is_number(measured.value):
            known = self.best_known.value if self.best_known else None
            if is_number(known) and known < measured.value:
                return known, Basis.MEASURED_BEST_KNOWN
            return measured.value, Basis.MEASURED
        if self.published is None:
            return None
        if is_number(self.published.best_known_accuracy):
            return self.published.best_known_accuracy, Basis.BEST_KNOWN
        if is_number(self.published.autoattack_accuracy):
            return self.published.autoattack_accuracy, Basis.PUBLISHED
        return None


def moment(text: str) -> datetime | None:
    """A time of a record (ISO 8601, UTC where it names no zone); None for any other text."""
    try:
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
