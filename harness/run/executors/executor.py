"""An executor takes a plan's tasks to shards in the store and reports each as it ends; results do not depend on which does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from harness.run.executors.in_process import in_process
from harness.run.executors.place import Assignment, Fault, Place, Workers
from harness.run.executors.processes import processes
from harness.run.plan import Plan, Task
from harness.run.shard import measure_shard
from harness.run.store import Store


@dataclass(frozen=True)
class Done:
    """A task ended: well, or with a fault. After a fault of a whole entrant its other tasks are not reported."""

    task: Task
    seconds: float
    fault: Fault | None = None


Report = Callable[[Done], None]


class Executor(Protocol):
    """Who runs a plan's tasks."""

    def __call__(self, plan: Plan, tasks: Sequence[Task], store: Store, report: Report) -> None:
        """Measure the tasks into the store; `report` is called in this process as each one ends."""
        ...


@dataclass(frozen=True)
class MeasureTask:
    """The job that a task is: its shard goes to the store where it is measured. `number` is the task's in its plan."""

    number: int
    store: Store

    def __call__(self, place: Place) -> None:
        task = place.plan.tasks[self.number]
        shard = measure_shard(task, place.model, place.suite, place.judged.images, place.plan.precision, place.device)
        self.store.write(task.key, shard, task.content.plain())


@dataclass(frozen=True)
class InProcessExecutor:
    """Everything in this process, one task after another."""

    device: torch.device

    def __call__(self, plan: Plan, tasks: Sequence[Task], store: Store, report: Report) -> None:
        """Measure the tasks into the store."""
        with in_process(plan, self.device) as workers:
            _run(workers, plan, tasks, store, report)


@dataclass(frozen=True)
class LocalExecutor:
    """Processes of this machine, one for each of `devices`.

    On the CPU each worker uses one thread, however many there are, so that one worker and many give the same numbers.
    """

    devices: tuple[torch.device, ...]

    def __call__(self, plan: Plan, tasks: Sequence[Task], store: Store, report: Report) -> None:
        """Measure the tasks into the store."""
        if not tasks:
            return
        with processes(plan, self.devices) as workers:
            _run(workers, plan, tasks, store, report)


def executor_for(devices: Sequence[torch.device], workers: int | None) -> Executor:
    """Processes on the devices; in this process where `workers` is 0."""
    return InProcessExecutor(devices[0]) if workers == 0 else LocalExecutor(tuple(devices))


def _run(workers: Workers, plan: Plan, tasks: Sequence[Task], store: Store, report: Report) -> None:
    wanted = {(task.judged, task.key) for task in tasks}
    numbers = [number for number, task in enumerate(plan.tasks) if (task.judged, task.key) in wanted]
    jobs = [Assignment(plan.tasks[number].judged, MeasureTask(number, store)) for number in numbers]
    for answer in workers(jobs):
        report(Done(plan.tasks[numbers[answer.number]], answer.seconds, answer.fault))
