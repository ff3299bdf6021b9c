"""What AutoAttack leaves in a shard, with the images that broke examples rounded to witnesses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from harness.attacks.engine.outcome import SURVIVED
from harness.attacks.witnesses import MARGIN, rounded
from harness.classifier.frozen import frozen
from harness.classifier.precision import Precise
from harness.classifier.prepared import plain, prepare
from harness.data.images import Examples
from harness.measures.measure import ShardResult, Witnesses
from harness.threat import ThreatModel

COARSE_MARGIN = 2e-2
"""In place of MARGIN for a network that is judged in bfloat16, whose rounding is that much larger."""


def known_of(before: ShardResult | None, n: int) -> dict[str, np.ndarray]:
    """How the images of n examples are packed, as far as that was found before: `bits` (uint8) and `step` (float32)."""
    earlier = before.arrays if before is not None else {}
    packing = {"bits": np.zeros(n, np.uint8), "step": np.zeros(n, np.float32)}
    return {name: np.array(earlier.get(name, none)) for name, none in packing.items()}


def with_witnesses(
    found: ShardResult, before: ShardResult | None, model: nn.Module, examples: Examples, threat: ThreatModel
) -> ShardResult:
    """What was found, with x_adv rounded where it broke an example, and how: `bits` and `step`, 0 where nothing is rounded.

    What was rounded `before` stays as it is. What an image becomes depends on it and on its example alone, whoever else is
    attacked beside it: it is judged as the engine judges.
    """
    x_adv, packing = found.arrays["x_adv"], known_of(before, len(examples))
    rows = _broken(found.arrays)
    rows = rows[packing["bits"][rows] == 0]
    if len(rows):
        at = torch.from_numpy(rows).to(examples.x.device)
        coarse = isinstance(model, Precise) and model.precision == "bf16"
        with frozen(model), torch.no_grad():
            judge = plain(model, examples.x)
            forms = rounded(
                judge.logits,
                examples.x[at],
                examples.y[at],
                torch.from_numpy(x_adv[rows]).to(examples.x),
                threat,
                margin=COARSE_MARGIN if coarse else MARGIN,
                network=lambda: prepare(model, examples.x, size=judge.size),
            )
        x_adv = x_adv.copy()
        x_adv[rows], packing["bits"][rows], packing["step"][rows] = forms.x_adv.cpu().numpy(), forms.bits, forms.step
    return replace(found, arrays={**found.arrays, "x_adv": x_adv, **packing})


def witnesses_of(arrays: Mapping[str, np.ndarray]) -> Witnesses:
    """The images of a shard that broke examples; whole ones where it is of a time when nothing was rounded."""
    rows = _broken(arrays)
    bits, step = (arrays[name][rows] if name in arrays else None for name in ("bits", "step"))
    return Witnesses(rows, arrays["x_adv"][rows], bits, step)


def _broken(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Rows that an attack broke; a natural image that is misclassified needs no witness."""
    return np.flatnonzero((arrays["stage"] >= 0) & (arrays["stage"] < SURVIVED))
