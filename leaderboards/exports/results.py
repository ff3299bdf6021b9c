"""The headlines of a record, and which of them can be given as a number.

A value of which only an interval is known has no score: its two ends are given as results of their own, named as bounds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from leaderboards.records.schema import Quantity, Record, Value, is_number

ALWAYS = {("standard", "standard_accuracy"), ("autoattack", "autoattack_accuracy")}
"""Headlines even of a record that does not call them so."""

BEST_KNOWN = Quantity(
    title="Best known robust accuracy",
    unit="fraction",
    better="higher",
    kind="headline",
    description="Share of examples that nothing known breaks: AutoAttack, and the images that were found beside it.",
)


@dataclass(frozen=True)
class Headline:
    """A value of a record that stands for a measure, and how it is to be read."""

    measure: str
    name: str
    value: Value
    said: Quantity


@dataclass(frozen=True)
class Result:
    """A headline as a number. `bound` is empty, or says which end of the value's interval the score is."""

    of: Headline
    score: float
    bound: str = ""

    @property
    def key(self) -> str:
        """Its name among the record's results."""
        return ".".join(part for part in (self.of.measure, self.of.name, self.bound) if part)

    @property
    def words(self) -> str:
        """What a reader of a bound must know; empty for a number."""
        if not self.bound:
            return ""
        return (
            f"Not the value itself, which was not computed: the {self.bound.replace('_', ' ')} of an interval that holds it,"
            f" {self.of.value.low} to {self.of.value.high}."
        )


def headlines(record: Record) -> Iterator[Headline]:
    """The headlines of every measure in the record's order, then what is best known."""
    for measure, found in record.measurements.items():
        for name, value in found.values.items():
            said = found.quantities.get(name)
            if (said is not None and said.kind == "headline") or (measure, name) in ALWAYS:
                yield Headline(measure, name, value, said or Quantity(title=name))
    if record.best_known is not None:
        yield Headline("best_known", "best_known_accuracy", record.best_known.value, BEST_KNOWN)


def exported_results(record: Record) -> tuple[list[Result], dict[str, str]]:
    """Every headline as results with a score, and the reasons of those that have no number, by their name."""
    results: list[Result] = []
    without: dict[str, str] = {}
    for one in headlines(record):
        value = one.value
        if value.bounded and value.low is not None and value.high is not None:
            results += [Result(one, value.low, "lower_bound"), Result(one, value.high, "upper_bound")]
        elif is_number(value.value):
            results.append(Result(one, value.value))
        else:
            without[f"{one.measure}.{one.name}"] = value.reason or "not a finite number"
    return results, without
