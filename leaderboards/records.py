"""The record: all measurements of one entrant on one suite, with where each number comes from.

A record is one JSON file in git; per-sample arrays lie beside it in safetensors files named by the sha256 of their
bytes. Numbers are numbers (accuracies in [0,1], eps a fraction); they are formatted only where a person reads them.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import secrets
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, Self, TypeGuard

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

SCHEMA_VERSION: Literal[1] = 1
"""Of the record's form. A reader refuses any other: it cannot know what the fields would mean."""


class RecordError(ValueError):
    """A record or its arrays cannot be used; the message is one line: expected, got, what to do."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Value(_Part):
    """One number with its interval. `value` is None where there is none, and `reason` says why."""

    value: float | None
    low: float | None = None
    high: float | None = None
    level: float | None = Field(default=None, description="coverage of [low, high], e.g. 0.95")
    method: str = Field(default="", description="how the interval was made, e.g. 'wilson'")
    n: int = Field(ge=0, description="examples that the number rests on")
    reason: str = ""


class Histogram(_Part):
    """How many examples fall into each bin [edges[i], edges[i+1]), the last one closed, and beside the bins.

    The edges are fixed multiples of one unit (the standard deviation of E(x)) around one centre, so histograms of one
    kind have the same bins in every record once they are divided by the unit.
    """

    edges: tuple[float, ...] = Field(min_length=2)
    counts: tuple[int, ...]
    below: int = Field(ge=0)
    above: int = Field(ge=0)
    centre: float
    unit: float = Field(gt=0)

    @model_validator(mode="after")
    def _bins_lie_between_edges(self) -> Self:
        if len(self.counts) != len(self.edges) - 1 or any(b <= a for a, b in pairwise(self.edges)):
            raise ValueError("a histogram has one count fewer than edges, and edges that rise")
        return self


class Distribution(_Part):
    """How a number that every example has is spread over the examples."""

    mean: Value
    sd: float | None = None
    quantiles: dict[str, float] = Field(default={}, description="by their level as text, e.g. '0.05'")
    histogram: Histogram | None = None


class Flag(_Part):
    """Something a reader must know about a measurement: a warning of AutoAttack, a rejected sample, a mixed run."""

    code: str = Field(description="kebab-case, e.g. 'zero-gradients'")
    message: str


class Arrays(_Part):
    """Per-sample arrays: a safetensors file `<sha256>.safetensors` in the arrays folder."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    names: tuple[str, ...]

    @property
    def file(self) -> str:
        return f"{self.sha256}.safetensors"


class Provenance(_Part):
    """Where and with what a measurement was made."""

    device: str = Field(description="'cpu' or 'cuda'")
    device_name: str
    precision: str = Field(description="'fp32' or 'bf16'")
    threads: int
    commit: str | None = Field(description="of the harness; None outside a checkout")
    dirty: bool | None
    versions: dict[str, str] = Field(description="of python and the libraries that decide the numbers")
    measured_at: str = Field(description="UTC, ISO 8601, of the last shard")


class Measurement(_Part):
    """What one measure found."""

    measure: str
    version: int = Field(description="of the measure's code: another version, another number")
    n: int = Field(ge=0)
    seed: int
    settings: dict[str, Any]
    values: dict[str, Value]
    distributions: dict[str, Distribution] = Field(default={}, description="of per-sample numbers, by their name")
    flags: tuple[Flag, ...] = ()
    arrays: Arrays | None = None
    seconds: float = Field(ge=0, description="compute time, added over shards; not wall time")
    provenance: Provenance


class SuiteInfo(_Part):
    """What was measured on: the suite, its data, its threat model."""

    name: str
    version: int
    dataset: str
    split: str
    fingerprint: str = Field(description="sha256 over the suite's images and labels")
    examples: int = Field(ge=1, description="examples the suite has; a partial record holds fewer")
    norm: str
    eps: float = Field(ge=0)


class FileInfo(_Part):
    name: str
    sha256: str


class EntrantInfo(_Part):
    """Who was measured."""

    name: str
    spec: str = Field(description="what to type after --entrants")
    source: str = Field(description="'robustbench', 'zoo', 'checkpoint' or 'python'")
    architecture: str = ""
    parameters: int = Field(ge=0)
    title: str = ""
    authors: str = ""
    venue: str = ""
    link: str = ""
    licence: str = ""
    additional_data: bool | None = None
    weights_sha256: str
    files: tuple[FileInfo, ...] = ()
    training: dict[str, Any] = {}
    dynamics: Arrays | None = Field(default=None, description="what its trainer logged, a number an epoch")


