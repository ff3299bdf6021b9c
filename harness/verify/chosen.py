"""Which records are meant: a record's file, a home of records, its results, or the folder of a suite."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from harness.errors import BadInput
from leaderboards.records.bounds import MOST_RECORD, read_within
from leaderboards.records.files import line, records_at
from zoo.entrant import did_you_mean


def chosen(places: Sequence[Path], entrants: Sequence[str] = ()) -> list[Path]:
    """The files of records, each once, in the order of the places; of these `entrants` alone, by name or spec.

    Raises BadInput for a place without records, and for an entrant of which there is none.
    """
    found = list(dict.fromkeys(path for place in places for path in _records(place)))
    if not entrants:
        return found
    names = {path: _names(path) for path in found}
    known = sorted({name for held in names.values() for name in held})
    for name in entrants:
        if name not in known:
            raise BadInput(
                f"expected an entrant of these records, got {name!r};{did_you_mean(name, known)} they are of"
                f" {line(', '.join(sorted({path.stem for path in found})))}"
            )
    return [path for path in found if names[path] & set(entrants)]


def _records(place: Path) -> list[Path]:
    if found := records_at(place):
        return found
    raise BadInput(f"expected a record, or a folder with results/, got {place}, which holds none; name another")


def _names(path: Path) -> set[str]:
    """The name and the spec that a file gives its entrant; its own name where it is no record."""
    try:
        entrant = json.loads(read_within(path, MOST_RECORD, path.name))["entrant"]
        return {path.stem, *(str(entrant[key]) for key in ("name", "spec"))}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {path.stem}
