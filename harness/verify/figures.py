"""A record's numbers computed again from its arrays, by the same code that computed them.

Measures whose arrays are all kept are computed again: standard, autoattack, energies, smoothness. Which way it errs: flags
that rest on what happened during a run, and numbers of any other measure, are not in arrays; they are told and not proved.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import numpy as np

from harness.errors import one_line
from harness.measures import Energies, Measure, RobustAccuracy, Smoothness, StandardAccuracy
from harness.measures.signs import CHANCE, PERMUTED
from harness.verify.evidence import Evidence
from harness.verify.verdict import Findings
from leaderboards.records.files import line
from leaderboards.records.invariants import SURVIVED
from leaderboards.records.ranges import close
from leaderboards.records.schema import Distribution, Histogram, Measurement, Quantity, Value

COMPUTED = ("standard", "autoattack", "energies", "smoothness")
"""Measures whose numbers are computed again."""

FROM_ARRAYS = ("bounded", "square-gain", "zero-gradients", CHANCE, PERMUTED)
"""Flags that follow from arrays: a record has them exactly where the arrays give them. Of AutoAttack
the first two alone do: it counts zero gradients while it runs."""


def recomputed(evidence: Evidence, findings: Findings) -> None:
    """Compute again what the arrays of a record give; what differs and what is missing for it goes into the findings."""
    record = evidence.record
    told: list[str] = []
    for name, found in record.measurements.items():
        if name not in COMPUTED:
            told.append(name)
        elif (measure := measure_of(found)) is None:
            findings.missing.append(
                f"{name}: no measure here has its version {found.version} and its settings; measure again"
            )
        elif found.arrays is None:
            findings.missing.append(f"{name}: the record names no arrays; measure again")
        elif name in evidence.arrays:
            findings.faults += differences(found, measure, evidence.arrays[name])
    if told:
        findings.notes.append(f"not checked: {line(', '.join(told))}")
    if not record.measurements:
        findings.missing.append("it holds no measurement")
    attacked = record.measurements.get("autoattack")
    stage = evidence.arrays.get("autoattack", {}).get("stage")
    broken = stage is None or bool(((stage >= 0) & (stage < SURVIVED)).any())
    if attacked is not None and attacked.witnesses is None and broken:
        words = " ".join(record.suite_words or ("--suite", record.suite.name))
        findings.missing.append(
            f"autoattack: no witnesses; do: harness run {line(words)} --entrants {line(record.entrant.spec)}"
        )


def measure_of(found: Measurement) -> Measure | None:
    """The measure that a measurement was made by; None where this harness has none of these settings and this version."""
    said = {key: held for key, held in found.settings.items() if key != "shard_size"}
    for measure in _candidates(found):
        if measure.version == found.version and json.loads(json.dumps(measure.settings())) == said:
            return measure
    return None


def _candidates(found: Measurement) -> Iterator[Measure]:
    match found.measure:
        case "standard":
            yield StandardAccuracy(found.seed)
        case "energies":
            yield Energies(found.seed)
        case "smoothness":
            yield Smoothness(found.seed)
        case "autoattack":
            for search, bounded in product(("fp32", "tf32", "bf16"), (False, True)):
                yield RobustAccuracy(found.seed, search=search, bounded=bounded)  # type: ignore[arg-type]
            if type(size := found.settings.get("batch_size")) is int:
                yield RobustAccuracy(found.seed, engine="pyautoattack", batch_size=size)


def differences(found: Measurement, measure: Measure, arrays: Mapping[str, np.ndarray]) -> list[str]:
    """Where a measurement says otherwise than its arrays, one line each."""
    try:
        with np.errstate(all="ignore"):  # arrays of another form give numbers that are none
            again = measure.summarise(arrays, ())
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        what = f"{type(error).__name__}: {one_line(error)}"
        return [f"{found.measure}: its numbers cannot be made from its arrays ({what})"]
    lines: list[str] = []
    for name in sorted({*found.values, *again.values}):
        here, there = again.values.get(name), found.values.get(name)
        if here is None or there is None:
            lines.append(f"{name}, which {'the record has and its arrays do not give' if there else 'is left out'}")
        elif not _same_value(here, there):
            lines.append(f"{name}: the record says {_shown(there)}, its arrays {_shown(here)}")
    for name in sorted({*found.distributions, *again.distributions}):
        mine, its = again.distributions.get(name), found.distributions.get(name)
        if mine is None or its is None or not _same_distribution(mine, its):
            lines.append(f"the distribution of {name} is not that of its arrays")
    follow = FROM_ARRAYS[:2] if found.measure == "autoattack" else FROM_ARRAYS
    codes = {flag.code for flag in again.flags if flag.code in follow}
    if odd := sorted(codes ^ {flag.code for flag in found.flags if flag.code in follow}):
        lines.append(f"its flags and its arrays differ in {', '.join(odd)}")
    lines += _read_otherwise(found, measure.quantities())
    return [f"{found.measure}: {one}" for one in lines]


def _same_value(ours: Value, its: Value) -> bool:
    numbers = all(close(getattr(ours, end), getattr(its, end)) for end in ("value", "low", "high", "level"))
    return numbers and (ours.method, ours.n) == (its.method, its.n)


def _same_distribution(ours: Distribution, its: Distribution) -> bool:
    levels = ours.quantiles.keys() == its.quantiles.keys()
    return (
        _same_value(ours.mean, its.mean)
        and close(ours.sd, its.sd)
        and levels
        and all(close(number, its.quantiles[level]) for level, number in ours.quantiles.items())
        and _same_histogram(ours.histogram, its.histogram)
    )


def _same_histogram(ours: Histogram | None, its: Histogram | None) -> bool:
    if ours is None or its is None:
        return ours is its
    alike = (ours.counts, ours.below, ours.above) == (its.counts, its.below, its.above)
    # of other lengths they are not the same, which is asked below
    ends = [*zip((*ours.edges, ours.centre, ours.unit), (*its.edges, its.centre, its.unit), strict=False)]
    return alike and len(ours.edges) == len(its.edges) and all(close(a, b) for a, b in ends)


def _read_otherwise(found: Measurement, today: Mapping[str, Quantity]) -> Iterator[str]:
    """Where a record says that its numbers are to be read otherwise than the measure says. Titles are free text."""

    def reading(said: Quantity) -> Any:
        return said.unit, said.better, said.kind

    made = {name for name in (*found.values, *found.distributions) if name in today}
    for name in sorted({*found.quantities, *made}):
        said = found.quantities.get(name)
        if said is None or name not in made or reading(said) != reading(today[name]):
            yield f"{name} is declared otherwise than by the measure"


def _shown(value: Value) -> str:
    ends = f" [{value.low:.6g}, {value.high:.6g}]" if value.low is not None and value.high is not None else ""
    return f"{'no number' if value.value is None else f'{value.value:.6g}'}{ends}, n = {value.n}"
