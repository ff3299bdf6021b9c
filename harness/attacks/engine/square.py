"""Square (Andriushchenko et al. 2020) under Linf: random search by forward passes alone, on the margin.

The iterates are the reference's. Every pixel lies at an end of its range, so an image is a pattern of ends, and a proposal
paints a window of it. Two kinds of proposals need no pass, since what comes of them is known: one that changes no pixel, and
one that was refused before, with the image as it still is. Near the end of 5,000 queries most are of these kinds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.attacks.engine.draws import Draws
from harness.attacks.engine.lanes import Lanes
from harness.attacks.engine.search import Hits, Jobs, admit_to, bounds, lanes_for, no_hits
from harness.classifier.prepared import Prepared
from harness.threat import ThreatModel

P_INIT = 0.8
"""The share of the image that the first windows cover."""

_HALVED = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""The queries after which that share is halved."""


def window_side(query: int, channels: int, height: int, width: int, *, least: int) -> int:
    """The side of a query's window in pixels, before it is cut to the image; the schedule is that of 10,000 queries."""
    share = P_INIT / 2 ** sum(query > step for step in _HALVED)
    features = channels * height * width
    return max(round(math.sqrt(share * features / channels)), least)


def margins(logits: Tensor, y: Tensor) -> Tensor:
    """z_y - max_{k != y} z_k: (n, K) and (n,) to (n,)."""
    label = y.unsqueeze(1)
    return logits.gather(1, label).squeeze(1) - logits.scatter(1, label, -torch.inf).amax(1)


_NEAR = 32
"""How many queries are looked through at first for the next that needs a pass."""


@dataclass(frozen=True)
class Phase:
    """The queries whose windows have one side, (L,) each: the windows' first pixels, and the ends that they paint (L, C) bool.

    `equals` (L, D) lists the queries with the same proposal.
    """

    start: int
    side: int
    row: Tensor
    column: Tensor
    painted: Tensor
    equals: Tensor

    def __len__(self) -> int:
        return len(self.row)

    def changes(self, up: Tensor) -> Tensor:
        """Which of its proposals would change patterns (n, C, H, W) bool: (n, L) bool."""
        # how many pixels of a window are up, from sums over all that lies above and to the left
        sums = F.pad(up.float().cumsum(2).cumsum(3), (1, 0, 1, 0))
        top, left, bottom, right = self.row, self.column, self.row + self.side, self.column + self.side
        count = sums[:, :, bottom, right] - sums[:, :, top, right] - sums[:, :, bottom, left] + sums[:, :, top, left]
        return (count != self.painted.T * float(self.side**2)).any(1)


def drawn_phases(draws: Draws, queries: int, shape: tuple[int, int, int], device: torch.device) -> tuple[Phase, ...]:
    """The proposals of so many queries on images of a shape (C, H, W)."""
    channels, height, width = shape
    sides = [min(window_side(q, *shape, least=1), height, width) for q in range(queries)]
    table = draws.squares(queries, channels, device)
    starts = [q for q in range(queries) if q == 0 or sides[q] != sides[q - 1]]
    phases = []
    for start, stop in zip(starts, [*starts[1:], queries], strict=True):
        side = sides[start]
        row = (table.row[start:stop] * (height - side)).long()
        column = (table.column[start:stop] * (width - side)).long()
        painted = table.signs[start:stop] > 0
        place = row * (width - side + 1) + column
        code = place * 2**channels + (painted * 2 ** torch.arange(channels, device=device)).sum(1)
        phases.append(Phase(start, side, row, column, painted, _equals(code)))
    return tuple(phases)


_AGAIN = 0.15
"""The share of repeated proposals that need a pass: those after an image has changed. It differs from image to image."""


@cache
def passes_by_query(queries: int, shape: tuple[int, int, int]) -> Tensor:
    """(queries + 1,) float32: about how many passes the first 0, 1, 2, ... queries of a row take, on images (C, H, W).

    Small windows on a small image are proposed again and again. Only the first time, and after a change, they need a pass.
    """
    channels, height, width = shape
    fresh, side, drawn = [0.0], 0, 0
    for query in range(queries):
        now = min(window_side(query, *shape, least=1), height, width)
        side, drawn = now, drawn + 1 if now == side else 0
        places = (height - side + 1) * (width - side + 1) * 2**channels
        unseen = (1 - 1 / places) ** drawn
        fresh.append(unseen + _AGAIN * (1 - unseen))
    return torch.tensor(fresh).cumsum(0)


