"""What must hold of a record by itself: its numbers against each other, against its arrays, and against its witnesses.

No classifier is asked, so this is held whenever pages are made. It finds a record that contradicts itself; numbers that agree
with each other and are all wrong pass. `harness verify` asks the classifier.

What may differ by design: the single attacks of `energies` start elsewhere than AutoAttack's stages, and each sees every
example. One of them may break an example that AutoAttack left, or right one that is wrong, in `BY_DESIGN` of the examples at
most; attacks that do not aim at the label may right any number. And logits that tie may be told apart otherwise in another
batch, in `TIED` of the examples at most.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from leaderboards.records.ranges import CLOSE, PER_EXAMPLE, close, impossible, is_wilson
from leaderboards.records.schema import Record, is_number
from leaderboards.records.witnesses import Packed

STAGES = ("apgd-ce", "apgd-t", "fab-t", "square")
"""Of AutoAttack, in its order. An example that survives all has their number as its stage."""

SURVIVED, MISCLASSIFIED = len(STAGES), -1

BY_DESIGN = 0.02
"""Of the examples: how far a single attack may go below AutoAttack, and above standard accuracy; two examples always may."""

NOT_AT_THE_LABEL = ("pgd-random-target", "pgd-least-likely", "kl-pgd")
"""Attacks of `energies` that do not lead away from the label: where the natural image is wrong, they may right it."""

TIED = 0.001
"""Of the examples: how many natural images two measures may classify differently."""

COUNTED = (
    ("standard", "correct"),
    ("standard", "label"),
    ("standard", "prediction"),
    ("energies", "natural_correct"),
    ("autoattack", "stage"),
    ("autoattack", "reached"),
)
"""Arrays of a whole number, or a bool, an example."""

Arrays = Mapping[str, Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class Material:
    """A record with what lies beside it and could be read: per-sample `arrays` by measure, by the names of today, and
    `bundles` of witnesses by their name in `Record.bundles`."""

    record: Record
    arrays: Arrays = field(default_factory=dict)
    bundles: Mapping[str, Packed] = field(default_factory=dict)

    @property
    def examples(self) -> int:
        """How many examples of the suite a measure is taken on."""
        return min(self.record.limit or self.record.suite.examples, self.record.suite.examples)

    def of(self, measure: str, name: str) -> np.ndarray | None:
        """Whole numbers (or bool), one an example; None where there are none. `_examples` names arrays of another form."""
        found = self.arrays.get(measure, {}).get(name)
        return found if found is not None and found.shape == (self.examples,) and found.dtype.kind in "bui" else None

    @property
    def counted(self) -> list[tuple[str, str]]:
        """The arrays that the invariants rest on, by measure and name."""
        flags = [("energies", f"{attack}.correct") for attack in self.attacks]
        return [*COUNTED, *flags]

    def value(self, measure: str, name: str) -> float | None:
        """A number of the record; None where there is none."""
        found = self.record.measurements.get(measure)
        value = found.values.get(name) if found else None
        return value.value if value is not None and is_number(value.value) else None

    @property
    def attacks(self) -> list[str]:
        """The single attacks whose accuracy `energies` gives."""
        found = self.record.measurements.get("energies")
        names = found.values if found else ()
        return [name.removesuffix(".accuracy") for name in names if name.endswith(".accuracy")]


def broken_invariants(record: Record, arrays: Arrays, bundles: Mapping[str, Packed] | None = None) -> list[str]:
    """What a record contradicts, one plain line each; empty where nothing does. See `Material` for what is given.

    Nothing is raised, whatever the arrays are.
    """
    it = Material(record, arrays, bundles or {})
    parts = (_examples, _shares_of_arrays, _stages, _order, _natural, _witnesses, _best_known)
    try:
        return [*impossible(record), *(line for part in parts for line in part(it))]
    except (TypeError, ValueError, IndexError, KeyError, ArithmeticError) as error:
        return [f"its arrays are none that its measures make: {type(error).__name__}: {error}"]


def missed(record: Record, arrays: Arrays) -> list[str]:
    """What is no contradiction, but should be known: examples that AutoAttack left and a single attack broke."""
    it = Material(record, arrays)
    stage = it.of("autoattack", "stage")
    if stage is None:
        return []
    found = []
    for attack in it.attacks:
        correct = it.of("energies", f"{attack}.correct")
        if correct is not None and (n := int(((stage == SURVIVED) & ~correct.astype(bool)).sum())):
            found.append(
                f"{attack} of energies broke {n} of the examples that AutoAttack left: fewer are robust than its number says"
            )
    return found


def _examples(it: Material) -> Iterator[str]:
    for name, measurement in it.record.measurements.items():
        wanted = it.examples if name in PER_EXAMPLE else measurement.n
        if measurement.n != wanted:
            yield f"{name}: it says {measurement.n} examples, and the record {wanted}"
        for array, found in it.arrays.get(name, {}).items():
            if found.ndim == 0 or len(found) != measurement.n:
                rows = len(found) if found.ndim else "no"
                yield f"{name}: its array {array} has {rows} rows, and it says {measurement.n} examples"
        for array, found in it.arrays.get(name, {}).items():
            if (name, array) in it.counted and (found.ndim > 1 or found.dtype.kind not in "bui"):
                yield f"{name}: its array {array} is no whole number an example, but {found.dtype} of {found.ndim} dimensions"
        if measurement.bounded and "bounded" not in measurement.settings:
            yield f"{name}: it gives an interval in place of a number, and its settings do not say so"


def _shares_of_arrays(it: Material) -> Iterator[str]:
    """Shares that are counted in arrays."""
    stage = it.of("autoattack", "stage")
    counted: list[tuple[str, str, np.ndarray | None]] = [
        ("standard", "standard_accuracy", it.of("standard", "correct")),
        ("energies", "standard_accuracy", it.of("energies", "natural_correct")),
        *(("energies", f"{attack}.accuracy", it.of("energies", f"{attack}.correct")) for attack in it.attacks),
    ]
    if stage is not None:
        counted += [("autoattack", f"accuracy_after.{name}", stage > k) for k, name in enumerate(STAGES)]
        counted.append(("autoattack", "autoattack_accuracy", stage == SURVIVED))
    for measure, name, flags in counted:
        says = it.value(measure, name)
        if says is not None and flags is not None and not close(float(np.mean(flags.astype(bool))), says):
            yield f"{measure}: {name} is {says:.4g}, and {int(flags.sum())} of {len(flags)} in its arrays"
    correct, label, prediction = (it.of("standard", name) for name in ("correct", "label", "prediction"))
    if correct is None or label is None or prediction is None:
        return
    if len(wrong := np.flatnonzero((label == prediction) != correct.astype(bool))):
        said = "right" if correct[wrong[0]] else "wrong"
        yield f"standard: example {wrong[0]} is called {said}, and its prediction says otherwise"


def _stages(it: Material) -> Iterator[str]:
    measurement, stage = it.record.measurements.get("autoattack"), it.of("autoattack", "stage")
    if measurement is None or stage is None:
        return
    if bad := int(((stage < MISCLASSIFIED) | (stage > SURVIVED)).sum()):
        yield f"autoattack: {bad} examples have a stage that there is not"
    reached = it.of("autoattack", "reached")
    if reached is None:
        return
    if bad := int(((reached < 0) | (reached > SURVIVED)).sum()):
        yield f"autoattack: {bad} examples have run a number of stages that there is not"
    broken = stage < SURVIVED
    if bad := int((broken & (reached > np.maximum(stage, 0))).sum()):
        yield f"autoattack: {bad} examples ran to the end of the stage that broke them"
    left = int((~broken & (reached < SURVIVED)).sum())
    if left and not measurement.bounded:
        yield f"autoattack: {left} examples were not attacked to the end, and it gives a number for a whole answer"


def _order(it: Material) -> Iterator[str]:
    """Accuracies fall: standard, after each stage, AutoAttack; and no single attack goes further than AutoAttack."""
    standard, robust = it.value("standard", "standard_accuracy"), it.value("autoattack", "autoattack_accuracy")
    after = [(f"accuracy_after.{name}", it.value("autoattack", f"accuracy_after.{name}")) for name in STAGES]
    steps = [("standard_accuracy", standard), *after, ("autoattack_accuracy", robust)]
    known = [(name, value) for name, value in steps if value is not None]
    for (before, high), (name, low) in pairwise(known):
        if low > high + CLOSE:
            yield f"{name} is {low:.4g}, above {before}, which is {high:.4g}"
    last = after[-1][1]
    if robust is not None and last is not None and not close(last, robust):
        yield f"autoattack: autoattack_accuracy is {robust:.4g}, and {last:.4g} after its last stage"
    allowed = max(BY_DESIGN, 2 / it.examples) + CLOSE
    for attack in it.attacks:
        single = it.value("energies", f"{attack}.accuracy")
        if single is not None and robust is not None and robust > single + allowed:
            above = f"more than {allowed:.2g} above {attack} alone, which is {single:.4g}"
            yield f"autoattack_accuracy is {robust:.4g}, {above}"
        aims = attack not in NOT_AT_THE_LABEL
        if aims and single is not None and standard is not None and single > standard + allowed:
            yield f"energies: {attack}.accuracy is {single:.4g}, more than {allowed:.2g} above standard_accuracy"


def _natural(it: Material) -> Iterator[str]:
    """Every measure classifies the same natural images."""
    stage = it.of("autoattack", "stage")
    found = {"standard": it.of("standard", "correct"), "energies": it.of("energies", "natural_correct")}
    found["autoattack"] = None if stage is None else stage != MISCLASSIFIED
    flags = [(name, array.astype(bool)) for name, array in found.items() if array is not None]
    for (one, first), (other, second) in pairwise(flags):
        apart = np.flatnonzero(first != second)
        if len(apart) > TIED * len(first):
            yield f"{one} and {other} differ in {len(apart)} natural images, the first is example {apart[0]}"


def _witnesses(it: Material) -> Iterator[str]:
    measurement, stage = it.record.measurements.get("autoattack"), it.of("autoattack", "stage")
    if measurement is None or measurement.witnesses is None or stage is None:
        return
    broken = np.flatnonzero((stage >= 0) & (stage < SURVIVED))
    if measurement.witnesses.n != len(broken):
        yield f"autoattack: {len(broken)} examples were broken, and its bundle has {measurement.witnesses.n} witnesses"
    found = it.bundles.get("autoattack")
    if found is not None and (odd := np.setxor1d(found.examples, broken)).size:
        what = "is no broken one, and has a witness" if odd[0] in found.examples else "is broken, and has no witness"
        yield f"autoattack: flags and witnesses differ in {len(odd)} examples: {odd[0]} {what}"


def _best_known(it: Material) -> Iterator[str]:
    known, stage = it.record.best_known, it.of("autoattack", "stage")
    if known is None:
        return
    if stage is None:
        yield "best_known: it is given without the flags of AutoAttack"
        return
    left, away = stage == SURVIVED, 0
    for name, bundle in it.record.bundles.items():
        if not name.startswith("found "):
            continue
        found = it.bundles.get(name)
        if found is None:
            away += bundle.n  # not here: they are of examples that nothing before them broke
            continue
        inside = found.examples[found.examples < len(left)]
        if len(inside) < len(found) or not left[inside].all():
            yield f"best_known: {name} has witnesses of examples that were broken before it"
        left[inside] = False
    says = known.value.value
    unbroken = int(left.sum()) - away
    if says is not None and not close(unbroken / len(left), says):
        yield f"best_known: it says {says:.4g}, and {unbroken} of {len(left)} examples are broken by nothing that it names"
    if says is None or (known.value.n, known.value.method) != (len(left), "wilson"):
        yield f"best_known: it is no share of {len(left)} examples"
    if says is not None and not is_wilson(known.value):
        yield "best_known: it has another interval than its examples give"
    robust = it.value("autoattack", "autoattack_accuracy")
    if says is not None and robust is not None and says > robust + CLOSE:
        yield f"best_known: it says {says:.4g}, above autoattack_accuracy, which is {robust:.4g}"
