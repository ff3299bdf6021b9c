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
from typing import Literal, TypeVar

import numpy as np
import safetensors
from pydantic import BaseModel, ConfigDict, Field
from safetensors.numpy import save as save_arrays

from harness.attacks.named import MAIN
from harness.check.conditions import MeasureInfo, differences, listed
from harness.check.measured import Measured, RecordOnDisk
from harness.errors import BadInput, one_line
from harness.measures import Measure
from harness.measures.energies import correct_array
from leaderboards.records.bounds import MOST_ARRAYS, require_header, require_size
from leaderboards.records.files import file_stem, read_record, write_atomically
from leaderboards.records.home import Home
from leaderboards.records.renames import name_now, renamed, version_now
from leaderboards.records.schema import Quantity, Record, RecordError, SuiteInfo, Value

SCHEMA_VERSION: Literal[1] = 1

Named = TypeVar("Named")

PGD_CORRECT = correct_array(MAIN)

KEPT = {
    "standard": ("correct",),
    "autoattack": ("stage",),
    "energies": (PGD_CORRECT, "marginal_energy", "joint_energy", "pgd.marginal_energy_adv", "pgd.joint_energy_adv"),
}
"""The per-sample arrays that gates compare, by measure."""

FLAGS = {"standard": "correct", "pgd": PGD_CORRECT, "autoattack": "stage", "robust": "stage"}
"""The array that a gate on an accuracy cannot do without."""


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
    measures: dict[str, MeasureInfo]
    values: dict[str, Value] = Field(description="the record's values, as <measure>.<value>")
    quantities: dict[str, Quantity] = Field(default={}, description="how to read values, where the record says it")


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
        if FLAGS[gate] not in self.arrays:
            measure = next(measure for measure, names in KEPT.items() if FLAGS[gate] in names)
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
    return baseline_of(RecordOnDisk(record, arrays_folder))


def baseline_of(measured: Measured) -> Baseline:
    """The baseline that a record with its arrays gives. Raises BadInput where it holds no per-sample flags."""
    record = measured.record
    for name in (name for name, m in record.measurements.items() if name in KEPT and m.bounded):
        raise BadInput(
            f"expected a complete {name} of {record.entrant.name}, got a bounded one: flags are missing; complete it with"
            f" harness run --measures {name}"
        )
    arrays: dict[str, np.ndarray] = {}
    found = []
    for name in (name for name in record.measurements if name in KEPT):
        held = measured.arrays(name)
        if kept := {key: held[key] for key in KEPT[name] if key in held}:
            arrays |= kept
            found.append(record.measurements[name])
    if not found:
        raise BadInput(
            f"expected a record of {record.entrant.name} with one of {', '.join(KEPT)}, got"
            f" {', '.join(record.measurements) or 'none'}; measure it with harness run"
        )
    description = Description(
        suite=record.suite,
        limit=record.limit,
        entrant=record.entrant.name,
        weights_sha256=record.entrant.weights_sha256,
        precision=found[0].provenance.precision,
        device=found[0].provenance.device,
        shard_size=found[0].settings["shard_size"],
        measured_at=max(measurement.provenance.measured_at for measurement in found),
        measures={name: _as_now(name, MeasureInfo.of_measurement(m)) for name, m in record.measurements.items()},
        values={f"{name}.{key}": value for name, m in record.measurements.items() for key, value in m.values.items()},
        quantities={f"{name}.{key}": q for name, m in record.measurements.items() for key, q in m.quantities.items()},
    )
    return Baseline(description, arrays)


def recorded(homes: Sequence[Home], suite: str, entrant: str, limit: int | None) -> RecordOnDisk:
    """The record of an entrant in the first home that has one, with its arrays. Raises BadInput where none has."""
    file = Path(file_stem(suite), f"partial-{limit}" if limit else "", f"{file_stem(entrant)}.json")
    for home in homes:
        if (home.results / file).is_file():
            return RecordOnDisk(read_record(home.results / file), home.arrays)
    places = " or ".join(str(home.results / file) for home in homes)
    raise BadInput(
        f"expected the record of {entrant} in {places}, got none; do: harness run --suite {suite} --entrants {entrant}"
    )


