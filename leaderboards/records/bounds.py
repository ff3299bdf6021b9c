"""How much a file of a record may be: told from its size and the length of its header, before it is read.

The sizes that records have are far below; a file of holes, or one whose header lists a million arrays, is refused at once.
"""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

from leaderboards.records.schema import RecordError

MOST_RECORD = 32 * 2**20
"""Bytes of a record: those of a suite with every measure have about 0.3 MB."""

MOST_ARRAYS = 2**30
"""Bytes of a file of per-sample arrays: a hundred numbers of each of 50,000 examples take 40 MB."""

MOST_BESIDE = 2 * MOST_ARRAYS
"""Bytes of all files that one record names: they are held at once when it is read."""

MOST_HEADER = 16 * 2**20
"""Bytes of a safetensors header, which lists the arrays and may hold a description."""


def require_size(path: Path, most: int, where: str) -> None:
    """Raise RecordError, naming the file as `where`, for one of more than `most` bytes; OSError where there is none.

    A pipe or a device, which a link in a folder of somebody else's may lead to, has no end: it is no file.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise RecordError(f"expected a file in {where}, got a folder, a pipe or a device; remove it")
    if (size := found.st_size) > most:
        raise RecordError(f"expected at most {most // 2**20} MB in {where}, got {size} bytes; remove the file")


def read_within(path: Path, most: int, where: str) -> bytes:
    """A file's bytes. Raises OSError, and RecordError for a file of more than `most` bytes."""
    require_size(path, most, where)
    return path.read_bytes()


def require_header(path: Path, where: str) -> None:
    """Raise RecordError where the header of a safetensors file is longer than any that is written, OSError as above."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if MOST_HEADER < length <= path.stat().st_size - 8:  # one that is longer than the file is never read on
        raise RecordError(
            f"expected a header of at most {MOST_HEADER // 2**20} MB in {where}, got {length} bytes; remove the file"
        )


def sha256_within(path: Path, most: int, where: str) -> str:
    """The sha256 (hex) of a file's bytes, which are not held. Raises OSError, and RecordError for more than `most`."""
    require_size(path, most, where)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
