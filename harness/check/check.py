"""A check: the candidate's flags come in batch by batch, cheapest attack first, until every gate is decided or one fails.

1. Natural images, all of them: one pass an example. What is misclassified is not robust.
2. PGD-20, on examples in random order, with looks after 1/32, 1/16, ... of them. What PGD breaks is not robust, so a clear
   drop is seen here, at about a thousandth of AutoAttack's cost. This counts for the gate `robust` alone, and only where the
   baseline holds PGD's flags too: then `robust` means "survives PGD-20 and AutoAttack" on both sides. Without the baseline's
   PGD flags it would mean two different things, and an example that AutoAttack leaves robust could be called lost.
3. AutoAttack on shards in random order, with looks after 1/32, ... of them. Within a batch of shards its stages are run one
   after another, and a failure that later stages cannot undo ends the check.

Each interim look spends part of alpha (see harness.check.sequential). A gate passes only on settled flags: a batch's flags are
settled when its last stage has been run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from harness.check.baseline import PGD_CORRECT, Baseline
from harness.check.gates import Gate, Gates
from harness.check.interim import InterimResults, ValueChange
from harness.check.sequential import FlagGate, sizes
from harness.check.series import series, series_of
from harness.check.statistics import Outcome, paired_change, unpaired_change
from harness.check.verdict import counted
from harness.errors import BadInput
from harness.measures import Summary
from leaderboards.records.schema import Quantity, Value
from zoo.entrant import did_you_mean

LEAST = 25
"""Examples of the first look at PGD's flags."""


class Flags(Protocol):
    """Where the candidate's flags come from; see harness.check.candidate.Candidate."""

    @property
    def shards(self) -> Sequence[tuple[int, int]]: ...
    def standard(self) -> np.ndarray: ...
    def pgd(self, examples: np.ndarray) -> np.ndarray: ...
    def autoattack(self, numbers: Sequence[int]) -> Iterator[tuple[str, np.ndarray, np.ndarray, bool]]: ...
    def arrays(self, measure: str) -> Mapping[str, np.ndarray]: ...
    def summary(self, measure: str) -> Summary: ...


