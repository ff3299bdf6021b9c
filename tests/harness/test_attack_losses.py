"""What attacks raise: the same direction as in float64, however sure of itself a classifier is."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from harness.attacks.attack import Attack
from harness.attacks.individual import APGD
from harness.attacks.losses import cross_entropy, log_odds, towards_kl
from harness.attacks.pgd import PGD
from harness.data.datasets import digits
from harness.energy import marginal_energy
from harness.measures import Energies
from harness.measures.calibration import Scaled
from harness.suites.suite import SUITES
from harness.threat import ThreatModel
from zoo.own_entrants import own_entrants

EXAMPLES = digits("test").examples(0, 60)
THREAT = ThreatModel("Linf", 0.05)
MODELS = {
    entrant.card.name: entrant.load().eval().requires_grad_(False) for entrant in own_entrants(SUITES["digits"].domain)
}


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def gradient(model: nn.Module, loss, x: torch.Tensor) -> torch.Tensor:
    x = x.detach().requires_grad_()
    (found,) = torch.autograd.grad(loss(model(x)).sum(), x)
    return found


def test_the_cross_entropy_is_that_of_torch_and_keeps_its_digits_where_torch_has_none() -> None:
    logits, y = torch.randn(50, 10, generator=generator()) * 4, torch.arange(50) % 10
    torch.testing.assert_close(cross_entropy(logits, y), F.cross_entropy(logits, y, reduction="none"))
    sure = torch.tensor([[40.0, 0.0, 0.0]])
    assert F.cross_entropy(sure, torch.tensor([0])).item() == 0
    assert cross_entropy(sure, torch.tensor([0])).item() == pytest.approx(2 * 4.248354255291589e-18, rel=1e-5)
    assert log_odds(sure, torch.tensor([0])).item() == pytest.approx(40 - 0.6931472)


@pytest.mark.parametrize("scale", [1.0, 4.0, 100.0])
def test_the_direction_of_ascent_is_that_of_float64_at_any_scale_of_the_logits(scale: float) -> None:
    model, y = MODELS["standard"], EXAMPLES.y
    exact = copy.deepcopy(model).double()
    x = THREAT.random_point(EXAMPLES.x, generator())
    found = gradient(Scaled(model, scale), lambda logits: -log_odds(logits, y), x)
    # the gradient of the cross-entropy at scale 1 and the log odds of the scaled logits, in float64
    expected = gradient(exact, lambda logits: -log_odds(scale * logits, y), x.double())
    clear = expected.abs() > 1e-4 * expected.abs().flatten(1).amax(1).view(-1, 1, 1, 1)
    assert clear.float().mean() > 0.9
    assert (found.sign() == expected.sign())[clear].all()
    if scale < 100:  # in float64 the textbook form has a gradient, too
        textbook = gradient(exact, lambda logits: F.cross_entropy(scale * logits, y, reduction="none"), x.double())
        seen = clear & (textbook.flatten(1).abs().amax(1) > 1e-12).view(-1, 1, 1, 1)
        assert seen.float().mean() > 0.3
        assert (textbook.sign() == expected.sign())[seen].float().mean() > 0.999


@pytest.mark.parametrize("scale", [1.0, 4.0, 30.0])
def test_the_direction_along_the_kl_is_that_of_float64(scale: float) -> None:
    model = MODELS["standard"]
    exact = copy.deepcopy(model).double()
    x = THREAT.random_point(EXAMPLES.x, generator())
    reference = scale * model(EXAMPLES.x)
    found = gradient(Scaled(model, scale), lambda logits: towards_kl(logits, reference), x)
    wide = scale * exact(EXAMPLES.x.double())

    def by_hand(logits: torch.Tensor) -> torch.Tensor:
        """q - p times the logits, each chance as exp of differences that do not cancel, over the largest entry."""
        p, q = ((of - of.logsumexp(1, keepdim=True)).exp() for of in (wide, (scale * logits).detach()))
        difference = q - p
        top = wide.argmax(1, keepdim=True)
        rest = difference.scatter(1, top, 0.0)
        difference = rest.scatter(1, top, -rest.sum(1, keepdim=True))
        return (difference / difference.abs().amax(1, keepdim=True) * logits).sum(1)

    expected = gradient(exact, by_hand, x.double())
    clear = expected.abs() > 1e-3 * expected.abs().flatten(1).amax(1).view(-1, 1, 1, 1)
    assert (found.sign() == expected.sign())[clear].float().mean() > 0.999
    if scale == 1:
        p = wide.log_softmax(1)
        kl = gradient(
            exact, lambda logits: F.kl_div(logits.log_softmax(1), p, reduction="none", log_target=True), x.double()
        )
        seen = clear & (kl.flatten(1).abs().amax(1) > 1e-11).view(-1, 1, 1, 1)
        assert seen.float().mean() > 0.5
        assert (found.sign() == kl.sign())[seen].float().mean() > 0.999
    assert (towards_kl(reference, reference) == 0).all()


@pytest.mark.parametrize("name", ["standard", "mart"])
@pytest.mark.parametrize("attack", [PGD(), APGD("ce", 20)], ids=["pgd", "apgd-ce"])
def test_an_attack_is_as_strong_against_confident_logits(name: str, attack: Attack) -> None:
    """Against the standard network with logits times 4 PGD lost 8 points of strength, times 100 nearly all."""
    broken, moved = {}, {}
    for scale in (1.0, 4.0, 100.0):
        model = Scaled(MODELS[name], scale)
        found = attack(model, EXAMPLES.x, EXAMPLES.y, ThreatModel("Linf", 0.1), generator())
        natural = marginal_energy(model(EXAMPLES.x))
        broken[scale] = found.broken.float().mean().item()
        moved[scale] = ((natural - marginal_energy(found.logits)).abs().mean() / natural.std()).item()
    assert broken[1.0] > 0.1
    for scale in (4.0, 100.0):
        # the cross-entropy of other logits has other weights for the classes beside the label, so not quite the same path
        assert broken[scale] >= broken[1.0] - 0.034
        assert moved[scale] == pytest.approx(moved[1.0], rel=0.25)


def test_a_confident_classifier_does_not_count_as_one_that_hides_its_gradient() -> None:
    for scale in (4.0, 100.0):
        measure = Energies(attacks={"pgd": PGD(steps=2)})
        arrays = measure(Scaled(MODELS["standard"], scale), EXAMPLES, THREAT).arrays
        assert not arrays["zero_gradient"].any()
