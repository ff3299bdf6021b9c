"""The trainer: data, augmentation and attack on one device, one thread on the CPU so that a seed gives one result."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from harness.attacks.pgd import PGD
from harness.errors import BadInput
from harness.images import ImageSet
from harness.shard import deterministic
from harness.suites import Suite
from harness.training.checkpoint import load, save
from harness.training.objectives import OBJECTIVES, Objective
from harness.training.recipes import Recipe
from zoo.architectures import build


@dataclass(frozen=True)
class Epoch:
    """What is said of an epoch: its number from 1, the mean loss, accuracy on the images it trained on, and seconds.

    `trained` adds up the seconds of training so far, those before an interruption included.
    """

    number: int
    loss: float
    accuracy: float
    seconds: float
    trained: float


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


class Interrupted(Exception):
    """Training was asked to stop, and has saved where it stands."""


class Run:
    """A training run: network, optimiser, schedule, random numbers, and where it stands in its epochs."""

    def __init__(self, suite: Suite, recipe: Recipe, images: ImageSet, device: torch.device) -> None:
        if recipe.epochs < 1:
            raise BadInput(f"expected --epochs of at least 1, got {recipe.epochs}; give a larger one")
        deterministic(1 if device.type == "cpu" else None)
        self.suite, self.recipe, self.device = suite, recipe, device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            self.model = build(recipe.architecture, suite.classes, suite.shape).to(device)
        self.generator = torch.Generator().manual_seed(recipe.seed)
        self.examples = images.examples(0, len(images)).to(device)
        self.size = min(recipe.batch_size, len(images))
        self.steps = len(images) // self.size
        self.optimizer = torch.optim.SGD(
            self.model.parameters(),
            lr=recipe.lr,
            momentum=recipe.momentum,
            nesterov=recipe.nesterov,
            weight_decay=recipe.weight_decay,
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, recipe.lr, total_steps=recipe.epochs * self.steps, pct_start=0.25, cycle_momentum=False
        )
        self.identity = {"suite": suite.name, "fingerprint": images.fingerprint, **asdict(recipe)}
        self.epoch, self.step, self.seconds = 1, 0, 0.0
        self.order = torch.empty(0, dtype=torch.int64)
        self.losses, self.right = torch.zeros((), device=device), torch.zeros((), device=device)

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the run depends on."""
        return {
            "identity": self.identity,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "generator": self.generator.get_state(),
            "epoch": self.epoch,
            "step": self.step,
            "seconds": self.seconds,
            "order": self.order.cpu(),
            "losses": self.losses.cpu(),
            "right": self.right.cpu(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Stand where a saved state stood."""
        self.model.load_state_dict(state["model"], strict=True)
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.generator.set_state(state["generator"])
        self.epoch, self.step, self.seconds = state["epoch"], state["step"], state["seconds"]
        self.order = state["order"].to(self.device)
        self.losses, self.right = state["losses"].to(self.device), state["right"].to(self.device)

    def take_step(self) -> None:
        """One step of the optimiser, on the next batch of the epoch."""
        batch = self.order[self.step * self.size : (self.step + 1) * self.size]
        x = augmented(self.examples.x[batch], crop=self.recipe.crop, flip=self.suite.flip, generator=self.generator)
        y = self.examples.y[batch]
        warm = self.epoch > self.recipe.warm_up * self.recipe.epochs
        loss, logits = training_loss(self.model, x, y, self.suite, self.recipe, self.generator, warm=warm)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        self.losses += loss.detach()
        self.right += (logits.detach().argmax(1) == y).sum()
        self.step += 1

    def take_epoch(self, save: Callable[[], None], asked_to_stop: Callable[[], bool]) -> Epoch:
        """What is left of the epoch; raises Interrupted, having saved, when it is asked to stop."""
        begun = time.perf_counter()
        self.model.train()
        if self.step == 0:
            self.order = torch.randperm(len(self.examples), generator=self.generator).to(self.device)
            self.losses, self.right = torch.zeros_like(self.losses), torch.zeros_like(self.right)
        while self.step < self.steps:
            if asked_to_stop():
                self.seconds += time.perf_counter() - begun
                save()
                raise Interrupted
            self.take_step()
        loss = self.losses.item() / self.steps
        if not math.isfinite(loss):
            raise BadInput(
                f"expected a finite loss, got {loss} in epoch {self.epoch}; lower the learning rate or change the seed"
            )
        seconds = time.perf_counter() - begun
        self.seconds += seconds
        done = Epoch(self.epoch, loss, self.right.item() / (self.steps * self.size), seconds, self.seconds)
        self.epoch, self.step = self.epoch + 1, 0
        return done


def train(
    suite: Suite,
    recipe: Recipe,
    images: ImageSet,
    device: torch.device,
    report: Callable[[Epoch], None],
    *,
    checkpoint: Path | None = None,
    asked_to_stop: Callable[[], bool] = lambda: False,
) -> nn.Module:
    """A trained network in eval mode on the CPU. The last epoch's weights are kept: none is chosen by any accuracy.

    With `checkpoint` the state is saved there after each epoch and when `asked_to_stop` says so (Interrupted is raised
    then); a run that finds its own state there goes on from it. Raises BadInput for a state of another run.
    """
    run = Run(suite, recipe, images, device)
    if checkpoint is not None and (state := load(checkpoint, run.identity)) is not None:
        run.restore(state)

    def save_state() -> None:
        if checkpoint is not None:
            save(checkpoint, run.state())

    while run.epoch <= recipe.epochs:
        report(run.take_epoch(save_state, asked_to_stop))
        save_state()
    return run.model.eval().cpu()
