"""The training images that a draw starts from and is held against, with what is fitted to each class of them."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from harness.data.images import ImageSet
from harness.errors import BadInput
from harness.sampling.class_pca import ClassPCA, fit_class_pca
from harness.sampling.fits import Fits


@dataclass(frozen=True)
class TrainingImages:
    """A train split, by class. Raises BadInput where a class has fewer than two images: it has no distribution."""

    images: ImageSet
    fits: Fits = field(default_factory=Fits)

    def __post_init__(self) -> None:
        counts = torch.bincount(self.images.labels, minlength=len(self.images.classes))
        for name, count in zip(self.images.classes, counts.tolist(), strict=True):
            if count < 2:
                raise BadInput(
                    f"expected at least two training images of each class, got {count} of {name!r} in"
                    f" {self.images.source}; add images of it, or leave generation out"
                )

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.images.shape

    @property
    def classes(self) -> int:
        return len(self.images.classes)

    def of(self, y: int, first: int | None = None) -> Tensor:
        """Images of a class (n, C, H, W), float32 in [0,1], in the set's order; its first ones where a number is given."""
        chosen = self.images.images[torch.nonzero(self.images.labels == y).squeeze(1)[:first]]
        return chosen.float() / 255 if chosen.dtype == torch.uint8 else chosen

    def mean(self, y: int) -> Tensor:
        """The class's mean image (D,), float64."""
        parts = {"fit": "class-mean", "images": self.images.fingerprint, "class": y}
        return self.fits(parts, lambda: {"mean": self.of(y).flatten(1).double().mean(0)})["mean"]

    def pca(self, y: int, variance: float) -> ClassPCA:
        """Components of the class that reach the share `variance` of its variance; fitted once for a data set."""
        parts = {"fit": "class-pca", "version": 1, "images": self.images.fingerprint, "class": y, "variance": variance}

        def fit() -> dict[str, Tensor]:
            found = fit_class_pca(self.of(y).flatten(1), variance)
            n = torch.tensor(found.n)
            return {"mean": found.mean, "components": found.components, "deviations": found.deviations, "n": n}

        held = self.fits(parts, fit)
        return ClassPCA(held["mean"], held["components"], held["deviations"], int(held["n"]))
