"""Robust accuracy under AutoAttack.

It errs high: what AutoAttack does not break may still be breakable, so the number is an upper bound on the true robust
accuracy (Croce & Hein 2020). Flags carry AutoAttack's own doubts about an evaluation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from harness.attacks.autoattack import STAGES, TARGETS, Cascade, Outcome, Warned, stages_for
from harness.classifier.logits import natural_logits
from harness.data.images import Examples
from harness.measures.intervals import proportion
from harness.measures.measure import Cost, Measure, Note, ShardResult, Summary, flags_of
from harness.threat import ThreatModel
from leaderboards.board.labels import ATTACKS, label
from leaderboards.records.schema import Quantity

SQUARE_GAIN = 0.002
"""AutoAttack doubts an evaluation in which Square, the black-box stage, still breaks more than this share."""

LEFT_OUT = "stages-left-out"
"""The code of the note that a stage of AutoAttack could not be run."""

_WARNINGS = (
    (
        r"randomized defense",
        "randomised",
        "AutoAttack: the logits of one image differ between calls; use its version 'rand'",
    ),
    (r"probability distribution", "probabilities", "AutoAttack: the outputs look like probabilities, not logits"),
    (r"dynamic defense", "dynamic", "AutoAttack: the classifier computes gradients or adapts while it predicts"),
)


def _note(warning: Warned) -> Note:
    """A warning in pyautoattack's words as a note in a record's: one code for one cause, whatever the numbers in it."""
    for pattern, code, message in _WARNINGS:
        if re.search(pattern, warning.message):
            return Note(code, message)
    zero = re.search(r"there are (\d+) points with zero gradient", warning.message)
    if zero:
        message = (
            f"AutoAttack: {{n}} zero gradients at the start of {warning.stage}; attacks by gradient may fail there"
        )
        return Note("zero-gradients", message, int(zero.group(1)))
    return Note("autoattack-warning", f"AutoAttack, {warning.stage}: {' '.join(warning.message.split())}")


@dataclass(frozen=True)
class RobustAccuracy(Measure):
    """Share of examples that AutoAttack's version "standard" leaves correct, and what each of its stages leaves.

    Every image is verified against the threat model in float32 before its example counts as broken. The arrays hold
    `stage` (int8: -1 misclassified to begin with, k broken by stage k, the number of stages where nothing broke it), and the
    shards also x_adv, the image that broke it.
    """

    name: ClassVar[str] = "autoattack"
    version: ClassVar[int] = 1
    heavy_arrays: ClassVar[frozenset[str]] = frozenset({"x_adv"})
    seed: int = 0
    batch_size: int = 250

    def settings(self) -> dict[str, Any]:
        return {"version": "standard", "stages": list(STAGES), "targets": TARGETS, "batch_size": self.batch_size}

    def correct(self, arrays: Mapping[str, np.ndarray]) -> np.ndarray | None:
        return arrays["stage"] == len(STAGES)

    def quantities(self) -> Mapping[str, Quantity]:
        said = (
            "Share of examples that stay correct under AutoAttack, measured here, with its interval: an upper bound on the"
            " true robust accuracy."
        )
        accuracy = Quantity(
            title=label("autoattack_accuracy"),
            short="AutoAttack",
            unit="fraction",
            better="higher",
            kind="headline",
            description=said,
        )
        stages = {
            (name := f"accuracy_after.{stage}"): Quantity(
                title=label(name),
                unit="fraction",
                better="higher",
                description=f"Robust accuracy when AutoAttack has run up to and with {ATTACKS[stage]}.",
            )
            for stage in STAGES
        }
        return {"autoattack_accuracy": accuracy, **stages}

    def cost(self, classes: int) -> Cost:
        targets = min(TARGETS, classes - 1)
        # pyautoattack 0.2.0: APGD takes 100 steps and a first gradient, FAB 100 steps of two passes, Square 5,000 queries
        passes = {
            "apgd-ce": Cost(103, 101),
            "apgd-t": Cost(2 + targets * 102, targets * 101),
            "fab-t": Cost(2 + targets * 203, targets * 100),
            "square": Cost(5004, 0),
        }
        # beside the stages: natural logits twice, and seven passes of pyautoattack's checks
        used = [cost for stage, cost in passes.items() if stage in stages_for(classes, "Linf", 5)]
        return Cost(9 + sum(cost.forward for cost in used), sum(cost.backward for cost in used))

    def trial(self, model: nn.Module, examples: Examples, threat: ThreatModel) -> float:
        return Cascade(self.seed, self.batch_size).trial(model, examples.x, examples.y, threat)

    def __call__(self, model: nn.Module, examples: Examples, threat: ThreatModel) -> ShardResult:
        natural_logits(model, examples)
        return self._result(Cascade(self.seed, self.batch_size)(model, examples.x, examples.y, threat))

    def advance(
        self, model: nn.Module, examples: Examples, threat: ThreatModel, before: ShardResult | None
    ) -> tuple[ShardResult, bool]:
        """The shard after one stage more than `before` (None: the first), and whether that was the last that it needs.

        After its last stage the result equals that of `__call__`; before that, `stage` says "survived" of what has so far.
        The array `done`, one number repeated, counts the stages.
        """
        cascade = Cascade(self.seed, self.batch_size)
        if before is None:
            natural_logits(model, examples)
            outcome = cascade.begin(model, examples.x, examples.y, threat)
        else:
            with torch.no_grad():
                classes = model(examples.x[:1]).shape[1]
            outcome = self._outcome(before, examples, classes, threat)
        if not outcome.finished:
            outcome = cascade.advance(model, examples.x, examples.y, threat, outcome)
        result = self._result(outcome)
        if outcome.finished:
            notes = (*(before.notes if before else ()), *result.notes)
            return replace(result, notes=notes), True
        partial = {**result.arrays, "done": np.full(len(examples), outcome.done, dtype=np.int8)}
        # what was left out is noted once, with the last stage
        notes = (*(before.notes if before else ()), *(n for n in result.notes if n.code != LEFT_OUT))
        return ShardResult(partial, notes), False

    @staticmethod
    def _outcome(before: ShardResult, examples: Examples, classes: int, threat: ThreatModel) -> Outcome:
        """A partial result as the cascade knows it; its warnings are notes already."""
        stages = stages_for(classes, threat.norm, min(examples.x.shape[2:]))
        numbers = [STAGES.index(stage) for stage in stages]
        back = {**{number: k for k, number in enumerate(numbers)}, len(STAGES): len(stages), -1: -1}
        stage = torch.tensor([back[int(n)] for n in before.arrays["stage"]], dtype=torch.int8, device=examples.x.device)
        x_adv = torch.from_numpy(before.arrays["x_adv"]).to(examples.x)
        return Outcome(stages, stage, x_adv, (), (), classes, done=int(before.arrays["done"][0]))

    @staticmethod
    def _result(outcome: Outcome) -> ShardResult:
        notes = [_note(warning) for warning in outcome.warnings]
        notes += [
            Note("rejected", f"{{n}} images of {r.stage} fooled the classifier but are {r.reason}: not counted", r.n)
            for r in outcome.rejected
        ]
        if outcome.stages != STAGES:
            left_out = ", ".join(stage for stage in STAGES if stage not in outcome.stages)
            notes.append(
                Note(LEFT_OUT, f"too few classes or pixels for {left_out}: not AutoAttack's standard version", 0)
            )
        stage = outcome.stage.cpu().numpy()
        # the number of a stage means the same in every record, also where a stage was left out
        numbers = np.array([STAGES.index(name) for name in outcome.stages] + [len(STAGES), -1], dtype=np.int8)
        return ShardResult({"stage": numbers[stage], "x_adv": outcome.x_adv.cpu().numpy()}, tuple(notes))

    def summarise(self, arrays: Mapping[str, np.ndarray], notes: Sequence[Note]) -> Summary:
        stage = arrays["stage"]
        values = {"autoattack_accuracy": proportion(stage == len(STAGES))}
        for k, name in enumerate(STAGES):
            values[f"accuracy_after.{name}"] = proportion(stage > k)
        seen = list(notes)
        by_square = int(np.count_nonzero(stage == STAGES.index("square")))
        if by_square > SQUARE_GAIN * len(stage):
            message = (
                f"Square broke {by_square} of {len(stage)} examples, which the gradient attacks had left:"
                " where it breaks many, they were misled"
            )
            seen.append(Note("square-gain", message))
        return Summary(values, flags_of(seen))
