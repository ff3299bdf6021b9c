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
value = "generation.fid"
worse = "higher"
margin = 2.0
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from harness.check.statistics import Worse
from harness.errors import BadInput, one_line
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


@dataclass(frozen=True)
class Gate:
    """One gate: an accuracy (`measure`, one of ACCURACIES) or a value of a record (`value`, <measure>.<value>).

    `margin` is what may be lost: accuracies as fractions (0.01 is one point), values in their own unit.
    """

    name: str
    margin: float
    measure: str = ""
    value: str = ""
    worse: Worse = "lower"

    @property
    def what(self) -> str:
        return self.value or f"{self.measure} accuracy"


@dataclass(frozen=True)
class Gates:
    """All gates of a check, and the probability with which any may fail by chance."""

    gates: tuple[Gate, ...]
    alpha: float = ALPHA

    def __post_init__(self) -> None:
        if not 0 < self.alpha <= 0.5:
            raise BadInput(f"expected alpha above 0 and at most 0.5, got {self.alpha}; 0.05 is usual")


def _number(fields: dict[str, Any], key: str, where: str) -> float:
    value = fields[key]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise BadInput(f"expected {key} of at least 0 in {where}, got {value!r}; correct it")
    return float(value)


def _gate(name: str, fields: Any, where: str) -> Gate:
    """One table of the file. The first wrong key raises BadInput."""
    if not isinstance(fields, dict):
        raise BadInput(f"expected alpha or tables in {where}, got {name} = {fields!r}; write [{name}] with its margin")
    keys = ("margin", "measure", "value", "worse")
    place = f"[{name}] of {where}"
    if unknown := [key for key in fields if key not in keys]:
        raise BadInput(
            f"expected the keys {', '.join(keys)} in {place}, got {unknown[0]!r};{did_you_mean(unknown[0], keys)} correct it"
        )
    if "margin" not in fields:
        raise BadInput(f"expected a margin in {place}, got none; say how much may be lost")
    value, measure = fields.get("value", ""), fields.get("measure", "")
    if not value and not measure and name in ACCURACIES:
        measure = name
    if not isinstance(value, str) or bool(value) == bool(measure) or (measure and measure not in ACCURACIES):
        raise BadInput(
            f"expected measure = one of {', '.join(ACCURACIES)}, or value = <measure>.<value>, in {place},"
            f" got measure {measure!r} and value {value!r}; give one of them"
        )
    margin = _number(fields, "margin", place)
    if measure:
        if "worse" in fields and fields["worse"] != "lower":
            raise BadInput(
                f"expected no worse but 'lower' for an accuracy in {place}, got {fields['worse']!r}; leave it out"
            )
        if margin >= 1:
            raise BadInput(f"expected a margin below 1 in {place}, got {margin:g}; one point of accuracy is 0.01")
        return Gate(name, margin, measure=measure)
    if "." not in value:
        raise BadInput(
            f"expected value = <measure>.<value> in {place}, got {value!r}; energies.marginal_energy.mean is one"
        )
    if fields.get("worse") not in get_args(Worse):
        raise BadInput(
            f"expected worse = one of {', '.join(get_args(Worse))} in {place}, got {fields.get('worse')!r};"
            " say which change is a worsening"
        )
    return Gate(name, margin, value=value, worse=fields["worse"])


def read_gates(path: Path) -> Gates:
    """The gates of a TOML file. Raises BadInput for a file that is not as above."""
    try:
        fields = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadInput(f"expected gates in TOML in {path}, got {one_line(error)}; correct the file") from error
    alpha = _number(fields, "alpha", str(path)) if "alpha" in fields else ALPHA
    gates = tuple(_gate(name, table, str(path)) for name, table in fields.items() if name != "alpha")
    if not gates:
        raise BadInput(f"expected at least one gate in {path}, got none; add [robust] with a margin")
    return Gates(gates, alpha)
