"""Suites by name, and a user's own from TOML files: what a wrong file says, on one line."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.errors import BadInput, one_line
from harness.suites.suite import SUITES, Suite
from zoo.entrant import did_you_mean

_TYPES: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "version": (int,),
    "title": (str,),
    "dataset": (str,),
    "classes": (int,),
    "shape": (list,),
    "norm": (str,),
    "eps": (str, int, float),
    "examples": (int,),
    "shard_size": (int,),
    "measures": (list,),
    "entrants": (list,),
    "zoo_dataset": (str,),
    "flip": (bool,),
    "description": (str,),
}


def _checked(fields: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A TOML table as Suite's fields; the first wrong one raises BadInput."""
    checked: dict[str, Any] = {}
    for key, value in fields.items():
        if key not in _TYPES:
            raise BadInput(
                f"expected the keys of a suite in {where}, got {key!r};{did_you_mean(key, [*_TYPES, 'base'])}"
                f" the keys are base, {', '.join(_TYPES)}"
            )
        wanted = _TYPES[key]
        if not any(isinstance(value, kind) for kind in wanted) or (isinstance(value, bool) and bool not in wanted):
            names = " or ".join(kind.__name__ for kind in wanted)
            raise BadInput(f"expected {key} of type {names} in {where}, got {value!r}; correct it")
        if key in ("version", "classes", "examples", "shard_size") and value < (2 if key == "classes" else 1):
            raise BadInput(
                f"expected {key} of at least {2 if key == 'classes' else 1} in {where}, got {value}; correct it"
            )
        if key == "shape" and (len(value) != 3 or not all(type(side) is int and side > 0 for side in value)):
            raise BadInput(f"expected shape = [channels, height, width] in {where}, got {value}; correct it")
        if key == "measures" and not value:
            raise BadInput(f"expected at least one measure in {where}, got none; name one or leave measures out")
        if key in ("measures", "entrants") and not all(isinstance(item, str) for item in value):
            raise BadInput(f"expected a list of names as {key} in {where}, got {value}; correct it")
        checked[key] = tuple(value) if isinstance(value, list) else str(value) if key == "eps" else value
    return checked


def read_suite(path: Path) -> Suite:
    """A user's own suite from a TOML file. `base = "cifar10"` starts from a built-in one and changes the fields given.

    A file that changes what is measured needs a name of its own.
    """
    try:
        fields = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadInput(f"expected a suite in TOML in {path}, got {one_line(error)}; correct the file") from error
    base = fields.pop("base", None)
    if base is not None and not (isinstance(base, str) and base in SUITES):
        raise BadInput(
            f"expected base to be a built-in suite in {path}, got {base!r};{did_you_mean(str(base), SUITES)}"
            f" choose one of {', '.join(SUITES)}"
        )
    checked = _checked(fields, str(path))
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
        required = [f.name for f in dataclasses.fields(Suite) if f.default is dataclasses.MISSING and f.name != "title"]
        absent = [key for key in required if key not in checked]
        if absent:
            raise BadInput(
                f"expected {', '.join(required)} in {path}, got no {', '.join(absent)}; add what is missing, or a base"
            )
        if checked["name"] in SUITES:
            raise BadInput(f"expected a name of its own in {path}, got {checked['name']!r}; give the suite a new name")
        suite = Suite(**{"title": checked["name"], **checked})
    _ = suite.threat  # a wrong norm or eps raises here, with the file named, and not in the middle of a run
    return suite


def find_suite(name: str) -> Suite:
    """A built-in suite by name, or a user's own by the path of its TOML file."""
    if name in SUITES:
        return SUITES[name]
    path = Path(name)
    if path.suffix == ".toml" or path.is_file():
        return read_suite(path)
    raise BadInput(
        f"expected a suite, got {name!r};{did_you_mean(name, SUITES)} choose one of {', '.join(SUITES)},"
        " or give the path of a .toml file"
    )