class Record(_Part):
    """All measurements of one entrant on one suite. `limit` is set where only the first examples were judged."""

    schema_version: Literal[1] = SCHEMA_VERSION
    suite: SuiteInfo
    suite_title: str = Field(default="", description="for a page that knows the suite from its records alone")
    suite_description: str = ""
    entrant: EntrantInfo
    limit: int | None = Field(default=None, ge=1)
    measurements: dict[str, Measurement] = Field(description="by the measure's name")

    @model_validator(mode="after")
    def _keys_are_names(self) -> Self:
        for key, measurement in self.measurements.items():
            if key != measurement.measure:
                raise ValueError(f"measurement {key!r} says that it is of the measure {measurement.measure!r}")
        return self

    @property
    def partial(self) -> bool:
        return self.limit is not None

    @property
    def arrays(self) -> dict[str, Arrays]:
        """Every file of arrays that the record names: by the measure, and 'dynamics' for the course of training."""
        named = {name: m.arrays for name, m in self.measurements.items() if m.arrays is not None}
        return named | ({"dynamics": self.entrant.dynamics} if self.entrant.dynamics is not None else {})

    def to_json(self) -> str:
        """The record's file, byte for byte: keys in the schema's order, one newline at the end.

        NaN and infinities stand as the strings "NaN", "Infinity", "-Infinity", which JSON can hold. They are read back
        as numbers where the schema has a number; inside `settings` and `training`, which have no schema, as strings.
        """
        return json.dumps(self._plain(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def _plain(self) -> dict[str, Any]:
        # model_dump(mode="json") would leave NaN a float: json.dumps refuses it, and it is unequal to itself
        return json.loads(self.model_dump_json())

    def findings(self) -> dict[str, Any]:
        """The record less what differs between two runs that found the same: seconds and provenance."""
        found = self._plain()
        for measurement in found["measurements"].values():
            del measurement["seconds"], measurement["provenance"]
        return found


_PLAIN = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,118}[A-Za-z0-9_])?")
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))}
_TAKEN = _DEVICES | {"index", "compare", "board"}  # pages and files of a suite have these names


def file_stem(name: str) -> str:
    """A name as a file name that is safe on every system and is no other name's.

    A plain name (letters, digits, '.', '_', '-', at most 120 of them) stays as it is. Any other is spelled with what is
    plain in it, a '~', which no plain name holds, and the start of its sha256, so that two names never share a file.
    """
    if _PLAIN.fullmatch(name) and name.split(".")[0].lower() not in _TAKEN:
        return name
    readable = re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-")[:80].rstrip("-") or "unnamed"
    return f"{readable}~{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


def record_path(results: Path, record: Record) -> Path:
    """Where a record lives: results/<suite>/<entrant>.json, a partial one in a folder of its own."""
    folder = results / file_stem(record.suite.name)
    if record.limit is not None:
        folder = folder / f"partial-{record.limit}"
    return folder / f"{file_stem(record.entrant.name)}.json"


def write_atomically(path: Path, content: bytes, lasting: bool = True) -> None:
    """Replace a file in one step: a reader, or a crash, sees the old bytes or the new ones and never a part.

    What is not `lasting` can be made again: it is not waited for until it is on the disk.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as stream:
            stream.write(content)
            if lasting:
                stream.flush()
                os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_record(results: Path, record: Record) -> tuple[Path, bool]:
    """Write a record where it belongs; returns its path and whether the file changed.

    A record that finds the same as the file there leaves it alone: the file keeps saying who measured first, and a
    second run of the same command leaves a git checkout clean. Raises RecordError where the file there belongs to
    another entrant, which happens where the file system takes 'A.json' and 'a.json' for one file.
    """
    path = record_path(results, record)
    if path.exists():
        try:
            there = read_record(path)
        except RecordError:
            pass  # unreadable: the new record takes its place
        else:
            ours, theirs = ((r.suite.name, r.entrant.name) for r in (record, there))
            if ours != theirs:
                raise RecordError(
                    f"expected {path} to be of {ours[1]!r} on {ours[0]!r}, got {theirs}; rename one entrant"
                )
            if there.findings() == record.findings():
                return path, False
    write_atomically(path, record.to_json().encode())
    return path, True


def read_record(path: Path) -> Record:
    """Read one record. Raises RecordError for a file that is not a record of this schema version."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RecordError(f"expected a record in {path}, got a file that cannot be read ({error.strerror})") from error
    return parse_record(content, str(path))


def parse_record(content: bytes, where: str) -> Record:
    """A record from its file's bytes; `where` names the file in the RecordError that bytes of anything else raise."""
    try:
        plain = json.loads(content)
    except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, a number of 5000 digits, 10^5 brackets
        raise RecordError(f"expected a record in {where}, got no JSON ({line(error)}); remove it") from error
    version = plain.get("schema_version") if isinstance(plain, dict) else None
    if type(version) is not int or version != SCHEMA_VERSION:
        raise RecordError(
            f"expected a record of schema version {SCHEMA_VERSION} in {where}, got {line(repr(version))};"
            " read it with the harness that wrote it, or measure again"
        )
    try:
        record = Record.model_validate(plain)
        # half a surrogate pair is JSON and no text: no page could be written from it (pydantic replaces it in keys)
        json.dumps(plain, ensure_ascii=False).encode()
        record.model_dump_json()  # nested deeper than pydantic can write
    except ValidationError as error:
        first = error.errors()[0]
        wrong = line(f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}")
        raise RecordError(f"expected a record in {where}, got {wrong}; mend or remove it") from error
    except (ValueError, RecursionError) as error:
        raise RecordError(f"expected a record in {where}, got text that no file can hold; mend or remove it") from error
    return record


def line(message: object) -> str:
    """A message on one line that is not too long."""
    return " ".join(str(message).split())[:200]


def record_files(results: Path) -> Iterator[Path]:
    """Every record file under a results folder, whole ones and partial ones, in a fixed order."""
    yield from sorted([*results.glob("*/*.json"), *results.glob("*/partial-*/*.json")])


def is_number(value: float | None) -> TypeGuard[float]:
    """Whether there is a finite number to show or to rank by."""
    return value is not None and math.isfinite(value)
