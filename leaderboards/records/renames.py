"""Names that values and arrays had in records made before, and what they are called now.

Version 3 of the measure `energies` finds what version 2 found under other names: those of PGD begin with `pgd.`, like those of
every other attack, and accuracy on natural images is `standard_accuracy`, as it is elsewhere. So a measurement of version 2 is
read as one of version 3. One of version 1, which found other numbers, keeps its version and gets the names.
Version 4 found other numbers again (attacks see the entrant at its calibrated scale): nothing before is read as one of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from leaderboards.records.schema import Measurement, Record

Thing = TypeVar("Thing")

ENERGIES = "energies"

LIKE: dict[str, dict[int, int]] = {ENERGIES: {2: 3}}
"""By measure: versions that found the same as a later one under other names."""

_PGD = {
    *("marginal_energy_adv", "joint_energy_adv", "kl_conditional", "kl_marginal"),
    *(
        form.format(energy)
        for energy in ("marginal_energy", "joint_energy")
        for form in ("delta_{}", "abs_delta_{}", "delta_{}_over_sd", "delta_{}_normalised")
    ),
}
_WHOLE = {
    "pgd_accuracy": "pgd.accuracy",
    "pgd_correct": "pgd.correct",
    "natural_accuracy": "standard_accuracy",
}


def version_now(measure: str, version: int) -> int:
    """The newest version of a measure that finds what this one found."""
    return LIKE.get(measure, {}).get(version, version)


def name_now(measure: str, name: str) -> str:
    """What a value, a distribution or an array of a measure is called now; names of today stay as they are."""
    if measure != ENERGIES:
        return name
    return f"pgd.{name}" if name.partition(".")[0] in _PGD else _WHOLE.get(name, name)


def renamed(measure: str, found: Mapping[str, Thing]) -> dict[str, Thing]:
    """What a measure found, by the names of today."""
    return {name_now(measure, name): thing for name, thing in found.items()}


def up_to_date(record: Record) -> Record:
    """The record by the names of today. Its files of arrays stay as they are: `arrays.measured_arrays` reads them."""
    if all(m.measure != ENERGIES or m.version >= 3 for m in record.measurements.values()):
        return record
    return record.model_copy(
        update={"measurements": {name: _measurement(found) for name, found in record.measurements.items()}}
    )


def _measurement(found: Measurement) -> Measurement:
    return found.model_copy(
        update={
            "version": version_now(found.measure, found.version),
            "values": renamed(found.measure, found.values),
            "quantities": renamed(found.measure, found.quantities),
            "distributions": renamed(found.measure, found.distributions),
        }
    )
