"""An example's flag and its image are its own: whatever the rows in flight, the order, the calls and the interruptions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from harness.attacks.engine.apgd import APGD
from harness.attacks.engine.draws import KeyedDraws, image_keys
from harness.attacks.engine.engine import Engine
from harness.attacks.engine.losses import CrossEntropy
from harness.attacks.engine.outcome import MISCLASSIFIED, STAGES, SURVIVED, Outcome
from harness.attacks.engine.search import Jobs, _by_halves
from harness.attacks.engine.square import Square
from harness.classifier.prepared import prepare
from harness.data.datasets import digits
from harness.threat import ThreatModel

N = 37
SHORT = Engine(seed=5, steps=15, queries=60)
THREATS = [ThreatModel("Linf", 0.03), ThreatModel("L2", 0.2)]
both_norms = pytest.mark.parametrize("threat", THREATS, ids=lambda threat: threat.norm)
Attacked = Callable[..., Outcome]


def network(classes: int = 10) -> nn.Module:
    """Convolutions with BatchNorm, whose statistics are those of noise, and logits of every size."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = nn.Sequential(
            nn.Conv2d(1, 12, 3, padding=1, bias=False), nn.BatchNorm2d(12), nn.ReLU(),
            nn.Conv2d(12, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Flatten(), nn.Linear(256, classes),
        )  # fmt: skip
        for _ in range(20):
            made(torch.rand(64, 1, 8, 8))
    return made.eval()


def images(model: nn.Module) -> tuple[Tensor, Tensor]:
    """Digits with the labels that the network gives them, but for a few that are wrong."""
    x = digits("test").examples(0, N).x
    with torch.no_grad():
        logits = model(x)
    y = logits.argmax(1)
    y[::9] = logits[::9].argmin(1)
    return x, y


@pytest.fixture(scope="module", params=THREATS, ids=lambda threat: threat.norm)
def attacked(request: pytest.FixtureRequest) -> tuple[nn.Module, Tensor, Tensor, ThreatModel, Outcome]:
    """The network, images, labels, threat model, and the outcome with the rows in flight that the engine chooses."""
    model = network()
    x, y = images(model)
    outcome, _ = SHORT(model, x, y, request.param)
    return model, x, y, request.param, outcome


Case = tuple[nn.Module, Tensor, Tensor, ThreatModel, Outcome]


def same(found: Outcome, wanted: Outcome, rows: Tensor | slice = slice(None)) -> None:
    assert torch.equal(found.stage, wanted.stage[rows])
    assert torch.equal(found.x_adv, wanted.x_adv[rows])
    assert torch.equal(found.reached[found.robust], wanted.reached[rows][found.robust])


def test_the_examples_of_these_tests_end_in_every_way(attacked: Case) -> None:
    model, x, y, threat, outcome = attacked
    ends = set(outcome.stage.tolist())
    assert {MISCLASSIFIED, 0, 1, SURVIVED} <= ends
    assert torch.equal(outcome.stage == MISCLASSIFIED, model(x).argmax(1) != y)
    broken = (outcome.stage >= 0) & ~outcome.robust
    assert (model(outcome.x_adv).argmax(1) != y)[broken].all()
    assert threat.verify(x, outcome.x_adv).legal.all()
    assert torch.equal(outcome.x_adv[~broken], x[~broken])
    assert (outcome.reached[outcome.robust] == len(STAGES)).all()


@pytest.mark.parametrize("rows", [1, pytest.param(16, marks=pytest.mark.slow), 64])
def test_rows_in_flight_change_nothing(attacked: Case, rows: int) -> None:
    model, x, y, threat, outcome = attacked
    if rows == 1:  # one by one takes long: a few images show as much
        x, y = x[:5], y[:5]
        same(replace(SHORT, rows=rows)(model, x, y, threat)[0], outcome, slice(0, 5))
    else:
        same(replace(SHORT, rows=rows)(model, x, y, threat)[0], outcome)


@pytest.mark.parametrize("interval", [3, 15])
def test_how_often_rows_are_looked_at_changes_nothing(attacked: Case, interval: int) -> None:
    model, x, y, threat, outcome = attacked
    same(replace(SHORT, interval=interval, rows=50)(model, x, y, threat)[0], outcome)


