"""Witnesses shown to a classifier again: one forward pass each, nothing taken on trust.

An image proves its example broken where it lies in the ball and in [0,1] and the answer is not the label. Which way it errs:
a witness whose margin is of the size of float32's rounding may count on one machine and not on another; `margin` tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from harness.attacks.verification import verified
from harness.data.images import ImageSet
from harness.errors import BadInput
from harness.threat import ThreatModel
from leaderboards.records.witnesses import Packed

BATCH = 250
"""Images of a forward pass, where nothing else is said."""


@dataclass(frozen=True)
class Replay:
    """What n images came to. `examples` (n,) int64: their places in the suite; `broken` (n,) bool: legal and misclassified;
    `margin` (n,) float32: the largest wrong logit less the label's; `reasons`: for each reason not to count, (n,) bool."""

    examples: np.ndarray
    broken: np.ndarray
    margin: np.ndarray
    reasons: Mapping[str, np.ndarray]


def replayed(
    model: nn.Module,
    images: ImageSet,
    found: Packed,
    threat: ThreatModel,
    device: torch.device,
    batch_size: int = BATCH,
) -> Replay:
    """Show a bundle's images to a classifier, which gives float32 logits. `images` are the suite's test examples.

    Raises BadInput where the bundle is not of these images: another shape, or examples that the suite does not have.
    """
    if found.shape != images.shape or (len(found) and int(found.examples[-1]) >= len(images)):
        last = int(found.examples[-1]) if len(found) else 0
        raise BadInput(
            f"expected witnesses of {len(images)} images of {images.shape}, got ones of {found.shape} up to example {last};"
            " take those of this suite"
        )
    examples, shown = found.examples.astype(np.int64), []
    for first in range(0, len(examples), batch_size):
        here = examples[first : first + batch_size]
        x, y = natural(images, here)
        x_adv = torch.from_numpy(found.of(here).images(x.numpy()))
        shown.append(_shown(model, x.to(device), y.to(device), x_adv.to(device), threat))
    joined = {name: np.concatenate([one[name] for one in shown]) for name in shown[0]} if shown else {}
    kinds = [name for name in joined if name not in ("broken", "margin")]
    return Replay(
        examples=examples,
        broken=joined.get("broken", np.zeros(0, bool)),
        margin=joined.get("margin", np.zeros(0, np.float32)),
        reasons={name: joined[name] for name in kinds},
    )


def natural(images: ImageSet, examples: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Natural images (n, C, H, W) float32 in [0,1] and labels (n,) of some examples of a suite, as measures see them."""
    rows = torch.from_numpy(examples)
    x = images.images[rows]
    return x.float() / 255 if x.dtype == torch.uint8 else x.float(), images.labels[rows]


def _shown(
    model: nn.Module, x: torch.Tensor, y: torch.Tensor, x_adv: torch.Tensor, threat: ThreatModel
) -> dict[str, np.ndarray]:
    check = verified(model, x, y, x_adv, threat)
    logits = check.logits.float()
    label = logits.gather(1, y[:, None]).squeeze(1)
    margin = logits.scatter(1, y[:, None], -torch.inf).amax(1) - label
    found = {"broken": check.broken, "margin": margin, **check.reasons}
    return {name: values.cpu().numpy() for name, values in found.items()}
