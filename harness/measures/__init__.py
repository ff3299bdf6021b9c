"""What is measured, by name. A measure is a procedure on an entrant and examples; one file each."""

from __future__ import annotations

from harness.measures.accuracy import StandardAccuracy
from harness.measures.energies import Energies
from harness.measures.generation import PRESETS, Generation
from harness.measures.measure import Cost, Measure, Note, ShardResult, Summary
from harness.measures.robustness import RobustAccuracy
from harness.measures.smoothness import Smoothness

MEASURES: dict[str, Measure] = {
    measure.name: measure for measure in (StandardAccuracy(), RobustAccuracy(), Energies(), Smoothness(), Generation())
}
"""Every measure with its default settings, in the order in which they are run and shown."""

__all__ = [
    "MEASURES",
    "PRESETS",
    "Cost",
    "Energies",
    "Generation",
    "Measure",
    "Note",
    "RobustAccuracy",
    "ShardResult",
    "Smoothness",
    "StandardAccuracy",
    "Summary",
]
