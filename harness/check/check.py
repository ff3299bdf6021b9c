"""A check: the candidate's flags come in batch by batch, cheapest attack first, until every gate is decided or one fails.

1. Natural images, all of them: one pass an example. What is misclassified is not robust.
2. PGD-20, on examples in random order, with looks after 1/32, 1/16, ... of them. What PGD breaks is not robust, so a clear
   drop is seen here, at some thousandth of AutoAttack's cost. It counts for the gate `robust` alone, and only where the
   baseline holds PGD's flags too: then both sides mean "survives PGD-20 and AutoAttack". Where it does not, an example that
   AutoAttack would have left robust might be called lost.
3. AutoAttack on shards in random order, with looks after 1/32, ... of them. Within a batch of shards its stages are run one
   after another, and a failure that later stages cannot undo ends it.

Passing needs flags that are settled: only whole stages 1 to 3 on a batch settle them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from harness.attacks.named import MAIN, prefix
from harness.check.baseline import Baseline
from harness.check.gates import Gate, Gates
from harness.check.sequential import FlagGate, shares, sizes
from harness.check.statistics import (
    LEVEL,
    Change,
    Outcome,
    examples_needed,
    holm,
    interval,
    judge_change,
    paired_change,
    unpaired_change,
)
from harness.check.verdict import GateResult, LostExample
from harness.errors import BadInput
from harness.measures import Summary
from harness.measures.energies import correct_array
from leaderboards.records.schema import Value
from zoo.entrant import did_you_mean

LEAST = 25
"""Examples of the first look at PGD's flags."""

PGD = prefix(MAIN)

PAIRED = ("marginal_energy", "joint_energy")
"""Energies that a baseline holds by example: their means, at natural and adversarial points, and deltas are compared paired."""


class Flags(Protocol):
    """Where the candidate's flags come from; see harness.check.candidate.Candidate."""

    @property
    def shards(self) -> Sequence[tuple[int, int]]: ...
    def standard(self) -> np.ndarray: ...
    def pgd(self, examples: np.ndarray) -> np.ndarray: ...
    def autoattack(self, numbers: Sequence[int]) -> Iterator[tuple[str, np.ndarray, np.ndarray, bool]]: ...
    def arrays(self, measure: str) -> Mapping[str, np.ndarray]: ...
    def summary(self, measure: str) -> Summary: ...


def series_of(value: str) -> str | None:
    """The energies by example whose mean a value is: 'pgd.joint_energy_adv' of 'energies.pgd.joint_energy_adv.mean'."""
    measure, _, key = value.partition(".")
    name, _, what = key.rpartition(".")
    known = {*PAIRED, *(f"{PGD}{made}" for energy in PAIRED for made in (f"{energy}_adv", f"delta_{energy}"))}
    return name if measure == "energies" and what == "mean" and name in known else None


