"""TOML files of the user's: suites, recipes, gates."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from harness.errors import BadInput, one_line

MOST_BYTES = 2**20
"""Of a file: they are written by hand."""


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """The tables of a file. Raises BadInput, saying `what` was expected in it, for one that is not there or is no TOML."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise BadInput(f"expected {what} in TOML in {path}, got more than {MOST_BYTES} bytes; name the right file")
        return tomllib.loads(content.decode("utf-8"))
    except BadInput:
        raise
    except (
        OSError,
        ValueError,
        RecursionError,
    ) as error:  # no UTF-8, no TOML, a number of 5,000 digits, 1,000 brackets
        raise BadInput(f"expected {what} in TOML in {path}, got {one_line(error)[:200]}; correct the file") from error
