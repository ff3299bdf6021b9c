"""Where training stands: everything that the rest of it depends on, in one file that is replaced in one step.

A run that goes on from a checkpoint ends with the same weights, bit for bit on a CPU in fp32, as one that was never
interrupted.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from harness.errors import BadInput, one_line
from leaderboards.records.files import write_atomically


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Replace the checkpoint. Where that fails (a full disk), the one before stays."""
    content = io.BytesIO()
    torch.save(dict(state), content)
    write_atomically(path, content.getvalue())


def load(path: Path, identity: Mapping[str, Any]) -> dict[str, Any] | None:
    """The state in a checkpoint, or None where there is none.

    Raises BadInput for a file that is no checkpoint, and for one of another recipe, suite or data.
    """
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        found = state["identity"]
    except (OSError, RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError) as error:
        raise BadInput(
            f"expected a checkpoint in {path}, got {one_line(error)[:200]}; remove it to start anew"
        ) from error
    for key in identity:
        if found.get(key) != identity[key]:
            raise BadInput(
                f"expected a checkpoint with {key} {identity[key]!r} in {path}, got {found.get(key)!r};"
                " remove it to start anew, or give the entrant another --name"
            )
    return state
