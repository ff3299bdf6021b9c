"""Records as files: what they are called, where they lie, and how they are written and read.

A record is one JSON file. Reading one gives a record of this schema version, or a RecordError of one line.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from leaderboards.records.bounds import MOST_RECORD, read_within
from leaderboards.records.renames import up_to_date
from leaderboards.records.schema import SCHEMA_VERSION, SEAL, Record, RecordError, seal_of

_PLAIN = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,118}[A-Za-z0-9_])?")
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))}
_LEFTOVER = re.compile(r"\..+\.[0-9a-f]{16}\.tmp")
_TAKEN = _DEVICES | {"index", "compare", "board", "board-groups"}  # pages and files of a suite have these names


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


def is_leftover(path: Path) -> bool:
    """Whether a file is what `write_atomically` leaves where it is killed; or what it is writing at this moment."""
    return _LEFTOVER.fullmatch(path.name) is not None and path.is_file() and not path.is_symlink()


def remove_leftovers(*folders: Path) -> None:
    """Remove what killed commands have left in folders and below; the caller sees to it that nobody writes there now."""
    for path in (path for folder in folders for path in folder.rglob(".*.tmp") if is_leftover(path)):
        path.unlink(missing_ok=True)


def write_record(results: Path, record: Record) -> tuple[Path, bool]:
    """Write a record where it belongs; returns its path and whether the file changed.

    A record that finds the same as the file there leaves it alone, if its seal holds: the file keeps saying who measured
    first, and a second run of the same command leaves a git checkout clean. Raises RecordError where the file there belongs to
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
            if there.findings() == record.findings() and not seal_problem(path.read_bytes()):
                return path, False
    write_atomically(path, record.to_json().encode())
    return path, True


def read_record(path: Path) -> Record:
    """Read one record. Raises RecordError for a file that is not a record of this schema version."""
    return read_record_as(path, str(path))


def read_record_as(path: Path, where: str) -> Record:
    """Read one record; `where` names its file in messages, as pages may show it."""
    return parse_record(record_bytes(path, where), where)


def record_bytes(path: Path, where: str) -> bytes:
    """The bytes of a record's file, as above. Raises RecordError for one that cannot be read, or is none by its size."""
    try:
        return read_within(path, MOST_RECORD, where)
    except OSError as error:
        raise RecordError(f"expected a record in {where}, got a file that cannot be read ({error.strerror})") from error


def parse_record(content: bytes, where: str) -> Record:
    """A record from its file's bytes, by the names of today.

    `where` names the file in the RecordError that bytes of anything else raise.
    """
    try:
        # of the encodings that JSON may have, files of records have one: pages and downloads copy their text
        plain = json.loads(content.decode("utf-8-sig"), parse_int=_counted)
    except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, a number of 30 digits, 10^5 brackets
        raise RecordError(f"expected a record in {where}, got no JSON ({line(error)}); measure again") from error
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
        raise RecordError(f"expected a record in {where}, got {wrong}; measure again") from error
    except (ValueError, RecursionError) as error:
        raise RecordError(f"expected a record in {where}, got text that no file can hold; measure again") from error
    return up_to_date(record)


def _counted(digits: str) -> int:
    """A whole number, as records have them. Raises ValueError for one beyond 64 bits: no count, no seed is as large, and
    arithmetic with floats fails of it."""
    if len(digits) > 20 or not -(2**63) <= int(digits) < 2**64:
        raise ValueError(f"a whole number of {len(digits)} digits")
    return int(digits)


def seal_problem(content: bytes) -> str:
    """Why a record's file, whose bytes these are, is not as the harness wrote it; empty where it is.

    The file must be a record. One that was written before records had seals has none.
    """
    plain = json.loads(content.decode("utf-8-sig"))
    if SEAL not in plain:
        return "it has no seal: it was written before records had one, or the seal was removed; measure again"
    if plain[SEAL] != seal_of(plain):
        return "its seal is not that of what it holds: it was changed after it was written; measure again"
    if content != (json.dumps(plain, indent=1, ensure_ascii=False) + "\n").encode():
        return "its text is not as it was written, though it holds the same; measure again"
    return ""


_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What moves a terminal's cursor, colours it, or turns the order of a text; and halves of characters, which none can show."""


def line(message: object, width: int = 200) -> str:
    """A message on one line that is not too long; control characters stand in it as they are written in Python."""
    text = " ".join(str(message).split())[:width]
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def record_files(results: Path) -> Iterator[Path]:
    """Every record file under a results folder, whole ones and partial ones, in a fixed order."""
    yield from sorted([*results.glob("*/*.json"), *results.glob("*/partial-*/*.json")])


def records_at(place: Path) -> list[Path]:
    """The record files that a path names, in a fixed order: a file itself, those of a home (a folder with results/), of its
    results, or of one suite's folder there. None of any other folder."""
    if place.is_file():
        return [place]
    folder = place.absolute()
    if (folder / "results").is_dir():
        return [*record_files(place / "results")]
    if folder.name == "results":
        return [*record_files(place)]
    return sorted([*place.glob("*.json"), *place.glob("partial-*/*.json")]) if folder.parent.name == "results" else []
