"""The trainer: data, augmentation and attack on one device, one thread on the CPU so that a seed gives one result."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from harness.attacks.pgd import PGD
from harness.errors import BadInput
from harness.images import ImageSet
from harness.shard import deterministic
from harness.suites import Suite
from harness.training.objectives import OBJECTIVES, Objective
from harness.training.recipes import Recipe
from zoo.architectures import build


@dataclass(frozen=True)
class Epoch:
    """What is said of an epoch: its number from 1, the mean loss, accuracy on the images it trained on, and seconds."""

    number: int
    loss: float
    accuracy: float
    seconds: float


def augmented(x: Tensor, *, crop: int, flip: bool, generator: torch.Generator) -> Tensor:
    """Random crops of the zero-padded images (padding `crop`), and horizontal flips: (N, C, H, W) to the same shape."""
    n, _, height, width = x.shape
    if flip:
        chosen = (torch.rand(n, generator=generator) < 0.5).to(x.device)
        x = torch.where(chosen.view(-1, 1, 1, 1), x.flip(3), x)
    if crop:
        padded = nn.functional.pad(x, (crop,) * 4)
        top, left = torch.randint(0, 2 * crop + 1, (2, n), generator=generator).to(x.device)
        rows = (top[:, None] + torch.arange(height, device=x.device))[:, None, :, None]
        columns = (left[:, None] + torch.arange(width, device=x.device))[:, None, None, :]
        samples = torch.arange(n, device=x.device)[:, None, None, None]
        channels = torch.arange(x.shape[1], device=x.device)[None, :, None, None]
        x = padded[samples, channels, rows, columns]
    return x


def training_loss(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    suite: Suite,
    recipe: Recipe,
    generator: torch.Generator,
    *,
    warm: bool = True,
) -> tuple[Tensor, Tensor]:
    """The objective on a batch, with its inner attack, and the logits whose accuracy is reported.

    `warm` is False during the warm-up, in which MAIL is TRADES.
    """
    objective: Objective = OBJECTIVES[recipe.objective]
    natural = adversarial = None
    if objective.attack is not None:
        attack = PGD(objective.attack, recipe.attack_steps, recipe.attack_step_size)
        x_adv = attack(model, x, y, suite.threat, generator)
        # two passes, as TRADES has them: BatchNorm's statistics of natural and adversarial images are not mixed
        natural = model(x) if objective.natural else None
        adversarial = model(x_adv)
    else:
        natural = model(x)
    loss = objective.loss(natural, adversarial, y, objective.beta, warm)
    logits = natural if natural is not None else adversarial
    assert logits is not None
    return loss, logits


def train(
    suite: Suite, recipe: Recipe, images: ImageSet, device: torch.device, report: Callable[[Epoch], None]
) -> nn.Module:
    """A trained network in eval mode on the CPU. The last epoch's weights are kept: none is chosen by any accuracy."""
    if recipe.epochs < 1:
        raise BadInput(f"expected --epochs of at least 1, got {recipe.epochs}; give a larger one")
    deterministic(1 if device.type == "cpu" else None)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = build(recipe.architecture, suite.classes, suite.shape).to(device)
    generator = torch.Generator().manual_seed(recipe.seed)
    examples = images.examples(0, len(images)).to(device)
    size = min(recipe.batch_size, len(images))
    steps = len(images) // size
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=recipe.lr,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.lr, total_steps=recipe.epochs * steps, pct_start=0.25, cycle_momentum=False
    )
    for number in range(1, recipe.epochs + 1):
        begun = time.perf_counter()
        model.train()
        order = torch.randperm(len(images), generator=generator).to(device)
        losses = torch.zeros((), device=device)
        right = torch.zeros((), device=device)
        warm = number > recipe.warm_up * recipe.epochs
        for batch in order.split(size)[:steps]:
            x = augmented(examples.x[batch], crop=recipe.crop, flip=suite.flip, generator=generator)
            y = examples.y[batch]
            loss, logits = training_loss(model, x, y, suite, recipe, generator, warm=warm)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            losses += loss.detach()
            right += (logits.detach().argmax(1) == y).sum()
        if not bool(losses.isfinite()):
            raise BadInput(
                f"expected a finite loss, got {losses.item() / steps} in epoch {number};"
                " lower the learning rate or change the seed"
            )
        report(Epoch(number, losses.item() / steps, right.item() / (steps * size), time.perf_counter() - begun))
    return model.eval().cpu()
