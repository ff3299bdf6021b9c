"""A network on a device that has no float64 (Apple's mps): the network is there, everything beside it is on the CPU.

Distances, energies and the sums of an attack are computed in float64. So images cross to the device for a pass and logits
come back; the gradient goes the same way. Other devices have float64, and nothing crosses.
"""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

Moved = TypeVar("Moved", Tensor, nn.Module)


def beside(device: torch.device) -> torch.device:
    """Where images, labels and logits are, for a network on this device."""
    return torch.device("cpu") if device.type == "mps" else device


def placed(network: nn.Module, device: torch.device) -> nn.Module:
    """The network on a device, for images that are `beside` it."""
    return network.to(device) if beside(device) == device else Across(network, device)


class Across(nn.Module):
    """A network on another device than its images: (N, C, H, W) there and logits (N, K) back, in float32 or less."""

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        super().__init__()
        self.network = moved(network, device)
        self.device = device

    def forward(self, x: Tensor) -> Tensor:
        bf16 = torch.is_autocast_enabled(x.device.type)  # autocast is of a device: it is taken along
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=bf16):
            logits = self.network(moved(x, self.device))
        # what is no tensor is told of by Precise
        return moved(logits, x.device) if isinstance(logits, Tensor) else logits


def moved(what: Moved, device: torch.device) -> Moved:
    """Images, logits or a network on a device."""
    return what.to(device)
