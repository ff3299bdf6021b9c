"""Square against pyautoattack's, query by query, in float64 and with its draws.

At the end the whole engine, all four attacks with pyautoattack's draws, beside pyautoattack's cascade.

Ours makes no pass for a proposal of which it is known what comes of it, so what is compared are not the passes but the best
image after each query, up to the first adversarial one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from pyautoattack import AutoAttack
from pyautoattack.autopgd_base import APGDAttack
from pyautoattack.square import SquareAttack
from torch import Tensor, nn

from harness.attacks.autoattack import Cascade
from harness.attacks.engine.draws import Squares, image_keys
from harness.attacks.engine.engine import Engine
from harness.attacks.engine.search import RowSearch
from harness.attacks.engine.square import Square, margins, window_side
from harness.attacks.engine.square_l2 import SquareL2, pattern
from harness.threat import ThreatModel

NEAR = 1e-9


def sign(u: Tensor) -> Tensor:
    """The reference's random_choice, from its uniform numbers."""
    return (2 * u - 1).sign()


@dataclass(frozen=True)
class LinfDraws:
    """Stripes; then for each query a row, a column and a colour for each channel. Zeros where the reference had ended."""

    drawn: Sequence[Tensor]

    def stripes(self, keys: Tensor, channels: int, width: int) -> Tensor:
        return sign(self.drawn[0][keys])

    def squares(self, queries: int, channels: int, device: torch.device) -> Squares:
        row, column, colour = (torch.stack([u.flatten() for u in self.drawn[i::3]]) for i in (1, 2, 3))
        table = torch.zeros(queries, 2 + channels, dtype=row.dtype)
        table[: len(row)] = torch.cat([row, column, colour], 1)
        return Squares(table[:, 0], table[:, 1], sign(table[:, 2:]))


