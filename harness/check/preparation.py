"""From an entrant and a baseline to a verdict: measure the one as the other was measured, and check it. No terminal is needed.

verdict = Checking(judged, suite, read_baseline(path), robust_gate(0.01), store, beside, devices("auto", None))()
print(verdict.line)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from harness.check.baseline import Baseline, refuse_other
from harness.check.candidate import Candidate
from harness.check.check import Check
from harness.check.gates import Gates
from harness.check.statistics import Outcome
from harness.check.verdict import EqualResult, GateResult, LostExample, Verdict
from harness.data.parts import partly
from harness.errors import BadInput
from harness.measures import MEASURES, PRESETS, Measure, RobustAccuracy
from harness.measures.sources import Sources
from harness.run.executors.executor import workers_on
from harness.run.findings import suite_info
from harness.run.inputs import read_images
from harness.run.plan import Judged, Plan, make_plan
from harness.run.progress import Heard, unheard
from harness.run.selection import Faults, chosen_entrants, find_files
from harness.run.store import Store
from harness.suites.suite import Suite
from leaderboards.records.schema import Quantity, Record, Value

NEEDED = {
    "standard": ("standard",),
    "pgd": ("energies",),
    "autoattack": ("standard", "autoattack"),
    "robust": ("standard", "autoattack", "energies"),
}
"""The measures that a gate on an accuracy needs."""


def chosen_candidate(
    specs: Sequence[str],
    suite: Suite,
    faults: Faults,
    *,
    model_dir: Path,
    own_folders: Sequence[Path],
    allow_pickle: Sequence[str],
    data_dir: Path,
    download: bool,
) -> Judged | None:
    """The one entrant that is named, with the suite's images; None where its files are not here, which `faults` tell.

    Raises BadInput where another number of entrants is named.
    """
    entrants = chosen_entrants(specs, suite, model_dir=model_dir, own_folders=own_folders, allow_pickle=allow_pickle)
    if len(entrants) != 1:
        raise BadInput(f"expected one entrant, got {len(entrants)} in {','.join(specs)!r}; check them one by one")
    ready = find_files(entrants, suite, named=True, download=download, faults=faults)
    if not ready:
        return None
    judged = read_images(ready, suite, data_dir=data_dir, download=download)[0]
    if part := partly(judged.images, None):
        faults.tell(part)
    return judged


def needed_measures(gates: Gates, baseline: Baseline, given: Mapping[str, Value]) -> list[Measure]:
    """The measures that gates need, but for values that are `given`, as <measure>.<value>.

    Raises BadInput for a measure that there is not, and where the baseline has no flags for a gate.
    """
    names: set[str] = set()
    for gate in gates.gates:
        if gate.measure:
            baseline.flags(gate.measure)  # refuses where the baseline has none
            names |= set(NEEDED[gate.measure])
        elif gate.value not in given:
            names.add(gate.value.partition(".")[0])
    for name in sorted(names - MEASURES.keys()):
        raise BadInput(
            f"expected a measure that harness check takes, got {name!r}; measure it and give its record: --record FILE"
        )
    # PGD where the baseline holds none does not count; natural images are classified in any case
    there = {"standard", *baseline.description.measures}
    return [measure for name, measure in MEASURES.items() if name in names & there]


def as_measured(measure: Measure, baseline: Baseline, device: str) -> Measure:
    """A measure with the baseline's seed, preset, batch size and engine; its other settings stay what they are.

    AutoAttack searches in the baseline's precision where it runs on the baseline's kind of device.
    """
    then = baseline.description.measures.get(measure.name)
    if then is None:
        return measure
    if measure.name == "generation":
        measure = PRESETS.get(str(then.settings.get("preset")), measure)
    changes: dict[str, Any] = {"seed": then.seed}
    if hasattr(measure, "batch_size") and isinstance(then.settings.get("batch_size"), int):
        changes["batch_size"] = then.settings["batch_size"]
    if isinstance(measure, RobustAccuracy):
        by_reference = then.settings.get("engine") == "pyautoattack"
        changes["engine"] = "pyautoattack" if by_reference else "harness"
        if not by_reference and device == baseline.description.device:
            changes["search"] = then.settings.get("search")
    return replace(measure, **changes)  # type: ignore[type-var]


def prepared_plan(
    judged: Judged, baseline: Baseline, suite: Suite, measures: Sequence[Measure], beside: Sources, device: str
) -> Plan:
    """The tasks of a run that would find what the baseline's found. Raises BadInput with any difference named."""
    was = baseline.description
    suite = replace(suite, shard_size=was.shard_size)
    plan = make_plan(
        suite,
        [judged],
        [as_measured(measure, baseline, device).bound(beside) for measure in measures],
        precision=was.precision,
        device=device,
        limit=was.limit,
    )
    compared = [measure for measure in plan.measures if measure.name in was.measures]
    refuse_other(
        baseline, suite_info(plan, plan.judged[0]), compared, drawn=() if device == was.device else ("search",)
    )
    if plan.examples != baseline.examples:
        raise BadInput(
            f"expected {baseline.examples} examples as the baseline has, got {plan.examples}; complete the data"
        )
    return plan


