"""From shards to records: the arrays of all shards of a measurement, joined, summarised, and set down with provenance."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from harness.measures.measure import Measure
from harness.run.bundles import bundled
from harness.run.completion import answered, of_whole
from harness.run.merging import Merge
from harness.run.plan import Judged, Plan, Task
from harness.run.portable import portable_spec, portable_values, portable_words
from harness.run.store import Shard, Store
from leaderboards.records.arrays import write_arrays
from leaderboards.records.dynamics import columns
from leaderboards.records.files import record_path, remove_leftovers, write_atomically
from leaderboards.records.home import Home
from leaderboards.records.schema import (
    Arrays,
    EntrantInfo,
    FileInfo,
    Flag,
    Measurement,
    Provenance,
    Record,
    SuiteInfo,
)
from zoo.entrant import Card


def _joined_provenance(shards: Sequence[Shard]) -> tuple[Provenance, tuple[Flag, ...]]:
    """The last shard's provenance, and a flag where shards were made with different code, libraries or devices."""
    last = max((shard.provenance for shard in shards), key=lambda p: p.measured_at)
    flags = []
    kinds: dict[str, set[Any]] = {
        "libraries": {tuple(sorted(s.provenance.versions.items())) for s in shards},
        "commits of the harness": {(s.provenance.commit, s.provenance.dirty) for s in shards},
        "devices": {s.provenance.device_name for s in shards},
    }
    for what, seen in kinds.items():
        if len(seen) > 1:
            flags.append(
                Flag(code="mixed-shards", message=f"the shards were measured with {len(seen)} different {what}")
            )
    return last, tuple(flags)


def joined_arrays(shards: Sequence[Shard]) -> dict[str, np.ndarray]:
    """The arrays of shards in order, joined."""
    return {name: np.concatenate([shard.arrays[name] for shard in shards]) for name in shards[0].arrays}


def measurement(measure: Measure, shards: Sequence[Shard], arrays_folder: Path, shard_size: int) -> Measurement:
    """All shards of one measure, in order, as a measurement; its per-sample arrays are written to the folder."""
    joined = joined_arrays(shards)
    summary = measure.summarise(joined, [note for shard in shards for note in shard.notes])
    provenance, flags = _joined_provenance(shards)
    beside = {name: array for name, array in joined.items() if name not in measure.working_arrays}
    kept: Arrays = write_arrays(arrays_folder, beside)
    return Measurement(
        measure=measure.name,
        version=measure.version,
        n=len(next(iter(joined.values()))),
        seed=measure.seed,
        settings={**measure.settings(), "shard_size": shard_size},
        values=dict(summary.values),
        quantities={
            name: quantity
            for name, quantity in measure.quantities().items()
            if name in summary.values or name in summary.distributions
        },
        distributions=dict(summary.distributions),
        flags=(*summary.flags, *flags),
        arrays=kept,
        seconds=round(sum(shard.seconds for shard in shards), 3),
        provenance=provenance,
    )


def training_log(card: Card, folder: Path) -> Arrays | None:
    """Write the rows that an entrant's trainer logged as arrays to the folder; None where there are none.

    Only the log whose sha256 the card gives is its log: one of another training, or one that is damaged, is left out.
    """
    told = card.training.get("dynamics")
    if card.dynamics is None or not isinstance(told, Mapping) or not card.dynamics.is_file():
        return None
    content = card.dynamics.read_bytes()
    if hashlib.sha256(content).hexdigest() != told.get("sha256"):
        return None
    try:
        rows = [json.loads(row) for row in content.splitlines() if row.strip()]
    except ValueError:
        return None
    arrays = columns(row for row in rows if isinstance(row, Mapping))
    return write_arrays(folder, arrays) if arrays else None


def _entrant_info(judged: Judged, parameters: int, arrays_folder: Path) -> EntrantInfo:
    card = judged.entrant.card
    return EntrantInfo(
        name=card.name,
        spec=portable_spec(judged.entrant.spec),
        source=card.source,
        architecture=card.architecture,
        parameters=parameters,
        title=card.title,
        authors=card.authors,
        venue=card.venue,
        link=card.link,
        licence=card.licence,
        additional_data=card.additional_data,
        weights_sha256=judged.weights.sha256,
        files=tuple(FileInfo(name=file.name, sha256=file.sha256) for file in judged.weights.files),
        training=portable_values(card.training),
        published=card.published,
        loading=judged.weights.note,
        dynamics=training_log(card, arrays_folder),
    )


