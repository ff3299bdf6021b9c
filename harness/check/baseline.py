"""A baseline: what a record found, by example, and all that decided it, in one file that CI compares a candidate with.

A safetensors file: per-sample arrays (first axis: the suite's examples, in order), and under one metadata key the suite, the
threat model, the attacks' settings and seeds, precision, shard size, and the record's values. The same record gives the same
bytes. A candidate is measured as the baseline was, or not at all: `refuse_other` names what differs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import safetensors
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from harness.attacks.named import MAIN
from harness.errors import BadInput, one_line
from harness.measures import Measure
from harness.measures.energies import correct_array
from leaderboards.records.arrays import measured_arrays
from leaderboards.records.files import file_stem, write_atomically
from leaderboards.records.renames import name_now, renamed, version_now
from leaderboards.records.schema import Record, SuiteInfo, Value

SCHEMA_VERSION: Literal[1] = 1

PGD_CORRECT = correct_array(MAIN)

KEPT = {
    "standard": ("correct",),
    "autoattack": ("stage",),
    "energies": (PGD_CORRECT, "marginal_energy", "joint_energy", "pgd.marginal_energy_adv", "pgd.joint_energy_adv"),
}
"""The per-sample arrays that gates compare, by measure."""


class Measured(BaseModel):
    """How one measure was taken."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int
    seed: int
    settings: dict[str, Any] = Field(description="less the shard size, which all measures of a baseline share")


