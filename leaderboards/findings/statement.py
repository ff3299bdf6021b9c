"""A statement of a paper, its parts with a test each, and the rule by which a verdict follows: written before the numbers.

One rule for all statements. Each part (an attack on a recipe, a figure, a recipe) has a two-sided test. The p-values of the
parts of one statement are adjusted by Holm's method (1979). A part holds where its adjusted p is below ALPHA and its effect
points as stated; it does not hold where the effect points the other way. A statement is general, so one counterexample refutes
it: it holds where every part holds, and does not hold where any part does not. All else is undecided.

The verdicts speak of the entrants of the board and of images like these. They are not a sample of all classifiers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

ALPHA = 0.05
"""Chance that any part of a statement whose null hypotheses are all true is decided."""

NAMED = 4
"""Parts that a line names; of more, their number."""


class Verdict(StrEnum):
    """What the numbers say of a statement."""

    HOLDS = "holds"
    DOES_NOT_HOLD = "does not hold"
    UNDECIDED = "undecided"
    NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Part:
    """One test of a statement.

    `low` and `high` are the interval of 95 % of its `effect`, of this part alone. `p` is two-sided; None where nothing was
    tested, then `note` says why, or says what `verdict` rests on. `size` is
    a second number for the reader. `seeds` networks of the recipe stand behind it. Where it does not `count`, it stands beside
    the statement.
    """

    name: str
    n: int
    of: str = ""
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    size: float | None = None
    p: float | None = None
    adjusted: float | None = None
    verdict: Verdict = Verdict.UNDECIDED
    seeds: int = 1
    counts: bool = True
    note: str = ""

    @property
    def title(self) -> str:
        return f"{self.of}, {self.name}" if self.of else self.name


@dataclass(frozen=True)
class Statement:
    """A statement and what was found: its `title` in a few words, the `claim` as the paper makes it. `effect` and `size` say
    what those numbers of its parts are, `counted` what their n counts; `unit` is that of the effects, `size_unit` that of the
    sizes: shares and differences of them are in [-1,1]. `needs` is the command that measures what is missing, for a shell, and
    `first` says in words what must be there before."""

    key: str
    topic: str
    title: str
    claim: str
    data: str
    fields: tuple[str, ...]
    test: str
    effect: str
    size: str = ""
    counted: str = "images"
    unit: Literal["", "share", "points"] = ""
    size_unit: Literal["", "share"] = ""
    parts: tuple[Part, ...] = ()
    verdict: Verdict = Verdict.NOT_MEASURED
    why: str = ""
    first: str = ""
    needs: str = ""


def holm(values: Sequence[float]) -> list[float]:
    """p-values adjusted by Holm's step-down method: each in [0,1], never below its own."""
    adjusted, highest = [0.0] * len(values), 0.0
    for rank, place in enumerate(sorted(range(len(values)), key=lambda i: values[i])):
        highest = max(highest, min(1.0, (len(values) - rank) * values[place]))
        adjusted[place] = highest
    return adjusted


def judged(parts: Iterable[Part], middle: float = 0.0, direction: int = 1) -> tuple[Part, ...]:
    """The parts with adjusted p-values and verdicts: those that count are one family, those beside them another.

    As stated is an effect above `middle` (`direction` 1), below it (-1), or any other than it (0). A part without a p-value
    keeps its verdict.
    """
    found = list(parts)
    for counts in (True, False):
        tested = [i for i, part in enumerate(found) if part.p is not None and part.counts is counts]
        for i, p in zip(tested, holm([found[i].p or 0.0 for i in tested]), strict=True):
            found[i] = replace(found[i], adjusted=p, verdict=_verdict(found[i].effect, p, middle, direction))
    return tuple(found)


def _verdict(effect: float | None, p: float, middle: float, direction: int) -> Verdict:
    if effect is None or p >= ALPHA or effect == middle:
        return Verdict.UNDECIDED
    return Verdict.HOLDS if direction * (effect - middle) >= 0 else Verdict.DOES_NOT_HOLD


def overall(parts: Sequence[Part]) -> Verdict:
    """The verdict of a statement from those of its parts that count."""
    verdicts = [part.verdict for part in parts if part.counts and part.verdict is not Verdict.NOT_MEASURED]
    if not verdicts:
        return Verdict.NOT_MEASURED
    if Verdict.DOES_NOT_HOLD in verdicts:
        return Verdict.DOES_NOT_HOLD
    return Verdict.HOLDS if all(verdict is Verdict.HOLDS for verdict in verdicts) else Verdict.UNDECIDED


def why(parts: Sequence[Part]) -> str:
    """One line: how many of the tests that count confirm it, and which ones say otherwise."""
    counted = [part for part in parts if part.counts]
    found = {
        said: [part for part in counted if part.verdict is verdict]
        for verdict, said in (
            (Verdict.HOLDS, "confirmed"),
            (Verdict.DOES_NOT_HOLD, "contradicted"),
            (Verdict.UNDECIDED, "undecided"),
        )
    }
    words: list[str] = []
    for said, some in found.items():
        if len(some) == len(counted):
            where = f"all {len(some)} tests" if len(some) > 1 else f"the only test ({some[0].title})"
            notes = {part.note for part in some}
            return f"{said} in {where}{f': {notes.pop()}' if said == 'undecided' and len(notes) == 1 else ''}".rstrip(
                ": "
            )
        if some:
            names = "; ".join(part.title for part in some[:NAMED])
            more = f"; and {len(some) - NAMED} more" if len(some) > NAMED else ""
            words.append(f"{said} in {len(some)}{'' if words else f' of {len(counted)} tests'} ({names}{more})")
    return ", ".join(words)


def concluded(statement: Statement, parts: Iterable[Part], middle: float = 0.0, direction: int = 1) -> Statement:
    """The statement with its parts judged. Without any part that counts it stays not measured."""
    found = judged(parts, middle, direction)
    verdict = overall(found)
    if verdict is Verdict.NOT_MEASURED:
        return replace(statement, parts=found, verdict=verdict, why="no entrant of this board has what it needs")
    return replace(statement, parts=found, verdict=verdict, why=why(found), first="", needs="")
