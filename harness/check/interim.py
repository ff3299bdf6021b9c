"""Interim results: what every gate has come to so far, corrected for the other gates, and what that makes of the check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from harness.check.baseline import Baseline
from harness.check.gates import Gate, Gates
from harness.check.sequential import FlagGate, shares
from harness.check.statistics import LEVEL, Change, Outcome, examples_needed, holm, interval, judge_change
from harness.check.verdict import AccuracyResult, Evidence, GateResult, LostExample, StoppedResult, ValueResult
from leaderboards.records.schema import Quantity


@dataclass(frozen=True)
class ValueChange:
    """A value of the baseline, of the candidate, and the change from one to the other."""

    baseline: float
    candidate: float
    change: Change


@dataclass
class InterimResults:
    """The flags of every gate on an accuracy, the changes of those on values, and what they say so far.

    `quantities` say how the gated values are to be read, by <measure>.<value>; `broken_by` (n,) is text: what first broke each
    example, empty where nothing has.
    """

    gates: Gates
    baseline: Baseline
    quantities: Mapping[str, Quantity]
    flags: dict[str, FlagGate]
    changes: dict[str, ValueChange] = field(default_factory=dict, init=False)
    broken_by: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.broken_by = np.full(self.baseline.examples, "", dtype="U16")

    def mark_broken(self, examples: np.ndarray, correct: np.ndarray, stage: str) -> None:
        """Say what broke those of the examples (indices) that are not correct; what broke them before stays."""
        hit = examples[~correct]
        self.broken_by[hit[self.broken_by[hit] == ""]] = stage

    def corrected(self) -> dict[str, float]:
        """Each gate's p so far, corrected for the others; 1 where nothing is known, no entry where there is no test."""
        found = {}
        for gate in self.gates.gates:
            if gate.measure:
                found[gate.name] = self.flags[gate.name].p
            elif gate.name not in self.changes:
                found[gate.name] = 1.0
            elif (p := self.changes[gate.name].change.p) is not None:
                found[gate.name] = p
        return dict(zip(found, holm(list(found.values())), strict=True))

    def outcomes(self) -> dict[str, Outcome]:
        """Each gate's outcome so far; STOPPED where it has not been looked at to the end."""
        corrected = self.corrected()
        return {gate.name: self._outcome(gate, corrected.get(gate.name)) for gate in self.gates.gates}

    def _outcome(self, gate: Gate, corrected: float | None) -> Outcome:
        if gate.measure:
            assert corrected is not None
            flags = self.flags[gate.name]
            return Outcome.FAIL if flags.fails(corrected) else flags.outcome or Outcome.STOPPED
        if gate.name not in self.changes:
            return Outcome.STOPPED
        return judge_change(self.changes[gate.name].change, corrected, gate.direction, gate.margin, self.gates.alpha)

    @property
    def outcome(self) -> Outcome:
        """Of all gates together: fails where a gate fails, passes where all pass."""
        found = set(self.outcomes().values())
        if Outcome.FAIL in found:
            return Outcome.FAIL
        return Outcome.PASS if found <= {Outcome.PASS} else Outcome.UNDECIDED

    def results(self) -> tuple[GateResult, ...]:
        """Every gate with its numbers."""
        outcomes, corrected = self.outcomes(), self.corrected()
        found: list[GateResult] = []
        for gate in self.gates.gates:
            if gate.measure:
                found.append(self._accuracy(gate, outcomes[gate.name], corrected[gate.name]))
            else:
                found.append(self._value(gate, outcomes[gate.name], corrected.get(gate.name)))
        return tuple(found)

    def _accuracy(self, gate: Gate, outcome: Outcome, corrected: float) -> GateResult:
        flags, total = self.flags[gate.name], self.baseline.examples
        lost, gained, n = flags.seen
        if not n or outcome is Outcome.STOPPED:
            return StoppedResult(
                name=gate.name, what=gate.what, outcome=outcome, margin=gate.margin, unit="fraction", total=total
            )
        last = flags.alpha * shares(flags.pass_looks)[1]
        worsening = (lost - gained) / n
        return AccuracyResult(
            name=gate.name,
            what=gate.what,
            outcome=outcome,
            margin=gate.margin,
            worsening=worsening,
            evidence=Evidence(*interval(lost, gained, n), LEVEL, flags.p, corrected),
            baseline=flags.share_correct,
            candidate=flags.share_correct - worsening,
            examples=n,
            total=total,
            stage=flags.stage,
            lost=lost,
            gained=gained - flags.open,
            open=flags.open,
            needed=examples_needed(lost, gained, n, gate.margin, last) if outcome is Outcome.UNDECIDED else None,
        )

    def _value(self, gate: Gate, outcome: Outcome, corrected: float | None) -> GateResult:
        quantity = self.quantities.get(gate.value)
        unit = quantity.unit if quantity else ""
        if gate.name not in self.changes:
            return StoppedResult(name=gate.name, what=gate.what, outcome=outcome, margin=gate.margin, unit=unit)
        found = self.changes[gate.name]
        return ValueResult(
            name=gate.name,
            what=gate.what,
            outcome=outcome,
            margin=gate.margin,
            unit=unit,
            worsening=found.change.worsening,
            evidence=_evidence(found.change, corrected),
            baseline=found.baseline,
            candidate=found.candidate,
            examples=self.baseline.examples,
            total=self.baseline.examples,
        )

    def lost(self, labels: Sequence[str]) -> tuple[LostExample, ...]:
        """The examples found so far that the baseline got right and the candidate does not, each once, in their order.

        `labels` (n,) are the names of their classes.
        """
        found: dict[int, LostExample] = {}
        for gate in self.gates.gates:
            if gate.measure:
                flags = self.flags[gate.name]
                for index in np.flatnonzero(flags.baseline & ~flags.upper).tolist():
                    stage = str(self.broken_by[index]) or gate.measure
                    found.setdefault(index, LostExample(index, labels[index], gate.name, stage))
        return tuple(found[index] for index in sorted(found))


def _evidence(change: Change, corrected: float | None) -> Evidence | None:
    """What was tested of a value's change; None where there was no interval to test with."""
    if change.low is None or change.high is None or change.level is None or change.p is None or corrected is None:
        return None
    return Evidence(change.low, change.high, change.level, change.p, corrected)
