"""What a check came to: each gate's outcome with its numbers, and the examples that were robust and no longer are."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from harness.check.statistics import Outcome


@dataclass(frozen=True)
class GateResult:
    """One gate. `worsening` is positive where the candidate is worse; accuracies are fractions.

    `examples` are those that the outcome rests on, of `total`. With flags that were not settled when it failed, `lost` is the
    least and `gained` the most that there can be. `p` is over all looks, `p_corrected` (Holm) over all gates; None where
    there is no test. `needed` is how many examples would decide an undecided gate, if the rates stay as they are.
    """

    name: str
    what: str
    outcome: Outcome
    margin: float
    unit: str
    worsening: float | None = None
    low: float | None = None
    high: float | None = None
    level: float | None = None
    p: float | None = None
    p_corrected: float | None = None
    baseline: float | None = None
    candidate: float | None = None
    examples: int = 0
    total: int = 0
    lost: int | None = None
    gained: int | None = None
    stage: str = ""
    needed: int | None = None

    @property
    def statement(self) -> str:
        """The outcome in words, on one line."""
        if self.worsening is None:
            return f"{self.what}: not decided when another gate had failed"
        return f"{self.what} {self._change()}{self._evidence()}{self._where()}"

    def _change(self) -> str:
        assert self.worsening is not None
        if self.unit == "points":
            moved = "fell" if self.worsening > 0 else "rose" if self.worsening < 0 else "changed"
            return f"{moved} by {_points(abs(self.worsening))} points"
        return f"went from {self.baseline:.4g} to {self.candidate:.4g}"

    def _evidence(self) -> str:
        found = []
        if self.lost is not None:
            found.append(f"{self.lost} lost, {self.gained} gained of {self.examples} examples")
        if self.low is not None and self.high is not None and self.level is not None:
            ends = f"[{self.text(self.low)}, {self.text(self.high)}]"
            found.append(f"{self.level:.0%} interval of the worsening {ends}")
        found.append(f"margin {self.text(self.margin)}")
        if self.p_corrected is not None:
            found.append(f"p = {self.p_corrected:.2g}")
        return f" ({'; '.join(found)})"

    def _where(self) -> str:
        if self.outcome is Outcome.UNDECIDED:
            many = f"about {self.needed:,} examples would decide at these rates" if self.needed else ""
            return f": {many or 'at these rates no number of examples decides'}"
        if self.lost is None:
            return ""
        part = f"after {self.examples} of {self.total} examples ({self.examples / self.total:.1%})"
        return f": decided by {self.stage}, {part}"

    def text(self, number: float) -> str:
        """A number of this gate in its unit."""
        return _points(number) if self.unit == "points" else f"{number:.4g}"


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

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        found = asdict(self)
        for gate, written in zip(self.gates, found["gates"], strict=True):
            written["statement"] = gate.statement
        return {"line": self.line, **found}


def _points(fraction: float) -> str:
    return f"{100 * fraction:.1f}"
