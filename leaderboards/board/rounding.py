"""What is rounding, where two machines measured the same: how far numbers by example, and values, may differ.

Processors add in orders of their own, so a network's outputs differ by about 1e-7 of their size from one to the other.

An attack steps by the sign of a gradient. Where a gradient is nearly zero, the last digit turns a step, and the search of that
one example ends elsewhere: its energies then differ in the third digit. So few examples may lie apart from the others. The
seven digits entrants, measured with AVX-512 and again with AVX2: no flag differs, the energies of at most 9 of 200 examples
differ by more than ROUNDING (the farthest by 8e-3), and every value by less than 5e-4 of itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from leaderboards.records.schema import Measurement, is_number

ROUNDING = 1e-5
"""What is put down to rounding, as a share of the largest number of an array."""

TURNED = 0.1
"""The share of the examples that may lie farther apart (one may in any case), because their search ended elsewhere."""

FARTHEST = 0.05
"""How far apart these may lie at most, as a share of the largest number of an array."""

VALUES = 1e-2
"""What a value may differ by beside arrays that agree, as a share of itself. Shares of examples may not differ at all."""


def power(number: float) -> str:
    """A small number by its first digit: '4e-7'."""
    return f"{number:.0e}".replace("e-0", "e-")


def apart_by_example(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """By example (the first axis), the largest difference as a share of the array's largest number.

    NaN is equal to NaN, an infinity to itself, and each is infinitely far from a number.
    """
    a, b = (np.atleast_1d(one).astype(np.float64).reshape(len(np.atleast_1d(one)), -1) for one in (a, b))
    largest = max(float(np.abs(one[np.isfinite(one)]).max(initial=0.0)) for one in (a, b))
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    finite = np.isfinite(a) & np.isfinite(b)
    apart = np.full(a.shape, math.inf)
    apart[finite] = np.abs(a[finite] - b[finite]) / (largest or 1.0)
    apart[same] = 0.0
    return apart.max(1, initial=0.0)


def without_turned(apart: Sequence[np.ndarray], n: int) -> tuple[float, int, float]:
    """How far arrays are apart in all examples but few, how many these are, and how far apart they are at most."""
    farthest = max((float(one.max(initial=0.0)) for one in apart), default=0.0)
    beyond: set[int] = {int(row) for one in apart for row in np.flatnonzero(one > ROUNDING)}
    if not beyond or farthest > FARTHEST or len(beyond) > max(1, TURNED * n):
        return farthest, 0, 0.0
    rest = max(float(one[one <= ROUNDING].max(initial=0.0)) for one in apart)
    return rest, len(beyond), farthest


def values_apart(mine: Measurement, theirs: Measurement) -> list[str]:
    """The values that differ by more than rounding can do: shares of examples at all, others by more than VALUES."""
    largest: dict[str, float] = {}
    for found in (mine, theirs):
        for name, value in found.values.items():
            numbers = [abs(x) for x in (value.value,) if is_number(x)]
            largest[_unit(mine, name)] = max([largest.get(_unit(mine, name), 0.0), *numbers])
    apart = []
    for name in sorted(mine.values.keys() | theirs.values.keys()):
        a, b = mine.values.get(name), theirs.values.get(name)
        if a is None or b is None:
            apart.append(name)
            continue
        unit = _unit(mine, name)
        least = 1e-9 if unit == "fraction" else ROUNDING * largest[unit] if unit in ("energy", "sd") else 0.0
        if any(_beyond(getattr(a, end), getattr(b, end), unit, least) for end in ("value", "low", "high")):
            apart.append(name)
    return apart


def _unit(measurement: Measurement, name: str) -> str:
    said = measurement.quantities.get(name)
    return said.unit if said else ""


def _beyond(a: float | None, b: float | None, unit: str, least: float) -> bool:
    if a is None or b is None or not (math.isfinite(a) and math.isfinite(b)):
        return not (a == b or (a is not None and b is not None and math.isnan(a) and math.isnan(b)))
    return abs(a - b) > max(least, 0.0 if unit == "fraction" else VALUES * max(abs(a), abs(b)))
