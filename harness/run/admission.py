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


class NotAsked(RecordError):
    """A record that is sound, and does not stand for its entrant on the images that were asked for."""


def admitted(home: Home, path: Path, limit: int | None = None) -> tuple[Record, bytes]:
    """A record from its file in a home, and the file's bytes. Raises RecordError for one that may not be published, and
    NotAsked for one that is bounded, or is partial where `limit` is not its own."""
    file = path.relative_to(home.results).as_posix()
    content = read_within(path, MOST_RECORD, file)
    record = parse_record(content, file)
    _require_asked(record, limit)
    if record_path(home.results, record) != path:
        raise RecordError(f"it belongs in {record_path(Path(), record).as_posix()}; measure again")
    _require_sound(home, record, content)
    return record, content


def _require_asked(record: Record, limit: int | None) -> None:
    """Raises NotAsked for a record of other images than asked for, or of which a number is not known."""
    if record.limit != limit:
        of = f"the first {record.limit} of {record.suite.examples} examples" if record.limit else "of all examples"
        how = f"; publish it with --limit {record.limit}, for the board of these examples" if record.limit else ""
        raise NotAsked(f"it is {'partial: ' if record.limit else ''}{of}{how}")
    if bounded := [name for name, found in record.measurements.items() if found.bounded]:
        raise NotAsked(
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
