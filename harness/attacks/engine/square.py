"""Square (Andriushchenko et al. 2020) under Linf: random search by forward passes alone, on the margin.

The iterates are the reference's. Every pixel lies at an end of its range, so an image is a pattern of ends, and a proposal
paints a window of it. Two kinds of proposals need no pass, since what comes of them is known: one that changes no pixel, and
one that was refused before, with the image as it still is. Near the end of 5,000 queries most are of these kinds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

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

_NEAR, _FAR = 4, 256
"""How many queries are looked through at once for one that needs a pass: at first, and where these do not."""


def window_side(query: int, channels: int, height: int, width: int, *, least: int) -> int:
    """The side of a query's window in pixels, before it is cut to the image; the schedule is that of 10,000 queries."""
    share = P_INIT / 2 ** sum(query > step for step in _HALVED)
    features = channels * height * width
    return max(round(math.sqrt(share * features / channels)), least)


def margins(logits: Tensor, y: Tensor) -> Tensor:
    """z_y - max_{k != y} z_k: (n, K) and (n,) to (n,)."""
    label = y.unsqueeze(1)
    return logits.gather(1, label).squeeze(1) - logits.scatter(1, label, -torch.inf).amax(1)


@dataclass(frozen=True)
class Proposals:
    """The table of all queries, (Q,) each: window, painted ends (Q, C) bool, and what tells proposals of one side apart.

    `place` numbers the window's corner among those of its side; `number` is the same for equal proposals of a phase;
    `end` is the query after the phase's last, and `phases` holds the side and the first query of each.
    """

    row: Tensor
    column: Tensor
    side: Tensor
    painted: Tensor
    place: Tensor
    number: Tensor
    end: Tensor
    phases: tuple[tuple[int, int], ...]

    @classmethod
    def drawn(cls, draws: Draws, queries: int, shape: tuple[int, int, int], device: torch.device) -> Proposals:
        """The proposals of so many queries on images of a shape (C, H, W)."""
        channels, height, width = shape
        sides = [min(window_side(q, *shape, least=1), height, width) for q in range(queries)]
        side = torch.tensor(sides, device=device)
        table = draws.squares(queries, channels, device)
        row = (table.row * (height - side)).long()
        column = (table.column * (width - side)).long()
        painted = table.signs > 0
        place = row * (width - side + 1) + column
        code = place * 2**channels + (painted * 2 ** torch.arange(channels, device=device)).sum(1)
        number, end, phases = torch.zeros_like(row), torch.zeros_like(row), []
        starts = [q for q in range(queries) if q == 0 or sides[q] != sides[q - 1]]
        for start, stop in zip(starts, [*starts[1:], queries], strict=True):
            number[start:stop] = code[start:stop].unique(return_inverse=True)[1]
            end[start:stop] = stop
            phases.append((sides[start], start))
        return cls(row, column, side, painted, place, number, end, tuple(phases))

    @property
    def longest(self) -> int:
        """How many different proposals a phase has at most."""
        return int(self.number.max()) + 1


