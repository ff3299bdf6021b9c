"""Whether a record can be taken at its word: what it contradicts in itself, and whether it was verified as it is now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from leaderboards.records.home import Home
from leaderboards.records.invariants import broken_invariants
from leaderboards.records.schema import Bundle, Record, RecordError
from leaderboards.records.verifications import UNVERIFIED, Verification, proved
from leaderboards.records.witnesses import Packed, read_witnesses


@dataclass(frozen=True)
class Standing:
    """`contradictions` are plain lines, for which a record has no rank; `verified` what `harness verify` proved of the file as
    it is now, None where nothing did; `damaged` what is wrong with its bundles of witnesses, by their name."""

    contradictions: tuple[str, ...] = ()
    verified: Verification | None = None
    damaged: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """For a reader: when it was verified, or that it was not."""
        return self.verified.words if self.verified else UNVERIFIED

    @property
    def notes(self) -> tuple[str, ...]:
        """What its row on a board says of this."""
        return tuple(f"not ranked, for it contradicts itself: {one}" for one in self.contradictions)


def twin_of(name: str, bundle: Bundle, record: Record) -> str:
    """For witnesses that were found beside AutoAttack: the name before `name`, of such or of AutoAttack, under which a record
    names the same bundle; empty without one, and for a bundle without witnesses.

    Those are of other examples than all before them, so the record contradicts itself; a hundred copies would fill the memory.
    """
    if not name.startswith("found ") or not bundle.n:
        return ""
    among = {key: held for key, held in record.bundles.items() if key == "autoattack" or key.startswith("found ")}
    first = next(before for before, held in among.items() if held.sha256 == bundle.sha256)
    return "" if first == name else first


def standing(home: Home, record: Record, content: bytes, arrays: Mapping[str, Mapping[str, np.ndarray]]) -> Standing:
    """How a record stands whose file has these bytes. `arrays` are its sound ones, by measure and by the names of today.

    A bundle that is not here is no fault: it may lie at its address.
    """
    bundles: dict[str, Packed] = {}
    damaged: list[str] = []
    for name, bundle in record.bundles.items():
        if twin := twin_of(name, bundle, record):  # held in memory once
            damaged.append(f"{name}: its bundle is that of {twin}")
            continue
        if not (home.witnesses / bundle.file).exists():
            continue
        try:
            bundles[name] = read_witnesses(home.witnesses, bundle)
        except RecordError as error:
            damaged.append(f"{name}: {error}")
    contradictions = broken_invariants(record, arrays, bundles)
    return Standing(tuple(contradictions), proved(home, record, content), tuple(damaged))
