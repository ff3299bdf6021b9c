"""What was measured of an entrant, by example: its record, and the arrays that its record names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from leaderboards.records.arrays import measured_arrays
from leaderboards.records.files import read_record
from leaderboards.records.schema import Record, RecordError


class Measured(Protocol):
    """A record with its per-sample arrays, wherever they are."""

    @property
    def record(self) -> Record: ...

    def arrays(self, measure: str) -> Mapping[str, np.ndarray]:
        """The arrays (first axis: the examples, in order) of one measure in the record; empty where none were kept."""
        ...


@dataclass(frozen=True)
class RecordOnDisk:
    """A record whose arrays lie in a folder."""

    record: Record
    folder: Path

    def arrays(self, measure: str) -> dict[str, np.ndarray]:
        """Read and verify them. Raises RecordError where they are missing or are not what was written."""
        found = self.record.measurements[measure]
        return {} if found.arrays is None else measured_arrays(self.folder, found)


def measured_on_disk(path: Path, arrays: Path | None = None) -> RecordOnDisk:
    """A record file with its arrays: those in the folder `arrays`, else in the one beside the `results` that it lies in.

    Raises RecordError for a file that is no record, or that lies elsewhere and whose arrays were not named.
    """
    if arrays is None:
        results = next((folder for folder in path.resolve().parents if folder.name == "results"), None)
        if results is None:
            raise RecordError(f"expected a record in a folder results/, got {path}; name the folder of its arrays")
        arrays = results.parent / "arrays"
    return RecordOnDisk(read_record(path), arrays)
