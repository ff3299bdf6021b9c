"""The dynamics of training: energies, accuracies and weights on fixed images of train and validation, one row an epoch.

The rows are JSON lines in <name>.dynamics.jsonl beside the entrant. Accuracy under PGD-20 errs high. Each epoch the attacks
start from the same random points, so that a series moves with the weights alone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from harness.attacks.pgd import PGD
from harness.data.images import Examples, ImageSet
from harness.energy import delta_energies, joint_energy, marginal_energy, widest
from harness.errors import BadInput
from harness.threat import ThreatModel
from harness.training.objectives import energy_weights
from harness.training.phases import Phases, find_phases
from harness.training.recipes import Recipe
from harness.training.removal import Removed
from harness.training.starts import attack_start
from leaderboards.records.files import write_atomically

PROBED = 500
"""Training images on which the dynamics are followed, at most, and no more than are held out; of those all are."""

SELECTION = PGD("ce", steps=20)
"""PGD-20: what the epoch is chosen by."""


@dataclass(frozen=True)
class Probe:
    """Means over the images: energies, what the training attack does to them, accuracies, and WEAT's weight."""

    n: int
    marginal_energy: float
    joint_energy: float
    delta_marginal_energy: float
    delta_joint_energy: float
    standard_accuracy: float
    pgd_accuracy: float
    mean_weight: float


def training_attack(recipe: Recipe) -> PGD | None:
    """The inner maximisation of a recipe; None for standard training."""
    loss = recipe.method.attack
    return None if loss is None else PGD(loss, recipe.attack_steps, recipe.attack_step_size)


def probe(network: nn.Module, examples: Examples, threat: ThreatModel, recipe: Recipe) -> Probe:
    """Follow a network (in eval mode) on examples. For standard training the attack is that of SAT."""
    attack = training_attack(recipe) or PGD("ce", recipe.attack_steps, recipe.attack_step_size)
    sums = torch.zeros(7, dtype=widest(examples.y.device), device=examples.y.device)
    generator = torch.Generator(examples.y.device).manual_seed(0)
    for x, y in zip(examples.x.split(recipe.batch_size), examples.y.split(recipe.batch_size), strict=True):
        with torch.no_grad():
            logits = network(x)
        # as in training: its start, not verified, and with the natural logits at hand
        start = attack_start(recipe, attack, x, threat, generator)
        x_adv = attack.perturb(network, x, y, threat, generator, start=start, natural=logits)
        selected = SELECTION(network, x, y, threat, generator, natural=logits)
        with torch.no_grad():
            logits_adv = network(x_adv)
        delta = delta_energies(logits, logits_adv, y)
        sums += torch.stack(
            [
                values.to(sums.dtype).sum()
                for values in (
                    marginal_energy(logits),
                    joint_energy(logits, y),
                    delta.marginal,
                    delta.joint,
                    logits.argmax(1) == y,
                    ~selected.broken,
                    energy_weights(logits),
                )
            ]
        )
    return Probe(len(examples), *(sums / len(examples)).tolist())


def followed(images: int, held_out: int | None) -> int:
    """How many images the dynamics are followed on, of so many training images and held-out ones (None: none)."""
    return min(images, PROBED, PROBED if held_out is None else held_out) + (held_out or 0)


def probed(images: ImageSet, held_out: ImageSet | None, device: torch.device) -> tuple[Examples, Examples | None]:
    """The examples of train (the first ones) and of the held-out images that are followed."""
    n = min(len(images), PROBED, len(held_out) if held_out is not None else PROBED)
    validation = held_out.examples(0, len(held_out)).to(device) if held_out is not None else None
    return images.examples(0, n).to(device), validation


@dataclass(frozen=True)
class Epoch:
    """What is said of an epoch: its number from 1, and that of all; the learning rate at its end, the mean loss and accuracy
    on the batches it trained on, its seconds, the seconds of training so far (those before an interruption included), the
    probes, and how many samples were removed (None where the recipe removes none)."""

    number: int
    epochs: int
    lr: float
    loss: float
    accuracy: float
    seconds: float
    trained: float
    train: Probe
    validation: Probe | None
    removed: Removed | None = None

    @property
    def line(self) -> str:
        """For people, on one line."""
        seen = [("train", self.train), *([("held out", self.validation)] if self.validation else [])]
        probes = "  ".join(
            f"{split}: E(x) {probe.marginal_energy:.2f}, dE(x) {probe.delta_marginal_energy:+.3f},"
            f" {probe.standard_accuracy:.1%}, PGD-20 {probe.pgd_accuracy:.1%}"
            for split, probe in seen
        )
        return f"epoch {self.number}/{self.epochs}  loss {self.loss:.4f}  {probes}  {self.seconds:.1f} s"

    def row(self) -> dict[str, Any]:
        """As a JSON object, without the times: a run that was interrupted has the rows of one that was not.

        `removed` is in it where a recipe removes samples.
        """
        fields = {key: value for key, value in asdict(self).items() if key not in ("epochs", "seconds", "trained")}
        del fields["removed"]
        return {**fields, "removed": self.removed._asdict()} if self.removed is not None else fields


def dynamics_file(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """All rows, one a line."""
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def write_dynamics(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write all rows; the file is whole at any moment."""
    write_atomically(path, dynamics_file(rows))


def phases_of(rows: Sequence[Mapping[str, Any]]) -> Phases | None:
    """The phases of dE(x) on the training images; None where there are too few epochs to tell."""
    try:
        return find_phases([row["train"]["delta_marginal_energy"] for row in rows])
    except BadInput:
        return None


def robust_overfitting(
    rows: Sequence[Mapping[str, Any]], phases: Phases | None, *, attacked: bool = True
) -> int | None:
    """The epoch in which robust overfitting sets in; None where it does not, or nothing was held out to tell by.

    dE(x) on the training images falls away from there, and PGD-20 accuracy on the held-out ones ends below its best by more
    than two standard errors of their difference, taken as if the two were independent: they are positively correlated, so
    this errs towards None. It is never before the best epoch (of equals the later one). `attacked` False: training had no
    attack, so that there is nothing robust to overfit, and the answer is None.
    """
    last = rows[-1]["validation"] if rows else None
    if not attacked or phases is None or phases.overfitting is None or last is None:
        return None
    accuracies = [row["validation"]["pgd_accuracy"] for row in rows]
    best = max(accuracies)
    variance = sum(share * (1 - share) for share in (best, last["pgd_accuracy"])) / last["n"]
    if best - last["pgd_accuracy"] <= 2 * math.sqrt(variance):
        return None
    best_epoch = len(accuracies) - accuracies[::-1].index(best)
    return max(phases.overfitting, best_epoch)
