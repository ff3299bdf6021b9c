"""Two entrants on the same examples, compared pair by pair: which images only one of them keeps, and how the energies differ.

Flags: the exact two-sided McNemar test (McNemar 1947), which is the binomial test of a fair coin on the examples that only one
has right, and Agresti and Min's interval of the difference. Energies: Student's paired t test. Nothing is corrected for the
number of rows: read the one that was asked about. What is compared must have been found alike: other data, another suite
version or threat model, or another attack, is refused. Seeds, batch sizes and the precision of a search may differ: they draw
the same attacks anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from harness.check.baseline import FLAGS, KEPT, Baseline, baseline_of
from harness.check.conditions import Difference, MeasureInfo, differences, listed
from harness.check.measured import Measured, measured_on_disk
from harness.check.series import SERIES, arrays_of, series
from harness.check.statistics import LEVEL, difference_interval, paired_change, two_sided
from harness.errors import BadInput

DRAWN = ("seed", "batch_size", "search")
"""Settings that draw an attack anew and change nothing of what is asked."""

UNDER = {"standard": "on natural images", "pgd": "under PGD-20", "autoattack": "under AutoAttack"}
"""The accuracies, as a sentence names them. `robust`, both attacks together, is for gates: here each has a row of its own."""

STRONGEST = ("autoattack", "pgd", "standard")
"""Which accuracy the one sentence is about: the first of these that both have."""


@dataclass(frozen=True)
class AccuracyDifference:
    """The examples that both entrants were asked about, by what each got right. `difference` is b's accuracy less a's, in
    [-1,1], with its interval; `p` is two-sided, of no difference."""

    name: str
    a: float
    b: float
    difference: float
    low: float
    high: float
    level: float
    p: float
    lost: tuple[int, ...]
    """The examples (indices) that a has right and b has not."""
    gained: tuple[int, ...]
    """The examples (indices) that b has right and a has not."""
    n: int


@dataclass(frozen=True)
class EnergyDifference:
    """Two means of an energy over n examples, in the units of the logits. `difference` is b's less a's, with its interval; `p`
    is two-sided, of no difference."""

    name: str
    a: float
    b: float
    difference: float
    low: float
    high: float
    level: float
    p: float
    n: int


@dataclass(frozen=True)
class Comparison:
    """What two entrants have right, and their energies, on the same examples. At least one accuracy is there."""

    suite: str
    a: str
    b: str
    accuracies: tuple[AccuracyDifference, ...]
    energies: tuple[EnergyDifference, ...]

    def accuracy(self, name: str) -> AccuracyDifference:
        """The row of "standard", "pgd" or "autoattack". Raises BadInput where one of the two has no such flags."""
        for row in self.accuracies:
            if row.name == name:
                return row
        has = ", ".join(row.name for row in self.accuracies)
        raise BadInput(f"expected an accuracy that both have, got {name!r}; it is one of {has}, or measure it for both")

    def __str__(self) -> str:
        row = next(row for name in STRONGEST for row in self.accuracies if row.name == name)
        keeper, loser, kept, lost = self.a, self.b, len(row.lost), len(row.gained)
        if lost > kept:
            keeper, loser, kept, lost = loser, keeper, lost, kept
        where = f"({UNDER[row.name]}, {row.n} images)"
        if not kept:
            return f"{self.a} and {self.b} keep the same images {where}"
        images = "image" if kept == 1 else "images"
        return f"{keeper} keeps {kept} {images} that {loser} loses and loses {lost or 'none'} of its: p = {row.p:.2g} {where}"

    def to_frame(self) -> pd.DataFrame:
        """One row an accuracy or energy, by its name; `lost` and `gained` are counts, <NA> for energies."""
        rows = [{**asdict(row), "lost": len(row.lost), "gained": len(row.gained)} for row in self.accuracies]
        rows += [asdict(row) for row in self.energies]
        columns = ["name", "a", "b", "difference", "low", "high", "level", "p", "lost", "gained", "n"]
        frame = pd.DataFrame(rows, columns=columns).set_index("name")
        return frame.astype({"lost": "Int64", "gained": "Int64"})


def compare(a: Measured | Path | str, b: Measured | Path | str) -> Comparison:
    """Compare two records of one suite, example by example, in what both have measured.

    Each is what `harness.judge` gave, or the path of a record file (with its arrays where `harness run` puts them).

    Raises BadInput where they are of other data, another suite version or threat model, other examples, other versions or
    settings of a measure that both have, or have no per-sample flags in common; RecordError for lost arrays.
    """
    first, second = (baseline_of(measured_on_disk(Path(one)) if isinstance(one, Path | str) else one) for one in (a, b))
    _refuse_apart(first, second)
    accuracies = tuple(_accuracy(name, first, second) for name in UNDER if _both_have(name, first, second))
    if not accuracies:
        raise BadInput(
            f"expected two records with flags by example of one measure, got {', '.join(first.arrays)} of"
            f" {first.description.entrant} and {', '.join(second.arrays)} of {second.description.entrant}; measure both alike"
        )
    energies = tuple(
        _energy(name, first.arrays, second.arrays)
        for name in SERIES
        if first.examples > 1 and {*arrays_of(name)} <= first.arrays.keys() & second.arrays.keys()
    )
    return Comparison(first.description.suite.name, *_names(first, second), accuracies, energies)


def _refuse_apart(first: Baseline, second: Baseline) -> None:
    """Raises BadInput, with the differences named, where the two were not found alike."""
    one, other = first.description, second.description
    compared = {name: _asked(info) for name, info in one.measures.items() if name in KEPT and name in other.measures}
    others = {name: _asked(other.measures[name]) for name in compared}
    apart = differences(one.suite, compared, other.suite, others)
    if first.examples != second.examples:
        apart.append(Difference("examples", first.examples, second.examples))
    if apart:
        then, now = listed(apart)
        raise BadInput(
            f"expected two records that were found alike, got {then} of {one.entrant} and {now} of {other.entrant};"
            " judge both on one suite, with the same measures"
        )


def _asked(info: MeasureInfo) -> MeasureInfo:
    """How a measure was taken, less what only draws its random numbers."""
    settings = {key: value for key, value in info.settings.items() if key not in DRAWN}
    return info.model_copy(update={"seed": 0, "settings": settings})


def _both_have(name: str, first: Baseline, second: Baseline) -> bool:
    return all(FLAGS[name] in one.arrays for one in (first, second))


def _accuracy(name: str, first: Baseline, second: Baseline) -> AccuracyDifference:
    was, now = first.flags(name), second.flags(name)
    lost, gained, n = np.flatnonzero(was & ~now).tolist(), np.flatnonzero(~was & now).tolist(), len(was)
    low, high = difference_interval(len(lost), len(gained), n)
    return AccuracyDifference(
        name=name,
        a=float(was.mean()),
        b=float(now.mean()),
        difference=(len(gained) - len(lost)) / n,
        low=low,
        high=high,
        level=LEVEL,
        p=two_sided(len(lost), len(gained)),
        lost=tuple(lost),
        gained=tuple(gained),
        n=n,
    )


def _energy(name: str, first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]) -> EnergyDifference:
    was, now = series(first, name), series(second, name)
    change = paired_change(was, now, "either", 0.0, 1 - LEVEL)
    assert change.low is not None
    assert change.high is not None
    assert change.p is not None
    return EnergyDifference(
        name=name,
        a=float(was.mean()),
        b=float(now.mean()),
        difference=change.worsening,
        low=change.low,
        high=change.high,
        level=LEVEL,
        p=change.p,
        n=len(was),
    )


def _names(first: Baseline, second: Baseline) -> tuple[str, str]:
    """The entrants' names; with the start of their weights' sha256 where both have one name."""
    one, other = first.description, second.description
    if one.entrant != other.entrant:
        return one.entrant, other.entrant
    return f"{one.entrant} ({one.weights_sha256[:12]})", f"{other.entrant} ({other.weights_sha256[:12]})"
