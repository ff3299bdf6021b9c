"""Shards of one measure of one entrant that are measured in one call, where it says that it answers for any range.

What a shard holds does not depend on the others of its group, but for the one thing that belongs to no example: notes are
the first shard's, and the time is shared out by examples. An entrant that draws random numbers draws others in another group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from harness.classifier.meter import Meter, metered
from harness.measures.measure import ShardResult
from harness.provenance import provenance
from harness.run.executors.place import Place
from harness.run.parts import Parts
from harness.run.plan import Judged, Task
from harness.run.progress import Progress, Queued
from harness.run.shard import Making, drawing_as
from harness.run.store import Shard, Store

MOST_EXAMPLES, MOST_BYTES = 2000, 256 << 20
"""Of a group, and of its images in float32: what bounds the memory, and what a worker that dies puts at stake."""


def groups(tasks: Sequence[Task], workers: int, shape: Sequence[int]) -> list[tuple[Task, ...]]:
    """Tasks in the order given, those of one entrant and measure in about as many groups as there are workers.

    `shape` is an image's: of large images a group holds fewer.
    A measure that does not answer for any range has a group for each of its tasks.
    """
    alike: dict[tuple[int, str], list[Task]] = {}
    for task in tasks:
        alike.setdefault((task.judged, task.measure.name), []).append(task)
    most = max(1, min(MOST_EXAMPLES, MOST_BYTES // (4 * prod(shape))))
    found: list[tuple[Task, ...]] = []
    for mine in alike.values():
        size = 1
        if mine[0].measure.any_range:
            size = min(-(-len(mine) // workers), max(1, most // max(map(len, mine))))
        found += [tuple(mine[first : first + size]) for first in range(0, len(mine), size)]
    return found


def queued(judged: Judged, tasks: Sequence[Task]) -> Queued:
    """A group, as it is told of."""
    return Queued(judged.name, tasks[0].measure.name, tasks[0].start, sum(map(len, tasks)))


@dataclass(frozen=True)
class Group:
    """Tasks that are measured together, from what the store has of them."""

    tasks: tuple[Task, ...]
    store: Store
    through: int | None = None
    """After how many stages to stop, for a measure that has stages; None: to the end."""

    def __call__(self, place: Place) -> tuple[Shard, ...]:
        """The shards, whole or as far as `through` says, which are not in the store yet."""
        parts = Parts(self.store)
        known = {task.key: parts.furthest(task) for task in self.tasks}
        # what is begun goes on together, and so does what is not
        begun = [task for task in self.tasks if known[task.key] is not None]
        fresh = [task for task in self.tasks if known[task.key] is None]
        found: dict[str, Shard] = {}
        for mine in (begun, fresh):
            if mine:
                before = [shard for task in mine if (shard := known[task.key]) is not None]
                found |= zip((task.key for task in mine), self._measured(mine, before, place, parts), strict=True)
        return tuple(found[task.key] for task in self.tasks)

    def _measured(self, tasks: list[Task], before: list[Shard], place: Place, parts: Parts) -> list[Shard]:
        made = Making(tasks, before, place.model, provenance(place.device, place.plan.precision))

        def keep(found: ShardResult) -> None:
            for task, part in zip(tasks, made(found), strict=True):
                parts.keep(task, part)

        job = queued(place.judged, self.tasks)
        costs = tasks[0].measure.costs(place.suite.classes, place.suite.shape)
        work = {stage: sum(map(len, tasks)) * cost.work for stage, cost in costs.items()}
        counting = metered(Meter(work, lambda reading: place.tell(Progress.of(job, reading))))
        with drawing_as(tasks[0], place.device), counting:
            examples = made.examples(place.judged.images).to(place.device)
            result = tasks[0].measure.go_on(
                place.model, examples, place.suite.threat, made.known, kept=keep, through=self.through
            )
        return made(result)
