"""The trainer: epochs of steps on one device or several, resumable; a seed gives one result on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import torch

from harness.data.images import ImageSet
from harness.suites.suite import Suite
from harness.training.checkpoint import load, save
from harness.training.distributed import World
from harness.training.dynamics import Epoch, write_dynamics
from harness.training.recipes import Recipe
from harness.training.standing import Observer
from harness.training.state import Interrupted as Interrupted
from harness.training.state import Run
from harness.training.state import Trained as Trained


def train(
    suite: Suite,
    recipe: Recipe,
    images: ImageSet,
    device: torch.device,
    report: Callable[[Epoch], None],
    *,
    synthetic: ImageSet | None = None,
    checkpoint: Path | None = None,
    dynamics: Path | None = None,
    asked_to_stop: Callable[[], bool] = lambda: False,
    moved: Callable[[int, int], None] = lambda step, steps: None,
    observers: Sequence[Observer] = (),
    world: World | None = None,
) -> Trained:
    """Train a network by a recipe on the images of a train split; `report` is called after each epoch.

    With `checkpoint` the state is saved there after each epoch and when `asked_to_stop` says so (Interrupted is raised
    then); a run that finds its own state there goes on from it. With `dynamics` the rows so far are written there after
    each epoch. `moved` is called after each step with its number and that of all in the epoch; `observers` are told more, in
    the first process. Raises BadInput for a state of another run, an architecture that does not fit the images, and a loss
    that is not finite.
    """
    run = Run(suite, recipe, images, device, synthetic=synthetic, world=world)
    if checkpoint is not None and (state := load(checkpoint, run.identity)) is not None:
        run.restore(state)

    def save_state() -> None:
        if checkpoint is not None and run.world.first:
            save(checkpoint, run.state())

    told = tuple(observers) if run.world.first else ()
    pace = run.pace

    def stepped() -> None:
        pace.stepped()
        moved(run.step, run.batches.steps)
        standing = run.standing(pace)
        for observer in told:
            observer.stepped(standing)

    def evaluates() -> None:
        standing = run.standing(pace)
        for observer in told:
            observer.evaluates(standing)

    with ExitStack() as ending:
        for observer in told:
            ending.callback(observer.ends)
            observer.begins(run.standing(pace))
        while run.epoch <= recipe.epochs:
            epoch = run.take_epoch(save_state, asked_to_stop, stepped, evaluates)
            if dynamics is not None and run.world.first:
                write_dynamics(dynamics, run.rows)
            save_state()
            pace.evaluated()
            report(epoch)
            for observer in told:
                observer.followed(epoch, run.rows, run.standing(pace))
            pace.told()
    return run.result()
