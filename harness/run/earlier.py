"""What earlier runs say of the work that is to be done: how many examples were robust, and how long it took.

It only helps to estimate: shards that the store has of the same measurements, and records of the same weights,
here or published.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from harness.attacks.named import MAIN
from harness.measures.energies import accuracy_value
from harness.provenance import provenance
from harness.run.folders import published
from harness.run.plan import Judged, Plan
from harness.run.progress import Earlier, Seen
from harness.run.store import Store
from leaderboards.records.files import file_stem, read_record
from leaderboards.records.home import Home
from leaderboards.records.schema import Record, RecordError

ROBUST = {"autoattack": "autoattack_accuracy", "energies": accuracy_value(MAIN)}
"""The values that say how many examples are robust; the first that a record has counts."""


def earlier(plan: Plan, store: Store, out: Path) -> Earlier:
    """What is known before a run begins, of the entrants of a plan."""
    device = provenance(torch.device(plan.device), plan.precision).device_name
    seen = [
        *(one for number in range(len(plan.judged)) for one in _of_shards(plan, number, store, device)),
        *(one for judged in plan.judged for one in _of_records(plan, judged, out, device)),
    ]
    return Earlier(tuple(seen))


def _of_shards(plan: Plan, number: int, store: Store, device: str) -> Iterator[Seen]:
    name = plan.judged[number].name
    for measure in plan.measures:
        tasks = plan.of(number, measure.name)
        there = [task for task in tasks if store.path(task.key).exists()]
        if not there or len(there) == len(tasks):
            continue
        for task in there:
            if (shard := store.read(task.key, measure.heavy_arrays)) is not None:
                correct = measure.correct(shard.arrays) if measure.name in ROBUST else None
                robust = None if correct is None else int(correct.sum())
                here = shard.provenance.device_name == device
                yield Seen(name, measure.name, len(task), robust, shard.seconds if here else None)


def _of_records(plan: Plan, judged: Judged, out: Path, device: str) -> Iterator[Seen]:
    """Of the same weights, whatever was measured of them here or published: each measure once."""
    told: set[str] = set()
    for home in (Home(out), published(out)):
        if home is None:
            continue
        for path in sorted((home.results / plan.suite.name).rglob(f"{file_stem(judged.name)}.json")):
            try:
                record = read_record(path)
            except RecordError:
                continue
            if record.entrant.weights_sha256 == judged.weights.sha256:
                yield from (one for one in _of_record(plan, judged.name, record, device) if one.measure not in told)
                told |= record.measurements.keys()


def _of_record(plan: Plan, name: str, record: Record, device: str) -> Iterator[Seen]:
    for measure in plan.measures:
        found = record.measurements.get(measure.name)
        if found is None or not found.n or found.settings != measure.settings():
            continue
        value = found.values.get(ROBUST.get(measure.name, ""))
        robust = None if value is None or value.value is None else round(value.value * found.n)
        here = found.provenance.device_name == device and not found.bounded
        yield Seen(name, measure.name, found.n, robust, found.seconds if here and found.seconds else None)
