"""Options that several verbs share, and what their strings mean."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields
from functools import update_wrapper
from pathlib import Path
from typing import TypeVar

import click
from rich.console import Console

from harness.errors import BadInput
from zoo.faults import escaped

stderr = Console(stderr=True, highlight=False, soft_wrap=True)
"""Where progress and warnings go; results go to stdout."""


def told(line: str) -> None:
    """A line for people, on stderr: what stands in a name is no markup, and moves no cursor."""
    stderr.print("\n".join(map(escaped, line.split("\n"))), markup=False)


Options = TypeVar("Options")


def typed(kind: type[Options]) -> Callable[[Callable[[Options], int]], Callable[..., int]]:
    """Make a verb of a function that takes a dataclass: click's parameters are its fields, by name.

    Raises TypeError where click gives a parameter that is no field, or leaves a field out.
    """
    names = {field.name for field in fields(kind)}  # type: ignore[arg-type]

    def wrap(verb: Callable[[Options], int]) -> Callable[..., int]:
        def command(**parameters: object) -> int:
            if missing := names ^ parameters.keys():
                raise TypeError(f"{kind.__name__} and the options of its verb differ in {', '.join(sorted(missing))}")
            return verb(kind(**parameters))  # what click's types made of each

        return update_wrapper(command, verb)

    return wrap


def at_least(least: int) -> Callable[[click.Context, click.Parameter, int | None], int | None]:
    """A callback that refuses a smaller whole number."""

    def check(ctx: click.Context, parameter: click.Parameter, value: int | None) -> int | None:
        if value is not None and value < least:
            name = (parameter.name or "").replace("_", "-")
            raise BadInput(f"expected --{name} of at least {least}, got {value}; give a larger one")
        return value

    return check


positive, not_negative = at_least(1), at_least(0)


PATH = click.Path(path_type=Path)


def in_project(ctx: click.Context, parameter: click.Parameter, value: Path) -> Path:
    """A callback: a folder that was not named is that of the working directory, else that of the project around it."""
    from click.core import ParameterSource

    from zoo.project import in_project

    named = ctx.get_parameter_source(parameter.name or "") is not ParameterSource.DEFAULT
    return value if named else in_project(value)


data_dir = click.option(
    "--data-dir", type=PATH, default=Path("data"), show_default=True, callback=in_project,
    help="Where the data sets are; also data/ of the project around the working directory.",
)  # fmt: skip
dataset = click.option(
    "--dataset",
    metavar="NAME",
    help="Other data of the suite's kind, recorded under a name of their own: <data-dir>/NAME, or MODULE:CALLABLE.",
)
download = click.option("--download", is_flag=True, help="Fetch data and weights that are not here.")
model_dir = click.option(
    "--model-dir", type=PATH, default=Path("models"), show_default=True, callback=in_project,
    help="RobustBench's weights: <model-dir>/<data set>/<norm>/<name>.pt",
)  # fmt: skip
device = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:0,cuda:1, or mps")
precision = click.option(
    "--precision", type=click.Choice(["fp32", "bf16"]), default="fp32", show_default=True,
    help="Of the network that is judged: bf16 rounds it, and what is measured is the rounded network.",
)  # fmt: skip
name = click.option(
    "--name", help="What record and board call the entrant, where --entrants gives its path or its code."
)
title = click.option("--title", help="Of its paper, where it has no card.")
paper = click.option("--paper", metavar="URL", help="Where its paper can be read, where it has no card.")
card = click.option(
    "--card", type=PATH, help="The entrant's card, a .json, where it does not lie beside the weights or the module."
)
engine = click.option(
    "--engine", type=click.Choice(["harness", "pyautoattack"]),
    help="Whose AutoAttack: the harness's own, or the much slower reference [default: harness].",
)  # fmt: skip
search = click.option(
    "--search", type=click.Choice(["fp32", "tf32", "bf16"]),
    help="How exactly AutoAttack looks for images [default: tf32 on a GPU that has it, else fp32]. It only steers the attack:"
    " what breaks is always decided by the network itself in strict float32.",
)  # fmt: skip
workers = click.option(
    "--workers", type=int, callback=not_negative,
    help="Processes: default one a GPU, or one a core with one thread each; 0: none beside this one.",
)  # fmt: skip
allow_pickle = click.option(
    "--allow-pickle", multiple=True, metavar="NAME",
    help="Unpickle this entrant's file, code included. Only if you trust it.",
)  # fmt: skip
out = click.option(
    "--out",
    type=PATH,
    help="The folder of records, arrays, shards and pages [default: runs/ of the checkout]. The published records"
    " (leaderboards/) stand beside them and stay as they are; harness publish, or --out leaderboards, changes them.",
)


_LIST = re.compile(r"@(mean|std)=[^@]*$")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?(@.*)?", re.IGNORECASE)
"""A number after the first of checkpoint:mine.pt@resnet-18@mean=0.49,0.48,0.45@std=0.25: no entrant of its own."""


def names(text: str | None, option: str) -> list[str]:
    """A comma-separated option as a list, empty parts left out; [] where it was not given.

    Raises BadInput where it was given and names nothing: an empty shell variable must not start a run of everything.
    """
    found: list[str] = []
    for part in (part.strip() for part in (text or "").split(",") if part.strip()):
        if found and _LIST.search(found[-1]) and _NUMBER.fullmatch(part):
            found[-1] += f",{part}"
        else:
            found.append(part)
    if text is not None and not found:
        raise BadInput(f"expected names after {option}, got {text!r}; name some, or leave the option out")
    return found
