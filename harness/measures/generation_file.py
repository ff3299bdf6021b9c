"""Settings of generation from a user's TOML file: the start, the objective, the sampler, and every number of theirs.

    base = "short"                      # a preset; what the file does not give is as it says
    images = 200
    start = { name = "mix", weight = 0.5, pca = { variance = 0.9, tau = 0.7 } }
    objective = { name = "energy-difference", weight = 0.5 }
    sampler = { name = "heun", eta = 0.03, steps = 25 }

A table stands for itself: what it leaves out has the default of its class, not the base's number. The seed is the run's.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from harness.errors import BadInput, one_line
from harness.features.scores import Scores
from harness.measures.generation import PRESETS, Generation
from harness.sampling import objectives, samplers, starts
from zoo.entrant import did_you_mean

STARTS: dict[str, type] = {
    kind.name: kind
    for kind in (
        starts.PCAStart,
        starts.GaussianStart,
        starts.MixStart,
        starts.BlendStart,
        starts.UniformStart,
        starts.NoisedRealStart,
        starts.ClassMeanStart,
    )
}
OBJECTIVES: dict[str, type] = {
    kind.name: kind
    for kind in (
        objectives.JointEnergy,
        objectives.MarginalEnergy,
        objectives.CrossEntropy,
        objectives.EnergyDifference,
        objectives.EnergyDistance,
        objectives.Mahalanobis,
    )
}
SAMPLERS: dict[str, type] = {kind.name: kind for kind in (samplers.SGLD, samplers.Heun, samplers.NormalisedGradient)}

_KINDS = {"start": STARTS, "objective": OBJECTIVES, "sampler": SAMPLERS}
_NUMBERS = ("images", "tolerance", "reference_images", "batch_size")
_KEYS = ("base", *_NUMBERS, *_KINDS, "scores")
_WANTED = {"int_type": "a whole number", "float_type": "a number", "finite_number": "a finite number"}


@dataclass(frozen=True)
class _Place:
    """Where a value stands, as errors say it: the file, and the table within it."""

    path: Path
    table: str = ""

    def key(self, name: str) -> str:
        return f"{self.table}.{name}" if self.table else name

    def inner(self, name: str) -> _Place:
        return _Place(self.path, self.key(name))


@cache
def _adapter(kind: type, field: str) -> TypeAdapter[Any]:
    # strict: true is no number, and "5" none either
    return TypeAdapter(get_type_hints(kind)[field], config=ConfigDict(strict=True, allow_inf_nan=False))


def _number(kind: type, field: str, value: Any, place: _Place) -> Any:
    try:
        return _adapter(kind, field).validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        wanted = _WANTED.get(first["type"]) or first["msg"].removeprefix("Input should be ")
        raise BadInput(
            f"expected {place.key(field)} to be {wanted} in {place.path}, got {value!r}; correct it"
        ) from error


def _table(value: Any, place: _Place) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadInput(f"expected {place.table} to be a table in {place.path}, got {value!r}; write [{place.table}]")
    return value


def _built(kind: type, table: Mapping[str, Any], place: _Place) -> Any:
    """A frozen dataclass from a table of its fields. Raises BadInput for the first wrong one."""
    fields = {field.name: field for field in dataclasses.fields(kind) if field.name != "name"}
    given: dict[str, Any] = {}
    for key, value in table.items():
        if key not in fields:
            there = f"the fields are {', '.join(fields)}" if fields else "it has none but its name"
            raise BadInput(
                f"expected a field of {place.table} in {place.path}, got {key!r};{did_you_mean(key, fields)} {there}"
            )
        inner = get_type_hints(kind)[key]
        if dataclasses.is_dataclass(inner):
            assert isinstance(inner, type)
            named = {"name": inner.name, **_table(value, place.inner(key))}  # type: ignore[attr-defined]
            given[key] = _named({inner.name: inner}, named, place.inner(key))  # type: ignore[attr-defined]
        else:
            given[key] = _number(kind, key, value, place)
    absent = [name for name, field in fields.items() if field.default is dataclasses.MISSING and name not in given]
    if absent:
        raise BadInput(f"expected {', '.join(absent)} in {place.table} of {place.path}, got none; add what is missing")
    if kind is starts.PCAStart and "sigma" in given:
        given.setdefault("tau", None)  # one of the two is given, and TOML has no word for nothing
    try:
        return kind(**given)
    except BadInput as error:
        raise BadInput(f"{error} in {place.table} of {place.path}") from error


def _named(kinds: Mapping[str, type], table: Mapping[str, Any], place: _Place) -> Any:
    """What a table names, with the fields that it gives."""
    name = table.get("name")
    if not isinstance(name, str) or name not in kinds:
        raise BadInput(
            f"expected {place.key('name')} to be one of {', '.join(kinds)} in {place.path}, got {name!r};"
            f"{did_you_mean(str(name), kinds)} correct it"
        )
    return _built(kinds[name], {key: value for key, value in table.items() if key != "name"}, place)


def read_generation(path: Path, usual: Generation) -> Generation:
    """The measure as a TOML file says; `usual` is its base where it names none. Raises BadInput, one line.

    Its `preset` is the file's name, without folders: records and pages say where the settings came from by it.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadInput(
            f"expected settings of generation in TOML in {path}, got {one_line(error)}; correct the file"
        ) from error
    place = _Place(path)
    for key in content:
        if key not in _KEYS:
            raise BadInput(
                f"expected the keys of generation in {path}, got {key!r};{did_you_mean(key, _KEYS)}"
                f" the keys are {', '.join(_KEYS)}"
            )
    base = content.pop("base", None)
    if base is not None and not (isinstance(base, str) and base in PRESETS):
        raise BadInput(
            f"expected base to be a preset of generation in {path}, got {base!r};{did_you_mean(str(base), PRESETS)}"
            f" choose one of {', '.join(PRESETS)}"
        )
    given: dict[str, Any] = {}
    for key, value in content.items():
        if key in _NUMBERS:
            given[key] = _number(Generation, key, value, place)
        elif key in _KINDS:
            given[key] = _named(_KINDS[key], _table(value, place.inner(key)), place.inner(key))
        else:
            given[key] = _built(Scores, _table(value, place.inner(key)), place.inner(key))
    try:
        return replace(usual if base is None else PRESETS[base], preset=path.name, **given)
    except BadInput as error:
        raise BadInput(f"{error} in {path}") from error
