"""What draws are made from and held against: training images, held-out images, and the extractor of their features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.data.images import ImageSet
from harness.features.digits import as_bytes
from harness.features.extractor import Extractor
from harness.features.scores import Features, nearest
from harness.sampling.training_images import TrainingImages

HELD_OUT_DISTANCES = 2_000
"""Held-out images whose nearest training images are looked for: on CIFAR-10 a minute on a CPU, once."""


@dataclass(frozen=True)
class Material:
    """What draws are made from and held against. `extractor` None: there is none, for `reason`."""

    training: TrainingImages
    held_out: ImageSet
    extractor: Extractor | None
    reason: str = ""

    def settings(self) -> dict[str, Any]:
        train = self.training.images
        return {
            "train": {"fingerprint": train.fingerprint, "images": len(train)},
            "held_out": {"fingerprint": self.held_out.fingerprint, "images": len(self.held_out)},
            "extractor": self.extractor.settings() if self.extractor else None,
        }

    def real(self, images: ImageSet, extractor: Extractor, device: torch.device) -> Features:
        """Features of a whole split, made once for a data set and an extractor."""
        parts = {"fit": "features", "images": images.fingerprint, "extractor": extractor.settings()}

        def make() -> dict[str, Tensor]:
            features, logits = extractor(as_bytes(images.images), device)
            return {"features": features, "logits": logits}

        found = self.training.fits(parts, make)
        return Features(found["features"], found["logits"])

    def held_out_distances(self, device: torch.device) -> np.ndarray:
        """Of the first held-out images to their nearest training images, made once for a data set."""
        held_out, train = self.held_out.first(HELD_OUT_DISTANCES), self.training.images
        parts = {"fit": "nearest", "images": held_out.fingerprint, "train": train.fingerprint}

        def make() -> dict[str, Tensor]:
            return {"distance": self.nearest(as_bytes(held_out.images).to(device))[1]}

        return self.training.fits(parts, make)["distance"].numpy()

    def nearest(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Index and distance of the nearest training image of each image (N, C, H, W) uint8."""
        return nearest(images.flatten(1), as_bytes(self.training.images.images).flatten(1).to(images.device))
