"""What may be published: a record whose numbers are complete, and that is as the harness wrote it. One of the first examples
alone is published as that: it lies apart from the whole ones, and stands on a board of its own.
"""

from __future__ import annotations

from pathlib import Path

from leaderboards.records.arrays import measured_arrays, read_arrays
from leaderboards.records.bounds import MOST_RECORD, read_within
from leaderboards.records.files import parse_record, record_path, seal_problem
from leaderboards.records.home import Home
from leaderboards.records.invariants import broken_invariants
from leaderboards.records.schema import Record, RecordError
from leaderboards.records.witnesses import Packed, read_witnesses


class NotComplete(RecordError):
    """A record that is sound, and has an interval in place of a number."""


def admitted(home: Home, path: Path) -> tuple[Record, bytes]:
    """A record from its file in a home, and the file's bytes. Raises RecordError for one that may not be published, and
    NotComplete for one that is bounded."""
    file = path.relative_to(home.results).as_posix()
    content = read_within(path, MOST_RECORD, file)
    record = parse_record(content, file)
    _require_complete(record)
    if record_path(home.results, record) != path:
        raise RecordError(f"it belongs in {record_path(Path(), record).as_posix()}; measure again")
    _require_sound(home, record, content)
    return record, content


def _require_complete(record: Record) -> None:
    """Raises NotComplete for a record of which a number is not known."""
    if bounded := [name for name, found in record.measurements.items() if found.bounded]:
        raise NotComplete(
            f"{bounded[0]} is bounded: an interval, not a number; complete it with harness run --measures {bounded[0]}"
        )


def _require_sound(home: Home, record: Record, content: bytes) -> None:
    """Raises RecordError where a record's file, arrays or bundles do not check out, or it contradicts itself."""
    if problem := seal_problem(content):
        raise RecordError(problem)
    for named in record.arrays.values():
        read_arrays(home.arrays, named)
    arrays = {name: measured_arrays(home.arrays, found) for name, found in record.measurements.items()}
    if broken := broken_invariants(record, arrays, _bundles(home, record)):
        raise RecordError(f"it contradicts itself: {broken[0]}; measure again")


def _bundles(home: Home, record: Record) -> dict[str, Packed]:
    """The bundles of a record; one that lies at an address alone is left out. Raises RecordError for one that is lost."""
    return {
        name: read_witnesses(home.witnesses, bundle)
        for name, bundle in record.bundles.items()
        if not bundle.address or (home.witnesses / bundle.file).exists()
    }
