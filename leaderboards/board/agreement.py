"""How a record agrees with the published one of the same name: what a reader must know to trust either.

Flags (bool and whole numbers by example) are compared exactly. Other numbers differ in their last digits from processor to
processor, for each adds in an order of its own. A difference is a share of the largest number of its array: of an energy that
is the difference of two large ones, only the digits that the large ones had can be asked for.

See `rounding`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from leaderboards.board.formats import percent
from leaderboards.board.rounding import ROUNDING, apart_by_example, power, values_apart, without_turned
from leaderboards.records.arrays import measured_arrays
from leaderboards.records.home import Home
from leaderboards.records.schema import Measurement, Record, RecordError, Value, is_number

HEADLINES = (
    ("autoattack", "autoattack_accuracy", "AutoAttack"),
    ("standard", "standard_accuracy", "standard accuracy"),
)

MOST = 3
"""Values that differ and are named."""

NOT_COMPARED = ("shard_size",)
"""Settings that say how the work was cut up."""


@dataclass(frozen=True)
class MeasureAgreement:
    """One measure of both records. `reason` says why it does not compare; else of `n` examples `differ` have another flag (None
    without flags). Numbers differ by `apart` (None without numbers) as a share of the largest of their array: in all examples
    but the `turned`, where these are few; those differ by `farthest`, most in `array`. `words` say what else is not the same:
    arrays that one alone has, values that differ."""

    measure: str
    n: int = 0
    reason: str = ""
    differ: int | None = None
    apart: float | None = None
    turned: int = 0
    farthest: float = 0.0
    array: str = ""
    words: tuple[str, ...] = ()

    @property
    def within(self) -> bool:
        """Whether both found the same, but for rounding."""
        return not self.reason and not self.differ and not self.words and (self.apart or 0.0) <= ROUNDING

    @property
    def line(self) -> str:
        """All that is to be said of this measure."""
        if self.reason:
            return f"{self.measure} is not compared: {self.reason}"
        flags = () if self.differ is None else (f"{self.differ} of {self.n} flags differ",)
        return f"{self.measure}: {', '.join((*flags, *self.numbers, *self.words))}"

    @property
    def numbers(self) -> tuple[str, ...]:
        """How far the numbers are apart; empty without numbers."""
        if self.apart is None:
            return ()
        if self.apart == 0:
            return (f"numbers are equal{self.but}",)
        if self.apart <= ROUNDING:
            return (f"numbers within {power(self.apart)}{self.but}",)
        if not math.isfinite(self.apart):
            return (f"numbers of {self.array} are finite in one record alone",)
        return (f"numbers differ by {power(self.apart)}, {self.apart / ROUNDING:,.0f} times rounding ({self.array})",)

    @property
    def but(self) -> str:
        """The examples whose search ended elsewhere; empty without any."""
        return f" but for {self.turned} of {self.n} examples ({power(self.farthest)})" if self.turned else ""


@dataclass(frozen=True)
class Agreement:
    """A record beside the published one of its name. `reason` says why nothing compares; `headline` is the accuracy of both,
    `best_known` what is best known of both where that is not the same."""

    entrant: str
    reason: str = ""
    headline: str = ""
    best_known: str = ""
    measures: tuple[MeasureAgreement, ...] = ()

    @property
    def within(self) -> bool:
        """Whether every measure that the record has was published too and agrees, but for rounding."""
        return not self.reason and bool(self.measures) and all(measure.within for measure in self.measures)

    @property
    def note(self) -> str:
        """What its row on a board says; empty where there is nothing to say."""
        if self.reason:
            return self.reason
        apart = [one for one in self.measures if not one.within and not one.reason]
        differs = f"differs from the published record in {', '.join(one.measure for one in apart)}" if apart else ""
        return "; ".join(part for part in (differs, self.best_known) if part)

    @property
    def line(self) -> str:
        """All of it on one line. What differs or does not compare comes first, and then the names of what agrees."""
        if self.reason:
            return self.reason
        fine = [one for one in self.measures if one.within]
        counts = sorted({one.n for one in fine if one.differ is not None})
        numbers = [one for one in fine if one.apart is not None]
        odd = [one.line for one in self.measures if not one.within]
        parts = [self.headline] if self.headline else []
        if counts and not odd:
            parts.append(f"0 of {' and of '.join(f'{n:,}' for n in counts)} flags differ")
        if not odd:
            parts += [
                f"{one.measure} {f'within {power(one.apart)}' if one.apart else 'equal'}{one.but}" for one in numbers
            ]
        said = f"as published here: {', '.join(parts)}" if parts else "published here too"
        beside = [self.best_known] if self.best_known else []
        agree = [f"the same: {', '.join(one.measure for one in fine)}"] if odd and fine else []
        return "; ".join([said, *beside, *odd, *agree])

    @property
    def sentence(self) -> str:
        return f"{self.line[:1].upper()}{self.line[1:]}."


def agreement_of(mine: Record, home: Home, published: Record, there: Home) -> Agreement:
    """How a record agrees with the published one; arrays are read where each of the two lives."""
    return agreement(mine, _arrays(mine, home), published, _arrays(published, there))


def _arrays(record: Record, home: Home) -> dict[str, Mapping[str, np.ndarray]]:
    """Per-sample arrays by measure; a measure whose file is not there, or not sound, is left out."""
    found: dict[str, Mapping[str, np.ndarray]] = {}
    for name, measurement in record.measurements.items():
        try:
            found[name] = measured_arrays(home.arrays, measurement)
        except RecordError:
            continue
    return found


def agreement(
    mine: Record,
    arrays: Mapping[str, Mapping[str, np.ndarray]],
    published: Record,
    theirs: Mapping[str, Mapping[str, np.ndarray]],
) -> Agreement:
    """How a record agrees with the published one of its name, from the per-sample arrays of both by measure and name."""
    name = mine.entrant.name
    suites = [one.suite for one in (mine, published)]
    if mine.limit != published.limit:  # said below: the fingerprint of one may be that of a part alone
        suites = [suite.but_for_images() for suite in suites]
    if suites[0] != suites[1]:
        return Agreement(name, "the published record is of other images or under another threat model: not compared")
    if mine.entrant.weights_sha256 != published.entrant.weights_sha256:
        return Agreement(name, "the published record is of other weights: not compared")
    if mine.limit != published.limit:
        there, ours = (f"the first {one.limit} examples" if one.limit else "all examples" for one in (published, mine))
        return Agreement(name, f"the published record is of {there}, yours of {ours}: not compared")
    found = []
    for measure, one in mine.measurements.items():
        other = published.measurements.get(measure)
        if other is None:
            found.append(MeasureAgreement(measure, reason="it was not published"))
        elif reason := _other(one, other):
            found.append(MeasureAgreement(measure, reason=reason))
        else:
            found.append(_measured(one, arrays.get(measure), other, theirs.get(measure)))
    return Agreement(name, "", _headline(mine, published), _best_known(mine, published), tuple(found))


def _other(mine: Measurement, theirs: Measurement) -> str:
    """Why two measurements of one measure do not compare; empty where they do."""
    if mine.version != theirs.version:
        return f"yours is by version {mine.version} of the measure, the published one by version {theirs.version}"
    if mine.seed != theirs.seed:
        return f"your seed is {mine.seed}, the published one {theirs.seed}"
    if mine.n != theirs.n:
        return f"yours is of {mine.n} examples, the published one of {theirs.n}"
    if mine.provenance.precision != theirs.provenance.precision:
        return f"yours is in {mine.provenance.precision}, the published one in {theirs.provenance.precision}"
    keys = (mine.settings.keys() | theirs.settings.keys()) - set(NOT_COMPARED)
    apart = sorted(key for key in keys if mine.settings.get(key) != theirs.settings.get(key))
    return f"other settings ({', '.join(apart)})" if apart else ""


def _measured(
    mine: Measurement,
    arrays: Mapping[str, np.ndarray] | None,
    theirs: Measurement,
    published: Mapping[str, np.ndarray] | None,
) -> MeasureAgreement:
    words = []
    if arrays is None or published is None:
        whose = "your" if arrays is None else "the published"
        words.append(f"{whose} arrays are missing")
    ours, others = arrays or {}, published or {}
    alike = [name for name in ours if name in others and _alike(ours[name], others[name])]
    if arrays is not None and published is not None and (odd := sorted((ours.keys() | others.keys()) - set(alike))):
        words.append(f"arrays of one record alone, or of another shape: {', '.join(odd)}")
    flags = [name for name in alike if ours[name].dtype.kind in "bui"]
    numbers = {name: apart_by_example(ours[name], others[name]) for name in alike if ours[name].dtype.kind == "f"}
    apart, turned, farthest = without_turned(list(numbers.values()), mine.n)
    array = max(numbers, key=lambda name: float(numbers[name].max(initial=0.0)), default="")
    differ = _differ([ours[name] != others[name] for name in flags]) if flags else None
    values = values_apart(mine, theirs)
    if values and not differ:  # values follow from flags
        more = f" and {len(values) - MOST} more" if len(values) > MOST else ""
        words.append(f"values differ: {', '.join(values[:MOST])}{more}")
    return MeasureAgreement(
        measure=mine.measure,
        n=mine.n,
        differ=differ,
        apart=apart if numbers else None,
        turned=turned,
        farthest=farthest,
        array=array,
        words=tuple(words),
    )


def _alike(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and (a.dtype.kind in "bui") == (b.dtype.kind in "bui")


def _differ(apart: Sequence[np.ndarray]) -> int:
    """How many examples (the first axis) have a flag that differs in any of these arrays."""
    return int(
        np.logical_or.reduce([one.reshape(len(one), -1).any(1) if one.ndim else one[None] for one in apart]).sum()
    )


def _headline(mine: Record, published: Record) -> str:
    for measure, value, title in HEADLINES:
        found = [_value(record, measure, value) for record in (published, mine)]
        texts = [percent(one.value, one.n) for one in found if one is not None and is_number(one.value)]
        if len(texts) == 2:
            return f"{title} {texts[0]}, yours {texts[1]}"
    return ""


def _best_known(mine: Record, published: Record) -> str:
    """What is best known of both, by which they are ranked; empty where it is the same, or one of them has no AutoAttack."""
    found = [
        record.best_known.value if record.best_known else _value(record, *HEADLINES[0][:2])
        for record in (published, mine)
    ]
    texts = [percent(one.value, one.n) for one in found if one is not None and is_number(one.value)]
    if (mine.best_known is published.best_known is None) or len(texts) < 2 or texts[0] == texts[1]:
        return ""
    return f"best known {texts[0]} as published, yours {texts[1]}"


def _value(record: Record, measure: str, value: str) -> Value | None:
    found = record.measurements.get(measure)
    return found.values.get(value) if found else None