def values_of(record: Record, judged: Judged) -> dict[str, Value]:
    """The values of a record, as <measure>.<value>. Raises BadInput where it is of other weights than the entrant's."""
    if record.entrant.weights_sha256 != judged.weights.sha256:
        raise BadInput(
            f"expected the record of {judged.name} ({judged.weights.sha256[:12]}), got one of {record.entrant.name}"
            f" ({record.entrant.weights_sha256[:12]}); measure it again with harness run"
        )
    return {f"{name}.{key}": value for name, m in record.measurements.items() for key, value in m.values.items()}


@dataclass(frozen=True)
class Checking:
    """An entrant against a baseline. Calling it measures what the gates need, and gives the verdict.

    The baseline's own weights, under its own settings, pass at once: nothing could have changed but the libraries, which only a
    full check measures. Else it stops as soon as the verdict is clear. What the store has is not measured again.

    Raises BadInput where the entrant would not be measured as the baseline was, a gate cannot be answered, or its margin not be
    decided with so many examples; and JobFailed where a worker process dies or the entrant itself fails.
    """

    judged: Judged
    suite: Suite
    baseline: Baseline
    gates: Gates
    store: Store
    beside: Sources
    devices: Sequence[torch.device]
    """One a worker; a device that is named twice has two."""
    values: Mapping[str, Value] = field(default_factory=dict)
    """Values of the entrant that need not be measured, as <measure>.<value>; see values_of."""
    seed: int = 0
    """Of the order in which examples are looked at."""
    full: bool = False
    """Measure everything, also when decided: for all lost examples."""
    told: Callable[[str], None] = lambda line: None
    """Called with a line of text at the start and after each look."""
    heard: Heard = unheard
    """Takes how far the work is, while it goes on."""
    workers: int | None = None
    """0: measure in this process; else in processes, one for each of the devices."""

    @cached_property
    def quantities(self) -> dict[str, Quantity]:
        """How to read values, as <measure>.<value>: as the measures say it, or, before them, the baseline."""
        said = {f"{name}.{key}": q for name, measure in MEASURES.items() for key, q in measure.quantities().items()}
        return {**said, **self.baseline.description.quantities}

    @cached_property
    def plan(self) -> Plan:
        """What may have to be measured. Raises BadInput as the check itself does, before anything is measured."""
        gates = self.gates.directed(self.quantities)
        measures = needed_measures(gates, self.baseline, self.values)
        return prepared_plan(self.judged, self.baseline, self.suite, measures, self.beside, self.devices[0].type)

    def __call__(self) -> Verdict:
        plan, was = self.plan, self.baseline.description
        self.told(
            f"{self.judged.name} on {plan.suite.name}, {plan.examples} examples, against {was.entrant} ({was.measured_at})"
        )
        if self._equal:
            return self._verdict(Outcome.PASS, self._equal_results(), (), {})
        with workers_on(plan, self.devices, self.workers, self.heard) as ready:
            check = Check(
                self.gates,
                self.baseline,
                Candidate(plan, self.store, ready, self.heard),
                self.values,
                seed=self.seed,
                full=self.full,
                told=self.told,
                quantities=self.quantities,
            )
            check.refuse_undecidable()
            outcome = check()
        images = self.judged.images
        lost = check.found.lost([images.classes[label] for label in images.labels[: plan.examples].tolist()])
        return self._verdict(outcome, check.found.results(), lost, check.cost)

    @property
    def _equal(self) -> bool:
        """Whether the baseline's flags are the candidate's own. Values that are given are compared in any case."""
        was = self.baseline.description
        same = was.weights_sha256 == self.judged.weights.sha256 and was.device == self.plan.device
        return same and not self.full and not self.values

    def _equal_results(self) -> tuple[GateResult, ...]:
        found = []
        for gate in self.gates.directed(self.quantities).gates:
            said = self.quantities.get(gate.value)
            unit = "fraction" if gate.measure else said.unit if said else ""
            found.append(
                EqualResult(
                    name=gate.name, what=gate.what, outcome=Outcome.PASS, margin=gate.margin, unit=unit,
                    total=self.plan.examples,
                )
            )  # fmt: skip
        return tuple(found)

    def _verdict(
        self, outcome: Outcome, gates: tuple[GateResult, ...], lost: tuple[LostExample, ...], cost: dict[str, int]
    ) -> Verdict:
        plan, was = self.plan, self.baseline.description
        return Verdict(
            outcome=outcome,
            entrant=self.judged.name,
            suite=plan.suite.name,
            baseline=was.entrant,
            weights_sha256=self.judged.weights.sha256,
            alpha=self.gates.alpha,
            gates=gates,
            lost=lost,
            cost=cost,
            notes=() if was.device == plan.device else (self._another_device(),),
        )

    def _another_device(self) -> str:
        was = self.baseline.description.device
        return f"The baseline was measured on {was}, the candidate on {self.plan.device}: another draw of attacks."
