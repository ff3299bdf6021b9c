"""The transfer matrix of a board: how many examples that AutoAttack left of one entrant break by images made for another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from leaderboards.board.entry import Entry
from leaderboards.records.schema import RecordError
from leaderboards.records.transfers import Pair, read_transfers

HIDING = "hidden-gradients"


@dataclass(frozen=True)
class Row:
    """An entrant, and a cell for each source: None where nothing was tried. `flagged`: its gradients may be hidden."""

    entry: Entry
    cells: tuple[Pair | None, ...]
    flagged: bool


@dataclass(frozen=True)
class Matrix:
    """Rows are entrants whose examples were tried, columns (`sources`, names) those whose images were shown to them."""

    sources: tuple[str, ...]
    rows: tuple[Row, ...]


def matrix(entries: Sequence[Entry], suite: str) -> Matrix:
    """The matrix of a board's entries, in their order; sources that are none of them come last, by name.

    Each entry's pairs are read beside its record. One that is of other flags, or of witnesses that its source no longer has,
    is left out; so is a file of pairs that cannot be read.
    """
    measured = {entry.name: entry.record for entry in entries if entry.record}
    found: dict[str, dict[str, Pair]] = {}
    for entry in entries:
        if entry.record is None or entry.home is None:
            continue
        try:
            pairs = read_transfers(entry.home.transfers, suite).of(entry.record)
        except RecordError:
            continue
        found[entry.name] = {
            pair.source: pair
            for pair in pairs
            if pair.source not in measured or pair.is_of(entry.record, measured[pair.source])
        }
    named = {source for pairs in found.values() for source in pairs}
    sources = (*(e.name for e in entries if e.name in named), *sorted(named - {e.name for e in entries}))
    rows = [
        Row(entry, tuple(found[entry.name].get(source) for source in sources), _flagged(entry))
        for entry in entries
        if found.get(entry.name)
    ]
    return Matrix(sources, tuple(rows))


def _flagged(entry: Entry) -> bool:
    best = entry.record.best_known if entry.record else None
    return best is not None and any(flag.code == HIDING for flag in best.flags)