@pytest.mark.parametrize("ahead", [1, 40])
def test_how_many_queries_of_square_are_asked_at_once_changes_nothing(
    attacked: Case, ahead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x, y, threat, outcome = attacked
    monkeypatch.setattr(Square, "ahead", ahead)
    same(SHORT(model, x, y, threat)[0], outcome)


def test_order_changes_nothing(attacked: Case) -> None:
    model, x, y, threat, outcome = attacked
    order = torch.randperm(N, generator=torch.Generator().manual_seed(1))
    same(SHORT(model, x[order], y[order], threat)[0], outcome, order)


def test_a_part_alone_comes_to_what_it_comes_to_among_all(attacked: Case) -> None:
    model, x, y, threat, outcome = attacked
    for part in (slice(0, 13), slice(13, None), slice(20, 21)):
        same(replace(SHORT, rows=50)(model, x[part], y[part], threat)[0], outcome, part)


def test_copies_of_an_example_come_to_the_same(attacked: Case) -> None:
    model, x, y, threat, outcome = attacked
    rows = torch.tensor([1, 2, 2, 1, 3, 3, 3])
    same(SHORT(model, x[rows], y[rows], threat)[0], outcome, rows)


def test_an_interrupted_attack_goes_on_to_the_same_end_from_wherever_it_was(attacked: Case) -> None:
    model, x, y, threat, outcome = attacked
    partial: list[Outcome] = []
    engine = replace(SHORT, rows=40, every=0)
    same(engine(model, x, y, threat, kept=lambda found: partial.append(found.copy()))[0], outcome)
    assert len(partial) > 50
    reached = torch.stack([one.reached for one in partial])
    assert (reached[1:] >= reached[:-1])[:, outcome.robust].all(), "what has been done stays done"
    for one in (partial[0], *partial[len(partial) // 5 :: len(partial) // 5], partial[-1]):
        before = one.copy()
        same(SHORT(model, x, y, threat, one)[0], outcome)
        assert torch.equal(one.stage, before.stage), "what was given is left as it is"
        assert torch.equal(one.x_adv, before.x_adv)


def test_examples_may_stop_after_a_stage_each_of_its_own_and_go_on_later(attacked: Case) -> None:
    model, x, y, threat, outcome = attacked
    through = torch.arange(N) % 5
    first, report = SHORT(model, x, y, threat, through=through)
    assert first.finished(through).all()
    assert (first.reached[first.robust] == through[first.robust]).all()
    broken = ~outcome.robust & (outcome.stage < through)
    assert torch.equal(first.stage[broken], outcome.stage[broken])
    assert first.robust[outcome.robust].all()
    same(SHORT(model, x, y, threat, first)[0], outcome)
    # all that was found is kept: to go on from the end costs no pass of the search
    _, report = SHORT(model, x, y, threat, outcome)
    assert report.forward == report.gradient == 0


def test_another_seed_draws_other_starts(attacked: Case) -> None:
    model, x, y, threat, outcome = attacked
    other, _ = replace(SHORT, seed=6)(model, x, y, threat)
    moved = (outcome.stage == 0) & (other.stage == 0)
    assert moved.any()
    assert (other.x_adv != outcome.x_adv).flatten(1).any(1)[moved].any()


@both_norms
@pytest.mark.parametrize("classes", [2, 3, 4])
def test_with_few_classes_every_stage_is_run_and_flags_are_an_examples_own(threat: ThreatModel, classes: int) -> None:
    model = network(classes)
    x, y = images(model)
    found, report = SHORT(model, x, y, threat)
    assert report.classes == classes
    assert report.left_out == ()
    assert (found.reached[found.robust] == len(STAGES)).all()
    same(replace(SHORT, rows=16)(model, x.flip(0), y.flip(0), threat)[0], found, torch.arange(N - 1, -1, -1))


def test_global_random_numbers_are_neither_used_nor_touched(attacked: Case) -> None:
    model, x, y, threat, outcome = attacked
    with torch.random.fork_rng():
        torch.manual_seed(99)
        before = torch.random.get_rng_state()
        same(SHORT(model, x, y, threat)[0], outcome)
        assert torch.equal(torch.random.get_rng_state(), before)


def test_rows_that_begin_while_others_stand_at_a_checkpoint_change_nothing_for_these() -> None:
    """With 100 steps, rows are looked at every 5, and 70 is a checkpoint: whoever stands there is looked at once."""
    model, threat = network(), ThreatModel("Linf", 0.001)
    x, y = images(model)
    jobs = Jobs(x, y, y, image_keys(x), torch.arange(N))

    def part(rows: slice) -> Jobs:
        return Jobs(x[rows], y[rows], y[rows], jobs.keys[rows], jobs.example[rows])

    def walked(more: bool) -> tuple[Tensor, Tensor]:
        search = APGD(CrossEntropy(), 0, threat, KeyedDraws(0), 100, jobs, N, interval=5)
        prepared = prepare(model.requires_grad_(False), x)
        search.admit(part(slice(0, 8)))
        for step in range(100):
            if more and step == 70:
                search.admit(part(slice(8, 12)))
            search.advance(prepared)
        return search.lanes["x"][:8].clone(), search.lanes["step_size"][:8].clone()

    for alone, together in zip(walked(more=False), walked(more=True), strict=True):
        assert torch.equal(alone, together)


def test_sums_by_halves_do_not_depend_on_the_number_of_rows() -> None:
    x = torch.rand(9, 37)
    assert torch.allclose(_by_halves(x), x.sum(1))
    assert torch.equal(_by_halves(x)[4:5], _by_halves(x[4:5]))
    assert torch.equal(_by_halves(x[:, :0]), torch.zeros(9))
