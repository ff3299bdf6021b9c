"""A classifier made ready to be attacked: BatchNorm folded, memory laid out for its convolutions, batches of even shape.

It only steers a search: what counts is decided by the classifier as it is (harness.attacks.verification). Still every step
here is checked, on noise, so that it depends on the network alone, and left out where it does not hold: the notes say so.

Rows are passed in batches of at most `size`, filled up to a multiple of `grain`. Kernels choose how to sum by the shape of a
batch, so the grain is the smallest for which logits and gradients came out equal, bit for bit, in batches of several sizes;
where none is, every batch has the one full size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from harness.classifier.folding import folded
from harness.classifier.memory import bytes_of_one, image_gradient, rows_of
from harness.classifier.precision import Precise
from harness.errors import BadInput

Search = Literal["fp32", "tf32", "bf16"]
"""The precision in which an attack looks for images. The verdict is always the classifier's own, in strict float32."""

FOLDING_TOLERANCE = 1e-4
"""By how much of the logits' standard deviation a prepared network's may differ in float32."""

_CHANNELS_LAST_SIDE = 16
"""Smaller images (in pixels) gain nothing by it."""

_GRAINS = (4, 8, 16, 32, 64, 128, 256, 512)
_EVEN = 16
"""Batches of more rows have a multiple of it."""

_CPU_ROWS, _CUDA_ROWS = (16, 256), (256, 4096)
_CPU_IDLE, _CUDA_IDLE = 96, 128
_CPU_CACHE, _CUDA_CACHE = 24 << 20, 1 << 30

Weights = Callable[[Tensor, slice], Tensor]
"""Logits (n, K) of some rows, and which rows these are, to the weights (n, K) whose sum with the logits is differentiated."""


def chosen_search(search: str | None, device: torch.device) -> Search:
    """The precision that a search has where none is asked for: tf32 on a GPU that has it, else fp32.

    Raises BadInput for an unknown one, and for tf32 on a CPU.
    """
    fast = device.type == "cuda" and torch.cuda.get_device_capability(device)[0] >= 8
    if search is None:
        return "tf32" if fast else "fp32"
    if search not in get_args(Search):
        raise BadInput(f"expected --search {', '.join(get_args(Search))}, got {search!r}; choose one")
    if search == "tf32" and not fast:
        raise BadInput("expected a GPU with TF32 for --search tf32, got none; use --search fp32 or bf16")
    return search  # type: ignore[return-value]


@dataclass
class Passes:
    """Rows that went through a network: forward alone, and forward and backward. Filling is not counted."""

    forward: int = 0
    gradient: int = 0


