"""A classifier at the precision that a run asks for, giving logits that nobody else holds."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness.classifier.meter import meter
from harness.errors import BadInput


class Precise(nn.Module):
    """A classifier as the measures see it: float32 images in, float32 logits out that nobody else holds.

    precision "bf16" runs the network under bfloat16 autocast. The logits are a fresh tensor: attacks overwrite them.
    """

    def __init__(self, model: nn.Module, precision: str) -> None:
        super().__init__()
        self.model = model
        self.precision = precision

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16"):
            version = x._version
            logits = self.model(x)
        if not isinstance(logits, Tensor):
            raise BadInput(f"expected logits from the entrant, got a {type(logits).__name__}; return the logits alone")
        if x._version != version:
            raise BadInput(
                "expected the entrant to leave its images as they are, got images changed in place;"
                " normalise a copy (x = (x - mean) / std)"
            )
        meter().passed(len(x), backward=torch.is_grad_enabled() and x.requires_grad)
        return logits.to(torch.float32, copy=True)
