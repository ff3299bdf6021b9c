"""The record: all measurements of one entrant on one suite, with where each number comes from.

A record is one JSON file in git; per-sample arrays lie beside it in safetensors files named by the sha256 of their
bytes. Numbers are numbers (accuracies in [0,1], eps a fraction); they are formatted only where a person reads them.
"""

from __future__ import annotations

import json
import math
from itertools import pairwise
from typing import Any, Literal, Self, TypeGuard

from pydantic import BaseModel, ConfigDict, Field, model_validator

SCHEMA_VERSION: Literal[1] = 1
"""Of the record's form. A reader refuses any other: it cannot know what the fields would mean."""


class RecordError(ValueError):
    """A record or its arrays cannot be used; the message is one line: expected, got, what to do."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Value(_Part):
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


class Histogram(_Part):
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


class Distribution(_Part):
    """How a number that every example has is spread over the examples."""

    mean: Value
    sd: float | None = None
    quantiles: dict[str, float] = Field(default={}, description="by their level as text, e.g. '0.05'")
    histogram: Histogram | None = None


class Flag(_Part):
    """Something a reader must know about a measurement: a warning of AutoAttack, a rejected sample, a mixed run."""

    code: str = Field(description="kebab-case, e.g. 'zero-gradients'")
    message: str


class Arrays(_Part):
    """Per-sample arrays: a safetensors file `<sha256>.safetensors` in the arrays folder."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    names: tuple[str, ...]

    @property
    def file(self) -> str:
        return f"{self.sha256}.safetensors"


class Provenance(_Part):
    """Where and with what a measurement was made."""

    device: str = Field(description="'cpu' or 'cuda'")
    device_name: str
    precision: str = Field(description="'fp32' or 'bf16'")
    threads: int
    commit: str | None = Field(description="of the harness; None outside a checkout")
    dirty: bool | None
    versions: dict[str, str] = Field(description="of python and the libraries that decide the numbers")
    measured_at: str = Field(description="UTC, ISO 8601, of the last shard")


Unit = Literal["fraction", "count", "energy", "sd", "", "seconds"]


class Quantity(_Part):
    """How a value is to be read: declared by the measure that makes it, and shown wherever the value is."""

    title: str = Field(description="what a line or a sentence calls it")
    short: str = Field(default="", description="over a column, where there is little room; empty: the title")
    unit: Unit = Field(
        default="", description="a fraction is shown in percent; energies are in the units of the logits; sd: of E(x)"
    )
    better: Literal["higher", "lower", "neither"] = Field(
        default="neither",
        description="of smoothness, 'lower' says smoother; of a scale that has no good end, 'neither'",
    )
    kind: Literal["headline", "detail"] = Field(
        default="detail",
        description="a headline has a column in the terminal, on the board and in its downloads; a detail stands on the"
        " entrant's page and in the record. Of measures that the board knows, the board chooses the columns",
    )
    description: str = Field(default="", description="one sentence: what the number is, and how to read it")

    @property
    def heading(self) -> str:
        return self.short or self.title


class Measurement(_Part):
    """What one measure found."""

    measure: str
    version: int = Field(description="of the measure's code: another version, another number")
    n: int = Field(ge=0)
    seed: int
    settings: dict[str, Any]
    values: dict[str, Value]
    quantities: dict[str, Quantity] = Field(
        default={}, description="how to read values and distributions, by their name"
    )
    distributions: dict[str, Distribution] = Field(default={}, description="of per-sample numbers, by their name")
    flags: tuple[Flag, ...] = ()
    arrays: Arrays | None = None
    seconds: float = Field(ge=0, description="compute time, added over shards; not wall time")
    provenance: Provenance

    @property
    def bounded(self) -> bool:
        """Whether one of its values is an interval in place of a number: it was not run to the end."""
        return any(value.bounded for value in self.values.values())


class SuiteInfo(_Part):
    """What was measured on: the suite, its data, its threat model."""

    name: str
    version: int
    dataset: str
    split: str
    fingerprint: str = Field(description="sha256 over the suite's images and labels")
    examples: int = Field(ge=1, description="examples the suite has; a partial record holds fewer")
    norm: str
    eps: float = Field(ge=0)


class FileInfo(_Part):
    name: str
    sha256: str


class EntrantInfo(_Part):
    """Who was measured."""

    name: str
    spec: str = Field(description="what to type after --entrants")
    source: str = Field(description="'robustbench', 'zoo', 'checkpoint' or 'python'")
    architecture: str = ""
    parameters: int = Field(ge=0)
    title: str = ""
    authors: str = ""
    venue: str = ""
    link: str = ""
    licence: str = ""
    additional_data: bool | None = None
    weights_sha256: str
    files: tuple[FileInfo, ...] = ()
    training: dict[str, Any] = {}
    dynamics: Arrays | None = Field(default=None, description="what its trainer logged, a number an epoch")


class Record(_Part):
    """All measurements of one entrant on one suite. `limit` is set where only the first examples were judged."""

    schema_version: Literal[1] = SCHEMA_VERSION
    suite: SuiteInfo
    suite_title: str = Field(default="", description="for a page that knows the suite from its records alone")
    suite_description: str = ""
    suite_words: tuple[str, ...] = Field(
        default=(),
        description="how a command names a suite that is not built in: its file, other data; empty: by its name",
    )
    entrant: EntrantInfo
    limit: int | None = Field(default=None, ge=1)
    measurements: dict[str, Measurement] = Field(description="by the measure's name")

    @model_validator(mode="after")
    def _keys_are_names(self) -> Self:
        for key, measurement in self.measurements.items():
            if key != measurement.measure:
                raise ValueError(f"measurement {key!r} says that it is of the measure {measurement.measure!r}")
        return self

    @property
    def partial(self) -> bool:
        return self.limit is not None

    @property
    def arrays(self) -> dict[str, Arrays]:
        """Every file of arrays that the record names: by the measure, and 'dynamics' for the course of training."""
        named = {name: m.arrays for name, m in self.measurements.items() if m.arrays is not None}
        return named | ({"dynamics": self.entrant.dynamics} if self.entrant.dynamics is not None else {})

    def to_json(self) -> str:
        """The record's file, byte for byte: keys in the schema's order, one newline at the end.

        NaN and infinities stand as the strings "NaN", "Infinity", "-Infinity", which JSON can hold. They are read back
        as numbers where the schema has a number; inside `settings` and `training`, which have no schema, as strings.
        """
        return json.dumps(self._plain(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def _plain(self) -> dict[str, Any]:
        # model_dump(mode="json") would leave NaN a float: json.dumps refuses it, and it is unequal to itself
        plain = json.loads(self.model_dump_json())
        if not plain["suite_words"]:  # the file of a built-in suite's record says nothing of it
            del plain["suite_words"]
        return plain

    def findings(self) -> dict[str, Any]:
        """The record less what differs between two runs that found the same: seconds and provenance."""
        found = self._plain()
        for measurement in found["measurements"].values():
            del measurement["seconds"], measurement["provenance"]
        return found


def is_number(value: float | None) -> TypeGuard[float]:
    """Whether there is a finite number to show or to rank by."""
    return value is not None and math.isfinite(value)