@dataclass(frozen=True)
class Prepared:
    """A network in batches of even shape, at the precision of a search; see `prepare`."""

    network: nn.Module
    size: int
    grain: int
    search: Search = "fp32"
    channels_last: bool = False
    by_autocast: bool = False
    """bf16 by autocast, for networks that cannot be cast as a whole."""
    notes: tuple[str, ...] = ()
    passes: Passes = field(default_factory=Passes, compare=False)

    def room(self, rows: int) -> int:
        """How many rows fit into the time of so many: those that would only fill the batch up, and on a GPU, or for a
        network that is next to no work, those of a pass that takes about as long as one row does."""
        return max(rows + -rows % self.grain, self._idle)

    @cached_property
    def _idle(self) -> int:
        if any(parameter.is_cuda for parameter in self.network.parameters()):
            return min(self.size, _CUDA_IDLE)
        return _CPU_IDLE if self.size == _CPU_ROWS[1] else 0

    def logits(self, x: Tensor) -> Tensor:
        """Logits (n, K) of images (n, C, H, W), in the images' type; no gradient is kept."""
        self.passes.forward += len(x)
        with torch.no_grad(), self._precision(x.device):
            # copies: a network may write its next logits where it has written these
            parts = [
                self._call(batch)[: stop - start].to(x.dtype, copy=True) for start, stop, batch in self._batches(x)
            ]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def gradient(self, x: Tensor, weights: Weights) -> tuple[Tensor, Tensor]:
        """Logits (n, K) of images (n, C, H, W), and the gradient of sum(weights * logits) at each image."""
        self.passes.gradient += len(x)
        logits, gradients = [], []
        with self._precision(x.device):
            for start, stop, batch in self._batches(x):
                with torch.enable_grad():
                    leaf = batch.detach().requires_grad_()
                    found = self._call(leaf)
                real = found.detach()[: stop - start].to(x.dtype, copy=True)
                upstream = torch.zeros_like(found)
                upstream[: stop - start] = weights(real, slice(start, stop))
                logits.append(real)
                gradients.append(image_gradient(leaf, found, upstream)[: stop - start])
        if len(logits) == 1:
            return logits[0], gradients[0]
        return torch.cat(logits), torch.cat(gradients)

    def _call(self, x: Tensor) -> Tensor:
        if self.search == "bf16" and not self.by_autocast:
            x = x.to(torch.bfloat16)
        return self.network(x)

    def _batches(self, x: Tensor) -> Iterator[tuple[int, int, Tensor]]:
        """Equal batches, the rows of each with its own filled up by copies of the first."""
        n = len(x)
        count = max(1, -(-n // self.size))
        step = -(-n // count)
        step = min(self.size, -(-step // self.grain) * self.grain)
        for start in range(0, n, step):
            stop = min(start + step, n)
            batch, missing = x[start:stop], -(stop - start) % self.grain
            if missing:
                batch = torch.cat((batch, x[:1].expand(missing, *x.shape[1:])))
            if self.channels_last:
                batch = channels_last(batch)
            yield start, stop, batch

    @contextmanager
    def _precision(self, device: torch.device) -> Iterator[None]:
        if device.type == "cuda" and self.search in ("fp32", "tf32"):
            matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
            before = matmul.allow_tf32, cudnn.allow_tf32
            matmul.allow_tf32 = cudnn.allow_tf32 = self.search == "tf32"
            try:
                yield
            finally:
                matmul.allow_tf32, cudnn.allow_tf32 = before
            return
        by_autocast = self.search == "bf16" and self.by_autocast
        context: AbstractContextManager[object] = (
            torch.autocast(device.type, dtype=torch.bfloat16) if by_autocast else nullcontext()
        )
        with context:
            yield


def channels_last(x: Tensor) -> Tensor:
    """Images (N, C, H, W) laid out with the channels last, also where there is one channel and strides tell nothing."""
    _, channels, height, width = x.shape
    if channels == 1:
        return x.contiguous().as_strided(x.shape, (height * width, 1, width, 1))
    return x.contiguous(memory_format=torch.channels_last)


def _probes(count: int, like: Tensor) -> Tensor:
    """Images of noise (count, C, H, W) like those given: what is prepared then depends on the network alone."""
    drawn = torch.rand(count, *like.shape[1:], generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return drawn.to(like)


def plain(model: nn.Module, x: Tensor) -> Prepared:
    """A classifier as it is, in batches of even shape, for images like x (N, C, H, W)."""
    return _evened(Prepared(model, _size(model, x), _GRAINS[0]), x, gradients=False)


def prepare(model: nn.Module, x: Tensor, search: Search = "fp32", *, size: int | None = None) -> Prepared:
    """A classifier made ready for a search on images like x (N, C, H, W), N >= 1; its parameters must be frozen.

    The classifier itself is left as it is. `size`: the rows of a batch, where they are known.
    """
    network = model.model if isinstance(model, Precise) and model.precision == "fp32" else model
    few = _probes(8, x)
    with torch.no_grad():
        wanted = model(few)
    made, notes = network, []
    one = folded(network, for_search=True)
    if one is not None:
        one.refresh()
        one.eval()
        if _close(one, few, wanted):
            made = one
        else:
            notes.append("the network was not rewritten: logits would differ by more than rounding")
    elif any(isinstance(module, _BatchNorm) for module in network.modules()):
        notes.append("BatchNorm was not folded: the network's forward cannot be traced")
    last = min(few.shape[2:]) >= _CHANNELS_LAST_SIDE and _close(made, channels_last(few), wanted)
    by_autocast = False
    if search == "bf16":
        made, by_autocast = _in_bfloat16(made, few, wanted)
    size = size or _size(network, x)
    prepared = Prepared(made, size, _GRAINS[0], search, last, by_autocast, tuple(notes))
    return _evened(prepared, x, gradients=True)


def _close(network: nn.Module, x: Tensor, wanted: Tensor) -> bool:
    """Whether a network gives the wanted logits up to rounding, and gradients at all."""
    try:
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            logits = network(leaf)
        image_gradient(leaf, logits, torch.ones_like(logits))
    except Exception:  # noqa: BLE001  whatever a forward raises on another layout of memory
        return False
    scale = float(wanted.std()) if wanted.numel() > 1 else 1.0
    return bool((logits - wanted).abs().max() <= FOLDING_TOLERANCE * max(scale, 1e-6))


def _in_bfloat16(network: nn.Module, x: Tensor, wanted: Tensor) -> tuple[nn.Module, bool]:
    """The network in bfloat16, cast as a whole where it runs so; else as it is, for autocast."""
    try:
        cast = deepcopy(network).to(torch.bfloat16)
        with torch.enable_grad():
            leaf = x.to(torch.bfloat16).requires_grad_()
            logits = cast(leaf)
        image_gradient(leaf, logits, torch.ones_like(logits))
        found = logits.detach().to(wanted.dtype)
        if bool((found - wanted).abs().max() <= 0.1 * max(float(wanted.std()), 1e-6)):
            return cast, False
    except Exception:  # noqa: BLE001  parts of it are float32 by name, cannot be copied, or have no such gradient
        pass
    return network, True


def _size(model: nn.Module, x: Tensor) -> int:
    """Rows of a batch: as many as keep the caches busy and fit into memory; even for every grain up to 16."""
    (low, high), cache = (_CUDA_ROWS, _CUDA_CACHE) if x.is_cuda else (_CPU_ROWS, _CPU_CACHE)
    one = bytes_of_one(model, x[:1])
    size = min(max(low, cache // one), high, rows_of(one, x.device))
    if x.is_cuda:
        return 1 << (size.bit_length() - 1)
    even = _EVEN if size >= _EVEN else min(4, size)
    return size // even * even


def _evened(prepared: Prepared, x: Tensor, *, gradients: bool) -> Prepared:
    """The network with the smallest grain at which it gives the same numbers in a full batch and in smaller ones."""
    size = prepared.size
    rows = _probes(size, x)

    def run(grain: int, part: Tensor) -> tuple[Tensor, ...]:
        one = replace(prepared, grain=grain, passes=Passes())
        if not gradients:
            return (one.logits(part),)
        both = one.gradient(part, lambda logits, _: torch.ones_like(logits) - 2 * (logits > 0).to(logits))
        return (*both, one.logits(part))

    whole = run(1, rows)
    for grain in (g for g in _GRAINS if g < size and size % g == 0):
        few = {grain, min(3 * grain, size)}
        if all(_equal(run(grain, rows[-n:]), tuple(part[-n:] for part in whole)) for n in few):
            return replace(prepared, grain=grain, passes=Passes())
    # one shape for all: then only the place in the batch could still matter
    turned = run(size, rows.roll(1, 0))
    notes = prepared.notes
    if not _equal(turned, tuple(part.roll(1, 0) for part in whole)):
        notes = (*notes, "the network's logits depend on the place of an image in its batch")
    return replace(prepared, grain=size, notes=notes, passes=Passes())


def _equal(found: tuple[Tensor, ...], wanted: tuple[Tensor, ...]) -> bool:
    return all(torch.equal(one.nan_to_num(), other.nan_to_num()) for one, other in zip(found, wanted, strict=True))
