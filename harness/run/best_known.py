"""What is best known of an entrant: AutoAttack's flags, and images found beside it that break what it left.

The share of examples that nothing has broken is an upper bound on the true robust accuracy, as AutoAttack's is, and errs high.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.errors import BadInput
from harness.measures import MEASURES
from harness.measures.intervals import proportion
from leaderboards.records.arrays import measured_arrays
from leaderboards.records.home import Home
from leaderboards.records.schema import BestKnown, Counterexamples, Flag, Record, RecordError
from leaderboards.records.witnesses import Packed, read_witnesses, write_witnesses

ATTACK = "autoattack"


@dataclass(frozen=True)
class Known:
    """What is known of n examples, (n,) bool each: `robust`, AutoAttack left it; `found`, what was found later broke it."""

    robust: np.ndarray
    found: np.ndarray

    @property
    def left(self) -> np.ndarray:
        """(n,) bool: nothing has broken it."""
        return self.robust & ~self.found

    def without(self, examples: np.ndarray) -> Known:
        """The same with more examples broken."""
        found = self.found.copy()
        found[examples] = True
        return replace(self, found=found)


def robust_flags(home: Home, record: Record) -> np.ndarray:
    """(n,) bool: the examples that AutoAttack left.

    Raises BadInput where the record does not have AutoAttack's flags of every example, RecordError where its arrays are lost.
    """
    name = record.entrant.name
    measured = record.measurements.get(ATTACK)
    if measured is None:
        raise BadInput(f"expected AutoAttack in the record of {name}, got none; do: harness run --measures autoattack")
    if measured.bounded:
        raise BadInput(
            f"expected a complete AutoAttack in the record of {name}, got a bounded one: flags are missing; complete it with"
            " harness run --measures autoattack"
        )
    flags = MEASURES[ATTACK].correct(measured_arrays(home.arrays, measured)) if measured.arrays else None
    if flags is None:
        raise BadInput(f"expected AutoAttack's flags by example of {name}, got none; measure it again with harness run")
    return flags


def known_of(home: Home, record: Record) -> Known:
    """What a record knows of its examples. Raises BadInput as above, and RecordError for lost arrays or bundles."""
    known = Known(robust := robust_flags(home, record), np.zeros(len(robust), bool))
    for one in record.best_known.found if record.best_known else ():
        examples = read_witnesses(home.witnesses, one.witnesses).examples
        if len(examples) and int(examples[-1]) >= len(robust):
            raise RecordError(
                f"expected witnesses of {len(robust)} examples in {one.witnesses.file}, got one of example"
                f" {int(examples[-1])}; fetch it again"
            )
        known = known.without(examples)
    return known


def with_found(
    record: Record, known: Known, more: Sequence[Counterexamples], flags: Sequence[Flag] | None = None
) -> Record:
    """The record with what was found added to what is best known. `known` is what is known with it; `flags` None: as before."""
    before = record.best_known
    held = (*(before.found if before else ()), *more)
    kept = tuple(flags) if flags is not None else before.flags if before else ()
    best = BestKnown(value=proportion(known.left), found=held, flags=kept) if held else None
    return record.model_copy(update={"best_known": best})


def carried(home: Home, old: Record, record: Record) -> Record:
    """A record that takes the place of an old one of the same weights and examples, with what was best known beside it.

    What the record knows itself stays. Of the old one, where AutoAttack found other flags or the record knows more, only the
    images of examples that nothing else has broken are kept. What cannot be read is dropped: it proves nothing. So is what
    broke the entrant in another precision, for that is another network.
    """
    if old.best_known is None:
        return record
    then, now = (one.measurements.get(ATTACK) for one in (old, record))
    if now is None or now.arrays is None or now.bounded:
        return record
    if then is not None and then.provenance.precision != now.provenance.precision:
        return record
    if record.best_known is None and then is not None and then.arrays == now.arrays:
        return record.model_copy(update={"best_known": old.best_known})
    known = known_of(home, record)
    kept = []
    for one in old.best_known.found:
        try:
            held = read_witnesses(home.witnesses, one.witnesses)
        except RecordError:
            continue
        if part := _still_new(held, known):
            kept.append(one.model_copy(update={"witnesses": write_witnesses(home.witnesses, part)}))
            known = known.without(part.examples)
    return with_found(record, known, kept)


def _still_new(held: Packed, known: Known) -> Packed | None:
    """Those witnesses whose examples nothing else has broken; None where there is none."""
    part = held.of(np.flatnonzero(known.left))
    return part if len(part) else None
