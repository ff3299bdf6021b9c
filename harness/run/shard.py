"""From an entrant to a model as the measures see it, and from what a measure finds to the shards of its tasks."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import nn

from harness.classifier.across import beside, placed
from harness.classifier.logits import natural_logits
from harness.classifier.precision import Precise
from harness.data.images import Examples, ImageSet
from harness.errors import BadInput
from harness.measures.measure import Note, ShardResult, joined_notes
from harness.run.plan import Judged, Task
from harness.run.store import Shard
from harness.suites.suite import Suite
from leaderboards.records.schema import Provenance


def prepared(judged: Judged, suite: Suite, precision: str, device: torch.device) -> nn.Module:
    """The entrant on its device as the measures see it.

    Raises BadInput where it does not fit the suite's images, and where it is not the one that the plan has hashed: a
    checkpoint that is still being written, a callable that builds another network each time.
    """
    entrant, images = judged.entrant, judged.images
    model = Precise(placed(entrant.load(), device), precision).eval()
    if entrant.weights().sha256 != judged.weights.sha256:
        raise BadInput(
            f"expected {entrant.spec} as it was when the run began, got other weights; wait until its file is written,"
            " or seed what it is built with, and run again"
        )
    try:
        natural_logits(model, images.examples(0, 2).to(beside(device)), suite.classes)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        shape = "x".join(map(str, images.shape))
        first = str(error).strip().splitlines()[0]
        raise BadInput(
            f"expected {entrant.spec} to take images of {shape} (channels, height, width), got: {first};"
            " choose a classifier of this data set"
        ) from error
    return model


@contextmanager
def drawing_as(task: Task, device: torch.device) -> Iterator[None]:
    """An entrant that draws random numbers draws the same ones whoever measures the task."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(task.measure.seed * 1_000_003 + task.start)
        yield


_MIXED = "some shards were begun with other code, other libraries or on another device than they were ended with"


@dataclass(frozen=True)
class Making:
    """Shards in the making: tasks that are measured in one call, with what was known `before` of each of them, or of none."""

    tasks: Sequence[Task]
    before: Sequence[Shard]
    model: nn.Module
    provenance: Provenance
    begun: float = field(default_factory=time.perf_counter)

    def __call__(self, result: ShardResult) -> list[Shard]:
        """What was found of all examples as a shard a task: notes are the first one's, time is shared out by examples."""
        total = sum(map(len, self.tasks))
        for name, array in result.arrays.items():
            if len(array) != total:
                raise RuntimeError(
                    f"{self.tasks[0].measure.name} gave {len(array)} values of {name} for {total} examples"
                )
        each = (time.perf_counter() - self.begun) / total
        spent = [shard.seconds for shard in self.before] or [0.0] * len(self.tasks)
        parameters = sum(parameter.numel() for parameter in self.model.parameters())
        found, first = [], 0
        mixed = tuple(Note("mixed-shards", _MIXED, 0) for shard in self.before if not self._alike(shard))[:1]
        for number, (task, seconds) in enumerate(zip(self.tasks, spent, strict=True)):
            rows = slice(first, first + len(task))
            first += len(task)
            found.append(
                Shard(
                    arrays={name: array[rows] for name, array in result.arrays.items()},
                    notes=() if number else joined_notes(result.notes, mixed),
                    seconds=seconds + each * len(task),
                    provenance=self.provenance,
                    parameters=parameters,
                )
            )
        return found

    def _alike(self, shard: Shard) -> bool:
        """Whether a shard was begun with the code, the libraries and the device that it goes on with."""
        then, now = shard.provenance, self.provenance
        return (then.versions, then.commit, then.dirty, then.device_name) == (
            now.versions, now.commit, now.dirty, now.device_name
        )  # fmt: skip

    @property
    def known(self) -> ShardResult | None:
        """What is known of all examples together."""
        if not self.before:
            return None
        # those of a time when nothing was rounded have fewer
        names = [name for name in self.before[0].arrays if all(name in shard.arrays for shard in self.before)]
        return ShardResult(
            {name: np.concatenate([shard.arrays[name] for shard in self.before]) for name in names},
            joined_notes((), [note for shard in self.before for note in shard.notes]),
        )

    def examples(self, images: ImageSet) -> Examples:
        """The examples of all tasks, one after another."""
        found = [task.measure.examples(images, task.start, task.stop) for task in self.tasks]
        if len(found) == 1:
            return found[0]
        return replace(found[0], x=torch.cat([one.x for one in found]), y=torch.cat([one.y for one in found]))
