"""Batches that fit into memory: a classifier that takes any number of images and runs them a few at a time.

Whoever draws random numbers draws them for a whole shard and hands the whole shard over, so numbers depend on the batch size
only by the rounding of the kernels. The size is chosen from what one image needs (an estimate: work space of kernels is not
counted) and lowered once when memory runs out all the same; `lowered_from` tells of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

CPU_BYTES = 1 << 30
"""What a batch may take on the CPU: workers share the machine's memory, and a constant gives the same batches everywhere."""

CUDA_SHARE = 0.4
"""Share of a GPU's whole memory (not of what is free just now, which differs from run to run) that a batch may take."""

LOWERED = 4
"""By what a batch size is divided when memory runs out."""


def bytes_of_one(model: nn.Module, x: Tensor) -> int:
    """Bytes that autograd keeps of one image (x: (1, C, H, W)) between a forward and a backward pass."""
    own = {parameter.untyped_storage().data_ptr() for parameter in (*model.parameters(), *model.buffers())}
    seen: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits = model(x.detach().clone().requires_grad_())
    return sum(seen.values()) + x.nbytes + logits.nbytes


def fitting_size(model: nn.Module, x: Tensor) -> int:
    """How many images like x's first (N, C, H, W) fit into one batch, at least one."""
    return rows_of(bytes_of_one(model, x[:1]), x.device)


def rows_of(size: int, device: torch.device) -> int:
    """How many images fit into one batch, at least one, of each of which autograd keeps so many bytes."""
    on_gpu = device.type == "cuda"
    budget = CUDA_SHARE * torch.cuda.get_device_properties(device).total_memory if on_gpu else CPU_BYTES
    # twice: the gradients of what is kept
    return max(1, int(budget / (2 * size)))


def fitted(model: nn.Module, x: Tensor) -> Fitted:
    """The classifier in batches that fit, for images like x (N, C, H, W) with N >= 1."""
    return Fitted(model, fitting_size(model, x))


class Fitted(nn.Module):
    """A classifier (N, C, H, W) -> (N, K) of which at most `size` images are in memory at once, in either direction.

    Gradients reach the images alone, and once (no second derivatives). Where a call takes several batches, the backward pass
    runs each of them forward again. A classifier whose logits do not depend on the images by a differentiable path gives
    zero gradients here instead of an error.
    """

    def __init__(self, model: nn.Module, size: int) -> None:
        super().__init__()
        self.model = model
        self.size = size
        self.lowered_from: int | None = None

    def around(self, model: nn.Module) -> Fitted:
        """Another classifier that needs as much memory, in batches of this one's size, which may have been lowered."""
        other = Fitted(model, self.size)
        other.lowered_from = self.lowered_from
        return other

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() and x.requires_grad:
            return _InBatches.apply(x, self)
        with torch.no_grad():
            return self.in_batches(self.model, x)

    def in_batches(self, work: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
        """`work` on equal slices of the tensors, joined. Runs out of memory at most twice: the second time it raises."""
        n = len(tensors[0])
        if n == 0:  # not every network takes an empty batch; what one image gives has the shape
            return work(*(tensor.new_zeros(1, *tensor.shape[1:]) for tensor in tensors))[:0]
        try:
            return self._joined(work, *tensors)
        except torch.OutOfMemoryError as error:
            self.lower(n, error)
        # outside the handler, whose traceback would keep the tensors of the failed batch alive
        if tensors[0].is_cuda:
            torch.cuda.empty_cache()
        return self._joined(work, *tensors)

    def _joined(self, work: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
        return torch.cat([work(*batch) for batch in zip(*(t.split(self.size) for t in tensors), strict=True)])

    def lower(self, n: int, error: torch.OutOfMemoryError) -> None:
        """Lower the size after a batch of min(n, size) did not fit; raises the error where that was done before."""
        tried = min(n, self.size)
        if self.lowered_from is not None or tried == 1:
            raise error
        self.lowered_from, self.size = tried, max(1, tried // LOWERED)

    def gradient(self, x: Tensor, weights: Tensor) -> Tensor:
        """The gradient of sum(weights * logits) at x, in one batch; it runs the images forward first."""
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            logits = self.model(x)
        return image_gradient(x, logits, weights)


def image_gradient(x: Tensor, logits: Tensor, weights: Tensor) -> Tensor:
    """The gradient of sum(weights * logits) at the images x that the logits were made from; zeros where there is none."""
    if not logits.requires_grad:
        return torch.zeros_like(x)
    # as a sum: given weights, autograd would first import what reasons about symbolic shapes, half a second and 40 MB
    with torch.enable_grad():
        total = (logits * weights).sum()
    (gradient,) = torch.autograd.grad(total, x, allow_unused=True)
    return torch.zeros_like(x) if gradient is None else gradient


class _InBatches(torch.autograd.Function):
    """Logits whose graph is kept where they took one batch, and made again batch by batch where they took several."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, model: Fitted) -> Tensor:
        ctx.model = model
        ctx.save_for_backward(x)
        ctx.graph = None
        if 0 < len(x) <= model.size:
            try:
                with torch.enable_grad():
                    inner = x.detach().requires_grad_()
                    logits = model.model(inner)
                ctx.graph = inner, logits
                # a copy: whoever overwrites the logits must not overwrite what the graph keeps
                return logits.detach().clone()
            except torch.OutOfMemoryError as error:
                model.lower(len(x), error)
        with torch.no_grad():
            return model.in_batches(model.model, x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, weights: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        model: Fitted = ctx.model
        if ctx.graph is not None:
            inner, logits = ctx.graph
            ctx.graph = None
            try:
                return image_gradient(inner, logits, weights), None
            except torch.OutOfMemoryError as error:
                model.lower(len(x), error)
            del inner, logits
        return model.in_batches(model.gradient, x, weights), None
