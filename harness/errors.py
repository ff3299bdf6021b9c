"""What the harness says when something is not as it must be."""

from __future__ import annotations

from zoo.faults import escaped


class BadInput(ValueError):
    """Something that the user can mend; the message is one line: expected ..., got ...; do ... (exit status 2)."""


def one_line(error: BaseException) -> str:
    """An exception as one line, for people: white space folded, control characters escaped, or its type where it has none."""
    return escaped(" ".join(str(error).split())) or type(error).__name__