def suite_info(plan: Plan, judged: Judged) -> SuiteInfo:
    """What an entrant was measured on, as its record says it."""
    suite = plan.suite
    return SuiteInfo(
        name=suite.name,
        version=suite.version,
        dataset=suite.dataset,
        split=judged.images.split,
        fingerprint=judged.images.fingerprint,
        examples=suite.size(judged.images.size),
        norm=suite.norm,
        eps=suite.threat.eps,
    )


def write_findings(plan: Plan, store: Store, out: Path) -> list[Record]:
    """Write the record of every entrant with at least one finished measure; returns them in the plan's order.

    Measures that were found earlier, for the same weights on the same examples, stay in the record. Runs that write to one
    folder at once take turns. Where nothing was measured no folder is made.
    """
    if not (
        out.exists() or any(answered(plan.of(n, m.name), store) for n in range(len(plan.judged)) for m in plan.measures)
    ):
        return []
    out.mkdir(parents=True, exist_ok=True)
    with FileLock(out / ".lock"):
        return _write_findings(plan, store, out)


def _write_findings(plan: Plan, store: Store, out: Path) -> list[Record]:
    home = Home(out)
    remove_leftovers(home.results, home.arrays, home.witnesses, home.samples)
    records = []
    for index, judged in enumerate(plan.judged):
        found: dict[str, Measurement] = {}
        parameters = 0
        for measure in plan.measures:
            # heavy arrays stay in the shards: of a large suite they are gigabytes
            tasks = plan.of(index, measure.name)
            answer = answered(tasks, store)
            if answer is not None:
                by, shards = answer
                one = measurement(by, shards, home.arrays, plan.suite.shard_size)
                mine = tasks if by == tasks[0].measure else of_whole(tasks)
                bundle = bundled(mine, store, judged.images, home.witnesses)
                found[measure.name] = one.model_copy(update={"witnesses": bundle})
                parameters = shards[0].parameters
        if not found:
            continue
        record = Record(
            suite=suite_info(plan, judged),
            suite_title=plan.suite.title,
            suite_description=plan.suite.description,
            suite_words=portable_words(plan.suite.asked),
            entrant=_entrant_info(judged, parameters, home.arrays),
            limit=plan.limit,
            measurements=found,
        )
        records.append(Merge(home)(record))
        for measure in (measure for measure in plan.measures if measure.exhibits and measure.name in found):
            place = record_path(home.samples, record).with_suffix("")
            _exhibit(measure, found[measure.name], plan.of(index, measure.name), store, place)
    return records


def _exhibit(measure: Measure, found: Measurement, tasks: Sequence[Task], store: Store, place: Path) -> None:
    """Write what there is to see of a measurement, unless it is there already."""
    assert found.arrays is not None
    marker = place / "measurement"
    if marker.is_file() and marker.read_text(encoding="utf-8") == found.arrays.sha256:
        return
    shards = [shard for task in tasks if (shard := store.read(task.key)) is not None]
    if len(shards) == len(tasks):
        measure.exhibit(joined_arrays(shards), place, found.arrays.sha256)
        write_atomically(marker, found.arrays.sha256.encode())


def settings_apart(record: Record, plan: Plan) -> str:
    """What the measures that a record would keep were made with, where the plan's differ in it; else empty.

    A record holds one precision, one kind of device and one shard size: its numbers are set side by side.
    """
    planned = (plan.precision, plan.device, plan.suite.shard_size)
    names = {measure.name for measure in plan.measures}
    for kept in (m for name, m in record.measurements.items() if name not in names):
        made = (kept.provenance.precision, kept.provenance.device, kept.settings.get("shard_size"))
        if made != planned:
            return f"{made[0]} on {made[1]} in shards of {made[2]}"
    return ""


def seeds_apart(record: Record, plan: Plan) -> str:
    """The seeds of a record where the plan's are others; else empty.

    Numbers of two seeds stand in no record together, and none takes another's place: each seed has a folder of its own.
    """
    held = {name: measurement.seed for name, measurement in record.measurements.items()}
    planned = {measure.name: measure.seed for measure in plan.measures}
    same = all(held[name] == planned[name] for name in held.keys() & planned.keys())
    if same and not set(held.values()).isdisjoint(planned.values()):
        return ""
    return ", ".join(map(str, sorted(set(held.values()))))
