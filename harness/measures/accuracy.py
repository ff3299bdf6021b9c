"""Standard accuracy: the share of natural examples that are classified correctly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from torch import nn

from harness.classifier.logits import natural_logits
from harness.data.images import Examples
from harness.measures.intervals import proportion
from harness.measures.measure import Cost, Measure, Note, ShardResult, Summary, flags_of
from harness.threat import ThreatModel
from leaderboards.board.labels import label
from leaderboards.records.schema import Quantity


@dataclass(frozen=True)
class StandardAccuracy(Measure):
    """Share of natural examples whose largest logit is the label's, with Wilson's interval."""

    name: ClassVar[str] = "standard"
    version: ClassVar[int] = 1
    seed: int = 0

    def settings(self) -> dict[str, Any]:
        return {}

    def correct(self, arrays: Mapping[str, np.ndarray]) -> np.ndarray | None:
        return arrays["correct"]

    def quantities(self) -> Mapping[str, Quantity]:
        said = "Share of unchanged examples that are classified correctly, measured here, with its interval."
        accuracy = Quantity(
            title=label("standard_accuracy"),
            short="Standard",
            unit="fraction",
            better="higher",
            kind="headline",
            description=said,
        )
        return {"standard_accuracy": accuracy}

    def cost(self, classes: int) -> Cost:
        return Cost(forward=1)

    def __call__(self, model: nn.Module, examples: Examples, threat: ThreatModel) -> ShardResult:
        predicted = natural_logits(model, examples).argmax(1)
        return ShardResult(
            {
                "correct": (predicted == examples.y).cpu().numpy(),
                "prediction": predicted.cpu().numpy().astype(np.int32),
                "label": examples.y.cpu().numpy().astype(np.int32),
            }
        )

    def summarise(self, arrays: Mapping[str, np.ndarray], notes: Sequence[Note]) -> Summary:
        return Summary({"standard_accuracy": proportion(arrays["correct"])}, flags_of(notes))
