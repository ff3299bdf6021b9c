"""The judge: measures robust classifiers, read as energy-based models, and keeps what it found.

    import harness

    found = harness.judge(model, suite="digits", measures=["autoattack"], limit=100)
    print(found.value("autoattack_accuracy"))

Importing this package imports nothing else: what a name needs is loaded when the name is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from harness.check.comparison import Comparison as Comparison
    from harness.check.comparison import compare as compare
    from harness.doctor.finding import Diagnosis as Diagnosis
    from harness.errors import BadInput as BadInput
    from harness.run.judge import Judgement as Judgement
    from harness.run.judge import Model
    from harness.run.judge import NotMeasured as NotMeasured
    from harness.run.judge import judge as judge
    from harness.run.judge import load as load
    from harness.suites.suite import Suite
    from harness.training.entrant import TrainedEntrant as TrainedEntrant
    from harness.training.entrant import train as train
    from harness.verify.verdict import Verdict

    def doctor(model: Model, suite: Suite | str = "digits", **options: Any) -> Diagnosis: ...

    def suites() -> dict[str, Suite]: ...

    def verify(*places: Path | str, entrants: tuple[str, ...] = (), **options: Any) -> list[Verdict]: ...


__version__ = "0.1.0"

_PLACES = {
    "BadInput": "harness.errors",
    "Comparison": "harness.check.comparison",
    "Diagnosis": "harness.doctor.finding",
    "Judgement": "harness.run.judge",
    "NotMeasured": "harness.run.judge",
    "TrainedEntrant": "harness.training.entrant",
    "compare": "harness.check.comparison",
    "judge": "harness.run.judge",
    "load": "harness.run.judge",
    "train": "harness.training.entrant",
}

__all__ = [
    "BadInput",
    "Comparison",
    "Diagnosis",
    "Judgement",
    "NotMeasured",
    "TrainedEntrant",
    "__version__",
    "compare",
    "doctor",
    "judge",
    "load",
    "suites",
    "train",
    "verify",
]


def __getattr__(name: str) -> object:
    if name in ("doctor", "suites", "verify"):
        return import_module(f"harness.{name}")  # a package that can be called
    if name not in _PLACES:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
