"""An entrant's answer to images that were handed in: which break it, and which the threat model does not allow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from harness.attacks.witnesses import rounded
from harness.data.images import ImageSet
from harness.run.executors.place import Place
from harness.threat import ThreatModel
from harness.verify.handed_in import HandedIn
from harness.verify.replay import BATCH, Replay, natural, replayed
from leaderboards.records.witnesses import WHOLE, Packed, packed


@dataclass(frozen=True)
class Shown:
    """An entrant's answer to images that were handed in: their `replay`, and the `witnesses` that those make which break."""

    replay: Replay
    witnesses: Packed


@dataclass(frozen=True)
class Show:
    """The job of showing images to the entrant, one forward pass each, and of packing those that break it."""

    handed: HandedIn

    def __call__(self, place: Place) -> Shown:
        images, threat = place.judged.images, place.suite.threat
        found = replayed(place.model, images, _whole(self.handed, images.shape), threat, place.device)
        examples = found.examples[found.broken]
        x, y = natural(images, examples)
        x_adv = self.handed.images[torch.from_numpy(self.handed.rows(examples))]
        x_on, y_on, x_adv_on = (one.to(place.device) for one in (x, y, x_adv))
        with torch.no_grad():
            forms = rounded(_in_batches(place.model), x_on, y_on, x_adv_on, threat)
        held = packed(examples, x.numpy(), forms.x_adv.cpu().numpy(), forms.bits, forms.step)
        return Shown(found, held)


def _in_batches(model: nn.Module) -> Callable[[Tensor], Tensor]:
    return lambda x: torch.cat([model(part) for part in x.split(BATCH)])


@dataclass(frozen=True)
class Refused:
    """An image that the threat model does not allow: its place in the file, its example, and why."""

    image: int
    example: int
    reason: str

    def __str__(self) -> str:
        return f"image {self.image} (example {self.example}): {self.reason}"


def refused_of(handed: HandedIn, images: ImageSet, shown: Replay, threat: ThreatModel) -> tuple[Refused, ...]:
    """The images that do not count whatever the entrant answers, in the file's order, each with its reason and number."""
    illegal = np.logical_or.reduce([*shown.reasons.values(), np.zeros(len(shown.examples), bool)])
    examples = shown.examples[illegal]
    x, _ = natural(images, examples)
    rows = handed.rows(examples)
    reasons = {
        int(row): Refused(int(row), int(example), _reason(one, x_adv, threat))
        for row, example, one, x_adv in zip(rows, examples, x, handed.images[torch.from_numpy(rows)], strict=True)
    }
    return tuple(reasons[row] for row in sorted(reasons))


def _reason(x: Tensor, x_adv: Tensor, threat: ThreatModel) -> str:
    if bad := int((~x_adv.isfinite()).sum()):
        return f"not finite: {bad} of {x_adv.numel()} values"
    low, high = float(x_adv.min()), float(x_adv.max())
    if low < 0 or high > 1:
        return f"outside [0,1]: values from {low:.6g} to {high:.6g}"
    distance = float(threat.distance(x[None], x_adv[None])[0])
    if distance > threat.eps + threat.tolerance:
        digits = next(d for d in range(4, 18) if f"{distance:.{d}f}" != f"{threat.eps:.{d}f}")
        return f"outside the ball: {distance:.{digits}f}, at most {threat.eps:.{digits}f}"
    return "the entrant's answer to it is not finite"


def _whole(handed: HandedIn, shape: tuple[int, int, int]) -> Packed:
    """The images as a bundle that keeps each as it is, by their examples."""
    order = np.argsort(handed.examples, kind="stable")
    codes = {WHOLE: handed.images[torch.from_numpy(order)].numpy()}
    n = len(order)
    return Packed(
        shape, handed.examples[order].astype(np.int32), np.full(n, WHOLE, np.uint8), np.zeros(n, np.float32), codes
    )
