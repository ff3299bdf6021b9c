"""Numbers of a record: one with its interval, and how one that every example has is spread."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Self, TypeGuard

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Value(Part):
    """One number with its interval. `value` is None where there is none, and `reason` says why.

    Where there is none and an interval all the same, it is `bounded`: the number was not computed, the interval holds it.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    level: float | None = Field(default=None, description="coverage of [low, high], e.g. 0.95")
    method: str = Field(default="", description="how the interval was made, e.g. 'wilson'")
    n: int = Field(ge=0, description="examples that the number rests on")
    reason: str = ""

    @property
    def bounded(self) -> bool:
        """Whether all that is known is an interval that holds the number. It compares with no number as one would."""
        return self.value is None and is_number(self.low) and is_number(self.high)

    def __float__(self) -> float:
        return math.nan if self.value is None else self.value

    def __str__(self) -> str:
        """The number with its interval: '0.770 [0.707, 0.823], n = 200'."""
        if self.bounded:
            return f"{self.low:.3f} to {self.high:.3f} (bounded), n = {self.n}"
        if self.value is None:
            return f"none ({self.reason})"
        ends = f" [{self.low:.3f}, {self.high:.3f}]" if self.low is not None and self.high is not None else ""
        return f"{self.value:.3f}{ends}, n = {self.n}"


class Histogram(Part):
    """How many examples fall into each bin [edges[i], edges[i+1]), the last one closed, and beside the bins.

    The edges are fixed multiples of one unit (the standard deviation of E(x)) around one centre, so histograms of one
    kind have the same bins in every record once they are divided by the unit.
    """

    edges: tuple[float, ...] = Field(min_length=2)
    counts: tuple[int, ...]
    below: int = Field(ge=0)
    above: int = Field(ge=0)
    centre: float
    unit: float = Field(gt=0)

    @model_validator(mode="after")
    def _bins_lie_between_edges(self) -> Self:
        if len(self.counts) != len(self.edges) - 1 or any(b <= a for a, b in pairwise(self.edges)):
            raise ValueError("a histogram has one count fewer than edges, and edges that rise")
        return self


class Distribution(Part):
    """How a number that every example has is spread over the examples."""

    mean: Value
    sd: float | None = None
    quantiles: dict[str, float] = Field(default={}, description="by their level as text, e.g. '0.05'")
    histogram: Histogram | None = None


def is_number(value: float | None) -> TypeGuard[float]:
    """Whether there is a finite number to show or to rank by."""
    return value is not None and math.isfinite(value)
