"""What a measure may need beside the suite's test examples; only what is asked for is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.data.images import ImageSet


@dataclass(frozen=True)
class Sources:
    """`train` and `held_out` read the whole train and test split; `fits` is a folder for what is computed once for a data
    set; `inception_weights` a file, where one was named."""

    train: Callable[[], ImageSet]
    held_out: Callable[[], ImageSet]
    fits: Path | None = None
    inception_weights: Path | None = None
