"""The bundle of witnesses that stands beside a measurement: what its shards hold of images that break examples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.data.images import ImageSet
from harness.measures.measure import Measure
from harness.run.plan import Task
from harness.run.store import Store
from leaderboards.records.schema import Bundle
from leaderboards.records.witnesses import Packed, joined, packed, write_witnesses


def bundled(tasks: Sequence[Task], store: Store, images: ImageSet, folder: Path) -> Bundle | None:
    """Write the witnesses of all tasks of one measurement to the folder; None for a measure that looks for none, and where a
    shard's images are damaged.

    `images` are those that the entrant was judged on. One shard is in memory at a time: their images are gigabytes.
    """
    if all(type(task.measure).witnesses is Measure.witnesses for task in tasks):
        return None  # it looks for none: no shard is read to be told so
    parts: list[Packed] = []
    for task in tasks:
        shard = store.read(task.key)
        found = task.measure.witnesses(shard.arrays) if shard is not None else None
        if found is None:
            return None
        x = task.measure.examples(images, task.start, task.stop).x.numpy()[found.rows]
        parts.append(packed(task.start + found.rows, x, found.x_adv, found.bits, found.step))
    return write_witnesses(folder, joined(parts))
