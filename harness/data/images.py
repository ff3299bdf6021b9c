"""Images and labels in memory, and the runs of examples that measures are given.

The fingerprint is a sha256 over images and labels in order, so two results with one fingerprint were measured on the same
examples. Images stay uint8 (as the files have them) until a run of examples is taken.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from harness.errors import BadInput

Split = Literal["train", "test"]

BUILT_IN = ("digits", "mnist", "cifar10", "cifar100", "svhn", "tiny-imagenet", "imagenet")
"""Data sets that the harness knows by name."""


def native(array: np.ndarray) -> np.ndarray | None:
    """The same numbers in this machine's byte order, contiguous, in a type that torch has; None where they do not fit one.

    A longdouble whose every value is a float64 becomes one.
    """
    if array.dtype == np.longdouble and array.dtype.itemsize > 8:
        narrow = array.astype(np.float64)
        if not np.array_equal(narrow.astype(np.longdouble), array, equal_nan=True):
            return None
        array = narrow
    same = np.asarray(array, dtype=array.dtype.newbyteorder("="), order="C")
    return same if same.flags.writeable else same.copy()  # a file that is mapped is not


@dataclass(frozen=True)
class Part:
    """Every so many-th image of a set, from its first one, and so many of them at most."""

    every: int
    most: int


CALIBRATION = Part(every=2, most=5_000)
"""The images of a suite that the scale of an entrant's logits is fitted on (harness.measures.calibration)."""


@dataclass(frozen=True)
class Examples:
    """A run of a suite's examples: x (N, C, H, W) float32 in [0,1], y (N,) int64, and the index of the first.

    `held_out` are the images that a measure may fit a number of the entrant on, the same ones for every run of examples.
    """

    x: Tensor
    y: Tensor
    start: int = 0
    held_out: ImageSet | None = None

    def to(self, device: torch.device) -> Examples:
        return replace(self, x=self.x.to(device), y=self.y.to(device))

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class ImageSet:
    """A split of a data set. `images` (N, C, H, W) is uint8, or float32 in [0,1]; `labels` (N,) int64.

    `whole` is set where these are a part, the first examples of a split (harness.data.parts): how many the split has.
    """

    name: str
    split: Split
    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    source: str
    digest: str = ""
    whole: int = 0

    def __post_init__(self) -> None:
        if len(self.images) != len(self.labels) or len(self.images) == 0:
            raise BadInput(
                f"expected as many labels as images and at least one, got {len(self.images)} images and"
                f" {len(self.labels)} labels in {self.source}; mend the files"
            )
        if self.images.numel() == 0:
            raise BadInput(
                f"expected images with pixels, got {tuple(self.images.shape)} in {self.source}; mend the files"
            )
        if self.images.is_floating_point():
            low, high = self.images.min().item(), self.images.max().item()
            if not (low >= 0 and high <= 1):  # also true for NaN
                raise BadInput(
                    f"expected images in [0,1], got values from {low:g} to {high:g} in {self.source};"
                    " divide by the largest value, and leave mean and standard deviation to the classifier"
                )
        low, high = int(self.labels.min()), int(self.labels.max())
        if low < 0 or high >= len(self.classes):
            raise BadInput(
                f"expected labels from 0 to {len(self.classes) - 1}, got {low} to {high} in {self.source}; mend the labels"
            )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def size(self) -> int:
        """How many examples the split has; of a part more than are here."""
        return self.whole or len(self)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    @cached_property
    def fingerprint(self) -> str:
        """sha256 (hex) over the images' type, shape and bytes and the labels, in order."""
        if self.digest:
            return self.digest
        return self.content(0, len(self))

    def content(self, start: int, stop: int) -> str:
        """sha256 (hex) over the pixels and labels of examples start to stop (exclusive), whatever set they stand in."""
        if (start, stop) not in self._contents:
            images, labels = self.images[start:stop], self.labels[start:stop]
            content = hashlib.sha256(f"{images.dtype} {tuple(images.shape)}".encode())
            content.update(np.ascontiguousarray(images.numpy()).data)
            content.update(labels.numpy().astype("<i8").tobytes())
            self._contents[start, stop] = content.hexdigest()
        return self._contents[start, stop]

    @cached_property
    def _contents(self) -> dict[tuple[int, int], str]:
        return {}  # asked for by every measure and entrant: hashed once

    def first(self, n: int | None) -> ImageSet:
        """The set cut to its first n examples (all where n is None)."""
        if n is None or n >= len(self):
            return self
        digest = hashlib.sha256(f"{self.digest} first {n}".encode()).hexdigest() if self.digest else ""
        return replace(self, images=self.images[:n], labels=self.labels[:n], digest=digest, whole=0)

    @cached_property
    def calibration(self) -> ImageSet:
        """The fixed part of the set that CALIBRATION names."""
        every, end = CALIBRATION.every, CALIBRATION.every * CALIBRATION.most
        return replace(self, images=self.images[:end:every], labels=self.labels[:end:every], digest="")

    def examples(self, start: int, stop: int) -> Examples:
        """Examples start to stop (exclusive), as float32 in [0,1]."""
        images = self.images[start:stop]
        # a copy in either case: the store is shared by all entrants, and one may write into what it is given
        x = images.float() / 255 if images.dtype == torch.uint8 else images.to(torch.float32, copy=True)
        return Examples(x, self.labels[start:stop], start)
