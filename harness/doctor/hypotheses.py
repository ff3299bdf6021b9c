"""What may have gone wrong between images, labels and a network that is less accurate than it could be.

A hypothesis changes the images, or says which class a prediction means. It is accepted where it makes significantly more
answers right than it makes wrong (McNemar's exact test), and by a fair share of the images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from harness.doctor.form import resized

NORMALISATIONS = {
    "mnist": ((0.1307,), (0.3081,)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "svhn": ((0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
"""Means and standard deviations that published code normalises by."""

TITLES = {"mnist": "MNIST", "cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "svhn": "SVHN", "imagenet": "ImageNet"}


@dataclass(frozen=True)
class Hypothesis:
    """What images (n, C, H, W) in [0,1] would have to be: `how` ends "right with ..."; `check` names the finding."""

    check: str
    how: str
    change: Callable[[Tensor], Tensor]
    advice: str
    meaning: str
    of: str = ""  # the data set that a normalisation is published for


def of_images(x: Tensor) -> Iterator[Hypothesis]:
    """What may be wrong with images like x."""
    yield from _ranges(x)
    yield from _orders(x)
    side = x.shape[2]
    if side == x.shape[3] and side <= 64:
        for other in (side * 2, side // 2):
            yield Hypothesis(
                "image-size",
                f"images resized to {other}x{other}",
                lambda x, other=other: resized(x, other),  # type: ignore[misc]
                "Resize inside the entrant, or choose one for images of this size.",
                "It was trained on images of another size.",
            )


def _ranges(x: Tensor) -> Iterator[Hypothesis]:
    outside = "Images must reach the entrant in [0,1], for there eps is counted."
    yield Hypothesis(
        "pixel-range",
        "pixels from 0 to 255",
        lambda x: 255 * x,
        "Multiply by 255 inside the entrant, not before it.",
        f"It expects pixels from 0 to 255. {outside}",
    )
    yield Hypothesis(
        "pixel-range",
        "pixels divided by 255",
        lambda x: x / 255,
        "Do not divide by 255 inside the entrant: the images are in [0,1] already.",
        "It divides by 255 what is in [0,1] already.",
    )
    yield Hypothesis(
        "pixel-range",
        "inverted pixels, 1 - x",
        lambda x: 1 - x,
        "Invert inside the entrant.",
        "It expects dark for bright.",
    )
    yield _normalised("pixels from -1 to 1 (mean 0.5, sd 0.5)", (0.5,), (0.5,), x)
    for name, (mean, std) in NORMALISATIONS.items():
        if len(mean) == x.shape[1]:
            how = f"{TITLES[name]}'s mean {_list(mean)} and sd {_list(std)}"
            yield replace(_normalised(f"{how} normalised outside", mean, std, x), of=name)
            yield Hypothesis(
                "normalisation",
                f"{how} taken back",
                _scaled(list(std), list(mean)),
                "Normalise once.",
                "It normalises images that are normalised already, or twice.",
            )


def _normalised(how: str, mean: tuple[float, ...], std: tuple[float, ...], x: Tensor) -> Hypothesis:
    text = f"@mean={_list(mean)}@std={_list(std)}"
    return Hypothesis(
        "normalisation",
        how,
        _scaled([1 / s for s in std], [-m / s for m, s in zip(mean, std, strict=True)]),
        f"Put it inside the entrant: checkpoint:FILE@ARCHITECTURE{text}, or x = (x - mean) / std at the start of forward.",
        "It expects normalised images. Normalised outside, eps would be counted in other units.",
    )


def _scaled(factors: list[float], shifts: list[float]) -> Callable[[Tensor], Tensor]:
    def change(x: Tensor) -> Tensor:
        return x * x.new_tensor(factors).view(1, -1, 1, 1) + x.new_tensor(shifts).view(1, -1, 1, 1)

    return change


def _list(numbers: tuple[float, ...]) -> str:
    return ",".join(f"{number:g}" for number in numbers)


def _orders(x: Tensor) -> Iterator[Hypothesis]:
    def order(how: str, change: Callable[[Tensor], Tensor]) -> Hypothesis:
        advice = "Bring the images to this order inside the entrant, or mend how the data set is read."
        return Hypothesis("image-order", how, change, advice, "It was trained on images in another order of pixels.")

    if x.shape[1] == 3:
        yield order("channels in reverse order, BGR for RGB", lambda x: x.flip(1))
        yield order("channels last, (N, H, W, C)", lambda x: x.permute(0, 2, 3, 1).reshape(x.shape))
        yield order(
            "channels first where they are last", lambda x: x.reshape(len(x), *x.shape[2:], 3).permute(0, 3, 1, 2)
        )
    yield order("rows and columns exchanged", lambda x: x.transpose(2, 3))
    yield order("images upside down", lambda x: x.flip(2))
    yield order("images flipped left to right", lambda x: x.flip(3))
    yield order("images turned by 90 degrees", lambda x: torch.rot90(x, 1, (2, 3)))
    yield order("images turned by 270 degrees", lambda x: torch.rot90(x, 3, (2, 3)))
