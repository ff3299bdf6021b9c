"""The record: all measurements of one entrant on one suite, with where each number comes from.

A record is one JSON file in git; per-sample arrays lie beside it in safetensors files named by the sha256 of their
bytes. Numbers are numbers (accuracies in [0,1], eps a fraction); they are formatted only where a person reads them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from leaderboards.records.values import Distribution, Histogram, Part, Value, is_number

__all__ = [
    "SCHEMA_VERSION",
    "SEAL",
    "Arrays",
    "BestKnown",
    "Bundle",
    "Counterexamples",
    "Distribution",
    "EntrantInfo",
    "FileInfo",
    "Flag",
    "Histogram",
    "Measurement",
    "Provenance",
    "Quantity",
    "Record",
    "RecordError",
    "SuiteInfo",
    "Unit",
    "Value",
    "is_number",
    "seal_of",
]

SCHEMA_VERSION: Literal[1] = 1
"""Of the record's form. A reader refuses any other: it cannot know what the fields would mean."""


SEAL = "seal"
"""The last key of a record's file: sha256 (hex) of all the rest. Who edits the file by hand breaks it."""


def seal_of(plain: Mapping[str, Any]) -> str:
    """The seal of a record's file, from what it holds; a seal among it does not count."""
    rest = {key: value for key, value in plain.items() if key != SEAL}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


class RecordError(ValueError):
    """A record or its arrays cannot be used; the message is one line: expected, got, what to do."""


class Flag(Part):
    """Something a reader must know about a measurement: a warning of AutoAttack, a rejected sample, a mixed run."""

    code: str = Field(description="kebab-case, e.g. 'zero-gradients'")
    message: str


class Arrays(Part):
    """Per-sample arrays: a safetensors file `<sha256>.safetensors` in the arrays folder."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    names: tuple[str, ...]

    @property
    def file(self) -> str:
        return f"{self.sha256}.safetensors"


class Bundle(Part):
    """Witnesses, images that prove examples broken: a file `<sha256>.safetensors` in the witnesses folder."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    n: int = Field(ge=0, description="witnesses, one an example")
    size: int = Field(ge=0, description="bytes of the file")
    address: str = Field(default="", description="where the file can be fetched from; empty: it lies beside the record")

    @property
    def file(self) -> str:
        return f"{self.sha256}.safetensors"


class Provenance(Part):
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


class Quantity(Part):
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


class Measurement(Part):
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
    witnesses: Bundle | None = Field(default=None, description="of AutoAttack: one for every example that it broke")
    seconds: float = Field(ge=0, description="compute time, added over shards; not wall time")
    provenance: Provenance

    @property
    def bounded(self) -> bool:
        """Whether one of its values is an interval in place of a number: it was not run to the end."""
        return any(value.bounded for value in self.values.values())


class SuiteInfo(Part):
    """What was measured on: the suite, its data, its threat model."""

    name: str
    version: int
    dataset: str
    split: str
    fingerprint: str = Field(
        description="sha256 over the suite's images and labels; of a partial record that lies within a known part of the data,"
        " over that part's"
    )
    examples: int = Field(ge=1, description="examples the suite has; a partial record holds fewer")
    norm: str
    eps: float = Field(ge=0)

    def but_for_images(self) -> SuiteInfo:
        """What records of different limits agree in: their fingerprints may be of all examples and of a part."""
        return self.model_copy(update={"fingerprint": ""})


class FileInfo(Part):
    name: str
    sha256: str


class EntrantInfo(Part):
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
    published: str = Field(default="", description="the published row that was measured on these very weights, by name")
    loading: str = Field(
        default="",
        description="what was found in its files and done with it: tensors chosen, renamed, left out; normalisation",
    )
    dynamics: Arrays | None = Field(default=None, description="what its trainer logged, a number an epoch")


class Counterexamples(Part):
    """Images that break examples which AutoAttack left, with who found them and how."""

    source: Literal["challenge", "transfer"] = Field(
        description="'challenge': somebody handed them in; 'transfer': they break another entrant of the board"
    )
    who: str
    how: str
    found_at: str = Field(description="UTC, ISO 8601")
    witnesses: Bundle = Field(
        description="of examples that neither AutoAttack nor anything before it in the list broke"
    )


class BestKnown(Part):
    """The share of examples that nothing has broken that is known: AutoAttack, and what was found beside it."""

    value: Value
    found: tuple[Counterexamples, ...] = ()
    flags: tuple[Flag, ...] = ()


class Record(Part):
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
    best_known: BestKnown | None = Field(default=None, description="where anything beside AutoAttack was tried")

    @model_validator(mode="before")
    @classmethod
    def _without_seal(cls, plain: Any) -> Any:
        # the seal belongs to the file: files.seal_problem reads it there
        return {key: held for key, held in plain.items() if key != SEAL} if isinstance(plain, dict) else plain

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
        """The record's file, byte for byte: keys in the schema's order, then the seal, one newline at the end.

        NaN and infinities stand as the strings "NaN", "Infinity", "-Infinity", which JSON can hold. They are read back
        as numbers where the schema has a number; inside `settings` and `training`, which have no schema, as strings.
        """
        plain = self._plain()
        return json.dumps({**plain, SEAL: seal_of(plain)}, indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def _plain(self) -> dict[str, Any]:
        # model_dump(mode="json") would leave NaN a float: json.dumps refuses it, and it is unequal to itself
        plain = json.loads(self.model_dump_json())
        # what a record has nothing of, its file says nothing of
        for name in (name for name in ("suite_words", "best_known") if not plain[name]):
            del plain[name]
        for name in (name for name in ("published", "loading") if not plain["entrant"][name]):
            del plain["entrant"][name]
        for measurement in plain["measurements"].values():
            if measurement["witnesses"] is None:
                del measurement["witnesses"]
        return plain

    @property
    def bundles(self) -> dict[str, Bundle]:
        """Every bundle of witnesses that the record names: by the measure, and 'found 1', 'found 2', ... beside them."""
        named = {name: m.witnesses for name, m in self.measurements.items() if m.witnesses is not None}
        beside = self.best_known.found if self.best_known else ()
        return named | {f"found {k}": one.witnesses for k, one in enumerate(beside, 1)}

    def findings(self) -> dict[str, Any]:
        """The record less what differs between two runs that found the same: seconds and provenance."""
        found = self._plain()
        for measurement in found["measurements"].values():
            del measurement["seconds"], measurement["provenance"]
        return found
