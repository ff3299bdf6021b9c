"""Signs that an entrant is not what it was meant to be, in what is computed anyway: predictions, labels and natural logits.

`harness doctor` looks further (docs/doctor.md). Errs to silence: a sign is given where chance does not explain it.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from leaderboards.records.schema import Flag

CHANCE, PERMUTED = "chance-level", "labels-permuted"
"""Codes of flags that come from predictions and labels."""

PROBABILITIES, LOG_PROBABILITIES = "probabilities", "log-probabilities"
"""Codes of what logits may turn out to be. The first is also AutoAttack's own doubt."""

FEWEST = 30
"""Examples from which on accuracy is held against chance."""

LEVEL = 1e-4
"""Chance that a sign is given of an entrant that has no such fault, at most, for each sign."""

GAIN = 0.1
"""Share of the examples that another order of classes must make right."""


def at_chance(correct: int, n: int, classes: int) -> bool:
    """Whether guessing evenly among the classes would make at least so many of n examples right more often than 1 in 100."""
    if n < FEWEST or classes < 2 or correct > 3 * n / classes:
        return False
    p = 1 / classes
    tail = sum(math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(correct)) if n <= 500 else None
    if tail is None:  # the binomial is normal there
        z = (correct - 0.5 - n * p) / math.sqrt(n * p * (1 - p))
        return 0.5 * math.erfc(z / math.sqrt(2)) > 0.01
    return 1 - tail > 0.01


def classes_meant(predictions: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """The class that each predicted one means (K,), so that most labels (N,) are met; one that tells nothing means itself."""
    from scipy.optimize import linear_sum_assignment

    seen = np.zeros((classes, classes))
    np.add.at(seen, (predictions, labels), 1.0)
    return np.asarray(linear_sum_assignment(seen + 0.1 * np.eye(classes), maximize=True)[1])


def predictions_meant(predictions: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Predictions (N,) with their classes renamed, each half of the examples by what the other half says."""
    meant = np.empty_like(predictions)
    halves = np.arange(len(labels)) % 2 == 0
    for half in (halves, ~halves):
        meant[half] = classes_meant(predictions[~half], labels[~half], classes)[predictions[half]]
    return meant


def permuted(predictions: np.ndarray, labels: np.ndarray, classes: int) -> float | None:
    """The accuracy with classes renamed, where that is significantly better by GAIN at least; else None."""
    right = predictions == labels
    seen = np.zeros((classes, classes))
    np.add.at(seen, (predictions, labels), 1.0)
    if len(labels) < FEWEST or seen.max(1).sum() < (right.mean() + GAIN) * len(labels):
        return None  # no order of classes gains so much; said without half a second of imports
    renamed = predictions_meant(predictions, labels, classes) == labels
    gained, lost = int((renamed & ~right).sum()), int((right & ~renamed).sum())
    if gained - lost < GAIN * len(labels) or sign_test(gained, lost) >= LEVEL:
        return None
    return float(renamed.mean())


def sign_test(gained: int, lost: int) -> float:
    """The chance that of gained + lost equally likely changes at least so many are gains (McNemar's exact test, one-sided)."""
    n = gained + lost
    return sum(math.comb(n, k) for k in range(gained, n + 1)) / 2**n


def of_predictions(predictions: np.ndarray, labels: np.ndarray, classes: int) -> tuple[Flag, ...]:
    """Flags for predictions and labels (N,) of so many classes."""
    n, correct = len(labels), int(np.count_nonzero(predictions == labels))
    meant = permuted(predictions, labels, classes)
    if meant is not None:
        message = (
            f"{correct} of {n} examples are right, and {100 * meant:.0f} % if classes are renamed: another order of"
            " classes; see harness doctor"
        )
        return (Flag(code=PERMUTED, message=message),)
    if at_chance(correct, n, classes):
        largest = np.bincount(predictions).max() / n
        message = (
            f"{correct} of {n} examples are right, which is chance, and {100 * largest:.0f} % of the predictions are one class:"
            " no robustness can be measured; see harness doctor"
        )
        return (Flag(code=CHANCE, message=message),)
    return ()


def likeness(logits: Tensor) -> str:
    """What logits (N, K) look like that are none: PROBABILITIES (up to a factor), LOG_PROBABILITIES, or an empty string."""
    with torch.no_grad():
        wide = logits.double()
        total = wide.sum(1)
        even = float(total.min()) > 0 and float(total.std(correction=0) / total.mean()) < 1e-4
        constant = bool((wide == wide[:1]).all())  # the same for every image: that is another fault
        if even and not constant and bool((wide >= -1e-6).all()):
            return PROBABILITIES
        if bool((wide <= 1e-6).all()) and float(wide.logsumexp(1).abs().max()) < 1e-3:
            return LOG_PROBABILITIES
    return ""
