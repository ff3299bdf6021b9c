"""Targeted fast adaptive boundary attack, FAB-T (Croce & Hein 2020): the nearest point beyond the boundary to one class.

The iterates are the reference's. It passes each new image forward, to see whether it is adversarial, and then, where it is
not, forward and backward at the same place. Here a row whose last images were not adversarial, which seldom cross the boundary
next, is passed forward and backward at once. (After a single such image most rows do cross it.) A row ends at its first
adversarial image within eps; the reference goes on and keeps the nearest.
"""

from __future__ import annotations

import torch
from torch import Tensor

from harness.attacks.engine.lanes import Lanes
from harness.attacks.engine.losses import margin, towards
from harness.attacks.engine.projections import onto_hyperplane
from harness.attacks.engine.search import Hits, Jobs, admit_to, lanes_for, length, no_hits, row_sum, wrong
from harness.classifier.prepared import Prepared
from harness.threat import ThreatModel, per_sample

ALPHA_MAX, ETA, BETA = 0.1, 1.05, 0.9
"""The largest share of the step from the natural image, the overshoot, and the step back from an adversarial image."""

_STREAK = 2
"""After so many images in a row that were not adversarial, the next is not expected to be."""


class TargetedFAB:
    """Rows of FAB-T. A row whose image is `known` needs the gradient there; another is to be judged first.

    `inside` counts a row's last images that were not adversarial.
    """

    lockstep, quiet = False, False

    def __init__(self, threat: ThreatModel, steps: int, jobs: Jobs, capacity: int):
        self.threat, self.steps = threat, steps
        self.lanes: Lanes = lanes_for(capacity, jobs)
        self.lanes.buffer("x", jobs.x.shape[1:], jobs.x.dtype)
        self.lanes.buffer("iteration", (), torch.int64)
        self.lanes.buffer("known", (), torch.bool)
        self.lanes.buffer("inside", (), torch.int64)

    def admit(self, jobs: Jobs) -> None:
        """Begin at the natural image."""
        rows = admit_to(self.lanes, jobs)
        self.lanes["x"][rows] = jobs.x
        self.lanes["iteration"][rows] = 0
        self.lanes["known"][rows] = True
        self.lanes["inside"][rows] = 0

    def advance(self, network: Prepared) -> Hits:
        """Judge the images that nobody has judged; take a step where the gradient is known."""
        lanes = self.lanes
        last = lanes["iteration"] >= self.steps - 1
        both = lanes["known"] | ((lanes["inside"] >= _STREAK) & ~last)
        alone = (~both).nonzero().squeeze(1)
        both = both.nonzero().squeeze(1)
        hits = []
        if len(alone):
            logits = network.logits(lanes["x"][alone])
            hits.append(self._judged(alone, logits))
        if len(both):
            x, y, target = lanes["x"][both], lanes["y"][both], lanes["target"][both]
            logits, gradient = network.gradient(x, lambda part, rows: towards(target[rows], y[rows], part))
            judged = (~lanes["known"][both]).nonzero().squeeze(1)
            stays = torch.ones(len(both), dtype=torch.bool, device=x.device)
            if len(judged):
                hits.append(self._judged(both[judged], logits[judged]))
                stays[judged] = lanes["inside"][both[judged]] > 0
            going = stays.nonzero().squeeze(1)
            if len(going):
                rows = both[going]
                moved = self._stepped(
                    x[going], lanes["natural"][rows], margin(logits, y, target)[going], gradient[going]
                )
                lanes["x"][rows] = moved
                lanes["known"][rows] = False
        found = [hit for hit in hits if len(hit.rows)]
        if not found:
            return no_hits(lanes)
        rows, order = torch.cat([hit.rows for hit in found]).sort()
        return Hits(rows, torch.cat([hit.x_adv for hit in found])[order])

    def finished(self) -> Tensor:
        """Rows that have taken all their steps."""
        return self.lanes["iteration"] >= self.steps

    def taken(self) -> Tensor:
        """The share of its steps that each row has taken."""
        return self.lanes["iteration"].clamp(0, self.steps) / self.steps

    def _judged(self, rows: Tensor, logits: Tensor) -> Hits:
        """See which of some rows' images are adversarial; those go back towards the natural image.

        Gives those within eps.
        """
        lanes = self.lanes
        outside = wrong(logits, lanes["y"][rows])
        lanes["inside"][rows] = torch.where(outside, 0, lanes["inside"][rows] + 1)
        lanes["known"][rows] = True
        lanes["iteration"][rows] += 1
        there = rows[outside]
        if not len(there):
            return no_hits(lanes)
        x, natural = lanes["x"][there], lanes["natural"][there]
        moved = x - natural
        size = moved.abs().flatten(1).amax(1) if self.threat.norm == "Linf" else length(moved)
        lanes["x"][there] = natural + moved * BETA
        within = size <= self.threat.eps
        return Hits(there[within], x[within])

    def _stepped(self, x: Tensor, natural: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
        """The next images: between the projections of x and of the natural image on the linearised boundary."""
        linf = self.threat.norm == "Linf"
        w = gradient.flatten(1)
        b = row_sum(w * x.flatten(1)) - value
        from_x = onto_hyperplane(x.flatten(1), w, b, linf=linf)
        from_natural = onto_hyperplane(natural.flatten(1), w, b, linf=linf)
        one, other = ((d.abs().amax(1) if linf else length(d)).clamp_min(1e-8) for d in (from_x, from_natural))
        alpha = per_sample((one / (one + other)).clamp(0, ALPHA_MAX), x)
        ahead = (x + ETA * from_x.view_as(x)) * (1 - alpha) + (natural + from_natural.view_as(x) * ETA) * alpha
        return ahead.clamp(0, 1)
