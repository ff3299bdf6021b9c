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
from harness.run.best_known import carried
from harness.run.completion import answered
from harness.run.plan import Judged, Plan, Task
from harness.run.portable import portable_spec, portable_values, portable_words
from harness.run.store import Shard, Store
from leaderboards.records.arrays import write_arrays
from leaderboards.records.dynamics import columns
from leaderboards.records.files import (
    read_record,
    record_files,
    record_path,
    remove_leftovers,
    write_atomically,
    write_record,
)
from leaderboards.records.home import Home
from leaderboards.records.schema import (
    Arrays,
    EntrantInfo,
    FileInfo,
    Flag,
    Measurement,
    Provenance,
    Record,
    RecordError,
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


def measurement(measure: Measure, shards: Sequence[Shard], arrays_folder: Path, shard_size: int) -> Measurement:
    """All shards of one measure, in order, as a measurement; its per-sample arrays are written to the folder."""
    joined = {name: np.concatenate([shard.arrays[name] for shard in shards]) for name in shards[0].arrays}
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
        examples=min(len(judged.images), suite.examples or len(judged.images)),
        norm=suite.norm,
        eps=suite.threat.eps,
    )


def write_findings(plan: Plan, store: Store, out: Path) -> list[Record]:
    """Write the record of every entrant with at least one finished measure; returns them in the plan's order.

    Measures that were found earlier, for the same weights on the same examples, stay in the record. Runs that write to one
    folder at once take turns.
    """
    out.mkdir(parents=True, exist_ok=True)
    with FileLock(out / ".lock"):
        return _write_findings(plan, store, out)


def _write_findings(plan: Plan, store: Store, out: Path) -> list[Record]:
    results, folder = out / "results", out / "arrays"
    remove_leftovers(results, folder, out / "samples")
    records = []
    for index, judged in enumerate(plan.judged):
        found: dict[str, Measurement] = {}
        parameters = 0
        for measure in plan.measures:
            # the images that broke examples stay in the shards: of a large suite they are gigabytes
            answer = answered(plan.of(index, measure.name), store)
            if answer is not None:
                by, shards = answer
                found[measure.name] = measurement(by, shards, folder, plan.suite.shard_size)
                parameters = shards[0].parameters
        if not found:
            continue
        record = Record(
            suite=suite_info(plan, judged),
            suite_title=plan.suite.title,
            suite_description=plan.suite.description,
            suite_words=portable_words(plan.suite.asked),
            entrant=_entrant_info(judged, parameters, folder),
            limit=plan.limit,
            measurements=found,
        )
        records.append(_merged(results, folder, record))
        for measure in (measure for measure in plan.measures if measure.exhibits and measure.name in found):
            place = record_path(out / "samples", record).with_suffix("")
            _exhibit(measure, found[measure.name], plan.of(index, measure.name), store, place)
    return records


def _exhibit(measure: Measure, found: Measurement, tasks: Sequence[Task], store: Store, place: Path) -> None:
    """Write what there is to see of a measurement, unless it is there already."""
    assert found.arrays is not None
    marker = place / "measurement"
    if marker.is_file() and marker.read_text() == found.arrays.sha256:
        return
    shards = [shard for task in tasks if (shard := store.read(task.key)) is not None]
    if len(shards) == len(tasks):
        joined = {name: np.concatenate([shard.arrays[name] for shard in shards]) for name in shards[0].arrays}
        measure.exhibit(joined, place, found.arrays.sha256)
        write_atomically(marker, found.arrays.sha256.encode())


def of_the_same(record: Record, suite: SuiteInfo, weights_sha256: str) -> bool:
    """Whether a record is of these weights on these examples, so that other measures of them may join it."""
    return record.suite == suite and record.entrant.weights_sha256 == weights_sha256


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


def _merged(results: Path, folder: Path, record: Record) -> Record:
    """Write the record over the one that is there, keeping its other measures where they are of the same thing."""
    path = record_path(results, record)
    old: Record | None = None
    if path.exists():
        try:
            old = read_record(path)
        except RecordError:
            old = None  # what cannot be read cannot be kept
    if old is not None and of_the_same(old, record.suite, record.entrant.weights_sha256):
        merged = {**old.measurements, **{name: _kept(old, found) for name, found in record.measurements.items()}}
        record = record.model_copy(update={"measurements": {name: merged[name] for name in sorted(merged)}})
        record = carried(Home(results.parent), old, record)
    write_record(results, record)
    if old is not None:
        _drop_unused(results, folder, {arrays.sha256 for arrays in old.arrays.values()})
    return read_record(path)


def _kept(old: Record, found: Measurement) -> Measurement:
    """What stands in a record from now on: a bounded answer does not take the place of a complete one of the same attack."""
    held = old.measurements.get(found.measure)
    if held is None or not found.bounded or held.bounded or (held.version, held.seed) != (found.version, found.seed):
        return found
    plain = {key: setting for key, setting in found.settings.items() if key != "bounded"}
    return held if held.settings == plain else found


def _drop_unused(results: Path, folder: Path, candidates: set[str]) -> None:
    """Remove arrays of a replaced record that no record names any more. A record that cannot be read stops it."""
    try:
        named = {arrays.sha256 for path in record_files(results) for arrays in read_record(path).arrays.values()}
    except RecordError:
        return
    for digest in candidates - named:
        (folder / f"{digest}.safetensors").unlink(missing_ok=True)