class Description(BaseModel):
    """What a baseline says of itself."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    schema_version: Literal[1] = SCHEMA_VERSION
    suite: SuiteInfo
    limit: int | None
    entrant: str
    weights_sha256: str
    precision: str
    device: str
    shard_size: int = Field(ge=1)
    measured_at: str
    measures: dict[str, Measured]
    values: dict[str, Value] = Field(description="the record's values, as <measure>.<value>")


@dataclass(frozen=True)
class Baseline:
    """A description and the per-sample arrays, (n,) each."""

    description: Description
    arrays: Mapping[str, np.ndarray]

    @property
    def examples(self) -> int:
        """How many examples there are."""
        return len(next(iter(self.arrays.values())))

    def flags(self, gate: str) -> np.ndarray:
        """The (n,) bool flags that a gate on accuracy compares; see harness.check.gates.ACCURACIES. Raises BadInput."""
        needed = {"standard": ("correct",), "pgd": (PGD_CORRECT,)}.get(gate, ("stage",))
        if missing := [name for name in needed if name not in self.arrays]:
            measure = next(measure for measure, names in KEPT.items() if missing[0] in names)
            raise BadInput(
                f"expected a baseline with the measure {measure} for the gate {gate!r}, got"
                f" {', '.join(self.description.measures)}; measure it with harness run, then harness baseline again"
            )
        if gate == "standard":
            return self.arrays["correct"]
        if gate == "pgd":
            return self.arrays[PGD_CORRECT]
        survived = self.arrays["stage"] == self.stages
        return survived & self.arrays[PGD_CORRECT] if gate == "robust" and PGD_CORRECT in self.arrays else survived

    @property
    def stages(self) -> int:
        """How many stages AutoAttack had: the number that stands for an example that survived all."""
        return len(self.description.measures["autoattack"].settings["stages"])


def from_record(record: Record, arrays_folder: Path) -> Baseline:
    """The baseline that a record gives. Raises BadInput where it holds no per-sample flags, RecordError for lost arrays."""
    found = {name: m for name, m in record.measurements.items() if name in KEPT and m.arrays is not None}
    if not found:
        raise BadInput(
            f"expected a record of {record.entrant.name} with one of {', '.join(KEPT)}, got"
            f" {', '.join(record.measurements) or 'none'}; measure it with harness run"
        )
    arrays: dict[str, np.ndarray] = {}
    for name, measurement in found.items():
        held = measured_arrays(arrays_folder, measurement)
        arrays |= {key: held[key] for key in KEPT[name] if key in held}
    measures = {
        name: Measured(
            version=m.version, seed=m.seed, settings={key: v for key, v in m.settings.items() if key != "shard_size"}
        )
        for name, m in record.measurements.items()
    }
    one = next(iter(found.values()))
    description = Description(
        suite=record.suite,
        limit=record.limit,
        entrant=record.entrant.name,
        weights_sha256=record.entrant.weights_sha256,
        precision=one.provenance.precision,
        device=one.provenance.device,
        shard_size=one.settings["shard_size"],
        measured_at=max(measurement.provenance.measured_at for measurement in found.values()),
        measures=measures,
        values={
            f"{name}.{key}": value
            for name, measurement in record.measurements.items()
            for key, value in measurement.values.items()
        },
    )
    return Baseline(description, arrays)


def baseline_path(place: Path, suite: str, entrant: str) -> Path:
    """Where a baseline lies: the file itself, or <folder>/<suite>/<entrant>.safetensors."""
    if place.suffix == ".safetensors":
        return place
    return place / file_stem(suite) / f"{file_stem(entrant)}.safetensors"


def write_baseline(path: Path, baseline: Baseline) -> bool:
    """Write it in one step; returns whether the file changed."""
    described = json.dumps(json.loads(baseline.description.model_dump_json()), sort_keys=True)
    arrays = {name: np.ascontiguousarray(baseline.arrays[name]) for name in sorted(baseline.arrays)}
    content = save_arrays(arrays, metadata={"baseline": described})
    if path.exists() and path.read_bytes() == content:
        return False
    write_atomically(path, content)
    return True


def read_baseline(path: Path) -> Baseline:
    """Read a baseline. Raises BadInput for a file that is none."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadInput(
            f"expected a baseline in {path}, got {one_line(error)}; write one with harness baseline"
        ) from error
    try:
        arrays = load_arrays(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        description = Description.model_validate_json(header["__metadata__"]["baseline"])
    except (safetensors.SafetensorError, KeyError, ValidationError, ValueError) as error:
        raise BadInput(
            f"expected a baseline in {path}, got {one_line(error)[:200]}; write it again with harness baseline"
        ) from error
    if len({len(array) for array in arrays.values()}) != 1:
        raise BadInput(f"expected arrays of one length in {path}, got others; write it again with harness baseline")
    return up_to_date(Baseline(description, arrays))


def up_to_date(baseline: Baseline) -> Baseline:
    """The baseline by the names of today, as the record that it came from would be read; see leaderboards.records.renames."""
    was = baseline.description
    measures = {
        name: measured.model_copy(update={"version": version_now(name, measured.version)})
        for name, measured in was.measures.items()
    }
    values = {}
    for name, value in was.values.items():
        measure, _, key = name.partition(".")
        values[f"{measure}.{name_now(measure, key)}"] = value
    description = was.model_copy(update={"measures": measures, "values": values})
    return Baseline(description, renamed("energies", baseline.arrays))


def refuse_other(baseline: Baseline, suite: SuiteInfo, measures: Sequence[Measure]) -> None:
    """Raises BadInput, with the difference named, where a candidate would be measured otherwise than the baseline was."""
    was = baseline.description
    said = {field: getattr(was.suite, field) for field in SuiteInfo.model_fields}
    apart = [
        (f"suite {field}", said[field], getattr(suite, field)) for field in said if said[field] != getattr(suite, field)
    ]
    for measure in measures:
        then = was.measures[measure.name]
        now = {"version": measure.version, "seed": measure.seed, **json.loads(json.dumps(measure.settings()))}
        before = {"version": then.version, "seed": then.seed, **then.settings}
        apart += [
            (f"{measure.name} {key}", before.get(key), now.get(key))
            for key in sorted(before.keys() | now.keys())
            if before.get(key) != now.get(key)
        ]
    if apart:
        what = ", ".join(f"{key} {_short(then)}" for key, then, _ in apart)
        got = ", ".join(f"{key} {_short(now)}" for key, _, now in apart)
        raise BadInput(
            f"expected what the baseline of {was.entrant} was measured with ({what}), got {got}; measure the baseline's"
            " entrant again (harness run), write its baseline again (harness baseline), or name the suite it belongs to"
        )


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."
