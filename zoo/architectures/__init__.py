"""Architectures by name: one family a file. Each builder takes the number of classes and the image shape (C, H, W).

A name stands for one function of the weights for ever: code that computes something else needs a new name, because
results are kept by the name and the sha256 of the weights.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from zoo.architectures.cnn import digits_cnn
from zoo.architectures.preactresnet import preact_resnet_18
from zoo.architectures.resnet import resnet_18, resnet_34
from zoo.architectures.thin_resnet import resnet_8, resnet_20
from zoo.architectures.wideresnet import wrn_16_4, wrn_28_10, wrn_34_10
from zoo.entrant import EntrantError, did_you_mean

Builder = Callable[[int, tuple[int, int, int]], nn.Module]

ARCHITECTURES: dict[str, Builder] = {
    "digits-cnn": digits_cnn,
    "preact-resnet-18": preact_resnet_18,
    "resnet-8": resnet_8,
    "resnet-18": resnet_18,
    "resnet-20": resnet_20,
    "resnet-34": resnet_34,
    "wrn-16-4": wrn_16_4,
    "wrn-28-10": wrn_28_10,
    "wrn-34-10": wrn_34_10,
}


def builder(architecture: str) -> Builder:
    """What builds an architecture. Raises EntrantError for an unknown name, with the nearest known ones."""
    if architecture not in ARCHITECTURES:
        raise EntrantError(
            f"expected an architecture, got {architecture!r};{did_you_mean(architecture, ARCHITECTURES)}"
            f" choose one of {', '.join(sorted(ARCHITECTURES))}"
        )
    return ARCHITECTURES[architecture]


def build(architecture: str, classes: int, shape: tuple[int, int, int]) -> nn.Module:
    """A network with random weights. Raises EntrantError for an unknown name, with the nearest known ones."""
    return builder(architecture)(classes, shape)
