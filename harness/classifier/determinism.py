"""What makes numbers repeatable: a fixed number of threads on the CPU, strict float32 and fixed kernels on a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def make_deterministic(device: torch.device, threads: int = 1) -> None:
    """The same numbers whenever and by however many workers something is computed, from here on in this process.

    On the CPU a fixed number of threads (the order of a sum depends on it); on a GPU plain fp32 without TF32, and no
    kernel chosen by timing.
    """
    if device.type != "cuda":
        torch.set_num_threads(threads)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


@contextmanager
def deterministic(device: torch.device, threads: int = 1) -> Iterator[None]:
    """`make_deterministic` for a block; what it sets is put back afterwards."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = torch.get_num_threads(), matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic
    make_deterministic(device, threads)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic = before[1:]
