"""A training run: network, optimiser, schedule, random numbers, and where it stands in its epochs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from harness.classifier.determinism import make_deterministic
from harness.classifier.precision import Precise
from harness.data.images import ImageSet
from harness.energy import widest
from harness.errors import BadInput, one_line
from harness.suites.suite import Suite
from harness.training.batches import Batches, held_out
from harness.training.distributed import World
from harness.training.dynamics import Epoch, probe, probed
from harness.training.optimisation import averaged, schedule, sgd
from harness.training.pace import Pace, work_of
from harness.training.recipes import Recipe
from harness.training.removal import Removed
from harness.training.standing import Standing
from harness.training.step import Step
from zoo.architectures import build


class Interrupted(Exception):
    """Training was asked to stop, and has saved where it stands."""


def _cpu_copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}


@dataclass(frozen=True)
class Trained:
    """A trained network in eval mode on the CPU: the weights of epoch `selected` of `epochs`, the best or the last.

    `other` are the weights of the last epoch where the best was selected, of the best where the last was, and None where
    the two are one. `best` and the accuracies under PGD-20 are None without validation images.
    """

    model: nn.Module
    other: dict[str, Tensor] | None
    selected: int
    epochs: int
    best: int | None
    best_pgd_accuracy: float | None
    last_pgd_accuracy: float | None
    rows: tuple[dict[str, Any], ...]
    seconds: float


class Run:
    """A training run: network, optimiser, schedule, random numbers, and where it stands in its epochs."""

    def __init__(
        self,
        suite: Suite,
        recipe: Recipe,
        images: ImageSet,
        device: torch.device,
        *,
        synthetic: ImageSet | None = None,
        world: World | None = None,
    ) -> None:
        make_deterministic(device, recipe.threads)
        if (synthetic is None) != (recipe.synthetic_fraction == 0):
            raise BadInput(
                f"expected synthetic images and synthetic_fraction above 0 together, got"
                f" {'no images' if synthetic is None else 'images'} and {recipe.synthetic_fraction}; give both or neither"
            )
        self.suite, self.recipe, self.device, self.world = suite, recipe, device, world or World()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            self.model = build(recipe.architecture, suite.classes, suite.shape).to(device)
        _require_fit(self.model, recipe, suite, device)
        kept, validation = held_out(images, recipe.validation)
        self.generator = torch.Generator(device).manual_seed(recipe.seed)
        self.batches = Batches(kept, synthetic, recipe, flip=suite.flip, device=device, generator=self.generator)
        self.probes = probed(kept, validation, device)
        self.task = Step(self.model, suite.threat, recipe, device, self.world)
        self.averaged = averaged(self.model, recipe.ema)
        self.optimizer = sgd(self.model, recipe)
        self.schedule = schedule(self.optimizer, recipe, recipe.epochs * self.batches.steps)
        self.identity = {
            "suite": suite.name,
            "norm": suite.norm,
            "eps": suite.threat.eps,
            "fingerprint": images.fingerprint,
            "synthetic": synthetic.fingerprint if synthetic is not None else None,
            **recipe.to_json(),
            # None where there are none: of the user's own objective another file is another run
            "objective_settings": recipe.objective_settings or None,
            "objective_sources": [file.sha256 for file in recipe.method.sources] or None,
        }
        self.epoch, self.step, self.seconds, self.samples = 1, 0, 0.0, 0
        self.sums = torch.zeros(2, dtype=widest(device), device=device)
        self.removed = Removed(0, 0, 0)
        self.rows: list[dict[str, Any]] = []
        self.best: dict[str, Any] | None = None

    @property
    def entrant(self) -> nn.Module:
        """The network that is followed and kept: of averaged weights, where the recipe averages."""
        return self.averaged.module if self.averaged is not None else self.model

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the run depends on. (bfloat16 needs no loss scaling, so there is no scaler.)"""
        return {
            "identity": self.identity,
            "model": self.model.state_dict(),
            "averaged": self.averaged.state_dict() if self.averaged is not None else None,
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "generator": self.generator.get_state(),
            "epoch": self.epoch,
            "step": self.step,
            "seconds": self.seconds,
            "order": self.batches.order.cpu(),
            "sums": self.sums.cpu(),
            "samples": self.samples,
            "removed": list(self.removed),
            "rows": self.rows,
            "best": self.best,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Stand where a saved state stood."""
        self.model.load_state_dict(state["model"], strict=True)
        if self.averaged is not None:
            self.averaged.load_state_dict(state["averaged"], strict=True)
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.generator.set_state(state["generator"])
        self.epoch, self.step, self.seconds = state["epoch"], state["step"], state["seconds"]
        self.batches.order = state["order"].to(self.device)
        self.sums, self.samples = state["sums"].to(self.device), state["samples"]
        self.removed = Removed(*state["removed"])
        self.rows, self.best = state["rows"], state["best"]

    @property
    def reach(self) -> float:
        """The share of eps that the next step's inner attack may use: it rises to 1 over the recipe's eps_warm_up."""
        grows = self.recipe.eps_warm_up * self.recipe.epochs
        return min(1.0, (self.epoch - 1 + self.step / self.batches.steps) / grows) if grows else 1.0

    def take_step(self) -> None:
        """One step of the optimiser, on the next batch of the epoch."""
        x, y = self.batches(self.step)
        outcome = self.task(
            x,
            y,
            self.generator,
            warm=self.epoch > self.recipe.warm_up * self.recipe.epochs,
            perturb=(self.epoch - 1) / self.recipe.epochs >= self.recipe.awp_warm_up,
            reach=self.reach,
        )
        self.optimizer.step()
        self.schedule.step()
        if self.averaged is not None:
            self.averaged.update_parameters(self.model)
        self.sums += torch.stack([outcome.loss.to(self.sums.dtype), outcome.right.to(self.sums.dtype)])
        self.samples += outcome.samples
        self.removed = Removed(*(before + now for before, now in zip(self.removed, outcome.removed, strict=True)))
        self.step += 1

    @property
    def pace(self) -> Pace:
        """What times the rest of it, from now on."""
        followed = sum(len(examples) for examples in self.probes if examples is not None)
        return Pace(work_of(self.recipe, self.batches.n, followed), self.epoch, self.step)

    def standing(self, pace: Pace) -> Standing:
        """Where it stands now."""
        lr, processes = float(self.schedule.get_last_lr()[0]), self.world.size
        where = self.epoch, self.recipe.epochs, self.step, self.batches.steps
        return Standing(*where, lr, self.sums, self.samples, processes, pace)

    def take_epoch(
        self,
        save: Callable[[], None],
        asked_to_stop: Callable[[], bool],
        moved: Callable[[], None],
        evaluates: Callable[[], None] = lambda: None,
    ) -> Epoch:
        """What is left of the epoch; `moved` is called after each step, `evaluates` after the last. Raises Interrupted,
        having saved, when it is asked to stop."""
        begun = time.perf_counter()
        self.model.train()
        if not len(self.batches.order):  # not "at step 0": a run may have been stopped there, its order drawn
            self.batches.shuffle()
            self.sums, self.samples, self.removed = torch.zeros_like(self.sums), 0, Removed(0, 0, 0)
        while self.step < self.batches.steps:
            if self.world.any(asked_to_stop(), self.device):
                self.seconds += time.perf_counter() - begun
                save()
                raise Interrupted
            self.take_step()
            moved()
        evaluates()
        loss, right = self.world.total(self.sums).tolist()
        if not math.isfinite(loss):
            raise BadInput(
                f"expected a finite loss, got {loss} in epoch {self.epoch}; lower the learning rate or change the seed"
            )
        followed = Precise(self.entrant, self.recipe.precision).eval()
        train, validation = (
            None if examples is None else probe(followed, examples, self.suite.threat, self.recipe)
            for examples in self.probes
        )
        assert train is not None, "there are always training images"
        seconds = time.perf_counter() - begun
        self.seconds += seconds
        lr = float(self.schedule.get_last_lr()[0])
        done = Epoch(
            number=self.epoch,
            epochs=self.recipe.epochs,
            lr=lr,
            loss=loss / self.samples,
            accuracy=right / self.samples,
            seconds=seconds,
            trained=self.seconds,
            train=train,
            validation=validation,
            removed=self.removed if self.recipe.drop != "none" else None,
        )
        self.rows.append(done.row())
        # of equals the later one: it has learned for longer
        if validation is not None and (self.best is None or validation.pgd_accuracy >= self.best["pgd_accuracy"]):
            self.best = {
                "epoch": self.epoch,
                "pgd_accuracy": validation.pgd_accuracy,
                "weights": _cpu_copy(self.entrant),
            }
        self.epoch, self.step = self.epoch + 1, 0
        self.batches.order = self.batches.order[:0]
        return done

    def result(self) -> Trained:
        """What the epochs have led to."""
        last = self.recipe.epochs
        best = self.best
        selected = best["epoch"] if best is not None and self.recipe.select == "best" else last
        model, weights = self.entrant.cpu().eval(), _cpu_copy(self.entrant)
        other = None
        if best is not None and best["epoch"] != last:
            other = weights if selected != last else best["weights"]
            if selected != last:
                model.load_state_dict(best["weights"], strict=True)
        validation = self.rows[-1]["validation"]
        return Trained(
            model=model,
            other=other,
            selected=selected,
            epochs=last,
            best=best["epoch"] if best is not None else None,
            best_pgd_accuracy=best["pgd_accuracy"] if best is not None else None,
            last_pgd_accuracy=validation["pgd_accuracy"] if validation is not None else None,
            rows=tuple(self.rows),
            seconds=self.seconds,
        )


def _require_fit(model: nn.Module, recipe: Recipe, suite: Suite, device: torch.device) -> None:
    """Raise BadInput unless the network takes the suite's images."""
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(2, *suite.shape, device=device))
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise BadInput(
            f"expected an architecture for images of {'x'.join(map(str, suite.shape))}, got {recipe.architecture}:"
            f" {one_line(error)[:200]}; choose another --architecture"
        ) from error
