"""Records that may leave the project: their files are as the harness wrote them, and they agree with themselves."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from leaderboards.board.entry import moment
from leaderboards.records.arrays import measured_arrays, read_arrays
from leaderboards.records.bounds import MOST_RECORD, read_within
from leaderboards.records.files import parse_record, record_path, seal_problem
from leaderboards.records.home import Home
from leaderboards.records.invariants import broken_invariants
from leaderboards.records.schema import SEAL, Record, RecordError


@dataclass(frozen=True)
class Sealed:
    """A record with an intact seal. `sha256` (hex) is its file's; `arrays` are its per-sample arrays, by measure."""

    record: Record
    seal: str
    sha256: str
    arrays: Mapping[str, Mapping[str, np.ndarray]]

    @property
    def file(self) -> str:
        """Where the record belongs, from the folder of results: suite/entrant.json."""
        return record_path(Path(), self.record).as_posix()

    @property
    def measured_at(self) -> datetime | None:
        """When the last measurement ended; None where none says so."""
        times = (moment(measurement.provenance.measured_at) for measurement in self.record.measurements.values())
        return max((time.astimezone(UTC) for time in times if time is not None), default=None)

    @property
    def scope(self) -> str:
        """The suite's name as a file name; with the number of examples where only the first ones were judged."""
        return "-".join(record_path(Path(), self.record).parts[:-1])


def read_sealed(path: Path, where: str, strict: bool = True) -> Sealed:
    """Read a record that may be exported; `where` names its file in messages.

    Raises RecordError where it is no record, where its seal is not that of what it holds, where arrays are missing or were
    changed, where its numbers contradict each other or its arrays, and, if `strict`, where the file does not lie at
    suite/entrant.json. Otherwise arrays are looked for beside the file.
    """
    try:
        content = read_within(path, MOST_RECORD, where)
    except OSError as error:
        raise RecordError(f"expected a record in {where}, got a file that cannot be read ({error.strerror})") from error
    record = parse_record(content, where)
    if problem := seal_problem(content):
        raise RecordError(f"expected {where} with an intact seal, got one that is not: {problem}")
    belongs = record_path(Path(), record).parts
    place = path.absolute()
    if place.parts[-len(belongs) :] == belongs:
        home = Home(place.parents[len(belongs)])
    elif strict:
        raise RecordError(
            f"expected the record of {where}, got one that belongs in {'/'.join(belongs)}; name the file itself to export it"
        )
    else:
        home = Home(place.parent)
    seal = json.loads(content.decode("utf-8-sig"))[SEAL]
    for held in record.arrays.values():
        read_arrays(home.arrays, held)
    arrays = {name: measured_arrays(home.arrays, found) for name, found in record.measurements.items()}
    if broken := broken_invariants(record, arrays):
        raise RecordError(f"expected {where} to agree with itself, got {broken[0]}; measure again")
    return Sealed(record, seal, hashlib.sha256(content).hexdigest(), arrays)
