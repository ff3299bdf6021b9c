"""Witnesses shown across entrants: what a count by hand finds, done once, kept as proof, and flagged where it is too much."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from torch import nn

from harness.measures import RobustAccuracy
from harness.run.best_known import known_of
from harness.run.plan import Plan, make_plan
from harness.verify import transfers
from harness.verify.hidden_gradients import flags_with, hides_gradients
from harness.verify.replay import replayed
from harness.verify.transfers import Transferred, transferred
from leaderboards.records.files import read_record, write_record
from leaderboards.records.home import Home
from leaderboards.records.schema import Flag, Record
from leaderboards.records.transfers import Pair, read_transfers
from leaderboards.records.witnesses import read_witnesses

CPU = torch.device("cpu")
NAMES = ("a", "b", "c", "d")

Board = tuple[Home, Plan, dict[str, dict[int, np.ndarray]]]


class Drawn(nn.Module):
    """A linear classifier drawn at random, right on every grey image and close to being wrong; it counts what it is shown."""

    seen = 0

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, generator=torch.Generator().manual_seed(seed)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        Drawn.seen += len(x)
        tilt = (x - x.mean((2, 3), keepdim=True)).flatten(1) @ self.weight + 0.2 * (x.mean((1, 2, 3)) - 0.4)
        return torch.stack([torch.zeros(len(x)) + 0.06 * self.weight.abs().sum(), tilt], 1)


@pytest.fixture
def board(greys, tmp_path: Path) -> Board:
    return make_board(greys, Home(tmp_path / "out"), NAMES)


def make_board(greys, home: Home, names: Sequence[str]) -> Board:
    """Classifiers with records; and by name, what AutoAttack is said to have added to each example that it broke."""
    attacks, all_judged = {}, []
    generator = np.random.default_rng(7)
    for seed, name in enumerate(names):
        judged = greys.judged(name, Drawn(seed))
        broken = {}
        for k, x in enumerate(greys.images().images):
            for _ in range(12):
                by = (0.1 * generator.choice([-1, 1], size=(1, 2, 2))).astype(np.float32)
                if k % 4 != seed % 4 and int(judged.entrant.model(x[None] + torch.from_numpy(by))[0].argmax()) == 1:
                    broken[k] = by
        attacks[name] = broken
        greys.recorded(home, judged, broken)
        all_judged.append(judged)
    return home, make_plan(greys.suite, all_judged, [], precision="fp32", device="cpu"), attacks


def record_of(home: Home, name: str) -> Record:
    return read_record(home.results / "greys" / f"{name}.json")


def by_hand(
    greys, plan: Plan, attacks: dict[str, dict[int, np.ndarray]]
) -> dict[tuple[str, str], tuple[int, list[int]]]:
    """Each pair's examples that were tried and those that broke, an image at a time."""
    found = {}
    for judged in plan.judged:
        for source in (name for name in NAMES if name != judged.name):
            tried = [k for k in attacks[source] if k not in attacks[judged.name]]
            x = greys.images().images
            broken = [
                k
                for k in tried
                if int(judged.entrant.model(x[k][None] + torch.from_numpy(attacks[source][k]))[0].argmax())
            ]
            found[judged.name, source] = len(tried), broken
    return found  # fmt: skip


def test_the_matrix_and_what_is_best_known_are_those_of_a_count_by_hand(greys, board) -> None:
    home, plan, attacks = board
    expected = by_hand(greys, plan, attacks)
    assert sum(len(broken) for _, broken in expected.values()) >= 4, "the case must show something"
    done = transferred(plan, home, (), CPU)
    assert done.problems == {}
    assert (done.pairs, done.passes) == (12, sum(tried for tried, _ in expected.values()))
    pairs = read_transfers(home.transfers, "greys").pairs
    assert {(p.target, p.source): (p.tried, p.broken) for p in pairs} == {
        pair: (tried, len(broken)) for pair, (tried, broken) in expected.items()
    }
    for judged in plan.judged:
        left = [k for k in range(8) if k not in attacks[judged.name]]
        record = record_of(home, judged.name)
        shares: dict[str, list[int]] = {}
        for source in NAMES:  # each example is the first source's that broke it
            new = [k for k in left if k in expected.get((judged.name, source), (0, []))[1]]
            left = [k for k in left if k not in new]
            if new:
                shares[source] = new
        if not shares:
            assert record.best_known is None
            continue
        assert record.best_known is not None
        assert record.best_known.value.value == len(left) / 8
        assert np.flatnonzero(known_of(home, record).left).tolist() == left
        for one in record.best_known.found:
            held = read_witnesses(home.witnesses, one.witnesses)
            assert (one.source, one.how) == ("transfer", f"witnesses of AutoAttack on {one.who}")
            assert held.examples.tolist() == shares[one.who]
            assert replayed(judged.entrant.model, greys.images(), held, greys.suite.threat, CPU).broken.all()
        assert [one.who for one in record.best_known.found] == sorted(shares)


