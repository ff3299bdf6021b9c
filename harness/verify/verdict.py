"""What became of a record that was verified: proved, differs or cannot, with every fault on a line of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from leaderboards.records.files import line
from leaderboards.records.verifications import Audit


class Outcome(StrEnum):
    """Of one record."""

    PROVED = "proved"
    DIFFERS = "differs"
    CANNOT = "cannot"


@dataclass
class Findings:
    """What is found while a record is verified: `faults` contradict it, `missing` is what could not be looked at and how to
    get it, `notes` is what a reader should know besides."""

    faults: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def outcome(self) -> Outcome:
        """A fault outweighs what is missing."""
        return Outcome.DIFFERS if self.faults else Outcome.CANNOT if self.missing else Outcome.PROVED


@dataclass(frozen=True)
class Proof:
    """What a classifier showed here: of `examples`, `misclassified` as they are, so many broken by AutoAttack's `witnesses`,
    and `beside` these by witnesses of others."""

    examples: int
    misclassified: int
    witnesses: int
    beside: int

    @property
    def statement(self) -> str:
        """What is proved, in a line."""
        if not self.witnesses and not self.beside:
            share = (self.examples - self.misclassified) / self.examples
            return (
                f"at most {100 * share:.1f} % accurate: {self.misclassified} of {self.examples} examples misclassified"
            )
        share = (self.examples - self.misclassified - self.witnesses) / self.examples
        known = share - self.beside / self.examples
        best = (
            f"; best known {100 * known:.1f} %: {self.beside} more broken by images found since" if self.beside else ""
        )
        return (
            f"at most {100 * share:.1f} % robust: of {self.examples} examples {self.witnesses} broken by their witnesses,"
            f" {self.misclassified} misclassified without an attack{best}"
        )


@dataclass(frozen=True)
class Verdict:
    """Of one record. `file` is its path as it was given; `examples` were judged, of which `misclassified` are wrong as they
    are and `witnesses` were broken again. `seconds` is wall time."""

    file: str
    entrant: str
    suite: str
    limit: int | None
    outcome: Outcome
    statement: str
    faults: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    examples: int = 0
    misclassified: int = 0
    witnesses: int = 0
    record_sha256: str = ""
    audit: Audit | None = None
    seconds: float = 0.0

    @property
    def name(self) -> str:
        """Whose record it is, on what."""
        part = f" (first {self.limit})" if self.limit is not None else ""
        return line(f"{self.entrant} on {self.suite}{part}" if self.record_sha256 else self.file)

    @property
    def line(self) -> str:
        """The verdict in one line."""
        return f"{self.name}: {self.outcome}: {line(self.statement, 400)}"

    @property
    def details(self) -> tuple[str, ...]:
        """Lines below it: every fault and all that is missing but for the one that the line says, then notes."""
        said = (*self.faults, *self.missing)
        rest = said[1:] if len(said) > 1 else ()
        audited = (f"audit: {self.audit.words}",) if self.audit else ()
        return tuple(line(one, 400) for one in (*rest, *audited, *self.notes))

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        found = asdict(self)
        found["outcome"] = self.outcome.value
        found["audit"] = self.audit.model_dump(mode="json") if self.audit else None
        return found


def status(verdicts: Sequence[Verdict]) -> int:
    """The exit status of `harness verify`: 0 all are proved, 1 one differs, 3 none differs and one cannot be proved."""
    outcomes = {verdict.outcome for verdict in verdicts}
    return 1 if Outcome.DIFFERS in outcomes else 3 if Outcome.CANNOT in outcomes else 0


def as_json(verdicts: Sequence[Verdict]) -> str:
    """All verdicts as one JSON document."""
    counts = {outcome.value: sum(v.outcome is outcome for v in verdicts) for outcome in Outcome}
    return json.dumps({"verdicts": [v.plain() for v in verdicts], **counts}, indent=1, ensure_ascii=False)