@dataclass
class Check:
    """One candidate against one baseline. Calling it measures and judges; `told` is called with a line after each look.

    Raises BadInput for a gate that the baseline cannot answer.
    """

    gates: Gates
    baseline: Baseline
    candidate: Flags
    given: Mapping[str, Value] = field(default_factory=dict)
    """Values of the candidate that need not be measured, as <measure>.<value>."""
    seed: int = 0
    """Of the order in which examples are looked at."""
    full: bool = False
    """Go on to the end, whatever is decided: for the whole list of lost examples."""
    told: Callable[[str], None] = lambda line: None
    quantities: Mapping[str, Quantity] = field(default_factory=dict)
    """How to read values, as <measure>.<value>, beside those of which the baseline says it."""
    found: InterimResults = field(init=False)
    cost: dict[str, int] = field(default_factory=dict, init=False)
    """On how many examples each stage was run."""

    def __post_init__(self) -> None:
        quantities = {**self.quantities, **self.baseline.description.quantities}
        self.gates = self.gates.directed(quantities)
        random = np.random.default_rng(self.seed)
        self._order = random.permutation(self.baseline.examples)
        self._shards = random.permutation(len(self.candidate.shards))
        self._pgd_looks = sizes(self.baseline.examples, LEAST)
        self._shard_looks = sizes(len(self._shards), 1)
        pgd, shards = len(self._pgd_looks), len(self._shard_looks)
        flags = {}
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
            was = self.baseline.flags(gate.measure)
            flags[gate.name] = FlagGate(gate.name, gate.margin, self.gates.alpha, was, *looks)
        self.found = InterimResults(self.gates, self.baseline, quantities, flags)

    def refuse_undecidable(self) -> None:
        """Raises BadInput, with what would do, where a gate stays undecided for a candidate that is right as often, image by
        image: a gate that only a better candidate could pass is a mistake."""
        for gate in (gate for gate in self.gates.gates if gate.measure):
            flags = self.found.flags[gate.name]
            if (bound := flags.least_bound) >= gate.margin:
                enough = flags.examples_to_pass
                remedy = f"give a margin of {math.floor(bound * 1e4 + 1) / 1e4:g}"
                raise BadInput(
                    f"expected a margin that {self.baseline.examples} examples can decide, got {gate.margin:g} for the gate"
                    f" {gate.name!r}: with none lost and none gained a drop of {100 * bound:.2g} points is not excluded;"
                    f" {remedy}" + (f", or judge {enough:,} examples" if enough else "")
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
        return PGD_CORRECT in self.baseline.arrays

    def __call__(self) -> Outcome:
        """Measure until the outcome is known; the outcome of all gates together."""
        for step in (self._natural, self._energies, self._pgd, self._autoattack, self._other_values):
            for _ in step():
                if self._settled():
                    return self.outcome
        return self.outcome

    @property
    def outcome(self) -> Outcome:
        """Of all gates together, so far."""
        return self.found.outcome

    def _settled(self) -> bool:
        if self.full:
            return False
        found = self.found.outcomes().values()
        return Outcome.FAIL in found or all(outcome is Outcome.PASS for outcome in found)

    def _open(self, *measures: str) -> list[Gate]:
        """Gates on these accuracies that are not decided yet; all of them in a full check."""
        found = self.found.outcomes()
        waiting = (Outcome.STOPPED, Outcome.UNDECIDED)
        return [g for g in self.gates.gates if g.measure in measures and (self.full or found[g.name] in waiting)]

    def _look(self, gate: Gate, examples: np.ndarray, stage: str, *, last: bool, final: bool) -> None:
        """One look at a gate: may it fail, and, where the flags of these examples are `final`, may it pass?"""
        flags = self.found.flags[gate.name]

        def fails() -> bool:
            return flags.fails(self.found.corrected()[gate.name])

        if flags.outcome is Outcome.PASS or fails():
            return
        flags.look(examples, last=last, stage=stage)
        if final and not fails():
            if flags.passes(examples, last=last):
                flags.outcome = Outcome.PASS
            elif last:
                flags.outcome = Outcome.UNDECIDED
        if not last and not fails():
            # the last look, taken now: what nothing has attacked counts as unbroken
            flags.look(np.arange(len(flags.baseline)), last=True, stage=stage, curtailed=True)
        lost, gained, n = flags.seen
        self.told(f"{stage}: {gate.name}, {counted(lost, gained - flags.open, flags.open, n)}, p = {flags.p:.2g}")

    def _natural(self) -> Iterator[None]:
        accuracies = self._open("standard", "robust", "autoattack")
        if not accuracies:
            return
        everything = np.arange(self.baseline.examples)
        correct = self.candidate.standard()
        self.cost["natural"] = len(everything)
        self.found.mark_broken(everything, correct, "natural")
        for gate in accuracies:
            flags = self.found.flags[gate.name]
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
                self._compare_values(gate, self.given[gate.value])
                yield
            elif name and "pgd.marginal_energy_adv" in self.baseline.arrays:
                was = series(self.baseline.arrays, name)
                now = series(self.candidate.arrays("energies"), name)
                self.cost["pgd"] = len(now)
                change = paired_change(was, now, gate.direction, gate.margin, self.gates.alpha)
                self._keep(gate, ValueChange(float(was.mean()), float(now.mean()), change))
                yield

    def _other_values(self) -> Iterator[None]:
        for gate in self.gates.gates:
            if gate.value and gate.name not in self.found.changes:
                measure, _, key = gate.value.partition(".")
                values = self.candidate.summary(measure).values
                if key not in values:
                    raise BadInput(f"expected a value of {measure}, got {key!r}; it has {', '.join(values)}")
                self._compare_values(gate, values[key])
                yield

    def _compare_values(self, gate: Gate, now: Value) -> None:
        was = self.baseline.description.values[gate.value]
        if was.value is None or now.value is None:
            who, value = ("baseline", was) if was.value is None else ("candidate", now)
            if value.bounded:
                raise BadInput(
                    f"expected a complete {gate.value} of the {who}, got a bounded one: {value}; complete it with"
                    f" harness run --measures {gate.value.partition('.')[0]}"
                )
            raise BadInput(
                f"expected a number for {gate.value} of the {who}, got none ({value.reason}); leave its gate out"
            )
        change = unpaired_change(was, now, gate.direction, gate.margin, self.gates.alpha)
        self._keep(gate, ValueChange(was.value, now.value, change))

    def _keep(self, gate: Gate, found: ValueChange) -> None:
        self.found.changes[gate.name] = found
        self.told(f"{gate.name}: {gate.value} went from {found.baseline:.4g} to {found.candidate:.4g}")

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
                self.found.mark_broken(fresh, correct, "pgd")
            last = size == self.baseline.examples
            for gate in waiting:
                flags = self.found.flags[gate.name]
                final = gate.measure == "pgd"
                (flags.exactly if final else flags.at_most)(fresh, correct)
                self._look(gate, self._order[:size], "pgd", last=last, final=final)
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
                self.found.mark_broken(examples, survived, stage)
                looked = np.concatenate([attacked, examples])
                for gate in self._open("robust", "autoattack"):
                    flags = self.found.flags[gate.name]
                    (flags.exactly if final else flags.at_most)(examples, survived)
                    self._look(gate, looked, stage, last=last, final=final)
                yield
            attacked = looked
