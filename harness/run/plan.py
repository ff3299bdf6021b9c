"""What is to do: entrants x measures x shards, each with the key of the content that it depends on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import torch

from harness.data.images import ImageSet
from harness.data.parts import first_examples
from harness.measures.measure import Cost, Measure
from harness.run.store import Store, content_key
from harness.suites.suite import Suite
from zoo.entrant import Entrant, Weights


@dataclass(frozen=True)
class Judged:
    """An entrant that can be judged: its files are here and hashed. `images` are the suite's, by its own transform."""

    entrant: Entrant
    weights: Weights
    images: ImageSet
    transform: str = ""

    @property
    def name(self) -> str:
        return self.entrant.card.name


@dataclass(frozen=True)
class Content:
    """All that decides the numbers of a shard, and nothing else: equal content is one shard, whatever suite asks for it.

    `examples` is the content of its examples (harness.data.images.ImageSet.content), so a suite of more images, another
    version of a suite or one more measure leaves it alone. `start` decides too: random numbers are drawn by range.
    """

    weights: str
    examples: str
    transform: str
    norm: str
    eps: float
    measure: str
    measure_version: int
    settings: Mapping[str, Any]
    seed: int
    start: int
    stop: int
    precision: str
    device: str

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @cached_property
    def key(self) -> str:
        """sha256 (hex), the name of the shard."""
        return content_key(self.plain())


@dataclass(frozen=True)
class Task:
    """One shard of one measure of one entrant: the unit of work, of resume and of distribution."""

    judged: int
    measure: Measure
    content: Content

    @property
    def start(self) -> int:
        return self.content.start

    @property
    def stop(self) -> int:
        return self.content.stop

    @property
    def key(self) -> str:
        return self.content.key

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Plan:
    """All tasks of a run, in the order entrant, measure, shard; whether a task is done is the store's to say."""

    suite: Suite
    judged: tuple[Judged, ...]
    measures: tuple[Measure, ...]
    examples: int
    limit: int | None
    precision: str
    device: str
    tasks: tuple[Task, ...]

    def of_entrants(self, judged: Sequence[Judged]) -> Plan:
        """The plan of some of its entrants, in the order given."""
        if tuple(judged) == self.judged:
            return self
        return make_plan(
            self.suite, judged, self.measures, precision=self.precision, device=self.device, limit=self.limit
        )

    def of(self, judged: int, measure: str) -> tuple[Task, ...]:
        """The tasks of one measurement, in the order of its units."""
        return tuple(task for task in self.tasks if task.judged == judged and task.measure.name == measure)

    def todo(self, store: Store) -> tuple[Task, ...]:
        """The tasks whose shard is not there yet; one of each key, for the same weights under two names are one work."""
        first = {task.key: task for task in reversed(self.tasks)}
        return tuple(
            task
            for task in self.tasks
            if first[task.key] is task and not store.has(task.key, task.measure.heavy_arrays)
        )

    def cost(self, tasks: Sequence[Task]) -> Cost:
        """Passes of so many tasks, at most: examples that break early cost less."""
        costs = [(len(task), task.measure.cost(self.suite.classes)) for task in tasks]
        return Cost(sum(n * cost.forward for n, cost in costs), sum(n * cost.backward for n, cost in costs))


def shards(examples: int, size: int) -> list[tuple[int, int]]:
    """[0, examples) in ranges of `size`, the last one shorter where it does not divide."""
    return [(start, min(start + size, examples)) for start in range(0, examples, size)]


def make_plan(
    suite: Suite,
    judged: Sequence[Judged],
    measures: Sequence[Measure],
    *,
    precision: str,
    device: str,
    limit: int | None = None,
) -> Plan:
    """The tasks of a run. `device` is "cpu" or "cuda": numbers of the two differ in the last digits, and are not mixed.

    Where only a part of the data is here, it is as limited to that part. Raises BadInput for a limit that is larger than it.
    """
    threat = suite.threat
    measures = [measure.on(torch.device(device)) for measure in measures]
    examples, cut = 0, not judged
    cuts = {id(one.images): first_examples(one.images, limit) for one in judged}
    judged = [one if one.images is (held := cuts[id(one.images)]) else replace(one, images=held) for one in judged]
    tasks: list[Task] = []
    for index, one in enumerate(judged):
        whole = suite.size(one.images.size)
        if len(one.images) < whole:
            limit, cut = limit or len(one.images), True
        examples = min(limit or whole, whole)
        for measure in measures:
            units = measure.units(whole)
            cut = cut or (limit or units) < units
            for start, stop in shards(min(limit or units, units), suite.shard_size):
                content = Content(
                    weights=one.weights.sha256,
                    examples=measure.content(one.images, start, stop),
                    transform=one.transform,
                    norm=threat.norm,
                    eps=threat.eps,
                    measure=measure.name,
                    measure_version=measure.version,
                    settings=measure.settings(),
                    seed=measure.seed,
                    start=start,
                    stop=stop,
                    precision=precision,
                    device=device,
                )
                tasks.append(Task(index, measure, content))
    return Plan(
        suite=suite,
        judged=tuple(judged),
        measures=tuple(measures),
        examples=examples,
        limit=limit if cut else None,
        precision=precision,
        device=device,
        tasks=tuple(tasks),
    )
