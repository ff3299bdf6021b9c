"""Mean and standard deviation that a network subtracts and divides by, told beside its tensors or lying among them.

An entrant takes images in [0,1]. A network that was trained on normalised ones is wrapped: (x - mean) / std, a channel at a
time, comes first. Numbers for images in 0..255 are refused, never guessed at: divided by 255 they are those of this project.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from zoo.entrant import EntrantError

MEANS = ("mean", "means", "mu", "new_mean", "image_mean")
STDS = ("std", "stds", "sigma", "new_std", "image_std", "sd", "sds", "sigmas", "std_dev")
"""Names under which implementations keep the two as buffers."""

_LEAF = re.compile(rf"(?:.*[._])?(?:({'|'.join(MEANS)})|({'|'.join(STDS)}))")
MOST = 10.0
"""A std above this is none of images in [0,1]."""


@dataclass(frozen=True)
class Normalisation:
    """(x - mean) / std; a number each, or one for each channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __str__(self) -> str:
        return f"mean={joined(self.mean)}, std={joined(self.std)}"

    def require(self, channels: int, where: object) -> Normalisation:
        """With one number for each channel. Raises EntrantError for what cannot be of images in [0,1]."""
        for what, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, channels):
                raise EntrantError(
                    f"expected 1 or {channels} numbers for {what} of {where}, got {len(values)}; give one a channel"
                )
        if not all(math.isfinite(value) for value in (*self.mean, *self.std)):
            raise EntrantError(f"expected finite numbers for mean and std of {where}, got {self}; correct them")
        if max(map(abs, self.mean)) > 1 or max(self.std) > MOST:
            raise EntrantError(
                f"expected mean and std of images in [0,1] for {where}, got {self}; divide those of 0..255 by 255"
            )
        if min(self.std) <= 0:
            raise EntrantError(f"expected a std above 0 for {where}, got {joined(self.std)}; correct it")
        return Normalisation(*(v * channels if len(v) == 1 else v for v in (self.mean, self.std)))


class Normalised(nn.Module):
    """A network after a normalisation; images (N, C, H, W) in [0,1] to logits (N, K)."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, normalisation: Normalisation) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(normalisation.mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(normalisation.std).view(1, -1, 1, 1))
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network((x - self.mean) / self.std)
        return logits


def joined(values: Sequence[float]) -> str:
    """Numbers as they are typed: '0.4914,0.4822,0.4465'."""
    return ",".join(f"{value:.7g}" for value in values)


def parse_numbers(key: str, text: str) -> tuple[float, ...]:
    """'0.4914,0.4822,0.4465' as numbers. Raises EntrantError for anything else."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise EntrantError(
            f"expected numbers for {key}, got {text!r}; write {key}=0.5 or, one a channel, {key}=0.49,0.48,0.45"
        ) from error


def stated(mean: Sequence[float] | None, std: Sequence[float] | None) -> Normalisation | None:
    """Of a spec or a card: a mean alone divides by 1, a std alone subtracts 0; neither is none."""
    if mean is None and std is None:
        return None
    return Normalisation(tuple(mean or (0.0,)), tuple(std or (1.0,)))


def is_constant(name: str) -> bool:
    """Whether a tensor's name says that it is a mean or a std of the input (running_mean is none)."""
    return not name.endswith(("running_mean", "running_var", "running_std")) and _LEAF.fullmatch(name) is not None


def among(tensors: Mapping[str, Tensor], channels: int) -> Normalisation | None:
    """The one pair of mean and std among tensors that no network has taken; None where there is none or no whole pair.

    Two different pairs are none, too: who reads on must say which.
    """
    means: list[tuple[float, ...]] = []
    stds: list[tuple[float, ...]] = []
    for name, tensor in tensors.items():
        found = _LEAF.fullmatch(name)
        if not is_constant(name) or found is None or tensor.numel() not in (1, channels):
            continue
        (means if found[1] else stds).append(tuple(tensor.detach().double().flatten().tolist()))
    if len(set(means)) == 1 and len(set(stds)) == 1:
        return Normalisation(_short(means[0]), _short(stds[0]))
    return None


def said_outside(
    held: Any, channels: int, places: Collection[tuple[str, ...]], place: tuple[str, ...] = ()
) -> Iterator[str]:
    """Where a loaded file holds a mean or a std, one number a channel, outside the mappings at `places`: "hparams.mean"."""
    if not isinstance(held, Mapping) or place in places or len(place) > 3:
        return
    for key, value in held.items():
        if not isinstance(key, str):
            continue
        numbers = value.numel() if isinstance(value, Tensor) else len(value) if isinstance(value, list | tuple) else 0
        if is_constant(key) and numbers == channels:
            yield ".".join((*place, key))
        yield from said_outside(value, channels, places, (*place, key))


def _short(values: Sequence[float]) -> tuple[float, ...]:
    # float32 of 0.4914 is 0.49140000343...: seven digits give the same float32 and are what was typed
    return tuple(v if torch.tensor(float(f"{v:.9g}")) != torch.tensor(v) else float(f"{v:.9g}") for v in values)
