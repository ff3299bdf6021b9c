"""Random numbers that belong to a draw, not to a batch: Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as
easy as 1, 2, 3"), a function of (seed, draw, stream, step, place) that is computed on the device for all draws at once.

A draw gets the same numbers in whatever batch, on whatever device and by whichever worker it is made. torch's own
generators cannot do that: one generator a draw is a Python loop, one generator a batch ties a draw to its neighbours.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_WORD = 0xFFFFFFFF
_MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
_WEYL = 0x9E3779B9, 0xBB67AE85
ROUNDS = 10

START, BASE, PICK, STEP = range(4)
"""Streams: numbers of one draw that are used for different things never meet."""


def _halves(multiplier: int, word: Tensor) -> tuple[Tensor, Tensor]:
    """High and low 32 bits of a product of two 32-bit words. int64 wraps around, which leaves the bits as they are."""
    product = word * multiplier
    return (product >> 32) & _WORD, product & _WORD


def philox(counter: tuple[Tensor, Tensor, Tensor, Tensor], key: tuple[int, int]) -> tuple[Tensor, ...]:
    """Four random 32-bit words (int64 tensors of values below 2^32) for each counter of four such words."""
    a, b, c, d = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        high0, low0 = _halves(_MULTIPLIERS[0], a)
        high1, low1 = _halves(_MULTIPLIERS[1], c)
        a, b, c, d = high1 ^ b ^ k0, low1, high0 ^ d ^ k1, low0
        k0, k1 = (k0 + _WEYL[0]) & _WORD, (k1 + _WEYL[1]) & _WORD
    return a, b, c, d


def _words(seed: int, draws: Tensor, stream: int, step: int, size: int) -> tuple[Tensor, ...]:
    """(N, ceil(size / 4)) words each: a row a draw."""
    blocks = torch.arange((size + 3) // 4, device=draws.device).expand(len(draws), -1)
    rows = draws.unsqueeze(1).expand_as(blocks)
    counter = (blocks, torch.full_like(blocks, step), rows, torch.full_like(blocks, stream))
    return philox(counter, (seed & _WORD, (seed >> 32) & _WORD))


def uniform(seed: int, draws: Tensor, stream: int, size: int, step: int = 0) -> Tensor:
    """(N, size) float32 in [0,1), for draws (N,) int64: each row a function of the seed and its draw alone."""
    words = torch.stack(_words(seed, draws, stream, step, size), 2).flatten(1)[:, :size]
    return (words >> 8).float() * 2**-24  # the 24 bits that float32 holds: never rounded up to 1


def normal(seed: int, draws: Tensor, stream: int, size: int, step: int = 0) -> Tensor:
    """(N, size) float32 standard normal numbers (Box-Muller in float64), for draws (N,) int64."""
    a, b, c, d = ((word.double() + 0.5) * 2**-32 for word in _words(seed, draws, stream, step, size))
    first, second = (-2 * a.log()).sqrt(), (-2 * c.log()).sqrt()
    around, about = 2 * math.pi * b, 2 * math.pi * d
    parts = (first * around.cos(), first * around.sin(), second * about.cos(), second * about.sin())
    return torch.stack(parts, 2).flatten(1)[:, :size].float()
