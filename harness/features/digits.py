"""The network behind the scores on digits, and its recipe: python -m harness.features.digits [FOLDER] trains it again.

A small convolutional network trained on scikit-learn's digits, train split only, with shifts and noise. FIDs by it are
comparable with each other and with nothing else: not with those of Inception, and not with those of other weights.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.data.datasets import digits
from harness.data.images import ImageSet
from harness.provenance import versions
from leaderboards.records.files import write_atomically
from zoo.entrant import sha256_of_file

DIGITS_WEIGHTS = Path(__file__).with_name("digits.safetensors")


@dataclass(frozen=True)
class Recipe:
    """Cross-entropy and AdamW with a cosine schedule, on one thread; images are moved by up to `shift` pixels, each by
    itself, and get Gaussian noise of standard deviation `noise`."""

    lr: float = 0.002
    weight_decay: float = 0.01
    epochs: int = 60
    batch_size: int = 64
    shift: int = 1
    noise: float = 0.05
    seed: int = 1


class DigitsFeatures(nn.Module):
    """Three 3x3 convolutions and two linear layers; uint8 images (N, 1, 8, 8) to features (N, 64) and logits (N, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3, padding=1),
            nn.ReLU(),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Linear(256, 64),
            nn.ReLU(),
        )
        self.classes = nn.Linear(64, 10)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        if images.dtype != torch.uint8 or images.shape[1:] != (1, 8, 8):
            raise ValueError(f"expected uint8 images (N, 1, 8, 8), got {images.dtype} {tuple(images.shape)}")
        features = self.convolutions(images.float() / 255)
        return features, self.classes(features)


def as_bytes(images: Tensor) -> Tensor:
    """Images in [0,1] as uint8, rounded to the nearest level; uint8 images as they are."""
    return images if images.dtype == torch.uint8 else (images * 255).round().clamp(0, 255).to(torch.uint8)


def _moved(x: Tensor, by: int) -> Tensor:
    """Images (N, 1, H, W), each shifted by its own random number of pixels from -by to by, zeros coming in."""
    n, _, height, width = x.shape
    down, right = torch.randint(0, 2 * by + 1, (2, n, 1))
    rows, columns = down + torch.arange(height), right + torch.arange(width)
    padded = F.pad(x, (by,) * 4)[:, 0]
    return padded[torch.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]].unsqueeze(1)


def train(images: ImageSet, recipe: Recipe) -> DigitsFeatures:
    """The same images and recipe give the same weights on one machine."""
    torch.set_num_threads(1)
    torch.manual_seed(recipe.seed)
    network = DigitsFeatures()
    x, y = as_bytes(images.images), images.labels
    optimiser = torch.optim.AdamW(network.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay)
    batches = len(y) // recipe.batch_size
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, recipe.epochs * batches)
    for _ in range(recipe.epochs):
        for chosen in torch.randperm(len(y)).split(recipe.batch_size)[:batches]:
            moved = _moved(x[chosen], recipe.shift).float() / 255
            noisy = moved + recipe.noise * torch.randn(moved.shape)
            loss = F.cross_entropy(network(as_bytes(noisy.clamp(0, 1)))[1], y[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return network.eval()


def accuracy(network: DigitsFeatures, images: ImageSet) -> float:
    """Share of a split that is classified correctly."""
    with torch.no_grad():
        return float((network(as_bytes(images.images))[1].argmax(1) == images.labels).double().mean())


def main() -> None:
    """Train, and write digits.safetensors and its card digits.json."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    images = digits("train")
    recipe = Recipe()
    network = train(images, recipe)
    path = folder / "digits.safetensors"
    write_atomically(path, safetensors.torch.save({name: t.contiguous() for name, t in network.state_dict().items()}))
    card = {
        "name": "digits-features",
        "sha256": sha256_of_file(path),
        "features": 64,
        "dataset": "digits, train split",
        "fingerprint": images.fingerprint,
        "images": len(images),
        "train_accuracy": round(accuracy(network, images), 4),
        "test_accuracy": round(accuracy(network, digits("test")), 4),
        "test_images": len(digits("test")),
        "recipe": asdict(recipe),
        "licence": "MIT",
        "versions": {
            name: version for name, version in versions().items() if name in ("python", "torch", "scikit-learn")
        },
    }
    write_atomically(folder / "digits.json", (json.dumps(card, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
