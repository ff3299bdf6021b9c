"""Ranges that the numbers of a record must lie in, whatever the entrant: shares, intervals, scores of generated images."""

from __future__ import annotations

import math
from collections.abc import Iterator

from leaderboards.records.schema import Measurement, Record, Value, is_number
from leaderboards.records.values import Distribution

PER_EXAMPLE = ("standard", "autoattack", "energies", "smoothness")
"""Measures that are taken on the examples of the suite."""

CLOSE = 1e-6
"""Relative: how far two computations of one number may lie apart."""

_Z = 1.959963984540054
"""Of 95 %: the quantile of the normal distribution in Wilson's interval."""

_CLASSES = {"digits-features": 10}
_MOST_CLASSES = 1008
"""Logits of the extractors: the inception score is at most their number. Of Inception 1008."""


def impossible(record: Record) -> list[str]:
    """Numbers of a record that cannot be what they are called, one plain line each."""
    return [*_numbers(record), *_generated(record)]


def _numbers(record: Record) -> Iterator[str]:
    for name, measurement in record.measurements.items():
        means = [(f"{key}, mean", found.mean) for key, found in measurement.distributions.items()]
        for key, value in (*measurement.values.items(), *means):
            yield from (f"{name}: {key} {wrong}" for wrong in _wrong(value, measurement, key))
        for key, found in measurement.distributions.items():
            yield from (f"{name}: the distribution of {key} {wrong}" for wrong in _spread_wrong(found))


def _wrong(value: Value, measurement: Measurement, key: str) -> Iterator[str]:
    number, low, high = value.value, value.low, value.high
    if number is not None and not math.isfinite(number):
        yield f"is {number}, which is no number"
        return
    slack = CLOSE * max((abs(end) for end in (number, low, high) if is_number(end)), default=0)
    if low is not None and high is not None:
        inside = low <= high if number is None else low - slack <= number <= high + slack
        if not inside:
            yield f"does not lie in its interval: {number}, {low} to {high}"
    said = measurement.quantities.get(key)
    ends = [end for end in (number, low, high) if end is not None]
    if (value.method == "wilson" or (said and said.unit == "fraction")) and not all(0 <= end <= 1 for end in ends):
        yield f"is no share of the examples: {number}"
    elif value.method == "wilson" and number is not None and value.n and not is_wilson(value):
        yield f"has another interval than {value.n} examples give: {low} to {high}"
    if value.method == "wilson" and measurement.measure in PER_EXAMPLE and value.n != measurement.n:
        yield f"rests on {value.n} examples, and {measurement.n} were judged"


def _spread_wrong(found: Distribution) -> Iterator[str]:
    ordered = sorted(found.quantiles.items(), key=lambda item: _level(item[0]))
    numbers = [number for _, number in ordered]
    if any(not math.isfinite(number) for number in numbers) or numbers != sorted(numbers):
        yield "has quantiles that do not rise"
    if found.sd is not None and not (math.isfinite(found.sd) and found.sd >= 0):
        yield f"has a standard deviation of {found.sd}"
    if found.histogram is not None:
        counted = sum(found.histogram.counts) + found.histogram.below + found.histogram.above
        if min(found.histogram.counts, default=0) < 0 or (found.mean.n and counted > found.mean.n):
            yield f"has a histogram of {counted} examples, of {found.mean.n}"


def _level(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def wilson(share: float, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of n examples."""
    centre, half = share + _Z**2 / (2 * n), _Z * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n * n))
    return max(0.0, (centre - half) / (1 + _Z**2 / n)), min(1.0, (centre + half) / (1 + _Z**2 / n))


def is_wilson(value: Value) -> bool:
    """Whether a share of the examples has the interval that it says it has."""
    if not 0 <= float(value) <= 1 or not value.n:
        return False
    low, high = wilson(float(value), value.n)
    return close(low, value.low) and close(high, value.high)


def close(ours: float | None, its: float | None, relative: float = CLOSE) -> bool:
    """Whether two numbers are one, computed twice. Nothing equals nothing, and no number equals no number."""
    if ours is None or its is None:
        return ours is its
    return math.isclose(ours, its, rel_tol=relative, abs_tol=1e-9) or (math.isnan(ours) and math.isnan(its))


def _generated(record: Record) -> Iterator[str]:
    measurement = record.measurements.get("generation")
    for key, value in measurement.values.items() if measurement else ():
        name, number = key.rsplit(".", 1)[-1], value.value
        if number is None or not math.isfinite(number):
            continue
        most = _CLASSES.get(value.method.split(" ")[0], _MOST_CLASSES)
        if name == "inception_score" and not 1 - CLOSE <= number <= most * (1 + CLOSE):
            yield f"generation: {key} is {number:.4g}, and lies between 1 and {most}"
        if name == "fid" and number < -1e-3:
            yield f"generation: {key} is {number:.4g}, below 0"
        if name == "kid":
            spread = measurement.values.get(f"{key}.sd") if measurement else None
            if number < -max(0.01, 6 * float(spread.value or 0) if spread else 0):
                yield f"generation: {key} is {number:.4g}, far below 0"