def test_what_was_tried_is_not_tried_again_and_nothing_is_written(greys, board) -> None:
    home, plan, _ = board
    transferred(plan, home, (), CPU)
    before = greys.files(home.root)
    again = transferred(plan, home, (), CPU)
    assert (again.pairs, again.passes, again.line) == (0, 0, "")
    assert greys.files(home.root) == before


def test_other_witnesses_or_a_lost_record_are_tried_anew_and_pairs_of_a_record_that_is_gone_are_dropped(
    greys, board
) -> None:
    home, plan, attacks = board
    transferred(plan, home, (), CPU)
    # b was attacked again, and one example fewer broke: b as a target and as a source is new to all three others
    fewer = dict(list(attacks["b"].items())[:-1])
    greys.recorded(home, plan.judged[1], fewer)
    assert transferred(plan, home, (), CPU).pairs == 6
    hit = next(name for name in NAMES if record_of(home, name).best_known)
    value = record_of(home, hit).best_known.value  # type: ignore[union-attr]
    write_record(home.results, record_of(home, hit).model_copy(update={"best_known": None}))
    again = transferred(plan, home, (), CPU)
    assert again.pairs >= 1
    assert record_of(home, hit).best_known.value == value  # type: ignore[union-attr]
    (home.results / "greys" / "d.json").unlink()
    transferred(plan, home, (), CPU)
    pairs = read_transfers(home.transfers, "greys").pairs
    assert {name for pair in pairs for name in (pair.target, pair.source)} == {"a", "b", "c"}


def test_published_records_are_sources_for_a_run_beside_them_and_stay_as_they_are(greys, board, tmp_path: Path) -> None:
    home, plan, attacks = board
    run = Home(tmp_path / "runs")
    greys.recorded(run, plan.judged[0], attacks["a"])
    published = greys.files(home.root)
    alone = make_plan(greys.suite, plan.judged[:1], [], precision="fp32", device="cpu")
    assert transferred(alone, run, (), CPU) == Transferred(), "one record has nobody to meet"
    done = transferred(alone, run, (home,), CPU)
    assert done.pairs == 3
    assert {pair.target for pair in read_transfers(run.transfers, "greys").pairs} == {"a"}
    assert greys.files(home.root) == published
    for bundle in record_of(run, "a").bundles.values():
        assert (run.witnesses / bundle.file).is_file(), "what it rests on lies beside it"


def test_a_partial_run_an_entrant_that_fails_and_a_damaged_bundle_take_nothing_from_the_others(greys, board) -> None:
    home, plan, _ = board
    partial = make_plan(greys.suite, plan.judged, [RobustAccuracy()], precision="fp32", device="cpu", limit=4)
    assert transferred(partial, home, (), CPU) == Transferred()
    bundle = record_of(home, "c").measurements["autoattack"].witnesses
    assert bundle is not None
    path = home.witnesses / bundle.file
    path.write_bytes(path.read_bytes()[:-1])
    plan.judged[3].entrant.model.forward = lambda x: 1 / 0
    done = transferred(plan, home, (), CPU)
    assert list(done.problems) == ["c", "d"]
    met = {(pair.target, pair.source) for pair in read_transfers(home.transfers, "greys").pairs}
    assert met == {(t, s) for t in "abc" for s in "abd" if t != s}


