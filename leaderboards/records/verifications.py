"""What `harness verify` found of each record: a small file beside the records, by which pages tell what was verified.

It says of which bytes it speaks, by their sha256, so a record that has changed since is no longer verified. It is a note for
readers and no proof: who can write the folder can write it. The proof is to run `harness verify` oneself.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from leaderboards.records.bounds import read_within
from leaderboards.records.files import record_path, write_atomically
from leaderboards.records.home import Home
from leaderboards.records.schema import Record, RecordError
from leaderboards.records.values import Part

MOST = 2**20
"""Bytes of such a file: those that are written have one kilobyte."""


class Audit(Part):
    """Survivors of AutoAttack that were attacked again with another seed."""

    survivors: int = Field(ge=0)
    attacked: int = Field(ge=0)
    broken: int = Field(ge=0)
    seed: int
    most: float = Field(ge=0, le=1, description="upper 95 % bound of the share of survivors that the attack breaks")
    least: float = Field(ge=0, le=1, description="lower 95 % bound of it")

    @property
    def words(self) -> str:
        """What the audit excludes, in a line. A bound is rounded up."""
        broke = f"{self.attacked} of {self.survivors} survivors attacked again, {self.broken} broken"
        if self.attacked == self.survivors:
            return broke
        most = math.ceil(1e4 * self.most - 1e-9) / 100
        return f"{broke}: at most {most:g} % of the survivors breakable by it, p >= 0.95"


class Verification(Part):
    """What was found of a record's file. `examples` were judged; of those `misclassified` are wrong as they are, and
    `witnesses` were broken again."""

    record_sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="of the bytes of the record's file")
    verdict: Literal["proved", "differs", "cannot"]
    statement: str
    examples: int = Field(default=0, ge=0)
    misclassified: int = Field(default=0, ge=0)
    witnesses: int = Field(default=0, ge=0)
    verified_at: str = Field(description="UTC, ISO 8601")
    commit: str | None = None
    audit: Audit | None = None

    def of(self, content: bytes) -> bool:
        """Whether it speaks of a record's file with these bytes."""
        return self.record_sha256 == hashlib.sha256(content).hexdigest()

    @property
    def words(self) -> str:
        """For a reader of pages: when, and what."""
        again = f": {self.witnesses} witnesses replayed" if self.witnesses else ""
        audited = f". Audit: {self.audit.words}" if self.audit else ""
        return f"Verified {self.verified_at[:10]}{again}{audited}"


UNVERIFIED = "Not verified since its last change"
"""What pages say of a record of which no verification speaks, or one that proved nothing."""


def verification_path(home: Home, record: Record) -> Path:
    """Where a record's verification lies: verified/<suite>/<entrant>.json, that of a partial one in a folder of its own."""
    return record_path(home.verified, record)


def read_verification(home: Home, record: Record) -> Verification | None:
    """What was found of a record; None where nothing was, or the file cannot be used."""
    path = verification_path(home, record)
    try:
        return Verification.model_validate_json(read_within(path, MOST, path.name))
    except (OSError, RecordError, ValidationError):
        return None


def proved(home: Home, record: Record, content: bytes) -> Verification | None:
    """The verification that proved a record's file as it is now, with these bytes; None where there is none."""
    found = read_verification(home, record)
    return found if found is not None and found.verdict == "proved" and found.of(content) else None


def write_verification(home: Home, record: Record, found: Verification, renew: bool = False) -> Path:
    """Keep what was found of a record. One that came to the same verdict on the same file stays as it is, with its time and its
    audit, unless it is to be renewed: who proves a committed record again, or audits it, changes no committed file.

    So does an answer where nothing could be answered now: that images or weights are not here says nothing of the record.
    """
    path, there = verification_path(home, record), read_verification(home, record)
    if there is not None:
        same = there.record_sha256 == found.record_sha256
        if same and (found.verdict == "cannot" != there.verdict or (found.verdict == there.verdict and not renew)):
            return path
        kept = {"verified_at": there.verified_at, "commit": there.commit}
        if found.audit is None and same:
            kept["audit"] = there.audit  # type: ignore[assignment]
        if found.model_copy(update=kept) == there:
            return path
    write_atomically(path, (found.model_dump_json(indent=1, exclude_none=True) + "\n").encode())
    return path
