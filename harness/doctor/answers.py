"""Whether the answers are logits, at a scale at which float32 still tells them apart."""

from __future__ import annotations

from harness.attacks.losses import log_odds
from harness.doctor.accuracy import OF_IMAGES
from harness.doctor.check import Check, fault, fine, warning
from harness.doctor.finding import Finding, percent
from harness.doctor.subject import Subject
from harness.measures.calibration import fit
from harness.measures.signs import LOG_PROBABILITIES, PROBABILITIES, likeness

SATURATED = 16.6
"""Log odds beyond which 1 - p(y|x) rounds to 0 in float32, and with it the gradient of the cross-entropy."""

SATURATED_SHARE = 0.5
"""Share of the right answers beyond it from which on it is told."""

FURTHEST = 20.0
"""Scales of the logits that are told: further than this from what the labels call for. Shipped entrants: 0.4 to 5."""


def logits(subject: Subject) -> list[Finding]:
    """Whether they are probabilities, or log-probabilities."""
    match likeness(subject.logits):
        case found if found == PROBABILITIES:
            total = float(subject.logits.sum(1).mean())
            return [
                fault(
                    "probabilities",
                    f"no output is negative, and those of each image add up to {total:.4g}: a softmax",
                    "Where the network is sure their gradient is zero, which hides it from attacks, and E(x) means nothing.",
                    "Return what goes into the softmax.",
                    total=total,
                )
            ]
        case found if found == LOG_PROBABILITIES:
            return [
                fault(
                    "log-probabilities",
                    "logsumexp of each image's outputs is 0: a log-softmax",
                    "E(x) = -logsumexp is 0 for every image, so energies, smoothness of E(x) and generation say nothing."
                    " AutoAttack's accuracy is the same.",
                    "Return what goes into the log-softmax.",
                )
            ]
    low, high = float(subject.logits.min()), float(subject.logits.max())
    if low >= 0 and high <= 1:
        return [
            fault(
                "probabilities",
                f"every output lies between {low:.3g} and {high:.3g}: a sigmoid, or probabilities of some other kind",
                "Where they are near 0 or 1 their gradient is zero, which hides it from attacks.",
                "Return what goes into the last nonlinearity.",
                low=low,
                high=high,
            )
        ]
    return [fine("probabilities", f"outputs from {low:.3g} to {high:.3g}, no probabilities", low=low, high=high)]


def scale(subject: Subject) -> list[Finding]:
    """Whether the logits are far too large or too small for the accuracy that they have."""
    answers, y = subject.logits, subject.y
    right = answers.argmax(1) == y
    odds = log_odds(answers, y)[right]
    saturated = float((odds > SATURATED).float().mean()) if len(odds) else 0.0
    fitted = fit(answers, y)
    numbers = {"scale": fitted.scale, "saturated": saturated, "largest": float(answers.abs().max())}
    seen = f"the labels call for logits times {fitted.scale:.3g}; {percent(saturated)} of the right answers round to certainty"
    advice = "Divide the logits by their temperature inside the entrant; predictions do not change."
    # without a wrong answer the likelihood calls for ever larger logits: too small cannot be told
    too_small = fitted.scale > FURTHEST and fitted.error > 0 and bool((~right).any())
    if saturated > SATURATED_SHARE or fitted.scale < 1 / FURTHEST:
        meaning = "The logits are so large that cross-entropies saturate: attacks elsewhere stand still, raw energies are huge."
        return [warning("logit-scale", seen, meaning, f"{advice} A factor of {fitted.scale:.2g} fits.", **numbers)]
    if too_small:
        meaning = (
            "The logits are so small that every class is about as likely: raw energies and their changes look tiny."
        )
        return [warning("logit-scale", seen, meaning, f"{advice} A factor of {fitted.scale:.2g} fits.", **numbers)]
    return [fine("logit-scale", seen, **numbers)]


_FORM = frozenset({"images", "output"})
ANSWERS = (
    Check("probabilities", "outputs that are probabilities", logits, _FORM),
    Check(
        "logit-scale",
        "logits that are far too large or small",
        scale,
        _FORM
        | OF_IMAGES
        | {"classes", "probabilities", "log-probabilities", "labels-permuted", "misaligned", "chance-level"},
    ),
)
