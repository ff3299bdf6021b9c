"""The attacks that AutoAttack is made of (Croce & Hein 2020; Andriushchenko et al. 2020), each alone and on every example.

AutoAttack itself is a cascade: a later attack sees only what the earlier ones left. Here each attack sees all examples, so
that what they do to the energies can be compared. Budgets are settings, and shorter than AutoAttack's by default: accuracy
under one of these errs high, more than AutoAttack's does. Each class says which image it returns where it fails.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from pyautoattack.autopgd_base import APGDAttack, APGDAttack_targeted
from pyautoattack.fab_pt import FABAttack_PT
from pyautoattack.square import SquareAttack
from torch import Tensor, nn

from harness.attacks.attack import Attack
from harness.attacks.autoattack import TARGETS, collected
from harness.attacks.losses import log_odds
from harness.threat import Norm, ThreatModel, per_sample


@contextmanager
def _seeded(x: Tensor, generator: torch.Generator) -> Iterator[int]:
    """torch's global generator as an attack of pyautoattack wants it: seeded from ours, and put back afterwards.

    What the attack warns of is left to AutoAttack's own measure, which keeps it, and to the count of zero gradients.
    """
    seed = int(torch.randint(2**31 - 1, (), generator=generator, device=generator.device))
    with torch.random.fork_rng(devices=[x.device] if x.is_cuda else []), collected(), torch.no_grad():
        torch.manual_seed(seed)
        yield seed


def _wrong(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return model(x).argmax(1) != y


def _run(attack: APGDAttack, model: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """One run of APGD: images, whether each is misclassified, and its loss.

    The image is that of the highest loss; where this one is classified correctly and another iterate was not, the last
    such iterate.
    """
    attack.init_hyperparam(x)
    best, correct, loss, fooling = attack.attack_single_run(x.clone(), y)
    wrong = _wrong(model, best, y)
    instead = ~wrong & (correct == 0)
    found = torch.where(per_sample(instead, x), fooling, best)
    return found.detach(), wrong | instead, loss


class _OnLogOdds(APGDAttack):
    """APGD on minus the log odds of the label, under the name of a loss whose method pyautoattack leaves to be given.

    They rise with the cross-entropy, and APGD compares losses and takes signs or unit vectors of gradients: so it walks as
    it would on the cross-entropy, but also where this one's gradient rounds to zero.
    """

    def ce_loss_targeted(self, logits: Tensor, y: Tensor) -> Tensor:
        return -log_odds(logits, y)


@dataclass(frozen=True)
class APGD(Attack):
    """Auto-PGD, untargeted, on the cross-entropy ("ce") or the difference-of-logits ratio ("dlr"), from a random start.

    Every example is attacked, also one that is misclassified to begin with. Returned is the iterate of the highest loss,
    or, where that one fools nobody and another did, the last that did; so an image moves also where the attack fails.
    """

    loss: Literal["ce", "dlr"] = "ce"
    steps: int = 50

    def passes(self, classes: int) -> tuple[int, int]:
        return self.steps + 2, self.steps + 1

    def obstacle(self, classes: int, norm: Norm, side: int) -> str:
        return "the DLR loss needs three classes" if self.loss == "dlr" and classes < 3 else ""

    def shortened(self, classes: int) -> tuple[APGD, float]:
        return replace(self, steps=2), (self.steps + 2) / 3

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: ThreatModel, generator: torch.Generator
    ) -> Tensor:
        with _seeded(x, generator) as seed:
            common = _common(self.steps, seed, x, threat)
            on_ce = self.loss == "ce"
            attack = (
                _OnLogOdds(model, loss="ce-targeted", **common) if on_ce else APGDAttack(model, loss="dlr", **common)
            )
            return _run(attack, model, x, y)[0]


@dataclass(frozen=True)
class TargetedAPGD(Attack):
    """Auto-PGD on the targeted difference-of-logits ratio, towards the `targets` most likely wrong classes one by one.

    An example rests once a target fools the classifier: returned is that run's image. Where none does, the iterate of the
    highest loss over all targets; so an image moves also where the attack fails.
    """

    ends_early: ClassVar[bool] = True
    steps: int = 20
    targets: int = TARGETS

    def settings(self) -> dict[str, Any]:
        return {"attack": "targeted APGD", "loss": "dlr", **asdict(self)}

    def passes(self, classes: int) -> tuple[int, int]:
        targets = min(self.targets, classes - 1)
        return 1 + targets * (self.steps + 2), targets * (self.steps + 1)

    def obstacle(self, classes: int, norm: Norm, side: int) -> str:
        return "the targeted DLR loss needs four classes" if classes < 4 else ""

    def shortened(self, classes: int) -> tuple[TargetedAPGD, float]:
        return replace(self, steps=2, targets=1), min(self.targets, classes - 1) * (self.steps + 2) / 3

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: ThreatModel, generator: torch.Generator
    ) -> Tensor:
        with _seeded(x, generator) as seed:
            # the order of the wrong classes at the natural image, the most likely first; the label comes last
            ranked = model(x).scatter(1, y.unsqueeze(1), -torch.inf).argsort(1, descending=True)
            attack = APGDAttack_targeted(model, **_common(self.steps, seed, x, threat))
            x_adv, highest = x.clone(), torch.full((len(x),), -torch.inf, device=x.device)
            broken = torch.zeros(len(x), dtype=torch.bool, device=x.device)
            for k in range(min(self.targets, ranked.shape[1] - 1)):
                left = (~broken).nonzero().squeeze(1)
                if len(left) == 0:
                    break
                attack.y_target = ranked[left, k]
                found, wrong, loss = _run(attack, model, x[left], y[left])
                better = wrong | (loss > highest[left])
                x_adv[left[better]] = found[better]
                highest[left[better]] = loss[better]
                broken[left[wrong]] = True
            return x_adv


@dataclass(frozen=True)
class TargetedFAB(Attack):
    """Fast adaptive boundary attack towards the `targets` most likely wrong classes: the nearest misclassified point.

    It looks for small perturbations, so its points lie just beyond the decision boundary. Returned is the natural image
    where no misclassified point within eps is found and where the natural one is misclassified already.
    """

    steps: int = 20
    targets: int = TARGETS

    def settings(self) -> dict[str, Any]:
        return {"attack": "targeted FAB", **asdict(self)}

    def passes(self, classes: int) -> tuple[int, int]:
        targets = min(self.targets, classes - 1)
        return 1 + targets * (3 + 2 * self.steps), targets * self.steps

    def shortened(self, classes: int) -> tuple[TargetedFAB, float]:
        return replace(self, steps=2, targets=1), min(self.targets, classes - 1) * (self.steps + 1) / 2

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: ThreatModel, generator: torch.Generator
    ) -> Tensor:
        with _seeded(x, generator) as seed:
            targets = min(self.targets, model(x[:1]).shape[1] - 1)
            attack = FABAttack_PT(
                model,
                norm=threat.norm,
                n_restarts=1,
                n_iter=self.steps,
                eps=threat.eps,
                seed=seed,
                targeted=True,
                device=x.device,
                n_target_classes=targets,
            )
            return attack.perturb(x.clone(), y).detach()


@dataclass(frozen=True)
class Square(Attack):
    """Square attack: random search by forward passes alone, on the margin, its schedule scaled to the number of queries.

    An example rests once it is misclassified. Returned is the image of the smallest margin found, so an image moves also
    where the attack fails; a natural image that is misclassified already is returned as it is.
    """

    by_gradient: ClassVar[bool] = False
    ends_early: ClassVar[bool] = True
    queries: int = 500

    def passes(self, classes: int) -> tuple[int, int]:
        return self.queries + 2, 0

    def obstacle(self, classes: int, norm: Norm, side: int) -> str:
        return "Square under L2 needs five pixels a side" if norm == "L2" and side < 5 else ""

    def shortened(self, classes: int) -> tuple[Square, float]:
        return replace(self, queries=8), (self.queries + 2) / 10

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: ThreatModel, generator: torch.Generator
    ) -> Tensor:
        with _seeded(x, generator) as seed:
            x_adv, right = x.clone(), ~_wrong(model, x, y)
            if not right.any():
                return x_adv
            attack = SquareAttack(
                model,
                norm=threat.norm,
                n_queries=self.queries,
                eps=threat.eps,
                seed=seed,
                device=x.device,
                resc_schedule=True,
            )
            attack.init_hyperparam(x)
            _, x_adv[right] = attack.attack_single_run(x[right], y[right])
            return x_adv


def _common(steps: int, seed: int, x: Tensor, threat: ThreatModel) -> dict[str, Any]:
    """What both forms of APGD are made with."""
    return {
        "n_iter": steps,
        "norm": threat.norm,
        "eps": threat.eps,
        "seed": seed,
        "device": x.device,
        "logger": logging.getLogger("auto-attack"),
    }
