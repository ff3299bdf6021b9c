"""Square (Andriushchenko et al. 2020) under L2: it moves the perturbation's mass from one window to another.

The iterates are the reference's. Windows and their shape are drawn by query, for all images alike, so all rows ask the same
query at once, and new ones begin when none is left.
"""

from __future__ import annotations

import torch
from torch import Tensor

from harness.attacks.engine.draws import Draws
from harness.attacks.engine.lanes import Lanes
from harness.attacks.engine.search import Hits, Jobs, admit_to, lanes_for, length, no_hits
from harness.attacks.engine.square import margins, window_side
from harness.classifier.prepared import Prepared
from harness.threat import ThreatModel, per_sample


def _bump(height: int, width: int) -> Tensor:
    """A peak in the middle of a rectangle that falls off towards its sides, of unit length, (height, width) float64."""
    bump = torch.zeros(height, width, dtype=torch.float64)
    half_height, half_width = height // 2 + 1, width // 2 + 1
    top, left = half_height - 1, half_width - 1
    for ring in range(max(half_height, half_width)):
        rows = slice(max(top, 0), min(top + 2 * ring + 1, height))
        bump[rows, max(left, 0) : min(left + 2 * ring + 1, width)] += 1 / (ring + 1) ** 2
        top, left = top - 1, left - 1
    return bump / length(bump.unsqueeze(0))


def pattern(side: int) -> Tensor:
    """Two bumps of opposite sign, one above the other, of unit length, (side, side) float64."""
    found = torch.zeros(side, side, dtype=torch.float64)
    if side > 1:
        found[: side // 2] = _bump(side // 2, side)
    found[side // 2 :] = -_bump(side - side // 2, side)
    return found / length(found.unsqueeze(0))


class SquareL2:
    """Rows of Square under L2, all at one query."""

    lockstep, quiet = True, False

    def __init__(self, threat: ThreatModel, draws: Draws, queries: int, jobs: Jobs, capacity: int):
        self.threat, self.draws, self.queries = threat, draws, queries
        self.lanes: Lanes = lanes_for(capacity, jobs)
        self.lanes.buffer("x", jobs.x.shape[1:], jobs.x.dtype)
        self.lanes.buffer("margin", (), jobs.x.dtype)
        self._query = -1
        self._windows, self._turned = draws.windows(queries, torch.device("cpu"))
        self._patterns: dict[int, Tensor] = {}

    def admit(self, jobs: Jobs) -> None:
        """Begin with bumps all over the image."""
        lanes, rows = self.lanes, admit_to(self.lanes, jobs)
        x = jobs.x
        channels, height, width = x.shape[1:]
        side = height // 5
        begin = (height - side * 5) // 2
        down, across = height // side, width // side
        turned, signs = self.draws.tiles(jobs.keys, down * across, channels)
        delta = torch.zeros_like(x)
        for tile in range(down * across):
            top, left = begin + side * (tile // across), begin + side * (tile % across)
            window = delta[:, :, top : top + side, left : left + side]
            shape = self._pattern(side, x, turned=bool(turned[tile]))
            window += (signs[:, tile, :, None, None].to(x) * shape)[:, :, : window.shape[2], : window.shape[3]]
        lanes["x"][rows] = self._scaled(x, delta)
        lanes["margin"][rows] = torch.inf
        self._query = -1

    def advance(self, network: Prepared) -> Hits:
        """The next query of all rows."""
        lanes = self.lanes
        x = lanes["x"] if self._query < 0 else self._proposed()
        found = margins(network.logits(x), lanes["y"])
        accepted = (found < lanes["margin"]).nonzero().squeeze(1)
        lanes["x"][accepted] = x[accepted]
        lanes["margin"][accepted] = found[accepted]
        self._query += 1
        fooling = accepted[found[accepted] <= 0]
        return Hits(fooling, x[fooling]) if len(fooling) else no_hits(lanes)

    def finished(self) -> Tensor:
        """Rows that have asked all their queries."""
        return torch.full((self.lanes.n,), self._query >= self.queries, device=self.lanes["y"].device)

    def taken(self) -> Tensor:
        """The share of its queries that each row has asked."""
        return torch.full((self.lanes.n,), max(self._query, 0) / max(self.queries, 1), device=self.lanes["y"].device)

    def _pattern(self, side: int, like: Tensor, *, turned: bool) -> Tensor:
        if side not in self._patterns:
            self._patterns[side] = pattern(side).to(like)
        # laid out as any other, so that sums run as the reference's: _proposed takes roots of differences near zero
        return self._patterns[side].T.contiguous() if turned else self._patterns[side]

    def _scaled(self, natural: Tensor, delta: Tensor) -> Tensor:
        """The natural images with perturbations of length eps."""
        return (natural + delta / (per_sample(length(delta), delta) + 1e-12) * self.threat.eps).clamp(0, 1)

    def _proposed(self) -> Tensor:
        """The images with the mass of one window moved to another, and a new shape there."""
        natural, query, eps = self.lanes["natural"], self._query, self.threat.eps
        _, channels, height, width = natural.shape
        side = window_side(query, channels, height, width, least=3)
        side = min(side + (side % 2 == 0), height, width)
        top, left, top2, left2 = (
            int(u * (whole - side))
            for u, whole in zip(self._windows[query].tolist(), (height, width, height, width), strict=True)
        )
        to = (slice(None), slice(None), slice(top, top + side), slice(left, left + side))
        off = (slice(None), slice(None), slice(top2, top2 + side), slice(left2, left2 + side))
        delta = self.lanes["x"] - natural
        whole = per_sample(length(delta), delta)
        both = torch.zeros(height, width, dtype=delta.dtype, device=delta.device)
        both[to[2:]] = 1.0
        both[off[2:]] = 1.0
        mass = ((delta * both) ** 2).sum((-2, -1), keepdim=True).sqrt()
        signs = self.draws.window_signs(self.lanes["keys"], query, channels)[:, :, None, None].to(delta)
        shape = self._pattern(side, delta, turned=bool(self._turned[query])) * signs
        shape = shape + delta[to] / (1e-12 + (delta[to] ** 2).sum((-2, -1), keepdim=True).sqrt())
        free = (eps**2 - whole**2).clamp_min(0) / channels
        shape = shape / (1e-12 + (shape**2).sum((-2, -1), keepdim=True).sqrt()) * (free + mass**2).sqrt()
        delta[off] = 0
        delta[to] = shape
        return self._scaled(natural, delta)
