"""The floor of benchmarks/autoattack.py: what the passes of an attack would take alone, without queue, draws and steps."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from harness.attacks.engine.engine import Report
from harness.classifier.frozen import frozen
from harness.classifier.prepared import Prepared, Search, prepare

Clock = Literal["wall", "cpu"]

CLOCKS: dict[Clock, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}
"""By the clock on the wall, or by what the process had of the processors: on a shared machine the fairer one, without a GPU."""

BARE_SIZES = (16, 32, 64, 128, 256, 512, 1024, 4096)
"""Batches that the bare passes of the prepared network are timed in; on the CPU those up to 256."""


def bare(prepared: Prepared, batch: Tensor, *, gradient: bool) -> Callable[[], None]:
    """A pass of the prepared network alone, forward or forward and backward to the images (n, C, H, W)."""
    if prepared.channels_last:
        batch = batch.contiguous(memory_format=torch.channels_last)
    if prepared.search == "bf16" and not prepared.by_autocast:
        batch = batch.to(torch.bfloat16)
    by_autocast = torch.autocast(batch.device.type, torch.bfloat16) if prepared.by_autocast else nullcontext()

    def forward() -> None:
        with torch.no_grad(), by_autocast:
            prepared.network(batch)

    def both() -> None:
        with torch.enable_grad(), by_autocast:
            leaf = batch.detach().requires_grad_()
            logits = prepared.network(leaf)
        logits.backward(torch.ones_like(logits))  # not autograd.grad, which cannot be counted

    return both if gradient else forward


def seconds_of(call: Callable[[], None], device: torch.device, clock: Callable[[], float]) -> float:
    """The median of at least three calls and 0.3 s of them, after a first one that does not count."""
    call()
    times: list[float] = []
    while len(times) < 3 or sum(times) < 0.3:
        wait(device)
        begun = clock()
        call()
        wait(device)
        times.append(clock() - begun)
    return float(np.median(times))


def per_row(prepared: Prepared, x: Tensor, clock: Callable[[], float], *, gradient: bool) -> float:
    """Seconds of a bare pass for one image, in the best of several batches."""
    best = math.inf
    for size in BARE_SIZES if x.is_cuda else (size for size in BARE_SIZES if size <= 256):
        taken = seconds_of(bare(prepared, x[torch.arange(size) % len(x)], gradient=gradient), x.device, clock)
        best = min(best, taken / size)
        if taken > 1 or taken / size > 1.2 * best:
            break  # larger batches of this network only spill the caches
    return best


def flops_per_row(prepared: Prepared, x: Tensor, *, gradient: bool) -> float:
    """Floating-point operations of a pass for one image (n, C, H, W), a multiplication and an addition counted as two."""
    with FlopCounterMode(display=False) as counter:
        bare(prepared, x[:1].repeat(8, 1, 1, 1), gradient=gradient)()
    return counter.get_total_flops() / 8


def matrix_rate(search: Search, device: torch.device, clock: Callable[[], float]) -> float:
    """Floating-point operations a second in a product of large square matrices, in the precision of a search."""
    side = 8192 if device.type == "cuda" else 2048
    dtype = torch.bfloat16 if search == "bf16" else torch.float32
    one, other = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))

    def product() -> None:
        torch.mm(one, other)

    return 2 * side**3 / seconds_of(product, device, clock)


def floor(
    search: Search,
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    reports: list[Report],
    taken: float,
    clock: Callable[[], float],
) -> dict[str, Any]:
    """What the passes of `reports` need at least, and which share of the matrix rate the attack had in `taken` seconds."""
    with frozen(model), torch.no_grad():
        right = model(x).argmax(1) == y
        some = x[right] if bool(right.any()) else x
        prepared = prepare(model, some, search)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = search == "tf32"
        forward, gradient = sum(report.forward for report in reports), sum(report.gradient for report in reports)
        row, row_gradient = (per_row(prepared, some, clock, gradient=wanted) for wanted in (False, True))
        work = forward * flops_per_row(prepared, some, gradient=False)
        work += gradient * flops_per_row(prepared, some, gradient=True)
        rate = matrix_rate(search, x.device, clock)
    return {
        "forward": forward,
        "gradient": gradient,
        "verdicts": sum(report.verdicts for report in reports),
        "floor": forward * row + gradient * row_gradient,
        "matrix_share": work / taken / rate,
        "notes": [note for report in reports for note in report.notes],
        "rejected": sum(found.n for report in reports for found in report.rejected),
    }


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