@dataclass(frozen=True)
class L2Draws:
    """For each tile whether it is turned and its signs; then for each query four places, a turn, and the signs of those
    images that were still attacked (`active`)."""

    drawn: Sequence[Tensor]
    n_tiles: int
    active: Sequence[Tensor]

    def tiles(self, keys: Tensor, tiles: int, channels: int) -> tuple[Tensor, Tensor]:
        assert tiles == self.n_tiles
        mine = self.drawn[: 2 * tiles]
        return torch.cat(list(mine[::2])) > 0.5, torch.stack([sign(u[keys]).flatten(1) for u in mine[1::2]], 1)

    def windows(self, queries: int, device: torch.device) -> tuple[Tensor, Tensor]:
        table = torch.zeros(queries, 5, dtype=torch.float64)
        queried = self.drawn[2 * self.n_tiles :]
        for query in range(len(queried) // 6):
            table[query] = torch.cat(list(queried[6 * query : 6 * query + 5]))
        return table[:, :4], table[:, 4] > 0.5

    def window_signs(self, keys: Tensor, query: int, channels: int) -> Tensor:
        assert torch.equal(self.active[query], keys), "the same images are to be attacked at the same query"
        return sign(self.drawn[2 * self.n_tiles + 6 * query + 5]).flatten(1)


@dataclass(frozen=True)
class Reference:
    """What the reference had after its first image and after each query: the best images (Q + 1, N, ...), which images it
    went on with (Q + 1), and the query that broke each, -1 for the first image and Q for none."""

    best: Tensor
    active: list[Tensor]
    broken: Tensor
    passes: int
    returned: Tensor

    @classmethod
    def of(cls, one: Any, threat: ThreatModel, queries: int) -> Reference:
        returned: list[Tensor] = []

        def run(network: nn.Module) -> None:
            options = {"n_queries": queries, "resc_schedule": False, "device": "cpu"}
            made = SquareAttack(network, norm=threat.norm, eps=threat.eps, **options)
            made.init_hyperparam(one.x)
            returned.append(made.attack_single_run(one.x, one.y)[1])

        recorded = one.reference(run)
        n = len(one.x)
        best, least = one.x.clone(), torch.full((n,), torch.inf, dtype=one.x.dtype)
        broken, history, going = torch.full((n,), queries), [], []
        rows = torch.arange(n)
        for query, (x, logits) in enumerate(zip(recorded.inputs, recorded.outputs, strict=True), start=-1):
            found = margins(logits, one.y[rows])
            better = found < least[rows]
            best[rows[better]], least[rows[better]] = x[better], found[better]
            broken[rows[found <= 0]] = query
            history.append(best.clone())
            rows = (least > 0).nonzero().squeeze(1)
            going.append(rows)
        history += [history[-1]] * (queries + 1 - len(history))
        return cls(torch.stack(history), going, broken, sum(map(len, recorded.inputs)), returned[0])


def ours(
    one: Any, search: RowSearch, queries: int, image: Callable[[], Tensor], asked: Callable[[], Tensor]
) -> tuple[Tensor, Tensor, int]:
    """The best images after each query, the query that broke each, and how many images were passed."""
    n = len(one.x)
    best = torch.full((queries + 1, *one.x.shape), torch.nan, dtype=one.x.dtype)
    broken, network = torch.full((n,), queries), one.watched()
    search.admit(one.jobs())
    at = torch.full((n,), -2)
    while search.lanes.n:
        hits = search.advance(network)
        example, now, images = search.lanes["example"], asked(), image()
        for row, (i, query) in enumerate(zip(example.tolist(), now.tolist(), strict=True)):
            if at[i] >= -1:  # between two passes the best image stays
                best[at[i] + 2 : query + 1, i] = best[at[i] + 1, i]
            best[query + 1, i] = images[row]
            at[i] = query
        broken[example[hits.rows]] = now[hits.rows]
        gone = search.finished()
        gone[hits.rows] = True
        search.lanes.keep((~gone).nonzero().squeeze(1))
    for i in range(n):
        best[at[i] + 2 :, i] = best[at[i] + 1, i]
    return best, broken, sum(map(len, network.images))


@pytest.mark.parametrize(("shape", "eps"), [((3, 10, 10), 0.01), ((1, 12, 12), 0.02)])
@pytest.mark.parametrize("queries", [600, pytest.param(5000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("ahead", [1, 6])
def test_square_under_linf_has_the_references_image_after_each_query(
    case: Callable[..., Any], shape: tuple[int, int, int], eps: float, queries: int, ahead: int
) -> None:
    one, threat = case(shape), ThreatModel("Linf", eps)
    wanted = Reference.of(one, threat, queries)
    search = Square(threat, LinfDraws(one.drawn), queries, one.jobs(), len(one.x))
    search.ahead = ahead
    lanes = search.lanes

    def image() -> Tensor:
        return torch.where(lanes["up"], lanes["high"], lanes["low"])

    starts = torch.tensor([-1, *(phase.start for phase in search.phases), queries - 1])

    def asked() -> Tensor:
        """The row's last query: -1 where it began, the last of all where none was left that needs a pass."""
        inside = (lanes["phase"] >= 0) & ~search.finished()
        return starts[lanes["phase"] + 1] + lanes["query"].where(inside, 0)

    best, broken, passes = ours(one, search, queries, image, asked)
    assert torch.equal(broken, wanted.broken)
    assert 0 < int((broken == queries).sum()) < len(broken), "some are to break, others not"
    assert (best - wanted.best).abs().max() < NEAR
    assert (best[-1] - wanted.returned).abs().max() < NEAR
    assert ahead > 1 or passes < wanted.passes, "proposals whose outcome is known cost no pass"


@pytest.mark.parametrize(("shape", "eps"), [((3, 10, 10), 0.1), ((1, 15, 15), 0.12)])
@pytest.mark.parametrize("queries", [300, pytest.param(5000, marks=pytest.mark.slow)])
def test_square_under_l2_has_the_references_image_after_each_query(
    case: Callable[..., Any], shape: tuple[int, int, int], eps: float, queries: int
) -> None:
    one, threat = case(shape), ThreatModel("L2", eps)
    wanted = Reference.of(one, threat, queries)
    tiles = (shape[1] // (shape[1] // 5)) ** 2
    search = SquareL2(threat, L2Draws(one.drawn, tiles, wanted.active), queries, one.jobs(), len(one.x))
    lanes = search.lanes
    best, broken, _ = ours(one, search, queries, lambda: lanes["x"], lambda: torch.full((lanes.n,), search._query - 1))
    assert torch.equal(broken, wanted.broken)
    assert 0 < int((broken == queries).sum()) < len(broken), "some are to break, others not"
    assert (best - wanted.best).abs().max() < NEAR
    assert (best[-1] - wanted.returned).abs().max() < NEAR


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (1, 28, 28), (3, 224, 224)])
def test_windows_have_the_references_sides_at_every_query(shape: tuple[int, int, int]) -> None:
    attack = SquareAttack(None, eps=0.1, n_queries=5000, resc_schedule=False)
    pixels = shape[1] * shape[2]
    wanted = [max(round((attack.p_selection(query) * pixels) ** 0.5), 1) for query in range(5000)]
    assert [window_side(query, *shape, least=1) for query in range(5000)] == wanted


@pytest.mark.parametrize("side", [1, 2, 3, 5, 6, 25])
def test_the_bumps_under_l2_are_the_references(case: Callable[..., Any], side: int) -> None:
    found: list[Tensor] = []
    one = case()

    def run(network: nn.Module) -> None:
        attack = SquareAttack(network, norm="L2", eps=0.1, device="cpu")
        found.append(attack.eta(side))

    one.reference(run)
    wanted = found[0].T if float(one.drawn[0]) > 0.5 else found[0]
    torch.testing.assert_close(pattern(side), wanted, rtol=0, atol=1e-12)


class ShortCascade(Cascade):
    """pyautoattack's cascade of 30 steps and 200 queries."""

    def _attack(self, *arguments: object) -> AutoAttack:
        attack = super()._attack(*arguments)  # type: ignore[arg-type]
        attack.fab.n_iter, attack.square.n_queries = 30, 200
        for one in (attack.apgd, attack.apgd_targeted):
            one.n_iter, one.n_iter_2, one.n_iter_min, one.size_decr = 30, int(0.22 * 30), 1, 1
        return attack


class Drawn:
    """Draws for images by their keys, out of runs of the reference's attacks: (stage, x, targets, draws).

    Once an image is broken the reference draws no more for it; where ours would, it is given zeros, whatever comes of them.
    """

    def __init__(self, runs: list[tuple[int, Tensor, Tensor, Sequence[Tensor]]], square: Any) -> None:
        self.starts: dict[tuple[int, int, int], Tensor] = {}
        for stage, x, targets, (drawn,) in runs:
            for key, target, start in zip(image_keys(x).tolist(), targets.tolist(), drawn, strict=True):
                self.starts[key, stage, target] = start
        self.square, self.place = square[1], {key: row for row, key in enumerate(image_keys(square[0]).tolist())}

    def start(self, keys: Tensor, stage: int, target: Tensor, shape: Sequence[int], *, gaussian: bool) -> Tensor:
        none = torch.zeros(*shape, dtype=torch.float64) + (0.0 if gaussian else 0.5)
        found = [self.starts.get((key, stage, t), none) for key, t in zip(keys.tolist(), target.tolist(), strict=True)]
        return torch.stack(found) if gaussian else 2 * torch.stack(found) - 1

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Square's draws, for the places of the images."""

        def drawn(first: Any, *rest: Any) -> Any:
            if isinstance(first, Tensor):
                first = torch.tensor([self.place[key] for key in first.tolist()])
            return getattr(self.square, name)(first, *rest)

        return drawn


@pytest.mark.parametrize(
    "threat", [ThreatModel("Linf", 0.006), ThreatModel("L2", 0.07)], ids=lambda threat: threat.norm
)
@pytest.mark.parametrize("classes", [4, pytest.param(10, marks=pytest.mark.slow)])
def test_with_the_references_draws_each_example_is_broken_by_the_same_stage(
    case: Callable[..., Any], threat: ThreatModel, classes: int
) -> None:
    one = case(classes=classes, n=16, seed=3)
    one.y[::11] = (one.y[::11] + 1) % classes
    runs: list[tuple[int, Tensor, Tensor, Sequence[Tensor]]] = []
    square: list[Any] = []
    states: list[Any] = []

    def run(network: Any) -> None:
        apgd, random_search = APGDAttack.attack_single_run, SquareAttack.attack_single_run

        def kept_apgd(attack: Any, x: Tensor, y: Tensor, x_init: None = None) -> Any:
            before, targets = len(one.drawn), (y if attack.y_target is None else attack.y_target).clone()
            found = apgd(attack, x, y)
            runs.append((int(attack.y_target is not None), x, targets, one.drawn[before:]))
            return found

        def kept_square(attack: Any, x: Tensor, y: Tensor) -> Any:
            before, passed = len(one.drawn), len(network.outputs)
            found = random_search(attack, x, y)
            square.extend((x, y, one.drawn[before:], network.outputs[passed:]))
            return found

        one.patch.setattr(APGDAttack, "attack_single_run", kept_apgd)
        one.patch.setattr(SquareAttack, "attack_single_run", kept_square)
        states.append(ShortCascade(seed=3)(network, one.x, one.y, threat))

    one.reference(run)
    x, y, drawn, outputs = square
    rows, least, active = torch.arange(len(x)), torch.full((len(x),), torch.inf, dtype=x.dtype), []
    for logits in outputs:
        least[rows] = torch.minimum(least[rows], margins(logits, y[rows]))
        rows = (least > 0).nonzero().squeeze(1)
        active.append(rows)
    replayed = LinfDraws(drawn) if threat.norm == "Linf" else L2Draws(drawn, 25, active)
    engine = Engine(steps=30, queries=200, draws=Drawn(runs, (x, replayed)))  # type: ignore[arg-type]
    found, report = engine(one.network, one.x, one.y, threat)
    assert torch.equal(found.stage, states[0].stage)
    assert len(found.stage.unique()) >= 3
    assert report.rejected == []
