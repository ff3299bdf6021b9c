"""What a check came to: each gate's result with its numbers, and the examples that were robust and no longer are."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any

from harness.check.statistics import Outcome

ABSENT: dict[str, Any] = {
    "worsening": None,
    "low": None,
    "high": None,
    "level": None,
    "p": None,
    "p_corrected": None,
    "baseline": None,
    "candidate": None,
    "examples": 0,
    "total": 0,
    "lost": None,
    "gained": None,
    "open": None,
    "stage": "",
    "needed": None,
}
"""The numbers that a gate has in JSON, in their order, as they stand where a result has none."""


def counted(lost: int, gained: int, open_: int, examples: int) -> str:
    """How many examples changed, in words. `open_` examples were wrong before and have not met every attack: no gain so far."""
    changes = f"{lost} lost" if open_ and not gained else f"{lost} lost, {gained} gained"
    was, yet = ("was", "is") if open_ == 1 else ("were", "are")
    waiting = f" ({open_} that {was} wrong before {yet} not attacked to the end)" if open_ else ""
    return f"{changes} of {examples} examples{waiting}"


@dataclass(frozen=True)
class Evidence:
    """What was tested: the interval [low, high] of the worsening with its coverage, and p of no worsening.

    `p` is over all looks, `p_corrected` (Holm) over all gates too.
    """

    low: float
    high: float
    level: float
    p: float
    p_corrected: float


@dataclass(frozen=True, kw_only=True)
class GateResult(ABC):
    """One gate. `unit` is that of its numbers, as in Quantity: a "fraction" is a number in [0,1] and shown in points."""

    name: str
    what: str
    outcome: Outcome
    margin: float
    unit: str = ""

    @property
    @abstractmethod
    def statement(self) -> str:
        """The outcome in words, on one line."""

    def text(self, number: float) -> str:
        """A number of this gate as people read it: a fraction in points, others as they are."""
        return f"{100 * number:.1f}" if self.unit == "fraction" else f"{number:.4g}"

    def plain(self) -> dict[str, Any]:
        """As JSON values. Every gate has the same keys."""
        held = asdict(self)
        evidence = held.pop("evidence", None) or {}
        unit = "points" if self.unit == "fraction" else self.unit
        head = {key: held.pop(key) for key in ("name", "what", "outcome", "margin", "unit")}
        return {**head, "unit": unit, **ABSENT, **held, **evidence, "statement": self.statement}


@dataclass(frozen=True, kw_only=True)
class StoppedResult(GateResult):
    """A gate that was not decided when another one had failed. `total` examples could have been looked at."""

    total: int = 0

    @property
    def statement(self) -> str:
        return f"{self.what}: not decided when another gate had failed"


@dataclass(frozen=True, kw_only=True)
class EqualResult(GateResult):
    """A gate that was not measured for: the candidate is the baseline's entrant, to the last weight."""

    total: int = 0

    @property
    def statement(self) -> str:
        return f"{self.what}: the weights are the baseline's own; nothing was measured (--full measures)"


@dataclass(frozen=True, kw_only=True)
class ComparedResult(GateResult):
    """A gate whose numbers were compared. `worsening` is positive where the candidate is worse.

    `evidence` is None where there is nothing to test with and the numbers themselves decide. The outcome rests on
    `examples` of `total`; `stage` is what decided.
    """

    worsening: float
    evidence: Evidence | None
    baseline: float
    candidate: float
    examples: int
    total: int
    stage: str

    @property
    def statement(self) -> str:
        return f"{self.what} {self._change()} ({'; '.join(self._grounds())}){self._end()}"

    @abstractmethod
    def _change(self) -> str:
        """What happened to it."""

    @property
    def _least(self) -> str:
        """Before "worsening", where the number is the least that it can come to."""
        return ""

    def _grounds(self) -> list[str]:
        found = []
        if self.evidence is not None:
            ends = f"[{self.text(self.evidence.low)}, {self.text(self.evidence.high)}]"
            found.append(f"{self.evidence.level:.0%} interval of the {self._least}worsening {ends}")
        found.append(f"margin {self.text(self.margin)}")
        if self.evidence is not None:
            found.append(f"p = {self.evidence.p_corrected:.2g}")
        return found

    def _end(self) -> str:
        return ": at these rates no number of examples decides" if self.outcome is Outcome.UNDECIDED else ""


@dataclass(frozen=True, kw_only=True)
class AccuracyResult(ComparedResult):
    """A gate on a share of examples: flags of the baseline and the candidate, compared pair by pair.

    A gate may fail before every attack has ended. `open` examples were then wrong before and not broken so far: they are no
    gain, but might become one. So `lost`, `gained` and `worsening` (with its evidence) are the least, and `candidate` the most,
    that there can be. `needed` is how many examples would decide an undecided gate, if the rates stay as they are; None where
    no number does.
    """

    unit: str = "fraction"
    lost: int
    gained: int
    open: int = 0
    needed: int | None = None

    def _change(self) -> str:
        moved = "fell" if self.worsening > 0 else "rose" if self.worsening < 0 else "changed"
        return f"{moved} by {'at least ' if self.open else ''}{self.text(abs(self.worsening))} points"

    @property
    def _least(self) -> str:
        return "least " if self.open else ""

    def _grounds(self) -> list[str]:
        return [counted(self.lost, self.gained, self.open, self.examples), *super()._grounds()]

    def _end(self) -> str:
        if self.outcome is not Outcome.UNDECIDED:
            part = f"after {self.examples} of {self.total} examples ({self.examples / self.total:.1%})"
            return f": decided by {self.stage}, {part}"
        return f": about {self.needed:,} examples would decide at these rates" if self.needed else super()._end()


@dataclass(frozen=True, kw_only=True)
class ValueResult(ComparedResult):
    """A gate on a value of a record, such as a mean energy or FID."""

    stage: str = "values"

    def _change(self) -> str:
        percent = " %" if self.unit == "fraction" else ""
        return f"went from {self.text(self.baseline)}{percent} to {self.text(self.candidate)}{percent}"


@dataclass(frozen=True)
class LostExample:
    """An example that the baseline got right and the candidate does not: its index, its label, and what breaks it."""

    index: int
    label: str
    gate: str
    stage: str


@dataclass(frozen=True)
class Verdict:
    """All gates of a check. `cost` says on how many examples each stage of the cascade was run."""

    outcome: Outcome
    entrant: str
    suite: str
    baseline: str
    weights_sha256: str
    alpha: float
    gates: tuple[GateResult, ...]
    lost: tuple[LostExample, ...]
    cost: dict[str, int]
    notes: tuple[str, ...] = ()

    @property
    def decisive(self) -> GateResult:
        """The gate that says most: the first that failed, else the first undecided, else the first."""
        for outcome in (Outcome.FAIL, Outcome.UNDECIDED):
            for gate in self.gates:
                if gate.outcome is outcome:
                    return gate
        return self.gates[0]

    @property
    def line(self) -> str:
        """One line for people."""
        more = len(self.gates) - 1
        others = f" (and {more} other gate{'s' if more > 1 else ''})" if more else ""
        return f"{self.outcome.upper()} {self.entrant} on {self.suite}: {self.decisive.statement}{others}"

    def json(self) -> str:
        """As JSON, indented."""
        return json.dumps(self.plain(), indent=1, ensure_ascii=False)

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        return {"line": self.line, **asdict(self), "gates": [gate.plain() for gate in self.gates]}
