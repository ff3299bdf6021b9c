"""What is random in the attacks: numbers that depend on a seed and on the image, never on the batch, the shard or the worker.

The generator is SplitMix64 (Steele, Lea & Flood 2014) in torch's 64-bit integers, whose products wrap around: a key and a
counter give the same bits on every device. The key of an image is a hash of its pixels, so it draws the same numbers wherever
it stands; so do two images that are equal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
_FIRST = 0xBF58476D1CE4E5B9 - (1 << 64)
_SECOND = 0x94D049BB133111EB - (1 << 64)
_BITS = 24
"""Bits of a uniform number: as many as float32 holds exactly below one."""

_PIXELS = 1 << 20
"""Pixels that are hashed at once."""


def _shifted(z: Tensor, by: int) -> Tensor:
    """z >> by as if z were unsigned."""
    return (z >> by) & ((1 << (64 - by)) - 1)


def mixed(z: Tensor) -> Tensor:
    """SplitMix64's finaliser: int64 of any shape to the same; a bijection that scatters every bit."""
    z = (z ^ _shifted(z, 30)) * _FIRST
    z = (z ^ _shifted(z, 27)) * _SECOND
    return z ^ _shifted(z, 31)


def image_keys(x: Tensor) -> Tensor:
    """A key for each image (N, C, H, W), (N,) int64: a multilinear hash of its pixels in float32."""
    flat = x.detach().float().flatten(1).contiguous()
    factors = mixed(torch.arange(1, flat.shape[1] + 1, device=x.device) * _GOLDEN) | 1
    rows = max(1, _PIXELS // max(1, flat.shape[1]))
    parts = [(part.view(torch.int32).long() * factors).sum(1) for part in flat.split(rows)]
    return mixed(torch.cat(parts))


def subkey(keys: Tensor, label: int | Tensor) -> Tensor:
    """Keys (n,) of a part of what keys (n,) stand for; parts with different labels are independent."""
    offset = torch.as_tensor(label, dtype=torch.int64, device=keys.device)
    return mixed(keys ^ mixed(offset * _GOLDEN + _FIRST))


def bits(keys: Tensor, count: int) -> Tensor:
    """`count` words of each key's stream: (n,) to (n, count) int64."""
    counter = torch.arange(1, count + 1, device=keys.device) * _GOLDEN
    return mixed(keys.unsqueeze(1) + counter)


def uniform(keys: Tensor, count: int) -> Tensor:
    """Uniform numbers in [0, 1), (n,) to (n, count) float64, multiples of 2^-24."""
    return _shifted(bits(keys, count), 64 - _BITS).double() * 2.0**-_BITS


def normal(keys: Tensor, count: int) -> Tensor:
    """Standard normal numbers, (n,) to (n, count) float64, by Box and Muller's transform."""
    u = uniform(keys, 2 * count)
    radius = (-2 * torch.log(u[:, :count] + 2.0 ** -(_BITS + 1))).sqrt()
    return radius * torch.cos(2 * math.pi * u[:, count:])


def signs(keys: Tensor, count: int) -> Tensor:
    """-1 or 1, (n,) to (n, count) int64."""
    return 1 + 2 * (bits(keys, count) >> 63)


@dataclass(frozen=True)
class Squares:
    """Square's proposals under Linf, one a query and the same for every image: the window's first row and column as fractions
    of what its side leaves, (Q,) in [0, 1), and a sign for each channel, (Q, C)."""

    row: Tensor
    column: Tensor
    signs: Tensor


class Draws(Protocol):
    """All numbers that the attacks draw. Tests put the reference's in their place."""

    def start(self, keys: Tensor, stage: int, target: Tensor, shape: Sequence[int], *, gaussian: bool) -> Tensor:
        """The direction of APGD's random start, (n, *shape) float64: uniform in [-1, 1), or standard normal."""
        ...

    def stripes(self, keys: Tensor, channels: int, width: int) -> Tensor:
        """The signs of Square's first image under Linf, (n, channels, 1, width)."""
        ...

    def squares(self, queries: int, channels: int, device: torch.device) -> Squares:
        """Square's proposals under Linf."""
        ...

    def tiles(self, keys: Tensor, tiles: int, channels: int) -> tuple[Tensor, Tensor]:
        """Square's first image under L2: whether each tile lies on its side, (tiles,) bool, and signs (n, tiles, channels)."""
        ...

    def windows(self, queries: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Square's proposals under L2: places of two windows as fractions, (Q, 4), and which lie on their side, (Q,) bool."""
        ...

    def window_signs(self, keys: Tensor, query: int, channels: int) -> Tensor:
        """The signs of one query's window under L2, (n, channels)."""
        ...


_SQUARE, _TILES, _WINDOWS, _SHARED = 101, 102, 103, 104


@dataclass(frozen=True)
class KeyedDraws:
    """Numbers by seed and image key; what all images share, by seed and query."""

    seed: int

    def _of(self, keys: Tensor, label: int) -> Tensor:
        return subkey(subkey(keys, self.seed), label)

    def _shared(self, label: int, count: int, device: torch.device) -> Tensor:
        """Keys (count,) of things that no image has a part in."""
        root = self._of(torch.tensor([_SHARED], device=device), label)
        return subkey(root.expand(count), torch.arange(count, device=device))

    def start(self, keys: Tensor, stage: int, target: Tensor, shape: Sequence[int], *, gaussian: bool) -> Tensor:
        """See Draws."""
        own, count = subkey(self._of(keys, stage), target), math.prod(shape)
        found = normal(own, count) if gaussian else 2 * uniform(own, count) - 1
        return found.view(-1, *shape)

    def stripes(self, keys: Tensor, channels: int, width: int) -> Tensor:
        """See Draws."""
        return signs(self._of(keys, _SQUARE), channels * width).view(-1, channels, 1, width)

    def squares(self, queries: int, channels: int, device: torch.device) -> Squares:
        """See Draws."""
        keys = self._shared(_SQUARE, queries, device)
        u = uniform(keys, 2)
        return Squares(u[:, 0], u[:, 1], signs(subkey(keys, _SQUARE), channels))

    def tiles(self, keys: Tensor, tiles: int, channels: int) -> tuple[Tensor, Tensor]:
        """See Draws."""
        turned = signs(self._shared(_TILES, tiles, keys.device), 1).squeeze(1) > 0
        return turned, signs(self._of(keys, _TILES), tiles * channels).view(len(keys), tiles, channels)

    def windows(self, queries: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """See Draws."""
        keys = self._shared(_WINDOWS, queries, device)
        return uniform(keys, 4), signs(subkey(keys, _WINDOWS), 1).squeeze(1) > 0

    def window_signs(self, keys: Tensor, query: int, channels: int) -> Tensor:
        """See Draws."""
        return signs(subkey(self._of(keys, _WINDOWS), query), channels)
