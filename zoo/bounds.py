"""How much a file may be, and may become, before any of it is unpacked: told from its size and its own directory.

A file of a few kilobytes can say that it holds gigabytes, and a file that is mostly holes can say that it is forty. What is
asked here costs one read of a directory of bounded length. Errs on the side of reading: a file within the bounds may be wrong.
"""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

MOST_BYTES = 8 * 2**30
"""Of a checkpoint of which no architecture says what it needs: the largest published classifiers take about 1.5 GB."""

MOST_LISTED = 4 * 2**20
"""Bytes of what lists the contents: a safetensors header, a zip directory. A network of 10,000 tensors needs about 1 MB."""

MOST_CARD = 16 * 2**20
"""Bytes of a card."""

ROOM = 64 * 2**20
"""Bytes that no file is refused for: they are read in a moment."""

SQUEEZED = 8
"""How many times smaller than its contents an archive of weights may be: PyTorch does not compress them."""

_END, _LOCATOR, _END_64 = b"PK\x05\x06", b"PK\x06\x07", b"PK\x06\x06"
_END_BYTES, _COMMENT = 22, 2**16


def amount(count: int) -> str:
    """Bytes for people: '1.5 GB', '12.0 MB', '345 bytes'."""
    for unit, size in (("GB", 10**9), ("MB", 10**6)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"


def size_flaw(path: Path, most: int) -> str:
    """Why a file is too large, as the end of "got ..."; empty where it is not."""
    size = path.stat().st_size
    return f"a file of {amount(size)}, where at most {amount(most)} can be needed" if size > most else ""


def header_flaw(path: Path) -> str:
    """Why a safetensors file's header is not read, as the end of "got ..."; empty where it may be."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if length > path.stat().st_size - 8:
        return "a safetensors file that breaks off or is damaged (its header is longer than the file)"
    if length > MOST_LISTED:
        return (
            f"a safetensors file with a header of {amount(length)}, where at most {amount(MOST_LISTED)} can be needed"
        )
    return ""


def zip_flaw(path: Path, most: int, squeezed: int = SQUEEZED) -> str:
    """Why a zip archive is not unpacked, as the end of "got ..."; empty where it may be. Nothing of it is unpacked here."""
    try:
        listed = _directory_bytes(path)
        if listed is None:
            return "a zip archive that breaks off"
        if listed > MOST_LISTED:
            return (
                f"a zip archive with a directory of {amount(listed)}, where at most {amount(MOST_LISTED)} can be needed"
            )
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, OverflowError, NotImplementedError, struct.error):
        return "a zip archive that breaks off"
    size = path.stat().st_size
    if unpacked > most:
        return f"a zip archive that holds {amount(unpacked)}, where at most {amount(most)} can be needed"
    if unpacked > max(ROOM, squeezed * size):
        return f"a zip archive of {amount(size)} that holds {amount(unpacked)}, which is too much of one so small"
    return ""


def _directory_bytes(path: Path) -> int | None:
    """The length of a zip archive's directory by its end record; None where there is no end record."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        start = max(0, size - _END_BYTES - _COMMENT - 76)
        file.seek(start)
        tail = file.read()
    end = tail.rfind(_END)
    if end < 0 or len(tail) - end < _END_BYTES:
        return None
    large = end - 20 - 56  # the two records of an archive with 64-bit lengths stand just before
    if large >= 0 and tail[end - 20 :].startswith(_LOCATOR) and tail[large:].startswith(_END_64):
        return int(struct.unpack_from("<Q", tail, large + 40)[0])
    return int(struct.unpack_from("<I", tail, end + 12)[0])
