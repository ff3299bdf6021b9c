"""One training step: the batch, the sample removal, the inner attack, the objective on the whole batch, the gradients."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from harness.classifier.folding import folded
from harness.classifier.precision import Precise
from harness.threat import ThreatModel
from harness.training.distributed import World
from harness.training.dynamics import training_attack
from harness.training.objectives import Setting, reweighted
from harness.training.perturbation import weights_perturbed
from harness.training.recipes import Recipe
from harness.training.removal import Removed, counted, kept
from harness.training.starts import attack_start


class BatchSums(NamedTuple):
    """Of this process's part of a batch: the sum of its samples' terms, and how many it classifies rightly; how many
    samples the whole batch has, and how many were removed from it before."""

    loss: Tensor
    right: Tensor
    samples: int
    removed: Removed


class Terms(nn.Module):
    """The network with the objective on top: what is differentiated, and what several processes share."""

    def __init__(self, network: nn.Module, recipe: Recipe) -> None:
        super().__init__()
        self.network = network
        self.objective = recipe.method

    def forward(self, x: Tensor, x_adv: Tensor | None, y: Tensor, setting: Setting) -> tuple[Tensor, Tensor]:
        """Images and labels to each sample's term (N,) and the logits (N, K) whose accuracy is told."""
        # two passes, as TRADES has them: BatchNorm's statistics of natural and adversarial images are not mixed
        natural = self.network(x) if self.objective.natural else None
        adversarial = self.network(x_adv) if x_adv is not None else None
        told = natural if natural is not None else adversarial
        assert told is not None, "an objective sees natural or adversarial images"
        other = adversarial if adversarial is not None else told
        return self.objective.loss(told, other, y, setting), told


class Step:
    """What happens between a batch and its gradients; `network` maps images in [0,1] to logits.

    `fold` False: the inner attack runs on the network as it is, not on one with BatchNorm folded into its convolutions.
    """

    def __init__(
        self,
        network: nn.Module,
        threat: ThreatModel,
        recipe: Recipe,
        device: torch.device,
        world: World | None = None,
        *,
        fold: bool = True,
    ) -> None:
        # channels last: convolutions in bfloat16 take about a fifth less time so, those in float32 lose nothing
        self.network = Precise(network.to(memory_format=torch.channels_last), recipe.precision)
        self.threat, self.recipe, self.world = threat, recipe, world or World()
        self.terms = self.world.shared(Terms(self.network, recipe), device)
        self.attack = training_attack(recipe)
        self.folded = folded(network) if fold and self.attack is not None else None
        self.attacked = self.network if self.folded is None else Precise(self.folded, recipe.precision)

    def __call__(
        self,
        x: Tensor,
        y: Tensor,
        generator: torch.Generator,
        *,
        warm: bool = True,
        perturb: bool = True,
        reach: float = 1.0,
    ) -> BatchSums:
        """Images (N, C, H, W) and labels (N,) of the whole batch; leaves its gradients in the network's parameters.

        `warm` is False during MAIL's warm-up, `perturb` during that of the weight perturbation.
        `reach` is the share of the threat model's eps that the inner attack may use.
        """
        recipe, world = self.recipe, self.world
        threat = replace(self.threat, eps=reach * self.threat.eps)
        x = x.contiguous(memory_format=torch.channels_last)
        natural, removed = None, Removed(0, 0, len(y))
        if recipe.drop != "none":
            natural = world.gathered(self._logits(world.part(x)), len(y))
            stay = kept(natural, y, recipe.drop, recipe.drop_fraction, generator, recipe.drop_count)
            removed = counted(natural, y, recipe.drop, stay)
            x, y, natural = x[stay], y[stay], world.part(natural[stay])
        n = len(y)
        # drawn for the whole batch, so that a sample's noise does not depend on the number of processes
        start = None
        if self.attack is not None:
            start = world.part(attack_start(recipe, self.attack, x, threat, generator))
        x, y = world.part(x), world.part(y)
        x_adv = None
        if self.attack is not None:
            if self.folded is not None:
                self.folded.refresh()
            # not verified: what counts here is speed, and nothing is claimed of these images
            x_adv = self.attack.perturb(self.attacked, x, y, threat, generator, start=start, natural=natural)

        def mean(values: Tensor) -> Tensor:
            return world.total(values.sum()) / n

        setting = Setting(recipe.strength, warm, partial(reweighted, weighting=recipe.weighting, mean=mean))

        def loss() -> tuple[Tensor, Tensor, Tensor]:
            terms, logits = self.terms(x, x_adv, y, setting)
            # gradients are averaged over processes: the average of these is the mean over the whole batch
            return terms.sum() * (world.size / n), terms, logits

        if recipe.awp and perturb:
            with weights_perturbed(self.network, lambda: loss()[0], recipe.awp):
                objective, terms, logits = loss()
                objective.backward()
        else:
            self.network.zero_grad(set_to_none=True)
            objective, terms, logits = loss()
            objective.backward()
        return BatchSums(terms.detach().sum(), (logits.detach().argmax(1) == y).sum(), n, removed)

    @torch.no_grad()
    def _logits(self, x: Tensor) -> Tensor:
        """Natural logits in eval mode, for the choice of samples."""
        mode = self.network.training
        logits = self.network.eval()(x)
        self.network.train(mode)
        return logits
