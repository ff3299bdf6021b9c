"""The processes that train together: one a GPU, started by torchrun; or this one alone.

Every process draws the same random numbers for the whole batch and takes its part of it, so that the gradients of a step
are those that one process would have, whatever the number of processes (up to the order of sums).
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from harness.errors import BadInput

_SYNC = "forward_sync_buffers"
_UNSYNCED = {_SYNC if _SYNC in inspect.signature(DistributedDataParallel).parameters else "broadcast_buffers": False}
"""BatchNorm's statistics are equal in all processes already: nothing sends them at each step. Newer torch has another word."""


@dataclass(frozen=True)
class World:
    """`size` processes, of which this one has number `rank`."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes and speaks."""
        return self.rank == 0

    def part(self, values: Tensor) -> Tensor:
        """This process's part of a batch (N, ...): consecutive samples, as even as N allows."""
        return values.tensor_split(self.size)[self.rank]

    def total(self, value: Tensor) -> Tensor:
        """The sum of a tensor over the processes."""
        if self.size > 1:
            value = value.clone()
            dist.all_reduce(value)
        return value

    def gathered(self, part: Tensor, n: int) -> Tensor:
        """The whole batch (n, ...) from the parts of it."""
        if self.size == 1:
            return part
        whole = torch.zeros(n, *part.shape[1:], dtype=part.dtype, device=part.device)
        self.part(whole).copy_(part)
        return self.total(whole)

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether any process says so: all must stop at the same step."""
        return flag if self.size == 1 else bool(self.total(torch.tensor(float(flag), device=device)) > 0)

    def shared(self, network: nn.Module, device: torch.device) -> nn.Module:
        """The network with gradients averaged over the processes; itself where there is one.

        BatchNorm takes its statistics over the whole batch. Raises BadInput where it cannot: on the CPU.
        """
        if self.size == 1:
            return network
        if any(isinstance(module, _BatchNorm) for module in network.modules()):
            if device.type != "cuda":
                raise BadInput(
                    "expected a GPU a process for a network with BatchNorm, whose statistics span the processes,"
                    f" got {device.type}; train it in one process, or choose an architecture without BatchNorm"
                )
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        ids = [device.index] if device.type == "cuda" else None
        return DistributedDataParallel(network, device_ids=ids, **_UNSYNCED)


@contextmanager
def processes(device: str) -> Iterator[tuple[World, str]]:
    """The processes that torchrun started, joined for as long as the context lasts, and this one's device.

    `device` is what was asked for: auto, cpu or cuda. Without torchrun it is this process alone. Raises BadInput.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World(), device
        return
    local = int(os.environ["LOCAL_RANK"])
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device not in ("cpu", "cuda"):
        raise BadInput(
            f"expected --device auto, cpu or cuda under torchrun, got {device}; it gives each process its own"
        )
    if device == "cuda":
        if local >= torch.cuda.device_count():
            raise BadInput(f"expected a GPU for each process, got {torch.cuda.device_count()}; lower --nproc-per-node")
        torch.cuda.set_device(local)
        device = f"cuda:{local}"
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield World(dist.get_rank(), size), device
    finally:
        dist.destroy_process_group()
