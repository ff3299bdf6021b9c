"""Measuring the entrants of an experiment as `harness run` does, in the experiment's own folder, and what is read back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from harness.attacks.named import MAIN
from harness.classifier.devices import devices
from harness.data.parts import first_examples
from harness.errors import BadInput
from harness.measures import MEASURES, Measure
from harness.measures.energies import accuracy_value
from harness.measures.measure import Cost
from harness.run.executors.executor import Done, executor_for
from harness.run.inputs import suite_images
from harness.run.plan import Plan, Task
from harness.run.progress import Heard, unheard
from harness.run.selection import Faults, chosen_entrants
from harness.run.session import Request, Session, begin
from harness.suites.suite import Suite
from leaderboards.records.arrays import read_arrays
from leaderboards.records.files import record_path
from leaderboards.records.home import Home
from leaderboards.records.schema import Record, Value


class Follower(Protocol):
    """Is called as each task ends; `heard` takes how far the others are."""

    @property
    def heard(self) -> Heard: ...

    def __call__(self, done: Done) -> None: ...


Follow = Callable[[Plan, Sequence[Task], Faults], AbstractContextManager[Follower]]
"""What follows a run."""


@dataclass(frozen=True)
class Silent:
    """Says nothing but faults."""

    plan: Plan
    faults: Faults
    heard: Heard = unheard

    def __call__(self, done: Done) -> None:
        if done.fault is not None:
            who = self.plan.judged[done.task.judged].name
            self.faults.add(who, done.fault.message, bad_input=done.fault.bad_input)


@contextmanager
def silently(plan: Plan, todo: Sequence[Task], faults: Faults) -> Iterator[Follower]:
    """Follows a run and says nothing but faults."""
    yield Silent(plan, faults)


ROBUST = ("autoattack", "energies")
"""Whose flags are the robust accuracy of an experiment: the first of these that was measured; of energies, those under PGD."""

ATTACKS = {"autoattack": "AutoAttack", "energies": "PGD-20"}

ACCURACIES = {
    "autoattack": "autoattack_accuracy",
    "energies": accuracy_value(MAIN),
    "standard": "standard_accuracy",
}


@dataclass(frozen=True)
class Found:
    """What was measured of one entrant: its record, its file below the folder, and flags (n,) by the measure that gave them.

    `attacked` is the measure that the robust accuracy is of: the same for all entrants of an experiment, whatever else their
    records hold, for accuracies under two attacks do not compare.
    """

    record: Record
    file: str
    flags: Mapping[str, np.ndarray]
    attacked: str

    @property
    def standard(self) -> Value | None:
        """Standard accuracy; by the energies where they alone were measured."""
        energies = self.record.measurements.get("energies")
        return self._value("standard") or (energies.values.get(ACCURACIES["standard"]) if energies else None)

    @property
    def robust(self) -> Value | None:
        return self._value(self.attacked)

    @property
    def survivors(self) -> np.ndarray | None:
        """(n,) bool: which examples stay right under the attack; None where that is not known of each of them."""
        return self.flags.get(self.attacked)

    def _value(self, measure: str) -> Value | None:
        measured = self.record.measurements.get(measure)
        return measured.values.get(ACCURACIES[measure]) if measured is not None else None


@dataclass(frozen=True)
class Measuring:
    """How the entrants of an experiment are measured, and where the records go."""

    suite: Suite
    measures: tuple[Measure, ...]
    folder: Path
    data_dir: Path
    model_dir: Path = Path("models")
    device: str = "auto"
    workers: int | None = 0
    precision: str = "fp32"
    limit: int | None = None
    download: bool = False
    inception_weights: Path | None = None
    own_folders: tuple[Path, ...] = ()

    @property
    def attacked(self) -> str:
        """The measure that robust accuracies are of: the first of ROBUST that is asked for; empty where none is."""
        asked = [measure.name for measure in self.measures]
        return next((name for name in ROBUST if name in asked), "")

    def require_images(self) -> None:
        """Raise BadInput where the images that entrants are measured on are not here: told before they are trained."""
        first_examples(suite_images(self.suite, data_dir=self.data_dir, download=self.download), self.limit)

    def session(self, specs: Sequence[str], faults: Faults) -> Session | None:
        """What there is to measure of these entrants; None where faults leave nothing."""
        entrants = chosen_entrants(
            specs, self.suite, model_dir=self.model_dir, own_folders=self.own_folders, allow_pickle=()
        )
        request = Request(
            suite=self.suite,
            measures=self.measures,
            entrants=tuple(entrants),
            named=True,
            out=self.folder,
            device=devices(self.device, self.workers)[0],
            data_dir=self.data_dir,
            precision=self.precision,
            limit=self.limit,
            download=self.download,
            inception_weights=self.inception_weights,
        )
        return begin(request, faults)

    def __call__(self, specs: Sequence[str], faults: Faults, follow: Follow = silently) -> dict[str, Found]:
        """Measure what is missing; what was found of each entrant, by its name. Faults are told, and leave an entrant out."""
        session = self.session(specs, faults)
        if session is None:
            return {}
        with follow(session.plan, session.todo, faults) as report:
            records = session(executor_for(devices(self.device, self.workers), self.workers), report, report.heard)
        return {record.entrant.name: self._found(record) for record in records}

    def cost(self, entrants: int) -> Cost:
        """Passes that so many entrants take at most, in images, where nothing is measured yet."""
        images = suite_images(self.suite, data_dir=self.data_dir, download=self.download)
        forward = backward = 0
        for measure in self.measures:
            units = measure.units(len(images))
            cost, n = measure.cost(self.suite.classes), min(self.limit or units, units)
            forward, backward = forward + n * cost.forward, backward + n * cost.backward
        return Cost(entrants * forward, entrants * backward)

    def _found(self, record: Record) -> Found:
        home = Home(self.folder)
        flags = {}
        for name in (self.attacked, "standard"):
            kept = record.arrays.get(name)
            right = MEASURES[name].correct(read_arrays(home.arrays, kept)) if kept is not None else None
            if right is not None:
                flags[name] = right
        file = record_path(home.results, record).relative_to(self.folder).as_posix()
        return Found(record, file, flags, self.attacked)


def require_attack(measures: Sequence[Measure]) -> None:
    """Raise BadInput where the measures give no robust accuracy: there is nothing to compare then."""
    if not any(measure.name in ROBUST for measure in measures):
        raise BadInput(
            f"expected autoattack or energies among the measures, got {', '.join(m.name for m in measures)}; an experiment"
            " compares robust accuracies"
        )


def as_json(value: Value | None) -> dict[str, Any] | None:
    """A value for a machine: number, ends, level, n; None where it was not measured."""
    if value is None:
        return None
    said = {"value": value.value, "low": value.low, "high": value.high, "level": value.level, "n": value.n}
    return said | ({"reason": value.reason} if value.reason else {})
