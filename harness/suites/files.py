"""Suites by name, and a user's own from TOML files: what a wrong file says, on one line."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from harness.data.form import form_of
from harness.errors import BadInput
from harness.suites.suite import SUITES, Suite, data_name
from harness.toml import read_toml
from zoo.entrant import did_you_mean
from zoo.faults import first_fault
from zoo.project import in_project

Names = list[str]


class _Fields(BaseModel):
    """The keys of a suite's file and their types: true is no number, and 3 no text. None: not given."""

    model_config = ConfigDict(strict=True, extra="forbid")

    name: str | None = None
    version: Annotated[int | None, Field(ge=1, description="a whole number of at least 1")] = None
    title: str | None = None
    dataset: str | None = None
    classes: Annotated[int | None, Field(ge=2, description="a whole number of at least 2")] = None
    shape: Annotated[
        list[PositiveInt] | None, Field(min_length=3, max_length=3, description="[channels, height, width]")
    ] = None
    norm: str | None = None
    eps: Annotated[str | int | float | None, Field(description="a number or text such as '8/255'")] = None
    examples: Annotated[int | None, Field(ge=1, description="a whole number of at least 1")] = None
    shard_size: Annotated[int | None, Field(ge=1, description="a whole number of at least 1")] = None
    measures: Annotated[Names | None, Field(min_length=1, description="a list of at least one name")] = None
    entrants: Annotated[Names | None, Field(description="a list of names")] = None
    zoo_dataset: str | None = None
    flip: bool | None = None
    description: str | None = None


def _checked(fields: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A TOML table as Suite's fields; the first wrong one raises BadInput."""
    try:
        given = _Fields.model_validate(fields).model_dump(exclude_unset=True)
    except ValidationError as error:
        fault, keys = first_fault(error, _Fields, fields), ["base", *_Fields.model_fields]
        if fault.kind == "unknown":
            raise BadInput(
                f"expected the keys of a suite in {where}, got {fault.key!r};{did_you_mean(fault.key, keys)}"
                f" the keys are {', '.join(keys)}"
            ) from error
        raise BadInput(
            f"expected {fault.key} to be {fault.wanted} in {where}, got {fault.got!r}; correct it"
        ) from error
    if "eps" in given:
        given["eps"] = str(given["eps"])
    return {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}


def _measure(name: str, folder: Path) -> str:
    """A measure's name; a file of settings that it ends with (generation:mine.toml) lies beside the suite's own file."""
    measure, _, settings = name.partition(":")
    return f"{measure}:{folder / settings}" if settings.endswith(".toml") else name


def read_suite(path: Path) -> Suite:
    """A user's own suite from a TOML file. `base = "cifar10"` starts from a built-in one and changes the fields given.

    A file that changes what is measured needs a name of its own. Without `base`, a suite's own data need `dataset`, `classes`,
    `shape` and `eps`; `name` is then the file's, `version` 1 and `norm` Linf, unless it says otherwise.
    """
    fields = read_toml(path, "a suite")
    base = fields.pop("base", None)
    if base is not None and not (isinstance(base, str) and base in SUITES):
        raise BadInput(
            f"expected base to be a built-in suite in {path}, got {base!r};{did_you_mean(str(base), SUITES)}"
            f" choose one of {', '.join(SUITES)}"
        )
    checked = _checked(fields, str(path))
    if "dataset" in checked:
        checked["dataset"], checked["loader"] = data_name(checked["dataset"])
    if "measures" in checked:
        checked["measures"] = tuple(_measure(name, path.parent) for name in checked["measures"])
    if base is not None:
        if checked.get("name", base) in SUITES:
            raise BadInput(
                f"expected a name of its own in {path}, got {checked.get('name', base)!r}; give the suite a new name"
            )
        inherited = SUITES[base]
        if "dataset" in checked and "zoo_dataset" not in checked:
            checked["zoo_dataset"] = inherited.zoo_dataset or inherited.dataset
        suite = replace(inherited, **{"version": 1, "title": checked["name"], "base": base, **checked})
    else:
        checked = {"name": path.stem, "version": 1, "norm": "Linf", **checked}
        required = [f.name for f in dataclasses.fields(Suite) if f.default is dataclasses.MISSING and f.name != "title"]
        absent = [key for key in required if key not in checked]
        if absent:
            wanted = [key for key in required if key not in ("name", "version", "norm")]
            raise BadInput(
                f"expected {', '.join(wanted)} in {path}, got no {', '.join(absent)}; add what is missing"
                f"{_as_the_data_say(checked)}, or a base"
            )
        if checked["name"] in SUITES:
            raise BadInput(f"expected a name of its own in {path}, got {checked['name']!r}; give the suite a new name")
        suite = Suite(**{"title": checked["name"], **checked})
    try:
        _ = suite.threat  # a wrong norm or eps raises here, and not in the middle of a run
    except BadInput as error:
        raise BadInput(f"{error} in {path}") from error
    return suite


def _as_the_data_say(fields: Mapping[str, Any]) -> str:
    """What the data are, as a suite's file would say it; empty where that is not known."""
    dataset = fields.get("loader") or fields.get("dataset")
    form = form_of(dataset, in_project(Path("data"))) if dataset else None
    return f" ({fields['dataset']} has {form})" if form is not None else ""


def find_suite(name: str) -> Suite:
    """A built-in suite by name, or a user's own by the path of its TOML file."""
    if name in SUITES:
        return SUITES[name]
    path = Path(name)
    if path.suffix == ".toml" or path.is_file():
        return replace(read_suite(path), asked=("--suite", name))
    raise BadInput(
        f"expected a suite, got {name!r};{did_you_mean(name, SUITES)} choose one of {', '.join(SUITES)},"
        " or give the path of a .toml file"
    )
