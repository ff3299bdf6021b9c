"""Batches for training: held-out validation images, random order, synthetic images mixed in, crops and flips.

Everything lies on the device, images as the files have them (uint8), and all random numbers come from one generator there.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

import torch
from torch import Tensor, nn

from harness.data.images import ImageSet
from harness.errors import BadInput
from harness.training.recipes import Recipe


def held_out(images: ImageSet, share: float) -> tuple[ImageSet, ImageSet | None]:
    """Training images without, and with nothing but, round(share N) images held out for validation.

    Which ones depends on their number alone, not on a recipe's seed: runs with different seeds are chosen by the same
    images. Raises BadInput where too few are left to hold out any.
    """
    if not share:
        return images, None
    n = round(share * len(images))
    if not 0 < n < len(images):
        raise BadInput(f"expected at least one image to hold out, got {share} of {len(images)}; give a larger share")
    order = sorted(range(len(images)), key=lambda i: hashlib.sha256(str(i).encode()).digest())

    def those(indices: list[int]) -> ImageSet:
        chosen = torch.tensor(sorted(indices))
        return replace(images, images=images.images[chosen], labels=images.labels[chosen], digest="")

    return those(order[n:]), those(order[:n])


def augmented(x: Tensor, *, crop: int, flip: bool, generator: torch.Generator) -> Tensor:
    """Random crops of the zero-padded images (padding `crop`), and horizontal flips: (N, C, H, W) to the same shape."""
    n, _, height, width = x.shape
    device = generator.device
    if flip:
        chosen = (torch.rand(n, generator=generator, device=device) < 0.5).to(x.device)
        x = torch.where(chosen.view(-1, 1, 1, 1), x.flip(3), x)
    if crop:
        padded = nn.functional.pad(x, (crop,) * 4)
        top, left = torch.randint(0, 2 * crop + 1, (2, n), generator=generator, device=device).to(x.device)
        rows = (top[:, None] + torch.arange(height, device=x.device))[:, None, :, None]
        columns = (left[:, None] + torch.arange(width, device=x.device))[:, None, None, :]
        samples = torch.arange(n, device=x.device)[:, None, None, None]
        channels = torch.arange(x.shape[1], device=x.device)[None, :, None, None]
        x = padded[samples, channels, rows, columns]
    return x


class Batches:
    """The batches of an epoch, by number. An epoch has as many images as there are real ones, synthetic ones included."""

    def __init__(
        self,
        images: ImageSet,
        synthetic: ImageSet | None,
        recipe: Recipe,
        *,
        flip: bool,
        device: torch.device,
        generator: torch.Generator,
    ) -> None:
        self.size = min(recipe.batch_size, len(images))
        self.steps = len(images) // self.size
        self.extra = round(recipe.synthetic_fraction * self.size) if synthetic is not None else 0
        self.crop, self.flip, self.generator, self.device = recipe.crop, flip, generator, device
        self.n = len(images)
        self.sources = [(images.images.to(device), images.labels.to(device))]
        if synthetic is not None:
            self.sources.append((synthetic.images.to(device), synthetic.labels.to(device)))
        self.order = torch.empty(0, dtype=torch.int64, device=device)

    def shuffle(self) -> None:
        """A new order of the real images, for a new epoch."""
        drawn = torch.randperm(self.n, generator=self.generator, device=self.generator.device)
        self.order = drawn.to(self.device)

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """Batch number `step` of the epoch, augmented: x (N, C, H, W) float32 in [0,1], and y (N,)."""
        real = self.size - self.extra
        x, y = self._taken(0, self.order[step * real : (step + 1) * real])
        if self.extra:
            among = len(self.sources[1][1])
            chosen = torch.randint(among, (self.extra,), generator=self.generator, device=self.generator.device)
            x_extra, y_extra = self._taken(1, chosen.to(self.device))
            x, y = torch.cat([x, x_extra]), torch.cat([y, y_extra])
        return augmented(x, crop=self.crop, flip=self.flip, generator=self.generator), y

    def _taken(self, source: int, indices: Tensor) -> tuple[Tensor, Tensor]:
        images, labels = self.sources[source]
        x = images[indices]
        return x.float() / 255 if x.dtype == torch.uint8 else x.float(), labels[indices]
