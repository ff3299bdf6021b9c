"""Logits of natural images, refused where no measure could use them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness.data.images import Examples
from harness.errors import BadInput


def natural_logits(model: nn.Module, examples: Examples, classes: int | None = None) -> Tensor:
    """Logits of the examples (N, K). Raises BadInput where they are not finite, or not one row an example."""
    with torch.no_grad():
        logits = model(examples.x)
    if logits.dim() != 2 or len(logits) != len(examples):
        raise BadInput(
            f"expected logits of shape ({len(examples)}, classes), got {tuple(logits.shape)}; mend the entrant's forward"
        )
    if classes is not None and logits.shape[1] != classes:
        raise BadInput(
            f"expected {classes} logits an image, got {logits.shape[1]}; choose a classifier of this data set"
        )
    bad = int((~logits.isfinite().all(1)).sum())
    if bad:
        raise BadInput(
            f"expected finite logits, got NaN or infinity for {bad} of {len(examples)} natural images;"
            " mend the entrant's weights or its forward"
        )
    return logits
