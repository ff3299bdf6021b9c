"""Which measure answers for an entrant: a bounded one where its answer stands, else the complete one that it is a part of.

Whether a bounded answer stands is decided over all shards of an entrant at once, never shard by shard: see
harness.measures.bounded. Where it does not, the rest is run, and goes on from the shards that there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from harness.measures.measure import Measure
from harness.run.plan import Plan, Task
from harness.run.store import Shard, Store


def of_whole(tasks: Sequence[Task]) -> tuple[Task, ...]:
    """The tasks of the complete measure that these tasks' measure is a part of; none where it is complete itself."""
    return tuple(
        Task(task.judged, whole, replace(task.content, settings=whole.settings()))
        for task in tasks
        if (whole := task.measure.whole()) is not None
    )


def answered(tasks: Sequence[Task], store: Store) -> tuple[Measure, list[Shard]] | None:
    """The measure that answers for all tasks of one measurement, with its shards in order; None where something is missing.

    Heavy arrays are left out: of a large suite they are gigabytes.
    """
    for one in (of_whole(tasks), tuple(tasks)):
        read = (store.read(task.key, task.measure.heavy_arrays) for task in one)
        shards = [shard for shard in read if shard is not None]
        if one and len(shards) == len(one) and one[0].measure.stands(_joined(shards)):
            return one[0].measure, shards
    return None


def waiting(plan: Plan, store: Store) -> tuple[Task, ...]:
    """The tasks that have no shard yet; none of a measurement whose complete answer is there."""
    done: set[tuple[int, str]] = set()
    for judged in range(len(plan.judged)):
        for measure in plan.measures:
            tasks = of_whole(plan.of(judged, measure.name))
            if tasks and all(store.has(task.key, task.measure.heavy_arrays) for task in tasks):
                done.add((judged, measure.name))
    return tuple(task for task in plan.todo(store) if (task.judged, task.measure.name) not in done)


def completing(plan: Plan, store: Store) -> Plan | None:
    """What is to be run now that a plan's bounded answers are there: the complete measure of entrants for which one does not
    stand. None where there is nothing."""
    tasks: list[Task] = []
    for judged in range(len(plan.judged)):
        for measure in (measure for measure in plan.measures if measure.whole() is not None):
            mine = plan.of(judged, measure.name)
            there = all(store.has(task.key, task.measure.heavy_arrays) for task in mine)
            if there and answered(mine, store) is None:
                tasks += of_whole(mine)
    if not tasks:
        return None
    return replace(plan, measures=tuple(measure.whole() or measure for measure in plan.measures), tasks=tuple(tasks))


def _joined(shards: Sequence[Shard]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([shard.arrays[name] for shard in shards]) for name in shards[0].arrays}
