"""About how large the weights of RobustBench's entries are, before they are fetched: the bytes of each network's tensors.

Recorded in zoo/sizes.csv by benchmarks/weight_sizes.py. A file may hold more than the network (an optimiser's state).
"""

from __future__ import annotations

import csv
import functools
import importlib.resources


def about(dataset: str, threat: str, name: str) -> int | None:
    """Bytes of an entry's tensors; None where they are not known."""
    return _sizes().get((dataset, threat, name))


@functools.cache
def _sizes() -> dict[tuple[str, str, str], int]:
    text = (importlib.resources.files("zoo") / "sizes.csv").read_text(encoding="utf-8")
    return {
        (row["dataset"], row["threat"], row["name"]): int(row["bytes"]) for row in csv.DictReader(text.splitlines())
    }
