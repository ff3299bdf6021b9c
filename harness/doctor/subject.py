"""Who is examined: an entrant's network as it is, a few images of the suite, and the answers to them, computed once.

How many images are shown depends on the network's size alone, so a diagnosis does not depend on the machine's speed.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

import zoo
from harness.classifier.precision import Precise
from harness.data.images import ImageSet
from harness.suites.suite import Suite
from zoo.entrant import Card, freeze

WORK = 25e9
"""Floating-point operations that the natural images may take together: about a second of one CPU core."""

FEWEST, MOST = 64, 400
"""Images that are shown at least and at most, where the suite has so many."""

ATTACKED_SHARE, FEWEST_ATTACKED, MOST_ATTACKED = 4, 16, 64
"""One image in so many is looked at by gradients; at least and at most so many."""

BATCH = 32

UNKNOWN_WORK = 1e9
"""Operations an image that are assumed where they cannot be counted."""


@dataclass(frozen=True)
class Subject:
    """A network on its device, in eval mode and frozen, and the suite that it is to be judged on. `built` is the network as
    its author's code gave it, where that is known: its type and mode are the author's."""

    name: str
    card: Card
    network: nn.Module
    suite: Suite
    images: ImageSet
    device: torch.device
    built: nn.Module | None = None

    @cached_property
    def model(self) -> nn.Module:
        """As measures see it: float32 images to float32 logits. Raises BadInput for what is no tensor of logits."""
        return Precise(self.network, "fp32")

    @cached_property
    def count(self) -> int:
        """How many images are shown."""
        return min(len(self.images), max(FEWEST, min(MOST, int(WORK / operations(self.network, self.shown(1)[0])))))

    def shown(self, n: int) -> tuple[Tensor, Tensor]:
        """The first n images (n, C, H, W) in [0,1] and their labels (n,)."""
        examples = self.images.examples(0, min(n, len(self.images))).to(self.device)
        return examples.x, examples.y

    @cached_property
    def x(self) -> Tensor:
        """(N, C, H, W) float32 in [0,1], all that are shown."""
        return self.shown(self.count)[0]

    @cached_property
    def y(self) -> Tensor:
        """(N,) int64."""
        return self.shown(self.count)[1]

    @cached_property
    def logits(self) -> Tensor:
        """(N, K) float32, of x."""
        return self.answers(self.x)

    @cached_property
    def attacked(self) -> int:
        """How many images are looked at by gradients."""
        return max(FEWEST_ATTACKED, min(MOST_ATTACKED, self.count // ATTACKED_SHARE))

    def answers(self, x: Tensor) -> Tensor:
        """(n, C, H, W) to (n, K) float32; no gradient is kept."""
        with torch.no_grad():
            return torch.cat([self.model(part.clone()) for part in x.split(BATCH)])

    def raw(self, x: Tensor) -> Any:
        """What the network itself returns for images, whatever that is."""
        with torch.no_grad():
            return self.network(x.clone())


def operations(network: nn.Module, x: Tensor) -> float:
    """Floating-point operations of one forward pass for one image (1, C, H, W), as torch counts them."""
    from torch.utils.flop_counter import FlopCounterMode

    try:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(x.clone())
        return max(1.0, float(counter.get_total_flops()))
    except Exception:  # noqa: BLE001  whatever a forward raises under a counter, it is no finding
        return UNKNOWN_WORK


def subject(entrant: zoo.Entrant, suite: Suite, images: ImageSet, device: torch.device) -> Subject:
    """An entrant to be examined. Raises EntrantError where it cannot be loaded."""
    built = entrant.built() if hasattr(entrant, "built") else None
    network = entrant.load() if built is None else freeze(_copied(built).cpu().float())
    return Subject(entrant.card.name, entrant.card, network.to(device), suite, images, device, built)


def _copied(model: nn.Module) -> nn.Module:
    with contextlib.suppress(Exception):  # some modules hold what cannot be copied
        return copy.deepcopy(model)
    return model


@contextlib.contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """An entrant that draws random numbers draws the same ones each time; torch's random state is as before afterwards."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        yield
