"""Adversarial weight perturbation (Wu et al. 2020, arXiv 2004.05884), around any objective.

The weights take one step up the loss, in each layer of length gamma ||w||; the gradient that the optimiser follows is taken
there, and the weights are put back before it steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def weights_perturbed(model: nn.Module, loss: Callable[[], Tensor], gamma: float) -> Iterator[None]:
    """The model with w + gamma ||w|| g / ||g|| in place of each weight w of two dimensions or more, g its gradient.

    Biases and BatchNorm's weights stay. BatchNorm's statistics do not see the pass that finds g, and no gradient of it is
    left. On leaving, the weights are what they were, bit for bit.
    """
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    model.zero_grad(set_to_none=True)
    loss().backward()
    weights = [p for p in model.parameters() if p.dim() > 1 and p.grad is not None]
    before = [weight.detach().clone() for weight in weights]
    with torch.no_grad():
        for weight in weights:
            assert weight.grad is not None
            length = weight.grad.norm()
            factor = torch.where(length > 0, gamma * weight.norm() / length, 0.0)
            weight.add_(factor * weight.grad)
        for buffer, value in buffers:
            buffer.copy_(value)
    model.zero_grad(set_to_none=True)
    try:
        yield
    finally:
        with torch.no_grad():
            for weight, value in zip(weights, before, strict=True):
                weight.copy_(value)
