"""What is known of a shard before it is whole: kept beside the shards, and gone on from after a kill or by another command."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from harness.run.plan import Content, Task
from harness.run.store import Shard, Store, content_key


def _part_key(content: Content) -> str:
    return content_key({**content.plain(), "part": True})


@dataclass(frozen=True)
class Parts:
    """The parts of shards in a store, for measures that can go on from one."""

    store: Store

    def furthest(self, task: Task) -> Shard | None:
        """All that is known of a shard, with every array: of its own, or of a measure that it can go on from."""
        keys = [key for content in _contents(task) for key in (content.key, _part_key(content))]
        known = [found for key in keys if (found := self.store.read(key)) is not None]
        return max(known, key=lambda found: task.measure.progress(found.arrays), default=None)

    def keep(self, task: Task, part: Shard) -> None:
        """Put a part in the place of the one before."""
        self.store.write(_part_key(task.content), part, {**task.content.plain(), "part": True})

    def complete(self, task: Task, shard: Shard) -> None:
        """Write a whole shard; its part goes."""
        self.store.write(task.key, shard, task.content.plain())
        for content in _contents(task):
            self.store.path(_part_key(content)).unlink(missing_ok=True)


def _contents(task: Task) -> Iterator[Content]:
    yield task.content
    for measure in task.measure.kin():
        yield replace(task.content, settings=measure.settings())
