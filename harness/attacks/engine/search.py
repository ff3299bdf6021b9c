"""What the engine asks of each attack: rows in flight that go one pass further at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from harness.attacks.engine.lanes import Lanes
from harness.classifier.prepared import Prepared
from harness.threat import ThreatModel


@dataclass(frozen=True)
class Jobs:
    """Rows to begin: natural images x (n, C, H, W), labels y, target classes (n,), keys of the images and their examples."""

    x: Tensor
    y: Tensor
    target: Tensor
    keys: Tensor
    example: Tensor

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class Hits:
    """Rows whose images the searched network gets wrong, and those images; of several of a row the first legal one counts."""

    rows: Tensor
    x_adv: Tensor


class RowSearch(Protocol):
    """An attack on the rows of `lanes`, which hold at least what lanes_for makes: `example`, `y`, `natural` (the images)."""

    lanes: Lanes
    lockstep: bool
    """New rows begin only when no other is in flight."""
    quiet: bool
    """Nothing can have ended in the last pass: there is no need to look."""

    def admit(self, jobs: Jobs) -> None:
        """Begin rows; there is room for them."""
        ...

    def advance(self, network: Prepared) -> Hits:
        """Pass every row once through the network where it needs to be, and say which images are worth verifying."""
        ...

    def finished(self) -> Tensor:
        """(n,) bool: rows that have taken all their steps."""
        ...

    def taken(self) -> Tensor:
        """(n,) float: the share of its work that each row has taken, for who follows the attack."""
        ...


def wrong(logits: Tensor, y: Tensor) -> Tensor:
    """(n,) bool: the largest logit is not the label's."""
    return logits.argmax(1) != y


def lanes_for(capacity: int, jobs: Jobs) -> Lanes:
    """Lanes with what every search keeps of its rows."""
    lanes = Lanes(capacity, jobs.x.device)
    for name, tensor in (("example", jobs.example), ("y", jobs.y), ("target", jobs.target), ("keys", jobs.keys)):
        lanes.buffer(name, (), tensor.dtype)
    lanes.buffer("natural", jobs.x.shape[1:], jobs.x.dtype)
    return lanes


def admit_to(lanes: Lanes, jobs: Jobs) -> slice:
    """Put jobs into the lanes; gives the place of their rows."""
    rows = lanes.admit(len(jobs))
    lanes["example"][rows] = jobs.example
    lanes["y"][rows] = jobs.y
    lanes["target"][rows] = jobs.target
    lanes["keys"][rows] = jobs.keys
    lanes["natural"][rows] = jobs.x
    return rows


def bounds(x: Tensor, threat: ThreatModel) -> tuple[Tensor, Tensor]:
    """The lowest and the highest pixels that the Linf ball and [0, 1] allow."""
    return (x - threat.eps).clamp(0, 1), (x + threat.eps).clamp(0, 1)


def row_sum(x: Tensor) -> Tensor:
    """Sums over the last dimension, each in an order that does not depend on how many there are beside it.

    On the CPU that is so in any case. A GPU shares rows out by their number: there halves are added to each other.
    """
    return _by_halves(x) if x.is_cuda else x.sum(-1)


def _by_halves(x: Tensor) -> Tensor:
    count = x.shape[-1]
    if count == 0:
        return x.sum(-1)
    x = torch.nn.functional.pad(x, (0, (1 << (count - 1).bit_length()) - count))
    while x.shape[-1] > 1:
        half = x.shape[-1] // 2
        x = x[..., :half] + x[..., half:]
    return x.squeeze(-1)


def length(x: Tensor) -> Tensor:
    """L2 norms (n,) of (n, ...)."""
    return row_sum((x**2).flatten(1)).sqrt()


_NONE = torch.empty(0, dtype=torch.int64)


def no_hits(lanes: Lanes) -> Hits:
    """Nothing to verify."""
    natural = lanes["natural"][:0]
    return Hits(_NONE.to(natural.device), natural)
