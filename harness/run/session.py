"""A run from its request to its records: what the command line, Python and every executor have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch

import zoo
from harness.data.parts import partly
from harness.errors import BadInput, one_line
from harness.measures import Measure
from harness.run.completion import completing, waiting
from harness.run.earlier import earlier
from harness.run.executors.executor import Executor, Report, queue
from harness.run.executors.in_process import in_process
from harness.run.executors.place import Assignment
from harness.run.findings import write_findings
from harness.run.forecast import Forecast, Left, forecast
from harness.run.group import groups
from harness.run.inputs import read_images, refuse_overwriting, sources
from harness.run.plan import Plan, Task, make_plan
from harness.run.probe import by_entrant, probe
from harness.run.progress import Heard, Pace, unheard
from harness.run.selection import Faults, find_files, with_seed
from harness.run.signals import undisturbed
from harness.run.store import Store
from harness.suites.suite import Suite
from leaderboards.records.schema import Record


@dataclass(frozen=True)
class Request:
    """What is to be measured. `named`: the entrants were asked for by name, so a missing file is a fault.

    `limit` judges the first examples alone, `shard_size` takes the place of the suite's; `device` is the workers'.
    `seed` takes the place of every measure's own.
    """

    suite: Suite
    measures: tuple[Measure, ...]
    entrants: tuple[zoo.Entrant, ...]
    named: bool
    out: Path
    device: torch.device
    data_dir: Path
    precision: str = "fp32"
    limit: int | None = None
    shard_size: int | None = None
    download: bool = False
    inception_weights: Path | None = None
    seed: int | None = None


@dataclass(frozen=True)
class Session:
    """A run that can begin: its plan, and where its shards and records go."""

    plan: Plan
    store: Store
    out: Path
    tell: Callable[[str], None] = lambda line: None

    @cached_property
    def todo(self) -> tuple[Task, ...]:
        """The tasks that have no shard yet."""
        return waiting(self.plan, self.store)

    def forecast(self) -> Forecast:
        """What will say how long the tasks take; it is to be told whatever is heard of them."""
        return forecast(self.plan)

    def estimate(self, workers: Sequence[torch.device], faults: Faults) -> Left:
        """Seconds that the tasks take, as a range, from a look at each entrant; those that cannot be tried are named."""
        found, todo = self.forecast(), self.todo
        found(earlier(self.plan, self.store, self.out))
        lost: set[int] = set()
        with in_process(self.plan, workers[0]) as here:
            for answer in here(
                looks := [Assignment(n, probe(self.plan, mine)) for n, mine in by_entrant(todo).items()]
            ):
                if isinstance(answer.result, Pace):
                    found(answer.result)
                elif answer.fault is not None:
                    lost.add(judged := looks[answer.number].judged)
                    faults.add(self.plan.judged[judged].name, answer.fault.message, bad_input=answer.fault.bad_input)
        waiting = groups([task for task in todo if task.judged not in lost], len(workers), self.plan.suite.shape)
        found(queue(self.plan, waiting, len(workers)))
        return found.left() or Left(0.0, 0.0, 0.0)

    def __call__(self, executor: Executor, report: Report, heard: Heard = unheard) -> list[Record]:
        """Measure what is missing and write the records.

        A bounded answer that does not stand is completed, which brings tasks that were not in the plan. Whatever ends the run
        early, what is measured goes into records before the exception leaves. `heard` takes how far the work is.
        """
        try:
            if heard is not unheard and self.todo:
                heard(earlier(self.plan, self.store, self.out))
            executor(self.plan, self.todo, self.store, report, heard)
            if (rest := completing(self.plan, self.store)) is not None:
                for judged, measure in dict.fromkeys((task.judged, task.measure.name) for task in rest.tasks):
                    why = "a sampled example broke, or nothing was left out"
                    self.tell(f"{rest.judged[judged].name}: {measure} is completed ({why})")
                executor(rest, rest.todo(self.store), self.store, report, heard)
        finally:
            with undisturbed():
                records = write_findings(self.plan, self.store, self.out)
        return records


def begin(request: Request, faults: Faults) -> Session | None:
    """Find the files, read the images and make the plan. What cannot be judged is told and left out.

    Returns None where faults leave nothing to judge. Raises BadInput where nothing was asked for that could be judged.
    """
    suite = request.suite
    ready = find_files(request.entrants, suite, named=request.named, download=request.download, faults=faults)
    if not ready:
        if faults.status:
            return None
        raise BadInput(
            f"expected at least one entrant that can be judged on {suite.name}, got none;"
            f" see harness list entrants --suite {suite.name}"
        )
    judged = read_images(ready, suite, data_dir=request.data_dir, download=request.download)
    if part := partly(judged[0].images, request.limit):
        faults.tell(part)
    if judged[0].images.name != suite.dataset:
        faults.tell(f"the images are JPEG copies: recorded as {judged[0].images.name}, not {suite.dataset}")
        suite = suite.found_as(judged[0].images.name)
    if request.shard_size:
        suite = replace(suite, shard_size=request.shard_size)
    beside = sources(
        suite,
        data_dir=request.data_dir,
        download=request.download,
        fits=request.out / "shards" / "fits",
        inception_weights=request.inception_weights,
    )
    plan = make_plan(
        suite,
        judged,
        [measure.bound(beside) for measure in with_seed(request.measures, request.seed)],
        precision=request.precision,
        device=request.device.type,
        limit=request.limit,
    )
    free = []
    for one in plan.judged:
        try:
            refuse_overwriting(one, plan, request.out)
            free.append(one)
        except BadInput as error:
            faults.add(one.name, one_line(error), bad_input=True)
    if not free:
        return None
    return Session(plan.of_entrants(free), Store(request.out / "shards"), request.out, faults.tell)