class Square:
    """Rows of Square under Linf. `up` says which end each pixel is at, `tried` which proposals were refused there."""

    lockstep = False

    def __init__(self, threat: ThreatModel, draws: Draws, queries: int, jobs: Jobs, capacity: int):
        self.threat, self.draws, self.queries = threat, draws, queries
        shape, dtype, device = tuple(jobs.x.shape[1:]), jobs.x.dtype, jobs.x.device
        self.proposals = Proposals.drawn(draws, queries, shape, device)  # type: ignore[arg-type]
        self.lanes: Lanes = lanes_for(capacity, jobs)
        self.lanes.buffer("low", shape, dtype)
        self.lanes.buffer("high", shape, dtype)
        self.lanes.buffer("up", shape, torch.bool)
        self.lanes.buffer("margin", (), dtype)
        self.lanes.buffer("query", (), torch.int64)
        self.lanes.buffer("tried", (self.proposals.longest,), torch.bool)
        self._rows = torch.arange(shape[1], device=device)
        self._columns = torch.arange(shape[2], device=device)
        self._fresh = 0

    def admit(self, jobs: Jobs) -> None:
        """Begin with vertical stripes."""
        lanes, rows = self.lanes, admit_to(self.lanes, jobs)
        channels, _, width = jobs.x.shape[1:]
        lanes["low"][rows], lanes["high"][rows] = bounds(jobs.x, self.threat)
        lanes["up"][rows] = self.draws.stripes(jobs.keys, channels, width) > 0
        lanes["margin"][rows] = torch.inf
        lanes["query"][rows] = -1
        lanes["tried"][rows] = False
        self._fresh += len(jobs)

    def advance(self, network: Prepared) -> Hits:
        """The next proposal of every row that needs a pass; new rows are evaluated where they begin."""
        lanes, begun = self.lanes, self.lanes.n - self._fresh
        if begun:
            self._skip(begun)
        query = lanes["query"]
        rows = (query < self.queries).nonzero().squeeze(1)
        if not len(rows):
            return no_hits(lanes)
        everything = len(rows) == lanes.n
        low, high, up, y, margin = (
            lanes[name] if everything else lanes[name][rows] for name in ("low", "high", "up", "y", "margin")
        )
        asked = query[rows]
        proposed = self._painted(up, asked)
        x = torch.where(proposed, high, low)
        found = margins(network.logits(x), y)
        better = found < margin
        accepted = better.nonzero().squeeze(1)
        if self._fresh < lanes.n:
            tried = lanes["tried"]
            tried[rows, self.proposals.number[asked.clamp_min(0)]] = True
            tried[rows[accepted]] = False
        lanes["up"][rows[accepted]] = proposed[accepted]
        lanes["margin"][rows[accepted]] = found[accepted]
        self._go_on(rows, asked + 1)
        self._fresh = 0
        fooling = accepted[found[accepted] <= 0]
        return Hits(rows[fooling], x[fooling])

    def finished(self) -> Tensor:
        """Rows that have asked all their queries."""
        return self.lanes["query"] >= self.queries

    def natural(self, rows: Tensor) -> Tensor:
        """The natural images of some rows."""
        return self.lanes["natural"][rows]

    def _painted(self, up: Tensor, query: Tensor) -> Tensor:
        """The patterns with their proposals; a new row (query -1) proposes what it is."""
        table, q = self.proposals, query.clamp_min(0)
        side = table.side[q].masked_fill(query < 0, 0).unsqueeze(1)
        down, across = self._rows - table.row[q].unsqueeze(1), self._columns - table.column[q].unsqueeze(1)
        inside = ((down >= 0) & (down < side)).unsqueeze(2) & ((across >= 0) & (across < side)).unsqueeze(1)
        return torch.where(inside.unsqueeze(1), table.painted[q][:, :, None, None], up)

    def _skip(self, n: int) -> None:
        """Move the first n rows on to their next query that needs a pass, or to the end."""
        rows, ahead = torch.arange(n, device=self.lanes["query"].device), _NEAR
        while len(rows):
            rows = rows[self._looked_through(rows, ahead)]
            ahead = _FAR

    def _looked_through(self, rows: Tensor, ahead: int) -> Tensor:
        """Look through the next queries of some rows, and move these on. Gives which of them are to look further."""
        table, lanes = self.proposals, self.lanes
        first = lanes["query"][rows]
        here = first < self.queries
        end = table.end[first.clamp_max(self.queries - 1)]
        queries = first.unsqueeze(1) + torch.arange(ahead, device=first.device)
        inside = (queries < end.unsqueeze(1)) & here.unsqueeze(1)
        queries = queries.clamp_max(self.queries - 1)
        idle = lanes["tried"][rows].gather(1, table.number[queries]) | self._changes_nothing(rows, queries, first)
        needs = inside & ~idle
        found, at = needs.any(1), needs.int().argmax(1)
        # a phase is looked through to its end, and the next one anew
        self._go_on(rows, torch.where(found, first + at, torch.minimum(first + ahead, end)).where(here, first))
        return ~found & (lanes["query"][rows] < self.queries)

    def _changes_nothing(self, rows: Tensor, queries: Tensor, first: Tensor) -> Tensor:
        """Which of the queries (m, L) of rows (m,) would paint windows that are painted so already."""
        table, result = self.proposals, torch.ones_like(queries, dtype=torch.bool)
        sides = table.side[first.clamp_max(self.queries - 1)]
        for side in sides.unique().tolist():
            mine = (sides == side).nonzero().squeeze(1)
            patterns = self.lanes["up"][rows[mine]].to(self.lanes["low"].dtype)
            windows = F.avg_pool2d(patterns, side, stride=1).flatten(2)
            asked = queries[mine]
            place = table.place[asked].clamp_max(windows.shape[2] - 1).unsqueeze(1).expand(-1, windows.shape[1], -1)
            painted = table.painted[asked].permute(0, 2, 1).to(windows.dtype)
            result[mine] = (windows.gather(2, place) == painted).all(1)
        return result

    def _go_on(self, rows: Tensor, query: Tensor) -> None:
        """Set the rows' next queries; what was refused with windows of another side is forgotten."""
        lanes, table, last = self.lanes, self.proposals, self.queries - 1
        before = lanes["query"][rows]
        lanes["query"][rows] = query
        # a new row has refused nothing
        other = table.end[before.clamp(0, last)] != table.end[query.clamp(0, last)]
        changed = rows[other]
        if len(changed):
            lanes["tried"][changed] = False
