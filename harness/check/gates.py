"""What is gated: one gate, or several from a TOML file, each with its margin.

alpha = 0.05              # of the whole file: Holm's correction is over its gates

[robust]                  # one table a gate; the name is free where `measure` or `value` says what is gated
margin = 0.01             # one point of accuracy

[standard]
margin = 0.005

[energy]
value = "energies.pgd.delta_marginal_energy.mean"
worse = "lower"           # or "higher", or "either": which change is a worsening
margin = 0.05

[fid]
value = "generation.fid"  # `worse` may be left out where the measure says which way its value is better
margin = 2.0
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from harness.check.statistics import Worse
from harness.errors import BadInput
from harness.toml import read_toml
from leaderboards.records.schema import Quantity
from zoo.entrant import did_you_mean

ACCURACIES = {
    "robust": "correct, and left so by PGD-20 (where the baseline holds its flags) and by AutoAttack",
    "autoattack": "left correct by AutoAttack",
    "pgd": "left correct by PGD-20",
    "standard": "correct on the natural image",
}
"""The shares of examples that can be gated. `robust` is never above `autoattack`; PGD-20 can decide it early, and only it."""

ALPHA = 0.05
MARGIN = 0.01

WORSE: dict[str, Worse] = {"higher": "lower", "lower": "higher"}
"""Which change is a worsening, by the direction that is better."""


@dataclass(frozen=True)
class Gate:
    """One gate: an accuracy (`measure`, one of ACCURACIES) or a value of a record (`value`, <measure>.<value>).

    `margin` is what may be lost: accuracies as fractions (0.01 is one point), values in their own unit. `worse` says which
    change of a value is a worsening; without it the value's own quantity does (see Gates.directed). Raises BadInput for a gate
    that is neither, or both; `place` is where it was written, for messages.
    """

    name: str
    margin: float
    measure: str = ""
    value: str = ""
    worse: Worse | None = None
    place: str = field(default="", compare=False, repr=False)

    def __post_init__(self) -> None:
        where = self._where
        if bool(self.value) == bool(self.measure) or (self.measure and self.measure not in ACCURACIES):
            hint = did_you_mean(self.measure, ACCURACIES) if self.measure and not self.value else ""
            raise BadInput(
                f"expected measure = one of {', '.join(ACCURACIES)}, or value = <measure>.<value>, in {where},"
                f" got measure {self.measure!r} and value {self.value!r};{hint} give one of them"
            )
        if not 0 <= self.margin < float("inf"):
            raise BadInput(f"expected margin of at least 0 in {where}, got {self.margin!r}; correct it")
        if self.measure and self.worse not in (None, "lower"):
            raise BadInput(
                f"expected no worse but 'lower' for an accuracy in {where}, got {self.worse!r}; leave it out"
            )
        if self.measure and self.margin >= 1:
            raise BadInput(f"expected a margin below 1 in {where}, got {self.margin:g}; one point of accuracy is 0.01")
        if self.value and "." not in self.value:
            raise BadInput(
                f"expected value = <measure>.<value> in {where}, got {self.value!r}; energies.marginal_energy.mean is one"
            )

    @property
    def _where(self) -> str:
        return self.place or f"the gate {self.name!r}"

    @property
    def what(self) -> str:
        return self.value or f"{self.measure} accuracy"

    @property
    def direction(self) -> Worse:
        """Which change is a worsening. Raises BadInput where nothing says so."""
        if self.measure:
            return "lower"
        if self.worse is None:
            raise BadInput(
                f"expected worse = one of {', '.join(get_args(Worse))} in {self._where}, got None;"
                " say which change is a worsening"
            )
        return self.worse

    def directed(self, quantity: Quantity | None) -> Gate:
        """The gate with its direction: its own, else its quantity's. Raises BadInput where neither says which.

        So it does for a margin of 1 or more on a fraction: no fraction falls by more.
        """
        if quantity and self.value and quantity.unit == "fraction" and self.margin >= 1:
            raise BadInput(
                f"expected a margin below 1 in {self._where}, for {self.value} is a fraction, got {self.margin:g};"
                " one point is 0.01"
            )
        better = quantity.better if quantity and self.value else "neither"
        gate = replace(self, worse=self.worse or WORSE.get(better))
        return replace(gate, worse=gate.direction)


@dataclass(frozen=True)
class Gates:
    """All gates of a check, and the probability with which any may fail by chance."""

    gates: tuple[Gate, ...]
    alpha: float = ALPHA

    def __post_init__(self) -> None:
        if not 0 < self.alpha <= 0.5:
            raise BadInput(f"expected alpha above 0 and at most 0.5, got {self.alpha}; 0.05 is usual")

    def directed(self, quantities: Mapping[str, Quantity]) -> Gates:
        """The gates, each with its direction. `quantities` say how to read values, by <measure>.<value>."""
        return replace(self, gates=tuple(gate.directed(quantities.get(gate.value)) for gate in self.gates))


class _GateTable(BaseModel):
    """One table of a file of gates."""

    model_config = ConfigDict(extra="forbid", strict=True)

    margin: float = Field(ge=0, allow_inf_nan=False)
    measure: str = ""
    value: str = ""
    worse: Worse | None = None


class _GateFile(BaseModel):
    """A file of gates: alpha, and a table a gate."""

    model_config = ConfigDict(extra="allow", strict=True)
    __pydantic_extra__: dict[str, _GateTable]

    alpha: float = Field(default=ALPHA, ge=0, allow_inf_nan=False)


def robust_gate(margin: float | None = None) -> Gates:
    """One gate on robust accuracy, which is meant where none is named; its margin is MARGIN where it is None."""
    return Gates((Gate("robust", MARGIN if margin is None else margin, measure="robust"),))


def read_gates(path: Path) -> Gates:
    """The gates of a TOML file. Raises BadInput for a file that is not as above."""
    plain = read_toml(path, "gates")
    try:
        file = _GateFile.model_validate(plain)
    except ValidationError as error:
        # a key that is mistyped is also one that is missing: the mistyped one says more
        first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
        raise BadInput(_sentence(first, path)) from error
    tables = file.__pydantic_extra__
    if not tables:
        raise BadInput(f"expected at least one gate in {path}, got none; add [robust] with a margin")
    return Gates(tuple(_gate(name, table, path) for name, table in tables.items()), file.alpha)


def _gate(name: str, table: _GateTable, path: Path) -> Gate:
    named = name if name in ACCURACIES and not table.value and not table.measure else table.measure
    worse = table.worse or ("lower" if named else None)
    return Gate(name, table.margin, measure=named, value=table.value, worse=worse, place=f"[{name}] of {path}")


def _sentence(error: ErrorDetails, path: Path) -> str:
    """What pydantic found first, as one line: expected, got, what to do."""
    *table, key = (str(part) for part in error["loc"])
    where = f"[{table[0]}] of {path}" if table else str(path)
    got, keys = error["input"], tuple(_GateTable.model_fields)
    match error["type"], key:
        case "extra_forbidden", _:
            return f"expected the keys {', '.join(keys)} in {where}, got {key!r};{did_you_mean(key, keys)} correct it"
        case "missing", _:
            return f"expected a {key} in {where}, got none; say how much may be lost"
        case "model_type", _:
            return f"expected alpha or tables in {where}, got {key} = {got!r}; write [{key}] with its margin"
        case _, "worse":
            choice = ", ".join(get_args(Worse))
            hint = did_you_mean(str(got), get_args(Worse))
            return f"expected worse = one of {choice} in {where}, got {got!r};{hint} say which change is a worsening"
        case _, "measure" | "value":
            return f"expected text for {key} in {where}, got {got!r}; correct it"
    return f"expected {key} of at least 0 in {where}, got {got!r}; correct it"


def chosen_gates(file: Path | None, margin: float | None, alpha: float | None) -> Gates:
    """The gates of a file, else one gate on robust accuracy with a margin; `alpha` goes before the file's."""
    if file is not None and margin is not None:
        raise BadInput("expected --gates or --margin, got both; write the margin into the file")
    if margin is not None and not 0 <= margin < 1:
        raise BadInput(f"expected --margin from 0 to 1, got {margin:g}; one point of accuracy is 0.01")
    gates = read_gates(file) if file else robust_gate(margin)
    return gates if alpha is None else replace(gates, alpha=alpha)
