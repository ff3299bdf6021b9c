"""Small convolutional networks for small images."""

from __future__ import annotations

from torch import nn


def digits_cnn(classes: int, shape: tuple[int, int, int]) -> nn.Sequential:
    """Two 3x3 convolutions (16, then 32 channels at half the resolution) and two linear layers; no normalisation.

    About 39,000 parameters on 8x8 grey images: small enough that AutoAttack on 200 images takes seconds on a CPU.
    """
    channels, height, width = shape
    return nn.Sequential(
        nn.Conv2d(channels, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * ((height + 1) // 2) * ((width + 1) // 2), 64),
        nn.ReLU(),
        nn.Linear(64, classes),
    )
