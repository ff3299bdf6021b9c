"""Small networks in float64, what pyautoattack passes through them and draws on the way, and what the engine passes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor, nn

from harness.attacks.engine.search import Jobs
from harness.classifier.prepared import Prepared, Weights

SEED = 7


class Recorded(nn.Module):
    """A network that keeps what it was given and what it gave."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.inputs: list[Tensor] = []
        self.outputs: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        logits = self.network(x)
        self.inputs.append(x.detach().clone())
        self.outputs.append(logits.detach().clone())
        return logits


@dataclass(frozen=True)
class Watched:
    """A prepared network, all rows in one batch, that keeps the images which the engine passes."""

    network: Prepared
    images: list[Tensor] = field(default_factory=list)

    def logits(self, x: Tensor) -> Tensor:
        self.images.append(x.clone())
        return self.network.logits(x)

    def gradient(self, x: Tensor, weights: Weights) -> tuple[Tensor, Tensor]:
        self.images.append(x.clone())
        return self.network.gradient(x, weights)


@dataclass
class Case:
    """A network, images (N, C, H, W) that it gets right, and what the reference draws of them, in its order."""

    network: nn.Module
    x: Tensor
    y: Tensor
    patch: pytest.MonkeyPatch
    drawn: list[Tensor] = field(default_factory=list)

    def jobs(self, target: Tensor | None = None) -> Jobs:
        """All images as rows whose key is their place."""
        rows = torch.arange(len(self.x))
        return Jobs(self.x, self.y, self.y if target is None else target, rows, rows)

    def ranked(self, place: int) -> Tensor:
        """The class of each image that is so many places from the likeliest, as the reference counts them: 2 to K."""
        return self.network(self.x).sort(dim=1)[1][:, -place]

    def watched(self) -> Watched:
        return Watched(Prepared(self.network, size=64, grain=1))

    def reference(self, run: Callable[[Recorded], object]) -> Recorded:
        """Run something of pyautoattack on a recorded network in double precision.

        pyautoattack calls `.float()` here and there, and relies on the default type.
        """
        recorded, before = Recorded(self.network), torch.get_default_dtype()
        with self.patch.context() as patch, torch.random.fork_rng():
            for name in ("rand", "randn"):
                patch.setattr(torch, name, self._kept(getattr(torch, name)))
            patch.setattr(torch.Tensor, "float", torch.Tensor.double)
            torch.set_default_dtype(torch.float64)
            try:
                torch.manual_seed(SEED)
                run(recorded)
            finally:
                torch.set_default_dtype(before)
        return recorded

    def _kept(self, draw: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def drawn(*shape: object) -> Tensor:
            self.drawn.append(draw(*shape))
            return self.drawn[-1].clone()

        return drawn


@pytest.fixture
def case(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Case]:
    """Cases by the shape of their images, the number of classes and of images, and a seed."""

    def made(shape: tuple[int, int, int] = (3, 10, 10), classes: int = 10, n: int = 8, seed: int = 0) -> Case:
        channels, height, width = shape
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = nn.Sequential(
                nn.Conv2d(channels, 6, 3), nn.ReLU(), nn.Conv2d(6, 8, 3, stride=2), nn.Tanh(), nn.Flatten(),
                nn.Linear(8 * ((height - 3) // 2) * ((width - 3) // 2), 16), nn.ReLU(), nn.Linear(16, classes),
            ).double().requires_grad_(False)  # fmt: skip
            for layer in network:
                if isinstance(layer, nn.Conv2d | nn.Linear):
                    layer.weight *= 2
            x = torch.rand(n, *shape, dtype=torch.float64)
            network[-1].bias -= network(x).mean(0)  # so that no class has most of the images
        return Case(network, x, network(x).argmax(1), monkeypatch)

    return made
