"""Whether an image has one answer: the same each time, in any batch, and that of eval mode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

from harness.doctor.check import Check, fault, fine
from harness.doctor.finding import Finding
from harness.doctor.subject import Subject

FEW, ALONE = 8, 4
"""Images that are shown again and in another batch, and so many of them alone."""

SAME = 1e-3
"""By how much of their standard deviation an image's logits may differ between two calls or batches: kernels round."""

_DROPOUT = ("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout")


class _Watch(TorchFunctionMode):
    """Notes layers that behave as in training while a network predicts."""

    def __init__(self) -> None:
        super().__init__()
        self.active: dict[str, int] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in _DROPOUT and func is getattr(F, name, None):
            p, training = _argument(args, kwargs, 1, "p", 0.5), _argument(args, kwargs, 2, "training", True)
            if training and p > 0:
                self.active["dropout"] = self.active.get("dropout", 0) + 1
        if func is F.batch_norm and _argument(args, kwargs, 5, "training", False):
            self.active["BatchNorm"] = self.active.get("BatchNorm", 0) + 1
        return func(*args, **kwargs)


def _argument(args: tuple[Any, ...], kwargs: dict[str, Any], place: int, name: str, default: Any) -> Any:
    return args[place] if len(args) > place else kwargs.get(name, default)


def train_mode(subject: Subject) -> list[Finding]:
    """Dropout or BatchNorm that is active although the network is in eval mode."""
    with _Watch() as watch:
        subject.raw(subject.x[:FEW])
    if watch.active:
        layers = " and ".join(f"{kind} ({n} times)" for kind, n in sorted(watch.active.items()))
        return [
            fault(
                "train-mode",
                f"active as in training, though the network is in eval mode: {layers} in one forward pass",
                "Logits are random, or depend on the other images of the batch.",
                "Give F.dropout training=self.training, and BatchNorm running statistics; let .eval() reach every part.",
                **{kind.lower(): n for kind, n in watch.active.items()},
            )
        ]
    if subject.built is not None and subject.built.training and any(map(_differs, subject.built.modules())):
        return [fine("train-mode", "it was given in train mode; the harness judges it in eval mode")]
    return [fine("train-mode", "no layer behaves as in training")]


def _differs(module: nn.Module) -> bool:
    return isinstance(module, _BatchNorm | nn.modules.dropout._DropoutNd)


def randomness(subject: Subject) -> list[Finding]:
    """The same images, twice."""
    x = subject.x[:FEW]
    apart = _apart(subject.answers(x), subject.answers(x))
    if apart <= SAME:
        return [fine("randomness", "the same images give the same logits", apart=apart)]
    return [
        fault(
            "randomness",
            f"the same images give other logits each time, by up to {apart:.2g} of their standard deviation",
            "AutoAttack's standard version and the energies are made for classifiers that do not draw random numbers.",
            "Fix the draws, or judge the mean of many draws; else read every number as one draw of it.",
            apart=apart,
        )
    ]


def batch_dependence(subject: Subject) -> list[Finding]:
    """The same images alone, and in a batch with inverted ones."""
    x = subject.x[: 2 * FEW]
    together, among = subject.answers(x[:FEW]), subject.answers(torch.cat((x[:FEW], 1 - x[FEW:])))[:FEW]
    try:
        alone = torch.cat([subject.answers(one) for one in x[:ALONE].split(1)])
    except ValueError:  # BatchNorm of one value a channel
        alone = together[:ALONE]
    apart = max(_apart(together[: len(other)], other) for other in (alone, among))
    if apart <= SAME:
        return [fine("batch-dependence", "an image's logits are the same alone and in other batches", apart=apart)]
    return [
        fault(
            "batch-dependence",
            f"an image's logits depend on its batch: they differ by up to {apart:.2g} of their standard deviation",
            "An attack on one image changes the answers to others, so no robust accuracy is defined.",
            "Normalise each image by itself or by constants, and BatchNorm by its running statistics.",
            apart=apart,
        )
    ]


def _apart(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max() / one.std().clamp_min(1e-12))


_FORM = frozenset({"images", "output"})
STABILITY = (
    Check("train-mode", "layer that behaves as in training", train_mode, _FORM),
    Check("randomness", "randomness", randomness, _FORM | {"train-mode"}),
    Check("batch-dependence", "dependence on the batch", batch_dependence, _FORM | {"train-mode", "randomness"}),
)
