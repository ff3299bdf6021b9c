"""Rows of an attack in flight: buffers made once, of which the first `n` rows are in use.

What is done is done to all rows at once. Rows that are finished are taken out by moving the others together, and new rows are
put behind them, so the passes through the network stay full.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class Lanes:
    """Named buffers with `capacity` rows each. `lanes[name]` is a view of the rows in use; write through it."""

    def __init__(self, capacity: int, device: torch.device) -> None:
        self.capacity = capacity
        self.n = 0
        self._device = device
        self._buffers: dict[str, Tensor] = {}

    def buffer(self, name: str, shape: Sequence[int], dtype: torch.dtype) -> None:
        """Make a buffer: `capacity` rows of a shape."""
        self._buffers[name] = torch.zeros(self.capacity, *shape, dtype=dtype, device=self._device)

    def __getitem__(self, name: str) -> Tensor:
        return self._buffers[name][: self.n]

    def padded(self, name: str, rows: int) -> Tensor:
        """The first `rows` rows of a buffer, in use or not."""
        return self._buffers[name][:rows]

    @property
    def free(self) -> int:
        """Rows that are not in use."""
        return self.capacity - self.n

    def admit(self, count: int) -> slice:
        """Take `count` more rows into use; gives their place. Their content is whatever was there: write all of it."""
        rows = slice(self.n, self.n + count)
        self.n += count
        return rows

    def keep(self, rows: Tensor) -> None:
        """Keep the rows (rising indices) and take the others out of use. The order stays."""
        for buffer in self._buffers.values():
            buffer[: len(rows)] = buffer[rows]
        self.n = len(rows)
