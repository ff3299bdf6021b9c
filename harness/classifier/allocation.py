"""Memory that is given back and asked for again in every pass: how a worker process keeps it.

glibc maps large blocks anew each time, and the kernel clears every page of them. In passes of a few milliseconds that is a
large part: the same network and batch took about a sixth longer. Kept blocks are reused. No number changes.
"""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST = 1 << 30


def keep_freed_memory() -> bool:
    """Let this process keep large blocks that it frees, from here on; False where the C library is not glibc.

    For processes that do nothing but measure: it cannot be taken back.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST)) and bool(mallopt(_TRIM_THRESHOLD, 2 * _LARGEST - 1))
