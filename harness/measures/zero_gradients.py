"""Points at which a gradient is zero: what hides a slope is no smoothness, and attacks by gradient are blind there."""

from __future__ import annotations

import numpy as np

from leaderboards.records.schema import Flag

ZERO_GRADIENTS = "zero-gradients"
"""Code of the flag."""

HIDDEN = 0.05
"""Share of the examples without a gradient above which an entrant gets no number that needs it."""


def hides(zero: np.ndarray) -> bool:
    """Whether so many of the flags (N,) are set that the entrant hides its slope."""
    return bool(len(zero) and zero.mean() > HIDDEN)


def reason(zero: np.ndarray) -> str:
    """Why a number is not given, in a value's words."""
    return f"the gradient is zero at {np.count_nonzero(zero)} of {len(zero)} points"


def warning(of: str, zero: np.ndarray) -> Flag:
    """What a reader must know where at least one flag (N,) is set. `of`: whose gradient is zero."""
    seen = f"the gradient of {of} is zero at {np.count_nonzero(zero)} of {len(zero)} points"
    if hides(zero):
        seen += (
            ", as behind a hard threshold or rounding: this is no smoothness, and what needs the gradient is not given"
        )
    return Flag(code=ZERO_GRADIENTS, message=seen)
