"""APGD and FAB-T against pyautoattack's, image by image, in float64 and with its draws.

Each attack is run by itself and to its end, theirs and ours. The paths are compared up to the first adversarial image, where
a row of the engine ends; of an image that withstands, all of it. (Further on the ratio's denominator may come near zero,
and then rounding doubles from step to step: what is left of the path must still be the same to a thousandth of a pixel.)
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
import torch
from pyautoattack.autopgd_base import APGDAttack, APGDAttack_targeted
from pyautoattack.fab_pt import FABAttack_PT
from torch import Tensor, nn

from harness.attacks.engine.apgd import APGD, checkpoints
from harness.attacks.engine.fab import TargetedFAB
from harness.attacks.engine.losses import CrossEntropy, Loss, TargetedMargin, targeted
from harness.threat import ThreatModel

NEAR = 1e-9
THREATS = [ThreatModel("Linf", 0.007), ThreatModel("L2", 0.08)]
both_norms = pytest.mark.parametrize("threat", THREATS, ids=lambda threat: threat.norm)
every_target = pytest.mark.parametrize("place", range(2, 11))


@dataclass(frozen=True)
class Starts:
    """The one start that the reference drew, for rows by their place."""

    drawn: Sequence[Tensor]

    def start(self, keys: Tensor, stage: int, target: Tensor, shape: Sequence[int], *, gaussian: bool) -> Tensor:
        (only,) = self.drawn
        return only[keys] if gaussian else 2 * only[keys] - 1


def compare_apgd(one: Any, attack: type[APGDAttack], loss: Loss, target: Tensor, threat: ThreatModel) -> Tensor:
    """Run both for 100 steps; gives at which pass each row is first adversarial, 101 for never."""

    def run(network: nn.Module) -> None:
        options = {"loss": "ce"} if attack is APGDAttack else {}
        made = attack(network, norm=threat.norm, eps=threat.eps, device="cpu", logger=logging.getLogger("a"), **options)
        made.init_hyperparam(one.x)
        made.y_target = target
        if isinstance(loss, TargetedMargin):
            rows = torch.arange(len(target))
            made.dlr_loss_targeted = lambda logits, y: logits[rows, target] - logits[rows, y]
        made.attack_single_run(one.x, one.y)

    recorded = one.reference(run)
    search = APGD(loss, 0, threat, Starts(one.drawn), 100, one.jobs(target), len(target))
    search.admit(one.jobs(target))
    network, first = one.watched(), torch.full((len(target),), 101)
    while not search.finished().any():
        hits = search.advance(network)
        first[hits.rows] = first[hits.rows].clamp_max(len(network.images) - 1)
        assert torch.equal(hits.x_adv, network.images[-1][hits.rows])
    found, wanted = torch.stack(network.images), torch.stack(recorded.inputs)
    assert found.shape == wanted.shape
    assert len(found) == 101
    wrong = torch.stack(recorded.outputs).argmax(2) != one.y
    assert torch.equal(first, torch.where(wrong.any(0), wrong.int().argmax(0), 101))
    apart = (found - wanted).flatten(2).abs().amax(2)
    assert apart[torch.arange(101).unsqueeze(1) <= first].max() < NEAR
    assert apart.max() < 1e-3 / 255
    moves = (wanted[1:] - wanted[:-1]).flatten(2).abs().amax(2)
    assert (moves > 0).float().mean() > 0.2, "images that stand still would show nothing"
    return first


@both_norms
@pytest.mark.parametrize("shape", [(3, 10, 10), (1, 12, 12)])
def test_apgd_on_the_cross_entropy_passes_the_references_images(
    case: Callable[..., Any], threat: ThreatModel, shape: tuple[int, int, int]
) -> None:
    one = case(shape)
    first = compare_apgd(one, APGDAttack, CrossEntropy(), one.y, threat)
    assert 0 < int((first > 100).sum()) < len(first), "some are to break, others not"


@both_norms
@every_target
def test_targeted_apgd_passes_the_references_images_for_each_target(
    case: Callable[..., Any], threat: ThreatModel, place: int
) -> None:
    one = case()
    compare_apgd(one, APGDAttack_targeted, targeted(10), one.ranked(place), threat)


@both_norms
def test_with_four_classes_the_ratio_is_the_references(case: Callable[..., Any], threat: ThreatModel) -> None:
    one = case(classes=4)
    for place in (2, 3, 4):
        one.drawn.clear()
        compare_apgd(one, APGDAttack_targeted, targeted(4), one.ranked(place), threat)


@both_norms
@pytest.mark.parametrize("classes", [2, 3])
def test_with_two_or_three_classes_the_margin_is_raised_by_the_references_steps(
    case: Callable[..., Any], threat: ThreatModel, classes: int
) -> None:
    one = case((1, 12, 12), classes)
    assert isinstance(targeted(classes), TargetedMargin)
    compare_apgd(one, APGDAttack_targeted, targeted(classes), one.ranked(2), threat)


def test_the_step_size_is_looked_at_after_the_papers_steps() -> None:
    # p_0 = 0, p_1 = 0.22, p_{j+1} = p_j + max(p_j - p_{j-1} - 0.03, 0.06), in steps of 100 (Croce & Hein 2020, 3.2)
    p = [0.0, 0.22]
    while p[-1] < 1:
        p.append(p[-1] + max(p[-1] - p[-2] - 0.03, 0.06))
    wanted = {round(100 * at): round(100 * (at - before)) for before, at in pairwise(p)}
    assert checkpoints(100) == {at: window for at, window in wanted.items() if at <= 100}


@both_norms
@pytest.mark.parametrize(
    "place", [p if p in (2, 6, 10) else pytest.param(p, marks=pytest.mark.slow) for p in range(2, 11)]
)
def test_fab_passes_the_references_images_for_each_target(
    case: Callable[..., Any], threat: ThreatModel, place: int
) -> None:
    one, steps = case(), 100
    attack: list[FABAttack_PT] = []
    results: list[Tensor] = []

    def run(network: nn.Module) -> None:
        attack.append(FABAttack_PT(network, norm=threat.norm, eps=threat.eps, n_iter=steps, device="cpu"))
        attack[0].target_class = place
        results.append(attack[0].attack_single_run(one.x, one.y, is_targeted=True))

    recorded = one.reference(run)
    # two passes at the natural images, then one with the gradient and one after each step
    wanted = torch.stack(recorded.inputs[3::2])
    assert len(recorded.inputs) == 2 + 2 * steps
    target = one.ranked(place)
    search = TargetedFAB(threat, steps, one.jobs(target), len(target))
    search.admit(one.jobs(target))
    network = one.watched()
    paths: list[list[Tensor]] = [[] for _ in target]
    broken: set[int] = set()
    while search.lanes.n:
        hits = search.advance(network)
        broken |= set(search.lanes["example"][hits.rows].tolist())
        for row in (~search.lanes["known"]).nonzero().squeeze(1).tolist():
            paths[int(search.lanes["example"][row])].append(search.lanes["x"][row].clone())
        search.lanes.keep((~search.finished()).nonzero().squeeze(1))
    assert [len(path) for path in paths] == [steps] * len(target)
    found = torch.stack([torch.stack(path) for path in paths], 1)
    assert (found - wanted).abs().max() < NEAR
    fooled = one.network(results[0]).argmax(1) != one.y
    nearest = threat.distance(one.x, results[0])
    assert broken == set((fooled & (nearest <= threat.eps)).nonzero().squeeze(1).tolist())
    # a row whose image was not adversarial was passed once where the reference passes it twice
    assert sum(map(len, network.images)) <= sum(map(len, recorded.inputs))


@both_norms
def test_fab_breaks_some_images_of_these_and_not_others(case: Callable[..., Any], threat: ThreatModel) -> None:
    one = case()
    search = TargetedFAB(threat, 100, one.jobs(one.ranked(2)), len(one.x))
    search.admit(one.jobs(one.ranked(2)))
    broken: set[int] = set()
    while search.lanes.n:
        broken |= set(search.lanes["example"][search.advance(one.watched()).rows].tolist())
        search.lanes.keep((~search.finished()).nonzero().squeeze(1))
    assert 0 < len(broken) < len(one.x)
