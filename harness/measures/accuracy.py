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
from harness.measures.signs import LOG_PROBABILITIES, likeness, of_predictions
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
        logits = natural_logits(model, examples)
        predicted = logits.argmax(1)
        # that they may be probabilities is AutoAttack's own doubt: said once
        notes = (Note(LOG_PROBABILITIES, _CONSTANT, 0),) if likeness(logits) == LOG_PROBABILITIES else ()
        return ShardResult(
            {
                "correct": (predicted == examples.y).cpu().numpy(),
                "prediction": predicted.cpu().numpy().astype(np.int32),
                "label": examples.y.cpu().numpy().astype(np.int32),
            },
            notes,
        )

    def summarise(self, arrays: Mapping[str, np.ndarray], notes: Sequence[Note]) -> Summary:
        classes = int(max(arrays["prediction"].max(), arrays["label"].max())) + 1
        flags = of_predictions(arrays["prediction"], arrays["label"], classes)
        return Summary({"standard_accuracy": proportion(arrays["correct"])}, (*flags_of(notes), *flags))


_CONSTANT = "the outputs are log-probabilities: E(x) is 0 for every image, and energies say nothing; see harness doctor"
