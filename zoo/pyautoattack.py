"""The classifier that comes inside the package pyautoattack: a real CIFAR-10 network that works offline for everyone.

An entrant as `python:zoo.pyautoattack:resnet18`. It was trained in the standard way, so it is accurate and not robust:
AutoAttack at 8/255 in Linf leaves nothing of its accuracy. Source: pyautoattack 0.2.0, examples/model_test.pt.
"""

from __future__ import annotations

import importlib.resources

import torch
from torch import nn

from zoo.architectures.resnet import resnet_18


def resnet18() -> nn.Module:
    """A ResNet-18 for images in [0,1] shaped (N, 3, 32, 32); logits of the 10 classes of CIFAR-10, in eval mode."""
    model = resnet_18(10, (3, 32, 32))
    file = importlib.resources.files("pyautoattack") / "examples" / "model_test.pt"
    with importlib.resources.as_file(file) as path:
        model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True), strict=True)
    return model.eval()
