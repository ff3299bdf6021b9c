"""The engine, with its own draws, beside pyautoattack on the entrants that ship."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pyautoattack import AutoAttack
from scipy.stats import binomtest, wilcoxon
from torch import Tensor, nn

import zoo
from harness.attacks.autoattack import Cascade
from harness.attacks.engine.engine import Engine
from harness.classifier.frozen import frozen
from harness.classifier.precision import Precise
from harness.data.datasets import digits
from harness.suites.suite import SUITES

SUITE = SUITES["digits"]
ENTRANTS = ("standard", "sat", "trades", "mart", "mail-trades", "weat-nat", "weat-adv")
STEPS, QUERIES = 20, 100


class ShortCascade(Cascade):
    """The reference at a small budget."""

    def _attack(self, *arguments: object) -> AutoAttack:
        attack = super()._attack(*arguments)  # type: ignore[arg-type]
        attack.fab.n_iter, attack.square.n_queries = STEPS, QUERIES
        for one in (attack.apgd, attack.apgd_targeted):
            one.n_iter = STEPS
            one.n_iter_2, one.n_iter_min, one.size_decr = (max(int(p * STEPS), 1) for p in (0.22, 0.06, 0.03))
        return attack


def entrant(name: str, n: int) -> tuple[nn.Module, Tensor, Tensor]:
    model = Precise(zoo.find(name, SUITE.domain, model_dir=Path("models")).load(), "fp32")
    examples = digits("test").examples(0, n)
    return model.eval(), examples.x, examples.y


def both(model: nn.Module, x: Tensor, y: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Robust flags at a small budget: the engine's and the reference's."""
    with frozen(model):
        theirs = ShortCascade(seed, batch_size=200)(model, x, y, SUITE.threat)
    ours, _ = Engine(seed, steps=STEPS, queries=QUERIES)(model, x, y, SUITE.threat)
    return ours.robust, theirs.robust


@pytest.mark.parametrize("name", ["standard", "trades"])
def test_flags_of_a_few_dozen_digits_agree_with_pyautoattacks(name: str) -> None:
    ours, theirs = both(*entrant(name, 40), seed=0)
    assert int((ours != theirs).sum()) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ENTRANTS)
def test_flags_of_all_shipped_digits_agree_with_pyautoattacks(name: str) -> None:
    model, x, y = entrant(name, SUITE.examples)
    with frozen(model):
        theirs = Cascade(seed=0)(model, x, y, SUITE.threat).robust
    ours = Engine(seed=0)(model, x, y, SUITE.threat)[0].robust
    assert int((ours != theirs).sum()) <= 0.005 * len(x)


@pytest.mark.slow
def test_over_five_seeds_no_paired_difference_is_significant() -> None:
    more: list[Tensor] = []  # by how many seeds more an image withstands ours
    for name in ENTRANTS:
        model, x, y = entrant(name, SUITE.examples)
        pairs = [both(model, x, y, seed) for seed in range(5)]
        more.append(torch.stack([ours.int() - theirs.int() for ours, theirs in pairs]).sum(0))
        assert sum(int((ours != theirs).sum()) for ours, theirs in pairs) <= 0.005 * 5 * len(x)
    differing = torch.cat(more)[torch.cat(more) != 0]
    if len(differing):
        assert binomtest(int((differing > 0).sum()), len(differing)).pvalue > 0.05
    if len(differing) > 5:
        assert wilcoxon(differing.numpy()).pvalue > 0.05
