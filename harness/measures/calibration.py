"""The scale c > 0 at which an entrant's logits say how often it is right: c times the logits f has the best log-likelihood.

Multiplying logits changes no prediction, but every energy and every loss. Of entrants at their own scale the one with larger
logits looks rougher, or, where a loss saturates, smoother. The entrant c f is the same for every scale of f, so its figures may
be compared. c is the inverse of the temperature of Guo et al. (2017).

Every second test image of the suite serves, whoever is judged. Training images are not held out from those who were trained
on them: c errs high there, and has no finite value for a classifier that has all of them right. One number is fitted, and no
prediction depends on it. It is as sure as its interval says: a few images that are wrong with confidence move it, above all on
a small data set.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harness.classifier.logits import natural_logits
from harness.data.images import CALIBRATION, Examples, ImageSet
from harness.measures.intervals import LEVEL
from harness.measures.measure import Measure
from leaderboards.board.labels import label
from leaderboards.records.schema import Quantity, Value

ARRAY = "calibration"
"""(N, 3) float64, the same row for every example: c, the standard error of log c (0: none), and the images it rests on."""

SCALE = "calibration.scale"
"""The value that is c."""

CALIBRATED = "_calibrated"
"""What the names of arrays and values end with that are those of c f."""

_RANGE = 50.0
"""log c is looked for so far to either side of the scale at which the logits have unit deviation."""

_BATCH = 500


@dataclass(frozen=True)
class Calibration:
    """c, the standard error of log c (0 where the likelihood has no maximum), and how many images it was fitted on."""

    scale: float
    error: float
    images: int

    def array(self, n: int) -> np.ndarray:
        """As per-sample array of n examples: see ARRAY."""
        return np.tile(np.array([self.scale, self.error, self.images], dtype=np.float64), (n, 1))

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray]) -> Calibration:
        """Of a measure's arrays."""
        scale, error, images = arrays[ARRAY][0].tolist()
        return cls(scale, error, int(images))

    def value(self) -> Value:
        """c with the interval of Huber's sandwich on log c: it holds also where c f is not calibrated for every image."""
        if self.error == 0:
            reason = "the likelihood of the held-out labels has no maximum: they say little about the scale"
            return Value(value=self.scale, n=self.images, reason=reason)
        from scipy import stats  # half a second to import: only who summarises needs it

        factor = math.exp(float(stats.norm.ppf((1 + LEVEL) / 2)) * self.error)
        low, high = self.scale / factor, self.scale * factor
        return Value(value=self.scale, low=low, high=high, level=LEVEL, method="sandwich", n=self.images)


class Scaled(nn.Module):
    """A classifier whose logits (N, K) are those of another times a number."""

    def __init__(self, model: nn.Module, scale: float) -> None:
        super().__init__()
        self.model = model
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * self.model(x)


def fit(logits: Tensor, y: Tensor) -> Calibration:
    """c of logits (N, K) and labels (N,); the fit for t times the logits is c / t.

    The mean of -log p(y|x) is convex in c. It has no minimum where no label is beaten: one image of no class is then added, as
    a pseudo-count. It has none above 0 where the logits tell nothing of the labels: c then brings them to unit deviation.
    """
    from scipy import optimize  # half a second to import

    # a constant added to an image's logits changes no likelihood
    centred = (logits.double() - logits.double().mean(1, keepdim=True)).cpu()
    n, size = len(y), float(centred.square().mean().sqrt())
    if size == 0:
        return Calibration(1.0, 0.0, n)
    unit, right = centred / size, (centred / size).gather(1, y.cpu().unsqueeze(1)).squeeze(1)
    perfect = bool((right == unit.amax(1)).all())

    def slope(log_c: float) -> float:
        expected = ((math.exp(log_c) * unit).softmax(1) * unit).sum(1)
        return float((expected - right).mean() + (expected.mean() / n if perfect else 0.0))

    if float(right.mean()) <= 0:
        return Calibration(1 / size, 0.0, n)
    if slope(_RANGE) <= 0:
        return Calibration(math.exp(_RANGE) / size, 0.0, n)
    log_c = _root(slope, -_RANGE, _RANGE, optimize.brentq)
    chances = (math.exp(log_c) * unit).softmax(1)
    expected = (chances * unit).sum(1)
    information = float((chances * unit.square()).sum() - expected.square().sum())
    spread = float((expected - right).square().sum().sqrt())
    error = 0.0 if perfect or information <= 0 else spread / information / math.exp(log_c)
    return Calibration(math.exp(log_c) / size, error, n)


def _root(of: Callable[[float], float], low: float, high: float, search: Callable[..., float]) -> float:
    # at the lower end c is so small that rounding decides the sign: it is negative there by what was asked before
    return float(search(lambda at: -1.0 if at == low else of(at), low, high, xtol=1e-13, rtol=1e-13))


def calibrated(model: nn.Module, examples: Examples, logits: Tensor) -> Calibration:
    """The calibration of a classifier by the images held out beside the examples; without them, by the examples themselves,
    whose logits (N, K) are given."""
    held_out = examples.held_out
    return fit(logits, examples.y) if held_out is None else calibrated_on(model, held_out, examples.x.device)


def calibrated_on(model: nn.Module, held_out: ImageSet, device: torch.device) -> Calibration:
    """The calibration of a classifier on a device by a set of images."""
    found = []
    for start in range(0, len(held_out), _BATCH):
        found.append(natural_logits(model, held_out.examples(start, start + _BATCH).to(device)).cpu())
    return fit(torch.cat(found), held_out.labels)


class CalibratedMeasure(Measure):
    """A measure whose shards bring the images that the scale is fitted on, and whose keys name them.

    Beside what `cost` counts for an example, each shard takes one forward pass for each of these images.
    """

    def examples(self, images: ImageSet, start: int, stop: int) -> Examples:
        return replace(images.examples(start, stop), held_out=images.calibration)

    def content(self, images: ImageSet, start: int, stop: int) -> str:
        held_out = images.calibration
        return f"{images.content(start, stop)} {held_out.content(0, len(held_out))}"


def calibration_settings() -> dict[str, Any]:
    """Which images the scale is fitted on, for a measure's settings. The key of a shard holds their content."""
    return {"calibration": {"images": "test", "every": CALIBRATION.every, "most": CALIBRATION.most}}


def calibration_quantity() -> Quantity:
    """How the scale is to be read."""
    said = (
        "What the logits are multiplied by so that their likelihood on every second test image is highest: above 1 the"
        " entrant says too little of its confidence, below 1 too much."
    )
    return Quantity(title=label(SCALE), description=said)
