"""What an own entrant needs in the project beside its published record, so that others can prove it: its card, and its weights
or the address that they can be fetched from.

Small weights are copied with the card, to zoo/<suite>/ of the checkout that is published to. Larger ones stay where they are:
the card says where they can be fetched, and their sha256.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import one_line
from leaderboards.records.files import write_atomically
from leaderboards.records.schema import Record
from zoo.bounds import amount
from zoo.cards import SUFFIXES, CardFile, read_card
from zoo.entrant import EntrantError, sha256_of_file

MOST_WEIGHTS = 10 * 2**20
"""Bytes of a file of weights that goes into the repository."""


@dataclass(frozen=True)
class Submitted:
    """What was copied for an entrant, and what is still to be done before others can prove its record, a line each."""

    files: tuple[Path, ...] = ()
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Submission:
    """Copies cards and small weights from the user's `folders` to `zoo`, the folder of entrants in the project's checkout."""

    zoo: Path
    folders: Sequence[Path]

    def __call__(self, record: Record) -> Submitted:
        """The entrant of a record. One that is there already, or that everybody can load, needs nothing."""
        name, spec, source = record.entrant.name, record.entrant.spec, record.entrant.source
        if source == "robustbench" or spec.startswith("python:zoo."):
            return Submitted()
        if source != "zoo":
            return Submitted(lines=(self._by_path(record),))
        for path in self._cards(name):
            try:
                card = read_card(path, "zoo")
            except EntrantError as error:
                return Submitted(lines=(f"{name}: {one_line(error)}",))
            weights = self._weights(path)
            mine = sha256_of_file(weights) if weights else card.weights.sha256 if card.weights else ""
            if mine in {file.sha256 for file in record.entrant.files}:
                return self._copied(path, card, weights, mine)
        return Submitted()

    def _cards(self, name: str) -> Iterator[Path]:
        for folder in self.folders:
            if folder.resolve() != self.zoo.resolve():
                yield from sorted(folder.glob(f"*/{name}.json"))

    def _weights(self, card: Path) -> Path | None:
        beside = (card.with_name(f"{card.stem}{ending}") for ending in SUFFIXES)
        return next((path for path in beside if path.is_file()), None)

    def _copied(self, path: Path, card: CardFile, weights: Path | None, sha256: str) -> Submitted:
        files, lines = [path, path.with_suffix(".dynamics.jsonl")], []
        if card.weights is not None:
            if card.weights.sha256 != sha256:
                lines.append(f"{path} names other weights than were judged; correct its sha256 to {sha256}")
            elif weights is not None and weights.suffix != card.weights.suffix:
                lines.append(
                    f"{path} has the address of a {card.weights.suffix} file, and a {weights.suffix} file was judged;"
                    " give both one ending, and run again"
                )
        elif weights is not None and weights.stat().st_size <= MOST_WEIGHTS:
            files.append(weights)
        elif weights is not None:
            address = json.dumps({"url": "https://...", "sha256": sha256})
            lines.append(
                f"{weights} has {amount(weights.stat().st_size)}, more than {amount(MOST_WEIGHTS)}: upload it, and add its"
                f' address to {path}: "weights": {address}; then publish again'
            )
        else:
            lines.append(f"{path} is a folder's card: upload its weights as one file, and add the address to the card")
        if lines:  # nobody could load what is copied now
            return Submitted(lines=tuple(lines))
        targets = [self.zoo / card.suite / file.name for file in files if file.is_file()]
        for file, target in zip([file for file in files if file.is_file()], targets, strict=True):
            if not target.is_file() or target.read_bytes() != file.read_bytes():
                write_atomically(target, file.read_bytes())
        return Submitted(tuple(targets))

    def _by_path(self, record: Record) -> str:
        name, spec = record.entrant.name, record.entrant.spec
        if record.entrant.source == "checkpoint":
            return (
                f"{name} was judged by its path ({spec}), where nobody else finds it: put weights and card in"
                f" entrants/{record.suite.name}/ as {name}, run again with --entrants {name} (nothing is measured twice), and"
                " publish again"
            )
        return f"{name} is code of your own ({spec}): others can prove its record only where they have that code"
