"""What happened during an attack beside its outcome; what belongs to an example is kept by example."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

import torch

from harness.attacks.engine.outcome import STAGES, Outcome


@dataclass(frozen=True)
class Rejected:
    """Images of a stage that fool the classifier but do not count, and examples that they were found for."""

    stage: str
    reason: str
    n: int


@dataclass
class Report:
    """What happened beside the outcome."""

    refused: dict[tuple[int, str], set[int]] = field(default_factory=dict)
    """Examples (indices) with images that fool the classifier but do not count, by stage (its number) and reason."""
    blind: Counter[int] = field(default_factory=Counter)
    """Rows of APGD-T whose first gradient vanished, by example."""
    notes: tuple[str, ...] = ()
    """What was not done to prepare the network."""
    classes: int = 0
    left_out: tuple[str, ...] = ()
    forward: int = 0
    gradient: int = 0
    """Rows passed forward alone, and forward and backward, by the search."""
    verdicts: int = 0
    """Rows passed through the classifier itself."""

    @property
    def rejected(self) -> list[Rejected]:
        """How many examples had images that do not count, by stage and reason."""
        return [Rejected(STAGES[stage], reason, len(held)) for (stage, reason), held in sorted(self.refused.items())]

    @property
    def zero_gradients(self) -> int:
        """Rows of APGD-T whose first gradient vanished."""
        return self.blind.total()

    def so_far(self, found: Outcome) -> Report:
        """The same less what was said of a stage that is not over for an example: it will be run on it again."""
        over = torch.where(found.robust, found.reached, found.stage + 1).tolist()
        refused = {(k, why): {n for n in held if over[n] > k} for (k, why), held in self.refused.items()}
        targeted = STAGES.index("apgd-t")
        blind = Counter({n: count for n, count in self.blind.items() if over[n] > targeted})
        return replace(self, refused={key: held for key, held in refused.items() if held}, blind=blind)
