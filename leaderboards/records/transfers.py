"""Which entrant's witnesses break which other entrant: one file a suite, `transfers/<suite>.json`.

A pair says of how many examples that AutoAttack left of one entrant another has a witness, and how many of those witnesses
break it. It is of exactly these weights, flags and witnesses: where one of them is another, the pair says nothing.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationError, model_validator

from leaderboards.records.bounds import MOST_RECORD, read_within
from leaderboards.records.files import file_stem, line, read_record, write_atomically
from leaderboards.records.home import Home
from leaderboards.records.schema import Record, RecordError
from leaderboards.records.values import Part

SCHEMA_VERSION: Literal[1] = 1

ATTACK = "autoattack"

SHA256 = r"^[0-9a-f]{64}$"


class Pair(Part):
    """Another entrant's witnesses shown to one entrant."""

    target: str = Field(description="the entrant that they are shown to")
    weights_sha256: str
    flags_sha256: str = Field(pattern=SHA256, description="of the arrays that say what AutoAttack left of it")
    source: str = Field(description="the entrant whose witnesses they are")
    bundle_sha256: str = Field(pattern=SHA256)
    tried: int = Field(ge=0, description="examples that AutoAttack left of the target and broke of the source")
    broken: int = Field(ge=0, description="of those, the ones whose witness breaks the target, too")

    @model_validator(mode="after")
    def _broken_were_tried(self) -> Self:
        if self.broken > self.tried:
            raise ValueError(f"{self.broken} broken of {self.tried} that were tried")
        return self

    def is_of(self, target: Record, source: Record | None = None) -> bool:
        """Whether it tells of these two records as they are; without `source`, of the target alone."""
        if key_of(target) != (self.target, self.weights_sha256, self.flags_sha256):
            return False
        if source is None:
            return True
        held = source.measurements[ATTACK].witnesses if ATTACK in source.measurements else None
        return source.entrant.name == self.source and held is not None and held.sha256 == self.bundle_sha256


class Transfers(Part):
    """All pairs of a suite, by target and source."""

    schema_version: Literal[1] = SCHEMA_VERSION
    suite: str
    pairs: tuple[Pair, ...] = ()

    def of(self, target: Record) -> tuple[Pair, ...]:
        """The pairs of an entrant as its record is."""
        return tuple(pair for pair in self.pairs if pair.is_of(target))

    def with_pairs(self, pairs: Iterable[Pair]) -> Transfers:
        """These pairs in place of those there were, in their order in the file."""
        return self.model_copy(update={"pairs": tuple(sorted(pairs, key=lambda one: (one.target, one.source)))})


def key_of(target: Record) -> tuple[str, str, str] | None:
    """What a pair names its target by; None where AutoAttack has left no flags of it."""
    measured = target.measurements.get(ATTACK)
    if measured is None or measured.arrays is None or measured.bounded or target.partial:
        return None
    return target.entrant.name, target.entrant.weights_sha256, measured.arrays.sha256


def transfers_path(folder: Path, suite: str) -> Path:
    return folder / f"{file_stem(suite)}.json"


def read_transfers(folder: Path, suite: str) -> Transfers:
    """The pairs of a suite; none where there is no file. Raises RecordError for a file that holds no such pairs."""
    path = transfers_path(folder, suite)
    where = f"{folder.name}/{path.name}"
    if not path.exists():
        return Transfers(suite=suite)
    try:
        found = Transfers.model_validate_json(read_within(path, MOST_RECORD, where))
    except RecordError:
        raise
    except (OSError, ValidationError) as error:
        raise RecordError(
            f"expected transfers of {line(suite)} in {where}, got {line(error)}; remove the file"
        ) from error
    if found.suite != suite:
        raise RecordError(
            f"expected transfers of {line(suite)} in {where}, got those of {line(found.suite)}; remove the file"
        )
    return found


def write_transfers(folder: Path, found: Transfers) -> bool:
    """Write the pairs of a suite; returns whether the file changed."""
    path = transfers_path(folder, found.suite)
    content = (json.dumps(json.loads(found.model_dump_json()), indent=1, ensure_ascii=False) + "\n").encode()
    if path.exists() and path.read_bytes() == content:
        return False
    write_atomically(path, content)
    return True


def publish_transfers(run: Home, to: Home) -> list[Path]:
    """Add the pairs of a run to the published ones, where both records of a pair are published as the run had them.

    Returns the files that changed. A published pair whose records are others by now is dropped; a file that cannot be read is
    left alone.
    """
    changed = []
    for path in sorted(run.transfers.glob("*.json")):
        records = list(_whole(to.results / path.stem))
        if not records:
            continue
        suite = records[0].suite.name
        try:
            mine, theirs = (read_transfers(home.transfers, suite) for home in (run, to))
        except RecordError:
            continue
        pairs = {
            (pair.target, pair.source): pair for held in (theirs, mine) for pair in held.pairs if _told(pair, records)
        }
        if (pairs or theirs.pairs) and write_transfers(to.transfers, theirs.with_pairs(pairs.values())):
            changed.append(transfers_path(to.transfers, suite))
    return changed


def _whole(folder: Path) -> Iterator[Record]:
    for path in sorted(folder.glob("*.json")):
        with contextlib.suppress(RecordError):
            yield read_record(path)


def _told(pair: Pair, records: Sequence[Record]) -> bool:
    """Whether both records of a pair are among these, as it tells of them."""
    return any(pair.is_of(target, source) for target in records for source in records)