def series(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """(n,) energies by their name, delta ones as natural minus adversarial."""
    if name.startswith(f"{PGD}delta_"):
        energy = name.removeprefix(f"{PGD}delta_")
        return arrays[energy].astype(np.float64) - arrays[f"{PGD}{energy}_adv"].astype(np.float64)
    return arrays[name].astype(np.float64)


@dataclass
class Check:
    """One candidate against one baseline. Calling it measures and judges; `told` is called with a line after each look."""

    gates: Gates
    baseline: Baseline
    candidate: Flags
    given: Mapping[str, Value] = field(default_factory=dict)
    """Values of the candidate that need not be measured, as <measure>.<value>."""
    seed: int = 0
    full: bool = False
    """Go on to the end, whatever is decided: for the whole list of lost examples."""
    told: Callable[[str], None] = lambda line: None
    flags: dict[str, FlagGate] = field(default_factory=dict, init=False)
    changes: dict[str, Change] = field(default_factory=dict, init=False)
    values: dict[str, tuple[float, float]] = field(default_factory=dict, init=False)
    cost: dict[str, int] = field(default_factory=dict, init=False)
    broken_by: np.ndarray = field(init=False)
    """(n,) text: what first broke each example; empty where nothing has."""

    def __post_init__(self) -> None:
        n = self.baseline.examples
        self.broken_by = np.full(n, "", dtype="U16")
        random = np.random.default_rng(self.seed)
        self._order = random.permutation(n)
        self._shards = random.permutation(len(self.candidate.shards))
        self._pgd_looks = sizes(n, LEAST)
        self._shard_looks = sizes(len(self._shards), 1)
        pgd, shards = len(self._pgd_looks), len(self._shard_looks)
        for gate in self.gates.gates:
            if not gate.measure:
                self._require(gate.value)
                continue
            # the last look at PGD's flags is a curtailed one at AutoAttack's last
            looks = {
                "standard": (1, 1),
                "pgd": (pgd, pgd),
                "autoattack": (shards, shards),
                "robust": (pgd - 1 + shards if self._pgd_counts else shards, shards),
            }[gate.measure]
            self.flags[gate.name] = FlagGate(
                gate.name, gate.margin, self.gates.alpha, self.baseline.flags(gate.measure), *looks
            )

    def _require(self, value: str) -> None:
        """Raises BadInput where the baseline has no such value."""
        known = self.baseline.description.values
        if value not in known:
            raise BadInput(
                f"expected a value that the baseline has, got {value!r};{did_you_mean(value, known)} it has {', '.join(known)}"
            )

    @property
    def _pgd_counts(self) -> bool:
        """Whether PGD may break an example for the gate `robust`: the baseline's flags say what it breaks there."""
        return correct_array(MAIN) in self.baseline.arrays

    def __call__(self) -> Outcome:
        """Measure until the outcome is known; the outcome of all gates together."""
        for step in (self._natural, self._energies, self._pgd, self._autoattack, self._other_values):
            for _ in step():
                if self._settled():
                    return self.outcome
        return self.outcome

    @property
    def outcome(self) -> Outcome:
        """Fails where a gate fails, passes where all pass."""
        found = set(self.outcomes().values())
        for outcome in (Outcome.FAIL, Outcome.UNDECIDED, Outcome.STOPPED):
            if outcome in found:
                return Outcome.UNDECIDED if outcome is Outcome.STOPPED else outcome
        return Outcome.PASS

    def _p(self) -> dict[str, float]:
        """Each gate's p so far, corrected for the others; 1 where nothing is known, none where there is no test."""
        found = {}
        for gate in self.gates.gates:
            if gate.measure:
                found[gate.name] = self.flags[gate.name].p
            elif gate.name not in self.changes:
                found[gate.name] = 1.0
            elif (p := self.changes[gate.name].p) is not None:
                found[gate.name] = p
        return dict(zip(found, holm(list(found.values())), strict=True))

    def outcomes(self) -> dict[str, Outcome]:
        """Each gate's outcome so far; STOPPED where it has not been looked at to the end."""
        corrected, alpha = self._p(), self.gates.alpha
        found = {}
        for gate in self.gates.gates:
            if not gate.measure:
                change = self.changes.get(gate.name)
                found[gate.name] = (
                    judge_change(change, corrected.get(gate.name), gate.worse, gate.margin, alpha)
                    if change
                    else Outcome.STOPPED
                )
                continue
            flags = self.flags[gate.name]
            if flags.fails(corrected[gate.name]):
                found[gate.name] = Outcome.FAIL
            else:
                found[gate.name] = flags.outcome or Outcome.STOPPED
        return found

    def _settled(self) -> bool:
        found = self.outcomes().values()
        if self.full:
            return False
        return Outcome.FAIL in found or all(outcome is Outcome.PASS for outcome in found)

    def _open(self, *measures: str) -> list[Gate]:
        """Gates on these accuracies that are not decided yet; all of them in a full check."""
        found = self.outcomes()
        waiting = (Outcome.STOPPED, Outcome.UNDECIDED)
        return [g for g in self.gates.gates if g.measure in measures and (self.full or found[g.name] in waiting)]

    def _look(self, gate: Gate, examples: np.ndarray, stage: str, *, last: bool, final: bool) -> None:
        """One look at a gate: may it fail, and, where the flags of these examples are `final`, may it pass?"""
        flags = self.flags[gate.name]
        if flags.outcome is Outcome.PASS or flags.fails(self._p()[gate.name]):
            return
        flags.look(examples, last=last, stage=stage)
        if final and not flags.fails(self._p()[gate.name]):
            if flags.passes(examples, last=last):
                flags.outcome = Outcome.PASS
            elif last:
                flags.outcome = Outcome.UNDECIDED
        if not last and not flags.fails(self._p()[gate.name]):
            # the last look, taken now: what nothing has attacked counts as unbroken
            flags.look(np.arange(len(flags.baseline)), last=True, stage=stage, curtailed=True)
        lost, gained, n = flags.seen
        self.told(f"{stage}: {gate.name}, {lost} lost and {gained} gained of {n} examples, p = {flags.p:.2g}")

    def _break(self, examples: np.ndarray, correct: np.ndarray, stage: str) -> None:
        hit = examples[~correct]
        self.broken_by[hit[self.broken_by[hit] == ""]] = stage

    def _natural(self) -> Iterator[None]:
        accuracies = self._open("standard", "robust", "autoattack")
        if not accuracies:
            return
        everything = np.arange(self.baseline.examples)
        correct = self.candidate.standard()
        self.cost["natural"] = len(everything)
        self._break(everything, correct, "natural")
        for gate in accuracies:
            flags = self.flags[gate.name]
            if gate.measure == "standard":
                flags.exactly(everything, correct)
                self._look(gate, everything, "natural", last=True, final=True)
            else:
                flags.at_most(everything, correct)
                flags.look(everything, last=True, stage="natural", curtailed=True)
        yield

    def _energies(self) -> Iterator[None]:
        """Gates on energies by example, and on values that are given: they cost little beside AutoAttack."""
        for gate in self.gates.gates:
            name = series_of(gate.value)
            if gate.value in self.given:
                self._value(gate, self.given[gate.value])
                yield
            elif name and f"{PGD}marginal_energy_adv" in self.baseline.arrays:
                was = series(self.baseline.arrays, name)
                now = series(self.candidate.arrays("energies"), name)
                self.cost["pgd"] = len(now)
                self.changes[gate.name] = paired_change(was, now, gate.worse, gate.margin, self.gates.alpha)
                self.values[gate.name] = float(was.mean()), float(now.mean())
                self.told(f"{gate.name}: {gate.value} went from {was.mean():.4g} to {now.mean():.4g}")
                yield

    def _other_values(self) -> Iterator[None]:
        for gate in self.gates.gates:
            if gate.value and gate.name not in self.changes:
                measure, _, key = gate.value.partition(".")
                values = self.candidate.summary(measure).values
                if key not in values:
                    raise BadInput(f"expected a value of {measure}, got {key!r}; it has {', '.join(values)}")
                self._value(gate, values[key])
                yield

    def _value(self, gate: Gate, now: Value) -> None:
        was = self.baseline.description.values[gate.value]
        if was.value is None or now.value is None:
            who, value = ("baseline", was) if was.value is None else ("candidate", now)
            raise BadInput(
                f"expected a number for {gate.value} of the {who}, got none ({value.reason}); leave its gate out"
            )
        self.changes[gate.name] = unpaired_change(was, now, gate.worse, gate.margin, self.gates.alpha)
        self.values[gate.name] = was.value, now.value
        self.told(f"{gate.name}: {gate.value} went from {was.value:.4g} to {now.value:.4g}")

    def _pgd(self) -> Iterator[None]:
        measures = ("pgd", "robust") if self._pgd_counts else ("pgd",)
        seen = 0
        for size in self._pgd_looks:
            waiting = self._open(*measures)
            if not waiting:
                return
            fresh, seen = np.sort(self._order[seen:size]), size
            correct = self.candidate.pgd(fresh)
            self.cost["pgd"] = max(self.cost.get("pgd", 0), size)
            if "robust" in (gate.measure for gate in waiting):
                self._break(fresh, correct, "pgd")
            last = size == self.baseline.examples
            for gate in waiting:
                flags = self.flags[gate.name]
                if gate.measure == "pgd":
                    flags.exactly(fresh, correct)
                    self._look(gate, self._order[:size], "pgd", last=last, final=True)
                else:
                    flags.at_most(fresh, correct)
                    self._look(gate, self._order[:size], "pgd", last=last, final=False)
            yield

    def _autoattack(self) -> Iterator[None]:
        attacked = np.empty(0, dtype=np.int64)
        before = 0
        for size in self._shard_looks:
            numbers, before = self._shards[before:size], size
            if not self._open("robust", "autoattack"):
                return
            last = size == len(self._shards)
            for stage, examples, survived, final in self.candidate.autoattack([int(number) for number in numbers]):
                reached = int(len(attacked) + len(examples))
                self.cost[stage] = reached
                self._break(examples, survived, stage)
                looked = np.concatenate([attacked, examples])
                for gate in self._open("robust", "autoattack"):
                    flags = self.flags[gate.name]
                    (flags.exactly if final else flags.at_most)(examples, survived)
                    self._look(gate, looked, stage, last=last, final=final)
                yield
            attacked = looked

    def results(self) -> tuple[GateResult, ...]:
        """Every gate with its numbers."""
        outcomes, corrected = self.outcomes(), self._p()
        return tuple(
            self._flag_result(gate, outcomes[gate.name], corrected[gate.name])
            if gate.measure
            else self._value_result(gate, outcomes[gate.name], corrected.get(gate.name))
            for gate in self.gates.gates
        )

    def _flag_result(self, gate: Gate, outcome: Outcome, corrected: float) -> GateResult:
        flags = self.flags[gate.name]
        lost, gained, n = flags.seen
        if not n or outcome is Outcome.STOPPED:
            return GateResult(gate.name, gate.what, outcome, gate.margin, "points", total=len(flags.baseline))
        low, high = interval(lost, gained, n)
        last = flags.alpha * shares(flags.pass_looks)[1]
        needed = examples_needed(lost, gained, n, gate.margin, last) if outcome is Outcome.UNDECIDED else None
        was = flags.share_correct
        return GateResult(
            gate.name,
            gate.what,
            outcome,
            gate.margin,
            "points",
            worsening=(lost - gained) / n,
            low=low,
            high=high,
            level=LEVEL,
            p=flags.p,
            p_corrected=corrected,
            baseline=was,
            candidate=was - (lost - gained) / n,
            examples=n,
            total=len(flags.baseline),
            lost=lost,
            gained=gained,
            stage=flags.stage,
            needed=needed,
        )

    def _value_result(self, gate: Gate, outcome: Outcome, corrected: float | None) -> GateResult:
        change = self.changes.get(gate.name)
        if change is None:
            return GateResult(gate.name, gate.what, outcome, gate.margin, "")
        was, now = self.values[gate.name]
        return GateResult(
            gate.name,
            gate.what,
            outcome,
            gate.margin,
            "",
            worsening=change.worsening,
            low=change.low,
            high=change.high,
            level=change.level,
            p=change.p,
            p_corrected=corrected,
            baseline=was,
            candidate=now,
            examples=self.baseline.examples,
            total=self.baseline.examples,
            stage="values",
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
