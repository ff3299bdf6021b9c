"""A user's own objective, named in a recipe as `my_module:Mine`, from a module of the working directory.

    class Mine:
        attack = "ce"                  # the inner attack's loss: "ce", "kl", or None for no attack
        def __init__(self, smoothing=0.0): ...                # from the recipe's [objective_settings]
        def loss(self, logits, logits_adv, y, setting): ...   # each sample's term: (N, K), (N, K), (N,) to (N,)

`natural` (True), `beta` (0.0), `title` and `link` are taken from it too, where it has them: see Objective. The name may be
a class's or a function's, which the settings are given to, or an instance's, which has none. The module runs with the user's
rights, as any import does. Of code that it calls in other files a change is not seen.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harness.errors import BadInput
from harness.training.objectives import OBJECTIVES, Objective, Setting
from zoo.entrant import WeightsFile, did_you_mean, sha256_of_file
from zoo.own_code import OwnCode, raised, working_directory_importable


def find_objective(name: str, settings: Mapping[str, Any]) -> Objective:
    """An objective of OBJECTIVES, or the user's own by `module:attribute`, imported and built with its settings.

    Raises BadInput or EntrantError, one line, for an unknown one and for one that cannot be an objective.
    """
    if name in OBJECTIVES:
        if settings:
            raise BadInput(
                f"expected objective_settings with an objective of your own, got {', '.join(settings)} with {name};"
                " leave them out"
            )
        return OBJECTIVES[name]
    if ":" not in name:
        raise BadInput(
            f"expected an objective, got {name!r};{did_you_mean(name, OBJECTIVES)} choose one of {', '.join(OBJECTIVES)},"
            " or your own as my_module:Mine"
        )
    try:
        text = json.dumps(settings, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:  # a date, a nan: no card could hold them
        raise BadInput(
            f"expected objective_settings of text, numbers, lists and tables, got {dict(settings)!r}; correct them"
        ) from error
    return _own(name, text)


@cache
def _own(name: str, settings: str) -> Objective:
    """Built once a process, however often a recipe is made."""
    code = OwnCode.parse(name, "an objective")
    given = json.loads(settings)
    found = made = code.take()
    if callable(found) and (isinstance(found, type) or not hasattr(found, "loss")):
        try:
            with working_directory_importable():
                made = found(**given)
        except (Exception, SystemExit) as error:
            told = ", ".join(f"{key}={value!r}" for key, value in given.items()) or "no settings"
            raise BadInput(f"expected {name} to take objective_settings ({told}), got {raised(error)}") from error
    elif given:
        raise BadInput(
            f"expected a class with objective_settings, got {name}, an instance of {type(found).__name__};"
            " leave them out, or name the class"
        )
    attack = _attribute(name, made, "attack", lambda value: value in (None, "ce", "kl"), "'ce', 'kl' or None")
    natural = _attribute(name, made, "natural", lambda value: isinstance(value, bool), "True or False", True)
    if attack is None and not natural:
        raise BadInput(f"expected {name} to have natural True where attack is None, got False; it would see no images")
    return Objective(
        name=name,
        attack=attack,
        natural=natural,
        loss=_attribute(name, made, "loss", callable, "a function of (logits, logits_adv, y, setting)"),
        beta=float(_attribute(name, made, "beta", _is_strength, "a number of at least 0", 0.0)),
        title=_attribute(name, made, "title", lambda value: isinstance(value, str), "text", ""),
        link=_attribute(name, made, "link", lambda value: isinstance(value, str), "text", ""),
        sources=_sources(code.module, found, made),
    )


def require_terms(objective: Objective, classes: int) -> None:
    """Try an objective's loss on four samples. Raises BadInput unless it gives a term for each, with a gradient."""
    generator = torch.Generator().manual_seed(0)
    logits, logits_adv = (torch.randn(4, classes, generator=generator, requires_grad=True) for _ in range(2))
    y = torch.arange(4) % classes
    try:
        with torch.random.fork_rng(devices=()), working_directory_importable():
            terms = objective.loss(logits, logits_adv, y, Setting(objective.beta))
    except Exception as error:  # it is the user's code
        raise BadInput(
            f"expected {objective.name} to have a loss of (logits, logits_adv, y, setting), got {raised(error)}"
        ) from error
    got = f"shape {tuple(terms.shape)}" if isinstance(terms, Tensor) else f"a {type(terms).__name__}"
    if got != "shape (4,)":
        raise BadInput(
            f"expected a term for each of 4 samples from {objective.name}, a tensor of shape (4,), got {got};"
            " return the terms, not their mean"
        )
    if not terms.requires_grad:
        raise BadInput(
            f"expected terms that depend on the logits from {objective.name}, got some without a gradient;"
            " leave out detach and no_grad"
        )


_NONE = object()


def _attribute(
    name: str, made: object, attribute: str, fits: Callable[[Any], bool], wanted: str, default: Any = _NONE
) -> Any:
    value = getattr(made, attribute, default)
    if value is _NONE or not fits(value):
        got = "none" if value is _NONE else repr(value)
        raise BadInput(f"expected {name} to have {attribute}, {wanted}, got {got}; correct it in the module")
    return value


def _is_strength(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


def _sources(module: str, found: object, made: object) -> tuple[WeightsFile, ...]:
    """Source files of what was named and of its classes; libraries' classes are known by their versions."""
    classes = {cls.__module__ for cls in type(made).__mro__}
    libraries = {"torch", "harness", "zoo", *sys.stdlib_module_names} - {"__main__"}
    files = []
    for name in sorted({module, getattr(found, "__module__", None) or module, *classes}):
        file = getattr(sys.modules.get(name), "__file__", None)
        if name.partition(".")[0] not in libraries and file and Path(file).is_file():
            files.append(WeightsFile(name.replace(".", "/") + Path(file).suffix, sha256_of_file(Path(file))))
    return tuple(files)
