"""What an entrant's page says of one record: every number with its interval, and where it comes from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from leaderboards.board import formats
from leaderboards.board.cells import Bar, Scale, bar
from leaderboards.board.generation import MEASURE as GENERATION
from leaderboards.board.generation import writer
from leaderboards.board.quantities import quantity
from leaderboards.records.schema import Distribution, Measurement, Quantity, Value, is_number


@dataclass(frozen=True)
class Line:
    """One value of a measurement, as text."""

    label: str
    text: str
    interval: str
    bar: Bar | None
    how: str
    n: str
    reason: str


@dataclass(frozen=True)
class Spread:
    """How one per-sample number is spread over the examples, as texts: mean with interval, deviation, quantiles."""

    label: str
    mean: str
    interval: str
    sd: str
    quantiles: tuple[str, ...]


@dataclass(frozen=True)
class Section:
    """One measurement: its lines (`drawn`: some have bars), its distributions with the levels of their quantiles, and its
    settings and provenance as pairs of words."""

    measurement: Measurement
    lines: tuple[Line, ...]
    drawn: bool
    spreads: tuple[Spread, ...]
    levels: tuple[str, ...]
    settings: tuple[tuple[str, str], ...]
    provenance: tuple[tuple[str, str], ...]


def section(measurement: Measurement) -> Section:
    """All that a page says of one measurement."""
    generated = measurement.measure == GENERATION
    lines = tuple(
        line(quantity(measurement, name), value, name if generated else "")
        for name, value in measurement.values.items()
    )
    levels = tuple(sorted({level for found in measurement.distributions.values() for level in found.quantiles}))
    return Section(
        measurement=measurement,
        lines=lines,
        drawn=any(line.bar for line in lines),
        spreads=tuple(
            spread(quantity(measurement, name), found, levels) for name, found in measurement.distributions.items()
        ),
        levels=levels,
        settings=pairs({"seed": measurement.seed, **measurement.settings}),
        provenance=provenance(measurement),
    )


def line(said: Quantity, value: Value, name: str = "") -> Line:
    """One value in its unit: in percent and with a bar from 0 to 100 % where it is a fraction.

    `name`: of a score of generation.
    """
    write, share = formats.by_unit(said.unit) if said.unit else writer(name), said.unit == "fraction"
    unit = f"{formats.THIN}%" if share and (is_number(value.value) or value.bounded) else ""
    ends = formats.between(value, write)
    level = f"{100 * value.level:g}{formats.THIN}%" if value.level is not None else ""
    found = write(value.value, value.n) if value.value is not None else ends if value.bounded else formats.NOTHING
    return Line(
        label=said.title,
        text=f"{found}{unit}",
        interval="" if value.bounded else ends,
        bar=bar(value, Scale(0.0, 1.0)) if share else None,
        how=", ".join(part for part in (level, value.method) if part),
        n=formats.count(value.n),
        reason=value.reason,
    )


def spread(said: Quantity, found: Distribution, levels: Sequence[str]) -> Spread:
    """One distribution as texts; empty where it does not have a quantile of a level."""
    mean = found.mean.value
    return Spread(
        label=said.title,
        mean=formats.decimal(mean) if mean is not None else formats.NOTHING,
        interval=formats.interval(found.mean, formats.decimal),
        sd=formats.decimal(found.sd) if found.sd is not None else formats.NOTHING,
        quantiles=tuple(formats.decimal(found.quantiles[q]) if q in found.quantiles else "" for q in levels),
    )


def provenance(measurement: Measurement) -> tuple[tuple[str, str], ...]:
    """Where, when and with what a measurement was made."""
    made = measurement.provenance
    changed = {True: ", with changes that are not committed", False: "", None: ""}[made.dirty]
    found = {
        "device": f"{made.device}, {made.device_name}" if made.device_name else made.device,
        "precision": made.precision,
        "threads": made.threads,
        "compute time": formats.duration(measurement.seconds),
        "measured": made.measured_at,
        "commit": f"{made.commit}{changed}" if made.commit else "outside a checkout",
        "versions": ", ".join(f"{library} {version}" for library, version in made.versions.items()),
    }
    if measurement.arrays is not None:
        found["per-sample arrays"] = f"{', '.join(measurement.arrays.names)} in {measurement.arrays.file}"
    return pairs(found)


def pairs(found: Mapping[str, Any], within: str = "") -> tuple[tuple[str, str], ...]:
    """Settings and the like as words: texts as they are, a mapping as pairs of its own ('recipe: lr'), or, where it is flat
    and inside another, on one line; anything else as JSON."""
    lines: list[tuple[str, str]] = []
    for key, value in found.items():
        name = f"{within}{key}"
        if not isinstance(value, Mapping):
            lines.append((name, _word(value)))
        elif within and not any(isinstance(one, Mapping | list) for one in value.values()):
            lines.append((name, ", ".join(f"{inner} {_word(one)}" for inner, one in value.items())))
        elif within:
            lines.append((name, _word(value)))
        else:
            lines += pairs(value, f"{key}: ")
    return tuple(lines)


def _word(value: Any) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
