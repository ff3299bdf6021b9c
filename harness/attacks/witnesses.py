"""Images that break examples, in a form that takes few bytes and still breaks them: witnesses.

A perturbation is rounded to a few levels (leaderboards.records.witnesses), coarsest first, and what comes out is judged as any
attack's image is. The margin that is asked for is far above the rounding of float32, so that another machine's kernels do not
undo a witness; an image that broke its example by less is led further from the boundary first. It errs on neither side: an
example that was broken stays broken, and none becomes so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from harness.attacks.verification import verified
from harness.classifier.prepared import Prepared
from harness.threat import ThreatModel, per_sample
from leaderboards.records.witnesses import WHOLE, WIDTHS, decoded, levels, quantised

MARGIN = 1e-3
"""By how much of the spread of an image's logits (largest less smallest) a wrong one must exceed the label's."""

_BYTES = 32 << 20
"""Of the images that are rounded at once."""

_FINENESS = (1.0, 0.7, 0.5, 0.35, 0.25, 0.17, 0.12)
"""Steps that are tried under L2, as parts of the one that reaches the largest pixel."""

STEPS = 10
"""Steps by which an image is led further from the boundary."""

PASSES = 2 * len(WIDTHS) + 2 + STEPS + 1
"""Forward passes of an image at most, of which STEPS + 1 are followed by a backward one."""

Judge = Callable[[Tensor], Tensor]
"""Images (n, C, H, W) to logits (n, K), each its own whatever stands beside it."""

Network = Callable[[], Prepared]
"""Gives the classifier made ready for gradients."""


@dataclass(frozen=True)
class Rounded:
    """Witnesses of n examples: `x_adv` (n, C, H, W) on the device of the images, and how each is packed without loss:
    `bits` (n,) uint8 and `step` (n,) float32, 0 where the image stays whole."""

    x_adv: Tensor
    bits: np.ndarray
    step: np.ndarray


def rounded(
    judge: Judge,
    x: Tensor,
    y: Tensor,
    x_adv: Tensor,
    threat: ThreatModel,
    *,
    margin: float = MARGIN,
    network: Network | None = None,
) -> Rounded:
    """The coarsest form of each image that is legal and misclassified with a margin (a share of its logits' spread).

    `x_adv` (n, C, H, W) float32 are images that break the examples x with labels y. Where no form has the margin, `network`,
    which is called for when it is needed, leads the image further from the boundary; where that does not help either it is
    the form, the whole image among them, that has the largest margin. One pass for an image that its coarsest form settles;
    PASSES at most.
    """
    rows = max(1, _BYTES // (4 * x[0].numel())) if len(x) else 1
    parts = [
        _Rounding(judge, x[first : first + rows], y[first : first + rows], threat, margin)(
            x_adv[first : first + rows], network
        )
        for first in range(0, len(x), rows)
    ]
    if not parts:
        return Rounded(x_adv, np.zeros(0, np.uint8), np.zeros(0, np.float32))
    return Rounded(
        torch.cat([part.x_adv for part in parts]),
        np.concatenate([part.bits for part in parts]),
        np.concatenate([part.step for part in parts]),
    )


class _Rounding:
    """One call on images that are in memory at once: the best form so far of each, and how sure it is."""

    def __init__(self, judge: Judge, x: Tensor, y: Tensor, threat: ThreatModel, margin: float) -> None:
        self.judge, self.x, self.y, self.threat, self.margin = judge, x, y, threat, margin
        self.natural = x.cpu().numpy()
        self.bits, self.step = np.full(len(x), WHOLE, np.uint8), np.zeros(len(x), np.float32)
        self.best = np.full(len(x), -np.inf)

    def __call__(self, x_adv: Tensor, network: Network | None) -> Rounded:
        whole = x_adv.cpu().numpy()
        self.found = whole.copy()
        self._formed(_stretched(self.natural, whole, self.threat))
        if network is not None and len(rows := self._unsure()):
            at = torch.from_numpy(rows).to(self.x.device)
            led = whole.copy()
            led[rows] = _led(network(), self.x[at], self.y[at], x_adv[at], self.threat).cpu().numpy()
            self._formed(led)
            self._whole(led)
        self._whole(whole)
        return Rounded(torch.from_numpy(self.found).to(self.x), self.bits, self.step)

    def _unsure(self) -> np.ndarray:
        """The rows that no form has settled."""
        return np.flatnonzero(self.best < self.margin)

    def _formed(self, images: np.ndarray) -> None:
        """The images (n, ...) in few bits, coarsest first, where nothing is settled yet."""
        for width in WIDTHS:
            if not len(rows := self._unsure()):
                return
            formed, step, usable = _form(self.natural[rows], images[rows], self.threat, width)
            self._tried(rows[usable], formed[usable], width, step[usable])

    def _whole(self, images: np.ndarray) -> None:
        rows = self._unsure()
        self._tried(rows, images[rows], WHOLE, np.zeros(len(rows), np.float32))

    def _tried(self, rows: np.ndarray, images: np.ndarray, bits: int, step: np.ndarray) -> None:
        if not len(rows):
            return
        at = torch.from_numpy(rows).to(self.x.device)
        margins = _margins(self.judge, self.x[at], self.y[at], torch.from_numpy(images).to(self.x), self.threat)
        better = margins > self.best[rows]
        rows = rows[better]
        self.best[rows], self.bits[rows], self.step[rows] = margins[better], bits, step[better]
        self.found[rows] = images[better]


def _led(network: Prepared, x: Tensor, y: Tensor, x_adv: Tensor, threat: ThreatModel) -> Tensor:
    """The images further from the boundary: steps up the margin, from which the one with the largest share is taken."""
    here, best, largest = x_adv, x_adv, torch.full((len(x),), -torch.inf, dtype=torch.float64, device=x.device)
    for number in range(STEPS + 1):

        def weights(logits: Tensor, rows: slice) -> Tensor:
            label = torch.nn.functional.one_hot(y[rows], logits.shape[1]).to(logits)
            wrong = logits.scatter(1, y[rows, None], -torch.inf).argmax(1)
            return torch.nn.functional.one_hot(wrong, logits.shape[1]).to(logits) - label

        logits, gradient = network.gradient(here, weights)
        share = _share(logits.double(), y)
        better = share > largest
        largest = torch.where(better, share, largest)
        best = torch.where(per_sample(better, x), here, best)
        length = threat.eps * (1 - number / (STEPS + 1)) / 4
        here = threat.project(x, here + length * threat.ascent(gradient.nan_to_num()))
    return best


def _share(logits: Tensor, y: Tensor) -> Tensor:
    """(n,): the largest wrong logit less the label's, by the spread of the logits; 0 where all are equal."""
    label = logits.gather(1, y[:, None]).squeeze(1)
    wrong = logits.scatter(1, y[:, None], -torch.inf).amax(1)
    spread = logits.amax(1) - logits.amin(1)
    return torch.where(spread > 0, (wrong - label) / spread, 0)


def _margins(judge: Judge, x: Tensor, y: Tensor, images: Tensor, threat: ThreatModel) -> np.ndarray:
    """(n,) float64: the margin as a share of the spread; -inf where an image does not count."""
    check = verified(judge, x, y, images, threat)
    return torch.where(check.broken, _share(check.logits.double(), y), -torch.inf).cpu().numpy()


def _stretched(x: np.ndarray, x_adv: np.ndarray, threat: ThreatModel) -> np.ndarray:
    """The perturbations lengthened to the edge of the ball: what breaks an example mostly breaks it more so further on."""
    delta = x_adv.astype(np.float64) - x
    length = _length(delta, threat)
    factor = np.where(length > 0, threat.eps / np.where(length > 0, length, 1), 1).clip(1, None)
    return np.clip(x + delta * _beside(factor, x), 0, 1).astype(np.float32)


def _form(
    x: np.ndarray, x_adv: np.ndarray, threat: ThreatModel, bits: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images as so many bits give them, their steps, and whether each is a form at all, (n,) bool.

    Rounded again with its step an image gives itself, so that it is packed without loss.
    """
    if threat.norm == "Linf":
        most = np.float32(threat.eps / levels(bits))
        if float(most) * levels(bits) > threat.eps:
            most = np.nextafter(most, np.float32(0))
        step = np.full(len(x), most, np.float32)
        codes = quantised(x, x_adv, _positive(step), bits)
    else:
        codes, step = _on_the_sphere(x, x_adv, threat, bits)
    images = decoded(x, codes, step)
    apart = (images != x).reshape(len(x), -1).any(1)  # a natural image witnesses nothing
    return images, step, (step > 0) & apart


def _on_the_sphere(x: np.ndarray, x_adv: np.ndarray, threat: ThreatModel, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Under L2: the perturbation's direction in so many bits, (n, ...) int8, and the step (n,) by which it reaches eps."""
    delta, axes = x_adv.astype(np.float64) - x, tuple(range(1, x.ndim))
    largest = np.abs(delta).max(axis=axes)
    best, codes = np.full(len(x), -np.inf), np.zeros(x.shape, np.int8)
    for part in _FINENESS:
        tried = _positive((largest * part / levels(bits)).astype(np.float32))
        steps = quantised(x, x_adv, tried, bits)
        # not beyond the box, where clipping will cut it off
        reached = np.clip(x + steps * _beside(tried.astype(np.float64), x), 0, 1) - x
        likeness = (reached * delta).sum(axes) / np.maximum(_length(reached, threat), 1e-300)
        better = likeness > best
        best[better], codes[better] = likeness[better], steps[better]
    at_edge = ((x_adv <= 0) | (x_adv >= 1)) & (delta != 0)
    room = threat.eps**2 - (np.where(at_edge, delta, 0) ** 2).sum(axes)
    inside = (np.where(at_edge, 0, codes).astype(np.float64) ** 2).sum(axes)
    step = np.sqrt(np.maximum(room, 0) / np.maximum(inside, 1))
    step = np.where(inside > 0, step, largest / levels(bits)) * (1 - 1e-6)  # float32's rounding stays inside
    return codes, step.astype(np.float32)


def _length(delta: np.ndarray, threat: ThreatModel) -> np.ndarray:
    flat = delta.reshape(len(delta), -1)
    return np.abs(flat).max(1) if threat.norm == "Linf" else np.sqrt((flat**2).sum(1))


def _positive(step: np.ndarray) -> np.ndarray:
    """Steps that can be divided by."""
    return np.where(step > 0, step, np.float32(1))


def _beside(factor: np.ndarray, x: np.ndarray) -> np.ndarray:
    return factor.reshape(-1, *[1] * (x.ndim - 1))