def baseline_path(place: Path, suite: str, entrant: str) -> Path:
    """Where a baseline lies: the file itself, or <folder>/<suite>/<entrant>.safetensors."""
    if place.suffix == ".safetensors":
        return place
    return place / file_stem(suite) / f"{file_stem(entrant)}.safetensors"


def write_baseline(path: Path, baseline: Baseline) -> bool:
    """Write it in one step; returns whether the file changed."""
    plain = json.loads(baseline.description.model_dump_json())
    if not plain["quantities"]:  # the file of a record that says nothing of them stays as it was
        del plain["quantities"]
    described = json.dumps(plain, sort_keys=True)
    arrays = {name: np.ascontiguousarray(baseline.arrays[name]) for name in sorted(baseline.arrays)}
    content = save_arrays(arrays, metadata={"baseline": described})
    if path.exists() and path.read_bytes() == content:
        return False
    write_atomically(path, content)
    return True


def read_baseline(path: Path) -> Baseline:
    """Read a baseline. Raises BadInput for a file that is none."""
    again = "write it again with harness baseline"
    try:
        require_size(path, MOST_ARRAYS, str(path))
        require_header(path, str(path))
        with safetensors.safe_open(path, framework="numpy") as file:
            description = Description.model_validate_json((file.metadata() or {})["baseline"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  no mapping
    except RecordError as error:
        raise BadInput(str(error)) from error
    except OSError as error:
        raise BadInput(
            f"expected a baseline in {path}, got {one_line(error)}; write one with harness baseline"
        ) from error
    except (safetensors.SafetensorError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise BadInput(f"expected a baseline in {path}, got {one_line(error)[:200]}; {again}") from error
    if len({array.shape for array in arrays.values()}) != 1 or any(array.ndim != 1 for array in arrays.values()):
        raise BadInput(f"expected arrays of one length in {path}, got others; {again}")
    told = description.measures.get("autoattack")
    if "stage" in arrays and (told is None or not isinstance(told.settings.get("stages"), list | tuple)):
        raise BadInput(f"expected the stages of autoattack in {path}, got none; {again}")
    for name in ("correct", PGD_CORRECT):
        if name in arrays and arrays[name].dtype != np.bool_:
            raise BadInput(f"expected flags in the array {name} of {path}, got {arrays[name].dtype}; {again}")
    return up_to_date(Baseline(description, arrays))


def up_to_date(baseline: Baseline) -> Baseline:
    """The baseline by the names of today, as the record that it came from would be read; see leaderboards.records.renames."""
    was = baseline.description
    measures = {
        name: _as_now(name, info.model_copy(update={"version": version_now(name, info.version)}))
        for name, info in was.measures.items()
    }
    description = was.model_copy(
        update={"measures": measures, "values": _renamed(was.values), "quantities": _renamed(was.quantities)}
    )
    return Baseline(description, renamed("energies", baseline.arrays))


def _as_now(measure: str, info: MeasureInfo) -> MeasureInfo:
    """Version 1 of autoattack was pyautoattack, which finds the same flags in version 2."""
    if measure != "autoattack" or info.version != 1:
        return info
    return info.model_copy(update={"version": 2, "settings": {**info.settings, "engine": "pyautoattack"}})


def _renamed(found: Mapping[str, Named]) -> dict[str, Named]:
    parts = {name: name.partition(".") for name in found}
    return {f"{measure}.{name_now(measure, key)}": found[name] for name, (measure, _, key) in parts.items()}


def refuse_other(
    baseline: Baseline, suite: SuiteInfo, measures: Sequence[Measure], *, drawn: Sequence[str] = ()
) -> None:
    """Raises BadInput, with the difference named, where a candidate would be measured otherwise than the baseline was.

    Settings that are `drawn` may differ: they draw the same attacks anew.
    """
    was = baseline.description
    now = {measure.name: MeasureInfo.of_measure(measure) for measure in measures}
    if apart := [d for d in differences(was.suite, was.measures, suite, now) if d.what.rpartition(" ")[2] not in drawn]:
        what, got = listed(apart)
        raise BadInput(
            f"expected what the baseline of {was.entrant} was measured with ({what}), got {got}; measure the baseline's"
            " entrant again (harness run), write its baseline again (harness baseline), or name the suite it belongs to"
        )