def test_one_whose_counterexamples_are_lost_takes_nothing_from_the_others_and_is_tried_again(greys, board) -> None:
    home, plan, _ = board
    transferred(plan, home, (), CPU)
    whole = greys.files(home.root)
    targets = [name for name in NAMES if record_of(home, name).best_known]
    (lost,) = record_of(home, targets[0]).best_known.found[:1]
    (home.witnesses / lost.witnesses.file).unlink()
    (home.transfers / "greys.json").unlink()
    done = transferred(plan, home, (), CPU)
    assert list(done.problems) == targets[:1]
    met = {(pair.target, pair.source) for pair in read_transfers(home.transfers, "greys").pairs}
    assert met == {(t, s) for t in NAMES for s in NAMES if t != s and t != targets[0]}
    (home.witnesses / lost.witnesses.file).write_bytes(whole[f"witnesses/{lost.witnesses.file}"])
    assert not transferred(plan, home, (), CPU).problems
    assert greys.files(home.root) == whole


def test_nobody_waits_while_networks_are_shown_images_and_what_is_measured_again_meanwhile_is_tried_later(
    greys, board, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, plan, attacks = board
    shown = transfers._shown

    def meanwhile(*given):
        found = [*shown(*given)]
        with FileLock(home.root / ".lock", timeout=0):  # Timeout is raised where somebody holds it
            more = attacks["a"] | {k: 0.19 for k in range(8) if k not in attacks["a"]}
            greys.recorded(home, plan.judged[0], dict(list(more.items())[: len(attacks["a"]) + 1]))
        return found

    monkeypatch.setattr(transfers, "_shown", meanwhile)
    transferred(plan, home, (), CPU)
    assert {pair.target for pair in read_transfers(home.transfers, "greys").pairs} == {"b", "c", "d"}
    assert record_of(home, "a").best_known is None
    monkeypatch.undo()
    again = transferred(plan, home, (), CPU)
    assert again.pairs == 6, "a meets the three others, and they meet its new witnesses"


def pair(tried: int, broken: int, source: str = "s") -> Pair:
    return Pair(
        target="t", weights_sha256="w", flags_sha256="f" * 64, source=source, bundle_sha256="b" * 64, tried=tried, broken=broken
    )  # fmt: skip


@pytest.mark.parametrize(("tried", "fewest"), [(20, 3), (50, 4), (100, 6), (200, 11), (1000, 51), (10_000, 501)])
def test_the_flag_is_for_more_than_a_twentieth_that_chance_does_not_explain(tried: int, fewest: int) -> None:
    assert [hides_gradients(pair(tried, k)) for k in (0, fewest - 1, fewest, tried)] == [False, False, True, True]


def test_nothing_tried_flags_nobody_and_the_flag_goes_when_its_reason_goes() -> None:
    other = Flag(code="other", message="stays")
    assert not hides_gradients(pair(0, 0))
    assert not hides_gradients(pair(1, 1)), "one image says little"
    flagged = flags_with([other], [pair(100, 20, "x"), pair(100, 40, "y"), pair(100, 1, "z")])
    assert [flag.code for flag in flagged] == ["other", "hidden-gradients"]
    assert "100 images made for y were shown, and 40 break it (40.0 %)" in flagged[1].message
    assert flags_with(flagged, [pair(100, 1)]) == (other,)


def test_replays_of_twenty_entrants_cost_less_than_a_hundredth_of_autoattack(greys, tmp_path: Path) -> None:
    home, plan, attacks = make_board(greys, Home(tmp_path / "out"), [f"entrant-{k}" for k in range(20)])
    Drawn.seen = 0
    done = transferred(plan, home, (), CPU)
    assert (done.pairs, done.problems) == (20 * 19, {})
    tried = sum(
        len(set(attacks[s.name]) - set(attacks[t.name])) for t in plan.judged for s in plan.judged if s is not t
    )
    assert done.passes == tried > 0
    assert Drawn.seen == done.passes + 2 * 20, (
        "but for two images of each entrant that is loaded, nothing else is passed"
    )
    cost = RobustAccuracy().cost(10)
    assert Drawn.seen < 0.01 * 20 * len(greys.images()) * (cost.forward + cost.backward)
    # however little AutoAttack broke: no example is passed more than once for each of the nineteen others
    assert 0.01 * (cost.forward + cost.backward) > 19 + 2
