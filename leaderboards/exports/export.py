"""Exporting the records of a place: each that can be is written, each that cannot is named with the reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from leaderboards.exports.every_eval_ever import every_eval_ever
from leaderboards.exports.in_toto import in_toto
from leaderboards.exports.names import EVERY_EVAL_EVER, IN_TOTO, PROJECT
from leaderboards.exports.sealed import Sealed, read_sealed
from leaderboards.records.files import line, read_record_as, records_at, write_atomically
from leaderboards.records.home import Home
from leaderboards.records.schema import RecordError

WRITERS: Mapping[str, Callable[[Sealed, str], dict[str, bytes]]] = {EVERY_EVAL_EVER: every_eval_ever, IN_TOTO: in_toto}
"""By the format's name: what makes files, by their path, of a record and of who provides it."""


@dataclass(frozen=True)
class Exported:
    """What was written, in order, and a line for each record that was refused."""

    written: tuple[Path, ...]
    refused: tuple[str, ...]


def export(place: Path, form: str, to: Path, entrants: Sequence[str] = (), organisation: str = PROJECT) -> Exported:
    """Write the records of a file or folder below `to`, in a format of names.FORMATS; only these entrants' where any are named.

    Raises RecordError where there is no record at all, or none of an entrant that is named; nothing is written then.
    """
    files = {path: (where := _where(place, path), _names(path, where)) for path in records_at(place)}
    if not files:
        raise RecordError(f"expected records in {place}, got none; name a record, or a folder with results/")
    known = {name for _, names in files.values() for name in names}
    if missing := [name for name in entrants if name not in known]:
        raise RecordError(
            f"expected entrants among {', '.join(sorted(map(line, known)))}, got {line(missing[0])}; name others"
        )
    written: list[Path] = []
    refused: list[str] = []
    for path, (where, names) in files.items():
        if entrants and not names & set(entrants):
            continue
        try:
            made = WRITERS[form](read_sealed(path, where, strict=not place.is_file()), organisation)
        except RecordError as error:
            refused.append(line(error, 400))
            continue
        written += [_write(to, name, content) for name, content in made.items()]
    return Exported(tuple(written), tuple(refused))


def _where(place: Path, path: Path) -> str:
    """A file's name in messages: from the folder of results that was named, or in it."""
    folder = place.parent if place.is_file() else place
    results = Home(folder).results
    return line(path.relative_to(results if path.is_relative_to(results) else folder).as_posix())


def _names(path: Path, where: str) -> set[str]:
    """The entrant of a file by its name, and by the file's where that cannot be read."""
    try:
        return {read_record_as(path, where).entrant.name}
    except RecordError:
        return {path.stem}


def _write(to: Path, name: str, content: bytes) -> Path:
    parts = PurePosixPath(name).parts
    if PurePosixPath(name).is_absolute() or ".." in parts or "\\" in name:
        raise ValueError(f"{name!r} leaves the folder")  # names are made safe where they are made
    path = to.joinpath(*parts)
    write_atomically(path, content)
    return path