def _equals(code: Tensor) -> Tensor:
    """For each of L numbers the places of all that are equal to it, (L, D), filled up with its own place."""
    _, group, counts = code.unique(return_inverse=True, return_counts=True)
    order = group.argsort(stable=True)
    first = counts.cumsum(0) - counts
    offset = torch.arange(int(counts.max()), device=code.device)
    places = order[(first[group].unsqueeze(1) + offset).clamp_max(len(code) - 1)]
    own = torch.arange(len(code), device=code.device).unsqueeze(1)
    return torch.where(offset < counts[group].unsqueeze(1), places, own)


class Square:
    """Rows of Square under Linf: `up` says which end each pixel is at, `open` which queries of the phase need a pass."""

    lockstep, quiet = False, False

    ahead: int | None = None
    """How many queries of a row are asked in one pass; None: as many as fill it up."""

    def __init__(self, threat: ThreatModel, draws: Draws, queries: int, jobs: Jobs, capacity: int):
        self.threat, self.draws = threat, draws
        shape, dtype, device = tuple(jobs.x.shape[1:]), jobs.x.dtype, jobs.x.device
        self.phases = drawn_phases(draws, queries, shape, device)  # type: ignore[arg-type]
        self.lanes: Lanes = lanes_for(capacity, jobs)
        self.lanes.buffer("low", shape, dtype)
        self.lanes.buffer("high", shape, dtype)
        self.lanes.buffer("up", shape, torch.bool)
        self.lanes.buffer("margin", (), dtype)
        self.lanes.buffer("phase", (), torch.int64)
        self.lanes.buffer("query", (), torch.int64)
        self._longest = max(map(len, self.phases), default=1)
        self.lanes.buffer("open", (self._longest,), torch.bool)
        # of each phase, from the one before the first, in which new rows are, to the one after the last
        self._starts = torch.tensor([0, *(phase.start for phase in self.phases), 0], device=device)
        self._rows = torch.arange(shape[1], device=device)
        self._columns = torch.arange(shape[2], device=device)
        passes = passes_by_query(queries, shape)
        self._passes = (passes / passes[-1].clamp_min(1)).to(device)
        self._fresh = 0

    def admit(self, jobs: Jobs) -> None:
        """Begin with vertical stripes."""
        lanes, rows = self.lanes, admit_to(self.lanes, jobs)
        channels, _, width = jobs.x.shape[1:]
        lanes["low"][rows], lanes["high"][rows] = bounds(jobs.x, self.threat)
        lanes["up"][rows] = self.draws.stripes(jobs.keys, channels, width) > 0
        lanes["margin"][rows] = torch.inf
        lanes["phase"][rows] = -1
        lanes["query"][rows] = 0
        lanes["open"][rows] = False
        self._fresh += len(jobs)

    def advance(self, network: Prepared) -> Hits:
        """The next proposal of every row, or, where a pass has room, its next ones: of these the first better one counts.

        Rows for which none is left that needs a pass are finished. New rows are evaluated where they begin.
        """
        lanes, begun = self.lanes, self.lanes.n - self._fresh
        self._next(begun)
        rows, query = self._asked(begun, self._shares(begun, self.ahead or network.room(lanes.n) / lanes.n))
        if not len(rows):
            return no_hits(lanes)
        whole = len(rows) == lanes.n and bool((rows[1:] > rows[:-1]).all())
        low, high, up, y, margin = (
            lanes[name] if whole else lanes[name][rows] for name in ("low", "high", "up", "y", "margin")
        )
        proposed = up.clone()
        asked = [(self.phases[number], at) for number, at in self._by_phase(rows, query)]
        for phase, at in asked:
            proposed[at] = self._painted(proposed[at], phase, query[at])
        x = torch.where(proposed, high, low)
        found = margins(network.logits(x), y)
        better = (found < margin).nonzero().squeeze(1)
        # what was asked after a row's first better proposal was asked too early: its pattern is another now
        first = torch.full((lanes.n,), len(rows), device=rows.device)
        first.scatter_reduce_(0, rows[better], better, "amin")
        over = first[rows]
        accepted = better[over[better] == better]
        changed = rows[accepted]
        lanes["up"][changed] = proposed[accepted]
        lanes["margin"][changed] = found[accepted]
        for phase, at in asked:
            known = at[at <= over[at]]
            lanes["open"][rows[known].unsqueeze(1), phase.equals[query[known]]] = False
        lanes["query"][changed] = query[accepted].clamp_min(0)
        self._open(changed[changed < begun], lanes["query"])
        self._fresh = 0
        fooling = accepted[found[accepted] <= 0]
        return Hits(rows[fooling], x[fooling])

    def finished(self) -> Tensor:
        """Rows that have asked all their queries."""
        return self.lanes["phase"] >= len(self.phases)

    def taken(self) -> Tensor:
        """The share of its passes that each row has probably taken, by the query at which it is."""
        phase = self.lanes["phase"]
        query = self._starts[phase + 1] + self.lanes["query"]
        share = self._passes[query.clamp(0, len(self._passes) - 1)]
        return torch.where(phase < 0, 0.0, torch.where(phase >= len(self.phases), 1.0, share))

    def _shares(self, n: int, ahead: float) -> Tensor | int:
        """How many queries each of the first n rows may ask at once, `ahead` on average: the rows that are behind ask more."""
        each = max(1, int(ahead))
        more = int((ahead - each) * n)
        if more <= 0:
            return each
        progress = self._starts[self.lanes["phase"][:n] + 1] + self.lanes["query"][:n]
        shares = torch.full_like(progress, each)
        shares[progress.argsort(stable=True)[:more]] += 1
        return shares

    def _asked(self, n: int, most: Tensor | int) -> tuple[Tensor, Tensor]:
        """The next queries of the first n rows, up to `most` of each, both rising; -1 for new rows."""
        lanes = self.lanes
        rows = (lanes["phase"][:n] < len(self.phases)).nonzero().squeeze(1)
        query = lanes["query"][rows]
        if isinstance(most, Tensor) or most > 1:
            near = query.unsqueeze(1) + torch.arange(_NEAR, device=query.device)
            here = (near < self._longest) & lanes["open"][rows].gather(1, near.clamp_max(self._longest - 1))
            limit = most[rows].unsqueeze(1) if isinstance(most, Tensor) else most
            at, ahead = (here & (here.cumsum(1) <= limit)).nonzero(as_tuple=True)
            rows, query = rows[at], near[at, ahead]
        fresh = torch.arange(n, lanes.n, device=query.device)
        return torch.cat((rows, fresh)), torch.cat((query, torch.full_like(fresh, -1)))

    def _by_phase(self, rows: Tensor, query: Tensor) -> list[tuple[int, Tensor]]:
        """The phases of rows that ask a query, with their places among the rows."""
        phase = torch.where(query < 0, -1, self.lanes["phase"][rows])
        there = [number for number in phase.unique().tolist() if number >= 0]
        return [(number, (phase == number).nonzero().squeeze(1)) for number in there]

    def _painted(self, up: Tensor, phase: Phase, query: Tensor) -> Tensor:
        """Patterns (n, C, H, W) with a proposal each."""
        down, across = self._rows - phase.row[query].unsqueeze(1), self._columns - phase.column[query].unsqueeze(1)
        side = phase.side
        inside = ((down >= 0) & (down < side)).unsqueeze(2) & ((across >= 0) & (across < side)).unsqueeze(1)
        return torch.where(inside.unsqueeze(1), phase.painted[query][:, :, None, None], up)

    def _next(self, n: int) -> None:
        """Set the next query of the first n rows, counted from its phase's first; they go on to the phase that has one."""
        lanes = self.lanes
        query, rows = lanes["query"], torch.arange(n, device=lanes["query"].device)
        near = query[:n].unsqueeze(1) + torch.arange(_NEAR, device=query.device)
        here = lanes["open"][:n].gather(1, near.clamp_max(self._longest - 1)).to(torch.uint8)
        query[:n] += here.argmax(1)
        rows = (here.amax(1) == 0).nonzero().squeeze(1)
        while len(rows):
            left = lanes["open"][rows]
            query[rows] = left.to(torch.uint8).argmax(1)
            rows = rows[~left.any(1) & (lanes["phase"][rows] < len(self.phases))]
            lanes["phase"][rows] += 1
            self._open(rows, None)

    def _open(self, rows: Tensor, after: Tensor | None) -> None:
        """Say which queries of their phases rows need a pass for: those `after` the query that changed their pattern."""
        lanes = self.lanes
        phase = lanes["phase"][rows]
        for number in phase.unique().tolist():
            mine = rows[phase == number]
            lanes["open"][mine] = False
            if number == len(self.phases):
                continue
            one = self.phases[number]
            needed = one.changes(lanes["up"][mine])
            if after is not None:
                needed &= torch.arange(len(one), device=rows.device) > after[mine].unsqueeze(1)
            lanes["open"][mine, : len(one)] = needed
