"""Is this file a checkpoint? Told from its first bytes, because a file host may answer with a page instead of a file.

An error page saved under a checkpoint's name would be kept and used for ever; its name and size do not give it away,
its first bytes do. Errs on the strict side: what is not known to be a checkpoint is none.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from safetensors import SafetensorError, safe_open

from zoo.bounds import MOST_BYTES, header_flaw, size_flaw, zip_flaw
from zoo.faults import one_line

HEAD_BYTES = 512
"""Enough for every mark looked for; the mark of a tar archive ends at byte 262."""


class Content(StrEnum):
    """What a file holds. The first four are the forms in which PyTorch checkpoints have been written."""

    ZIP = "a zip archive"
    PICKLE = "a pickle"
    SAFETENSORS = "a safetensors file"
    TAR = "a tar archive"
    PAGE = "a web page"
    TEXT = "text"
    EMPTY = "an empty file"
    UNKNOWN = "bytes of no known checkpoint format"


CHECKPOINTS = frozenset({Content.ZIP, Content.PICKLE, Content.SAFETENSORS, Content.TAR})


def content(path: Path) -> Content:
    """What the file's first bytes say it is. Raises OSError where it cannot be read."""
    with path.open("rb") as handle:
        head = handle.read(HEAD_BYTES)
    if not head:
        return Content.EMPTY
    if head.startswith(b"PK\x03\x04"):
        return Content.ZIP
    if head[0] == 0x80 and len(head) > 1 and head[1] <= 5:  # PROTO and the protocol's number
        return Content.PICKLE
    if head[257:262] == b"ustar":
        return Content.TAR
    if head[8:9] == b"{":  # the JSON header of a safetensors file, after the eight bytes of its length
        return Content.SAFETENSORS
    if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<"):
        return Content.PAGE
    return Content.TEXT if _printable(head) else Content.UNKNOWN


def flaw(path: Path, most: int = MOST_BYTES) -> str:
    """Why the file is no checkpoint, as the end of "expected a checkpoint, got ..."; empty when it may be one.

    It is none where it is, or would unpack to, more than `most` bytes: that is found before anything of it is unpacked.
    """
    found = content(path)
    if found is Content.PAGE:
        return "a web page (a file host's quota or error page, saved under a checkpoint's name)"
    if found not in CHECKPOINTS:
        return str(found)
    if large := size_flaw(path, most):
        return large
    if found is Content.ZIP:  # its directory is at its end: a download that broke off has none
        return zip_flaw(path, most)
    if found is Content.SAFETENSORS:
        if long := header_flaw(path):
            return long
        try:
            with safe_open(path, framework="numpy"):
                pass
        except SafetensorError as error:
            return f"a safetensors file that breaks off or is damaged ({one_line(error, 100)})"
    return ""


def _printable(head: bytes) -> bool:
    # errors="ignore": the head may end in the middle of a character
    text = head.decode("utf-8", errors="ignore")
    return len(text) >= len(head) // 4 and all(c.isprintable() or c.isspace() for c in text)
