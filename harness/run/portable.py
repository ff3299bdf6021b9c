"""Words of a record that any machine may read: no path of the machine that measured stands in a record or on a page."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CHECKPOINT = "checkpoint:"


def below_here(path: str) -> bool:
    """Whether a path lies below the working directory."""
    return Path(os.path.abspath(path)).is_relative_to(Path.cwd())


def portable_path(path: str) -> str:
    """A path from the working directory where it lies below it; else the file's name alone."""
    return Path(os.path.abspath(path)).relative_to(Path.cwd()).as_posix() if below_here(path) else Path(path).name


def portable_spec(spec: str) -> str:
    """What to type after --entrants, from the folder that was worked in. An architecture after @ is part of the last name."""
    path = spec.removeprefix(CHECKPOINT)
    return f"{CHECKPOINT}{portable_path(path)}" if path != spec and path else spec


def of_one_place(recorded: str, spec: str) -> bool:
    """Whether a record's spec is surely that of an entrant: of two files of one name elsewhere nobody knows."""
    if recorded == spec:
        return True
    return recorded == portable_spec(spec) and below_here(spec.removeprefix(CHECKPOINT))


def portable_words(words: tuple[str, ...]) -> tuple[str, ...]:
    """The words of a command that name a suite and its data: names stay as they are."""
    return tuple(map(portable_path, words))


def portable_values(value: Any) -> Any:
    """Settings of a card: texts that are absolute paths as above, in mappings and lists too."""
    if isinstance(value, Mapping):
        return {key: portable_values(held) for key, held in value.items()}
    if isinstance(value, list | tuple):
        return [portable_values(held) for held in value]
    return portable_path(value) if isinstance(value, str) and os.path.isabs(value) else value
