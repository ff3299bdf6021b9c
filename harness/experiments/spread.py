"""A number over the seeds of a training: mean, standard deviation, and an interval that takes seeds and images as drawn.

The standard deviation (n - 1) is the spread of training; the interval of a single entrant is the spread of test images, and
says nothing of another training. Two seeds have a spread, and hardly a known one.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from leaderboards.board.crossed import crossed_mean
from leaderboards.records.schema import Value, is_number


@dataclass(frozen=True)
class Spread:
    """Over `seeds`, each on the same n images. `low` and `high` are the 95 % interval of the mean over seeds and images, where
    what each image gave is known."""

    mean: float
    sd: float
    seeds: int
    n: int
    low: float | None = None
    high: float | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def over_seeds(
    values: Sequence[Value | None], tables: Sequence[np.ndarray | None], lowest: float = 0.0
) -> Spread | None:
    """The spread of a number that each seed has (`values`), whose mean over images `tables` (n,) give where they are known;
    `lowest` is what one image may give. None for fewer than two seeds, and where one has no number."""
    numbers = [value.value for value in values if value is not None and is_number(value.value)]
    if len(numbers) < max(2, len(values)):
        return None
    n = min(value.n for value in values if value is not None)
    known = [table for table in tables if table is not None]
    found = Spread(statistics.fmean(numbers), statistics.stdev(numbers), len(numbers), n)
    if len(known) < len(values) or len({len(table) for table in known}) > 1 or len(known[0]) < 2:
        return found
    both = crossed_mean(np.stack(known), lowest, 1.0)
    return Spread(found.mean, found.sd, found.seeds, n, both.low, both.high)
