"""What AutoAttack doubts of its own result, in a record's words: one code for one cause, whichever engine ran it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.attacks.autoattack import STAGES, Warned
from harness.attacks.engine.report import Report
from harness.measures.measure import Note

LEFT_OUT = "stages-left-out"
"""The code of the note that a stage of AutoAttack could not be run."""

ZERO_GRADIENTS = "zero-gradients"

MARGIN_LOSS = "margin-loss"
"""The code of the note that APGD-T took another loss than the published one."""

FEWEST_CLASSES = 4
"""Classes that the targeted DLR loss needs."""

_WARNINGS = (
    (
        r"randomized defense",
        "randomised",
        "AutoAttack: the logits of one image differ between calls; use its version 'rand'",
    ),
    (r"probability distribution", "probabilities", "AutoAttack: the outputs look like probabilities, not logits"),
    (r"dynamic defense", "dynamic", "AutoAttack: the classifier computes gradients or adapts while it predicts"),
)


def warned(warning: Warned) -> Note:
    """A warning in pyautoattack's words as a note, whatever the numbers in it."""
    for pattern, code, message in _WARNINGS:
        if re.search(pattern, warning.message):
            return Note(code, message)
    zero = re.search(r"there are (\d+) points with zero gradient", warning.message)
    if zero:
        return zero_gradients(warning.stage, int(zero.group(1)))
    return Note("autoattack-warning", f"AutoAttack, {warning.stage}: {' '.join(warning.message.split())}")


def zero_gradients(stage: str, n: int) -> Note:
    """A stage began at n points without a gradient."""
    message = f"AutoAttack: {{n}} zero gradients at the start of {stage}; attacks by gradient may fail there"
    return Note(ZERO_GRADIENTS, message, n)


def rejected(stage: str, reason: str, n: int) -> Note:
    """A stage's images that fool the classifier but break the rules."""
    return Note("rejected", f"{{n}} images of {stage} fooled the classifier but are {reason}: not counted", n)


def stages_left_out(left_out: Sequence[str]) -> Note:
    """Stages that so few classes, or so small an image, do not admit."""
    message = f"too few classes or pixels for {', '.join(left_out)}: not AutoAttack's standard version"
    return Note(LEFT_OUT, message, 0)


def reported(report: Report) -> tuple[Note, ...]:
    """What the engine says beside its outcome."""
    notes = [rejected(one.stage, one.reason, one.n) for one in report.rejected]
    if report.zero_gradients:
        notes.append(zero_gradients("apgd-t", report.zero_gradients))
    notes += [Note("not-prepared", f"AutoAttack's search: {said}", 0) for said in report.notes]
    if report.classes < FEWEST_CLASSES:
        message = (
            f"with {report.classes} classes APGD-T attacked the margin of the logits: its targeted DLR loss needs"
            f" {FEWEST_CLASSES}"
        )
        notes.append(Note(MARGIN_LOSS, message, 0))
    if report.left_out:
        notes.append(stages_left_out([stage for stage in STAGES if stage in report.left_out]))
    return tuple(notes)
