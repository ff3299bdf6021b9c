"""What is computed once for a data set and kept on disk: named by the sha256 of all that it depends on.

Workers that need the same fit wait for the first of them. A file is written in one step; one that does not load is made
again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
from filelock import FileLock
from safetensors import SafetensorError
from torch import Tensor

from leaderboards.records.files import write_atomically

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Fits:
    """Tensors by what they depend on, kept in memory and, where a folder is given, in files there."""

    folder: Path | None = None
    memory: dict[str, Tensors] = field(default_factory=dict, compare=False, repr=False)

    def __call__(self, parts: Mapping[str, Any], compute: Callable[[], Tensors]) -> Tensors:
        """The tensors for `parts` (JSON values): from memory, from disk, else computed and kept."""
        key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
        if key not in self.memory:
            self.memory[key] = self._kept(key, parts, compute)
        return self.memory[key]

    def __getstate__(self) -> dict[str, Any]:
        # a worker reads from disk what it needs
        return {"folder": self.folder, "memory": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)

    def _kept(self, key: str, parts: Mapping[str, Any], compute: Callable[[], Tensors]) -> Tensors:
        if self.folder is None:
            return compute()
        path = self.folder / f"{key}.safetensors"
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / f"{key}.lock"):
            try:
                return safetensors.torch.load(path.read_bytes())
            except (OSError, SafetensorError):
                tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in compute().items()}
                metadata = {"fit": json.dumps(dict(parts), sort_keys=True)}
                write_atomically(path, safetensors.torch.save(tensors, metadata=metadata))
                return tensors
