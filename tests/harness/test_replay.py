"""Witnesses shown again: a linear classifier's answer at each of them is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from harness.data.images import ImageSet
from harness.errors import BadInput
from harness.threat import ThreatModel
from harness.verify.replay import replayed
from leaderboards.records.witnesses import packed

THREAT = ThreatModel("Linf", 0.1)
CPU = torch.device("cpu")


class Brighter(nn.Module):
    """Class 1 where the mean of an image is above 0.5, else class 0; the margin is twice the distance."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = x.flatten(1).mean(1) - 0.5
        return torch.stack([-mean, mean], 1)


def of_means(means: list[float]) -> ImageSet:
    images = torch.tensor(means).reshape(-1, 1, 1, 1).expand(-1, 1, 2, 2).clone()
    return ImageSet(
        "greys", "test", images, torch.zeros(len(means), dtype=torch.int64), ("dark", "bright"), "made here"
    )


def test_an_image_counts_where_it_is_legal_and_misclassified_and_its_margin_is_told() -> None:
    images = of_means([0.45, 0.45, 0.45, 0.3, 0.95])
    x = images.images.numpy()
    x_adv = x + np.array([0.09, 0.02, 0.3, 0.05, 0.1], np.float32).reshape(-1, 1, 1, 1)
    found = replayed(Brighter(), images, packed(np.arange(5), x, x_adv), THREAT, CPU, batch_size=2)
    assert found.broken.tolist() == [True, False, False, False, False]
    assert found.reasons["outside the ball"].tolist() == [False, False, True, False, False]
    assert found.reasons["outside [0,1]"].tolist() == [False, False, False, False, True]
    np.testing.assert_allclose(found.margin, 2 * (x_adv.mean((1, 2, 3)) - 0.5), atol=1e-6)


def test_examples_keep_their_places_whatever_part_of_them_is_there() -> None:
    images = of_means([0.2, 0.45, 0.2, 0.48])
    x = images.images.numpy()[[3, 1]]
    found = replayed(Brighter(), images, packed(np.array([3, 1]), x, x + np.float32(0.06)), THREAT, CPU)
    assert found.examples.tolist() == [1, 3]
    assert found.broken.all()


def test_no_witnesses_are_no_error() -> None:
    images = of_means([0.2])
    found = replayed(
        Brighter(), images, packed(np.arange(0), images.images.numpy()[:0], images.images.numpy()[:0]), THREAT, CPU
    )
    assert len(found.broken) == 0


def test_witnesses_of_other_images_are_refused() -> None:
    images = of_means([0.2, 0.3])
    elsewhere = np.zeros((1, 3, 2, 2), np.float32)
    with pytest.raises(BadInput, match="take those of this suite"):
        replayed(Brighter(), images, packed(np.array([0]), elsewhere, elsewhere), THREAT, CPU)
    x = images.images.numpy()[:1]
    with pytest.raises(BadInput, match="up to example 7"):
        replayed(Brighter(), images, packed(np.array([7]), x, x), THREAT, CPU)
