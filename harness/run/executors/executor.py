"""An executor takes a plan's tasks to shards in the store and reports each as it ends; results do not depend on which does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch

from harness.run.executors.in_process import in_process
from harness.run.executors.place import Assignment, Fault, Place, Workers
from harness.run.executors.processes import processes
from harness.run.group import Group, groups, queued
from harness.run.parts import Parts
from harness.run.plan import Plan, Task
from harness.run.probe import probes
from harness.run.progress import Heard, Pace, Queue, unheard
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

    def __call__(self, plan: Plan, tasks: Sequence[Task], store: Store, report: Report, heard: Heard = unheard) -> None:
        """Measure the tasks into the store; `report` is called in this process as each one ends, `heard` with how far it is."""
        ...


@dataclass(frozen=True)
class MeasureTasks:
    """The job that a group of tasks is: its shards go to the store where they are measured. `numbers` are the tasks' in
    their plan."""

    numbers: tuple[int, ...]
    store: Store

    def __call__(self, place: Place) -> None:
        group = Group(tuple(place.plan.tasks[number] for number in self.numbers), self.store)
        for task, shard in zip(group.tasks, group(place), strict=True):
            Parts(self.store).complete(task, shard)


@dataclass(frozen=True)
class InProcessExecutor:
    """Everything in this process, one task after another."""

    device: torch.device

    def __call__(self, plan: Plan, tasks: Sequence[Task], store: Store, report: Report, heard: Heard = unheard) -> None:
        """Measure the tasks into the store."""
        with in_process(plan, self.device, heard) as workers:
            _run(workers, plan, tasks, store, report, heard)


@dataclass(frozen=True)
class LocalExecutor:
    """Processes of this machine, one for each of `devices`.

    On the CPU each worker uses one thread, however many there are, so that one worker and many give the same numbers.
    """

    devices: tuple[torch.device, ...]

    def __call__(self, plan: Plan, tasks: Sequence[Task], store: Store, report: Report, heard: Heard = unheard) -> None:
        """Measure the tasks into the store."""
        if not tasks:
            return
        with processes(plan, self.devices, heard) as workers:
            _run(workers, plan, tasks, store, report, heard)


@contextmanager
def workers_on(
    plan: Plan, devices: Sequence[torch.device], workers: int | None, heard: Heard = unheard
) -> Iterator[Workers]:
    """Workers for jobs of one's own: processes on the devices; this process where `workers` is 0."""
    with in_process(plan, devices[0], heard) if workers == 0 else processes(plan, devices, heard) as found:
        yield found


def executor_for(devices: Sequence[torch.device], workers: int | None) -> Executor:
    """Processes on the devices; in this process where `workers` is 0."""
    return InProcessExecutor(devices[0]) if workers == 0 else LocalExecutor(tuple(devices))


def queue(plan: Plan, groups: Sequence[Sequence[Task]], workers: int) -> Queue:
    """Groups of tasks, as they are told of."""
    return Queue(tuple(queued(plan.judged[group[0].judged], group) for group in groups), workers)


def _run(
    workers: Workers, plan: Plan, tasks: Sequence[Task], store: Store, report: Report, heard: Heard = unheard
) -> None:
    number = {(task.judged, task.key): number for number, task in reversed([*enumerate(plan.tasks)])}
    waiting = groups(sorted(tasks, key=lambda task: number[task.judged, task.key]), workers.count, plan.suite.shape)
    heard(queue(plan, waiting, workers.count))
    if heard is not unheard:
        for answer in workers(probes(plan, tasks)):
            if isinstance(answer.result, Pace):
                heard(answer.result)
    while waiting:
        jobs = [MeasureTasks(tuple(number[task.judged, task.key] for task in group), store) for group in waiting]
        again: list[tuple[Task, ...]] = []
        for answer in workers([Assignment(group[0].judged, job) for group, job in zip(waiting, jobs, strict=True)]):
            group = waiting[answer.number]
            if answer.fault is not None and not answer.fault.whole_entrant and len(group) > 1:
                again += [(task,) for task in group]  # one by one: what fails is named, and the others are measured
                continue
            for task in group if answer.fault is None else group[:1]:
                report(Done(task, answer.seconds * len(task) / sum(map(len, group)), answer.fault))
        waiting = again
        heard(queue(plan, waiting, workers.count))
