"""What makes numbers repeatable: one thread a worker on the CPU, strict float32 and fixed kernels on a GPU."""

from __future__ import annotations

import torch


def deterministic(threads: int | None) -> None:
    """The same numbers whenever and by however many workers a shard is measured.

    One thread a worker on the CPU (the order of a sum depends on the number of threads); on a GPU plain fp32 without
    TF32, and no kernel chosen by timing.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
