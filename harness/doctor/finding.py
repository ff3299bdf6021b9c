"""What the doctor finds: one finding a cause, with its numbers, what it means and what to do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum


class Level(StrEnum):
    """How a check ended."""

    FAULT = "fault"
    """What would be measured is not the robustness, or not the energy, of the classifier that is meant."""
    WARNING = "warning"
    """A sign of trouble that may have another reason."""
    FINE = "fine"
    SKIPPED = "skipped"
    """Not looked at: what was found before would show here too."""


@dataclass(frozen=True)
class Finding:
    """How one check ended. `seen` has the numbers in words, `numbers` as they are (fractions, not percent)."""

    check: str
    level: Level
    seen: str
    meaning: str = ""
    advice: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)

    @property
    def counts(self) -> bool:
        """Whether it is a fault or a warning."""
        return self.level in (Level.FAULT, Level.WARNING)


@dataclass(frozen=True)
class Diagnosis:
    """All findings of one entrant on the first `images` of a suite: every check has at least one. It took `seconds`.

    `loading` tells what was found in the entrant's file and what was done with it; empty where there is nothing to tell.
    """

    entrant: str
    suite: str
    images: int
    findings: tuple[Finding, ...]
    seconds: float = field(default=0.0, compare=False)
    loading: str = field(default="", compare=False)

    def of(self, *levels: Level) -> tuple[Finding, ...]:
        """The findings of these levels."""
        return tuple(finding for finding in self.findings if finding.level in levels)

    @property
    def faults(self) -> tuple[Finding, ...]:
        return self.of(Level.FAULT)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        return self.of(Level.WARNING)

    @property
    def status(self) -> int:
        """The exit status of `harness doctor`: 1 where there is a fault."""
        return 1 if self.faults else 0

    def __str__(self) -> str:
        """As the terminal shows it: faults and warnings in full, then what is fine, in a line each."""
        lines = [f"{self.entrant} on {self.suite}: {self._verdict} ({self.images} images, {self.seconds:.1f} s)"]
        if self.loading:
            lines.append(f"loaded: {self.loading}")
        for finding in self.of(Level.FAULT, Level.WARNING):
            lines.append(f"{finding.level}: {finding.check}: {finding.seen}")
            lines.append(f"    {finding.meaning} {finding.advice}".rstrip())
        for finding in self.of(Level.FINE, Level.SKIPPED):
            lines.append(f"{finding.level}: {finding.check}: {finding.seen}")
        return "\n".join(lines)

    @property
    def _verdict(self) -> str:
        counts = [(len(self.faults), "fault"), (len(self.warnings), "warning")]
        said = [f"{n} {word}{'s' if n > 1 else ''}" for n, word in counts if n]
        return ", ".join(said) or "nothing found"

    def to_json(self) -> str:
        """One JSON document; NaN does not occur in it."""
        return json.dumps({**asdict(self), "status": self.status}, indent=1, ensure_ascii=False, allow_nan=False)


def percent(fraction: float) -> str:
    """A fraction as a person reads it."""
    return f"{100 * fraction:.1f} %"
