"""A record's file and what lies beside it, read and checked before any classifier is asked.

Its seal tells an edit by hand. Who edits and seals again is found by what the record says of itself: its place, the sha256
of its arrays and witnesses, and the invariants that hold between its numbers.
"""

from __future__ import annotations

import hashlib
import http.client
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.errors import one_line
from harness.verify.verdict import Findings
from leaderboards.records.arrays import read_arrays
from leaderboards.records.bounds import MOST_ARRAYS
from leaderboards.records.files import line, parse_record, record_bytes, record_path, seal_problem, write_atomically
from leaderboards.records.home import Home
from leaderboards.records.invariants import broken_invariants, missed
from leaderboards.records.renames import renamed
from leaderboards.records.schema import Arrays, Bundle, Record, RecordError
from leaderboards.records.standing import twin_of
from leaderboards.records.witnesses import Packed, read_witnesses

TIMEOUT = 60.0
"""Seconds to wait for a bundle from its address."""


@dataclass(frozen=True)
class Evidence:
    """A record with what lies beside it: `content` is its file's bytes, `arrays` by measure and by the names of today,
    `bundles` by their name in Record.bundles; those that could not be read are left out."""

    home: Home
    path: Path
    content: bytes
    record: Record
    arrays: Mapping[str, Mapping[str, np.ndarray]]
    bundles: Mapping[str, Packed]

    @property
    def in_place(self) -> bool:
        """Whether the file lies where its record belongs."""
        return record_path(self.home.results, self.record) == self.path.absolute()

    @property
    def sha256(self) -> str:
        """Of the file's bytes."""
        return hashlib.sha256(self.content).hexdigest()


def home_of(path: Path) -> Home:
    """The home that a record's file lies in: <home>/results/<suite>/[partial-N/]<entrant>.json."""
    folder = path.absolute().parent
    suite = folder.parent if folder.name.startswith("partial-") else folder
    return Home(suite.parent.parent)


def gathered(path: Path, findings: Findings, *, download: bool = False) -> Evidence | None:
    """Read a record's file and what lies beside it; None where it is no record. What is wrong goes into the findings."""
    home = home_of(path)
    try:
        content = record_bytes(path, path.name)
        record = parse_record(content, path.name)
        home.require_holdable(record)
    except RecordError as error:
        findings.faults.append(one_line(error))
        return None
    if problem := seal_problem(content):
        (findings.missing if problem.startswith("it has no seal") else findings.faults).append(problem)
    if (belongs := record_path(home.results, record)) != path.absolute():
        where = belongs.relative_to(home.root).as_posix()
        findings.faults.append(
            f"it lies in {line(path.name)}, and its entrant, suite and limit belong in {line(where)}"
        )
    arrays = {}
    for name, held in record.arrays.items():
        read = _arrays(home, name, held, findings)
        if read is not None and name in record.measurements:
            arrays[name] = renamed(name, read)
    bundles = {}
    for name, bundle in record.bundles.items():
        if twin := twin_of(name, bundle, record):
            findings.faults.append(f"{name}: its bundle is that of {twin}")
        elif (packed := _bundle(home, name, bundle, findings, download)) is not None:
            bundles[name] = packed
    findings.faults += broken_invariants(record, arrays, bundles)
    findings.notes += missed(record, arrays)
    return Evidence(home, path, content, record, arrays, bundles)


def _arrays(home: Home, name: str, held: Arrays, findings: Findings) -> dict[str, np.ndarray] | None:
    try:
        found = read_arrays(home.arrays, held)
    except RecordError as error:
        here = (home.arrays / held.file).exists()
        (findings.faults if here else findings.missing).append(f"{name}: {one_line(error)}")
        return None
    if apart := sorted(set(found) ^ set(held.names)):
        findings.faults.append(f"{name}: the record and its file of arrays differ in {line(', '.join(apart))}")
    return found


def _bundle(home: Home, name: str, bundle: Bundle, findings: Findings, download: bool) -> Packed | None:
    path = home.witnesses / bundle.file
    try:
        if not path.exists() and bundle.address and download:
            fetched(bundle, path)
        found = read_witnesses(home.witnesses, bundle)
    except (RecordError, OSError) as error:
        if not path.exists():
            how = "run the same command with --download" if bundle.address and not download else one_line(error)
            findings.missing.append(f"{name}: its witnesses are not here; {how}")
        else:
            findings.faults.append(f"{name}: {one_line(error)}")
        return None
    return found


def fetched(bundle: Bundle, path: Path) -> None:
    """Fetch a bundle from its address (http or https) to its place, if it has the sha256 that it is named by.

    Raises RecordError where it cannot be had, or something else comes.
    """
    if urllib.parse.urlsplit(bundle.address).scheme not in ("http", "https"):
        raise RecordError(
            f"expected an address with http or https, got {line(bundle.address)!r}; put the file in place"
        )
    if bundle.size > MOST_ARRAYS:
        raise RecordError(
            f"expected witnesses of at most {MOST_ARRAYS // 2**20} MB, got {bundle.size} bytes in the record; measure again"
        )
    try:
        with urllib.request.urlopen(bundle.address, timeout=TIMEOUT) as answer:
            content = answer.read(bundle.size + 1)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise RecordError(
            f"expected witnesses from {line(bundle.address)}, got {one_line(error)}; try later, or put the file in place"
        ) from error
    if hashlib.sha256(content).hexdigest() != bundle.sha256:
        raise RecordError(f"expected witnesses from {line(bundle.address)}, got other bytes; ask who published them")
    write_atomically(path, content)
