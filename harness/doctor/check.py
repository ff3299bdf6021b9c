"""What a check is: a name, what it looks for, and a function from the subject to what was found.

To add one, write the function, and name it in a tuple of its file and in CHECKS of harness/doctor/examination.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from harness.doctor.finding import Finding, Level
from harness.doctor.subject import Subject
from harness.errors import BadInput
from zoo.entrant import EntrantError
from zoo.faults import one_line

MEANT = "measures show it batches of other sizes, changed images and images with gradients, and would fail there"


@dataclass(frozen=True)
class Check:
    """`look` gives what is wrong (nothing: the check is fine) or one finding that says what is fine, with its numbers.

    `spoiled_by`: checks whose faults would show here too; after one of them this check is not made.
    """

    name: str
    looks_for: str
    look: Callable[[Subject], Sequence[Finding]]
    spoiled_by: frozenset[str] = frozenset()

    def __call__(self, subject: Subject, before: Sequence[Finding]) -> list[Finding]:
        """The findings of this check, after what was found before it: at least one."""
        spoiled = [f.check for f in before if f.level is Level.FAULT and f.check in self.spoiled_by]
        if spoiled:
            return [Finding(self.name, Level.SKIPPED, f"not looked at: mend {spoiled[0]} first")]
        try:
            found = list(self.look(subject))
        except (BadInput, EntrantError):
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001  the entrant's code raises what it likes, for some batches alone
            seen = f"the entrant fails while it is looked at: {type(error).__name__}: {one_line(error)}"
            return [fault(self.name, seen, MEANT, "let it take batches of any size, and images with gradients, too")]
        return found or [Finding(self.name, Level.FINE, f"no {self.looks_for}")]


def fault(check: str, seen: str, meaning: str, advice: str, **numbers: Any) -> Finding:
    return Finding(check, Level.FAULT, seen, meaning, advice, _plain(numbers))


def warning(check: str, seen: str, meaning: str, advice: str, **numbers: Any) -> Finding:
    return Finding(check, Level.WARNING, seen, meaning, advice, _plain(numbers))


def fine(check: str, seen: str, **numbers: Any) -> Finding:
    return Finding(check, Level.FINE, seen, numbers=_plain(numbers))


def _plain(numbers: dict[str, Any]) -> dict[str, float]:
    return {name: round(float(number), 6) for name, number in numbers.items()}
