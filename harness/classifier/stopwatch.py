"""Timing a few steps of some work on a device."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch


def seconds(work: Callable[[], object], device: torch.device, *, warm: bool = True) -> float:
    """Seconds of one run of the work, waiting for the device; after a first run that is not counted, where `warm`."""
    if warm:
        work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    begun = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begun
