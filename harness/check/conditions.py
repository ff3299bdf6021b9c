"""The conditions that flags were found under, and what of them differs: only what was found alike is compared by example."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from harness.measures import Measure
from leaderboards.records.schema import Measurement, SuiteInfo


class MeasureInfo(BaseModel):
    """How one measure was taken."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int
    seed: int
    settings: dict[str, Any] = Field(description="less the shard size, which all measures of a baseline share")

    @classmethod
    def of_measurement(cls, measurement: Measurement) -> MeasureInfo:
        """How a measurement in a record was taken."""
        settings = {key: value for key, value in measurement.settings.items() if key != "shard_size"}
        return cls(version=measurement.version, seed=measurement.seed, settings=settings)

    @classmethod
    def of_measure(cls, measure: Measure) -> MeasureInfo:
        """How a measure would be taken now; its settings as they are read back from a file."""
        return cls(version=measure.version, seed=measure.seed, settings=json.loads(json.dumps(measure.settings())))

    def conditions(self) -> dict[str, Any]:
        """Version, seed and settings in one mapping."""
        return {"version": self.version, "seed": self.seed, **self.settings}


@dataclass(frozen=True)
class Difference:
    """A condition that is not the same on both sides."""

    what: str
    then: Any
    now: Any


def differences(
    suite: SuiteInfo, measures: Mapping[str, MeasureInfo], other: SuiteInfo, others: Mapping[str, MeasureInfo]
) -> list[Difference]:
    """What differs between two suites (data, version, threat model), and in how `others` are taken, of those in `measures`."""
    apart = [
        Difference(f"suite {name}", getattr(suite, name), getattr(other, name))
        for name in SuiteInfo.model_fields
        if getattr(suite, name) != getattr(other, name)
    ]
    for name, info in others.items():
        then, now = measures[name].conditions(), info.conditions()
        keys = then.keys() | now.keys()
        if then.get("engine") != now.get("engine"):
            keys = then.keys() & now.keys() | {"engine"}  # what only one of two engines has goes without saying
        apart += [
            Difference(f"{name} {key}", then.get(key), now.get(key))
            for key in sorted(keys)
            if then.get(key) != now.get(key)
        ]
    return apart


def listed(apart: Sequence[Difference]) -> tuple[str, str]:
    """The conditions that differ with their values, on the one side and on the other, as text."""
    return (
        ", ".join(f"{one.what} {_short(one.then)}" for one in apart),
        ", ".join(f"{one.what} {_short(one.now)}" for one in apart),
    )


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."
