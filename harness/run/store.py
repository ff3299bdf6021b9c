"""What is done: shards on disk, one file each, named by the content that they depend on.

A shard is written in one step and checked when it is read, so after a crash a file is either whole or not there. A file
that does not check out counts as not there: it is measured again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from harness.measures.measure import Note
from leaderboards.records.files import write_atomically
from leaderboards.records.schema import Provenance


@dataclass(frozen=True)
class Shard:
    """A measured range of examples: arrays by name (first axis: examples), notes, seconds, and where it was made.

    `parameters` is the size of the network, which only those know who have loaded it.
    """

    arrays: Mapping[str, np.ndarray]
    notes: tuple[Note, ...]
    seconds: float
    provenance: Provenance
    parameters: int = 0


def content_key(parts: Mapping[str, Any]) -> str:
    """sha256 (hex) of JSON values; equal content gives equal keys on every machine."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _digest(array: np.ndarray) -> str:
    content = hashlib.sha256(f"{array.dtype} {array.shape}".encode())
    content.update(np.ascontiguousarray(array).data)
    return content.hexdigest()


@dataclass(frozen=True)
class Store:
    """Shards under a folder: `<root>/<first two of the key>/<key>.safetensors`. What it lacks is read `beside` it."""

    root: Path
    beside: tuple[Path, ...] = ()

    def path(self, key: str) -> Path:
        return self.root / key[:2] / f"{key}.safetensors"

    def write(self, key: str, shard: Shard, parts: Mapping[str, Any]) -> None:
        """Keep a shard; `parts` is what its key was made of, kept so that a person can read what a file is."""
        arrays = {name: np.ascontiguousarray(shard.arrays[name]) for name in sorted(shard.arrays)}
        described = {
            "parts": parts,
            "notes": [asdict(note) for note in shard.notes],
            "seconds": shard.seconds,
            "parameters": shard.parameters,
            "provenance": shard.provenance.model_dump(mode="json"),
            "digests": {name: _digest(array) for name, array in arrays.items()},
        }
        # one metadata key only: safetensors does not keep the order of several
        write_atomically(self.path(key), save(arrays, metadata={"shard": json.dumps(described, sort_keys=True)}))

    def read(self, key: str, leave: Collection[str] = ()) -> Shard | None:
        """The shard, or None where there is none that checks out. Arrays named in `leave` are neither read nor checked."""
        for root in (self.root, *self.beside):
            if (found := _read(Store(root).path(key), leave)) is not None:
                return found
        return None

    def has(self, key: str, leave: Collection[str] = ()) -> bool:
        """Whether a whole shard is there."""
        return self.read(key, leave) is not None


def _read(path: Path, leave: Collection[str]) -> Shard | None:
    try:
        with safe_open(path, framework="numpy") as file:
            described = json.loads(file.metadata()["shard"])
            arrays = {name: file.get_tensor(name) for name in file.keys() if name not in leave}  # noqa: SIM118
        if any(described["digests"][name] != _digest(array) for name, array in arrays.items()):
            return None
        return Shard(
            arrays=arrays,
            notes=tuple(Note(**note) for note in described["notes"]),
            seconds=described["seconds"],
            provenance=Provenance.model_validate(described["provenance"]),
            parameters=described["parameters"],
        )
    except (OSError, SafetensorError, ValueError, KeyError, TypeError):
        return None
