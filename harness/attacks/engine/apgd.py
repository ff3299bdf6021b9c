"""Auto-PGD (Croce & Hein 2020), untargeted on the cross-entropy and targeted on the difference-of-logits ratio.

Its iterates are those of AutoAttack's reference, sample by sample, given the same random starts. What errs: nothing, up to
rounding; a row ends at its first adversarial image, where the reference goes on and keeps its last.
"""

from __future__ import annotations

import torch
from torch import Tensor

from harness.attacks.engine.draws import Draws
from harness.attacks.engine.lanes import Lanes
from harness.attacks.engine.losses import Loss
from harness.attacks.engine.search import Hits, Jobs, admit_to, bounds, lanes_for, length, no_hits, per_row, wrong
from harness.classifier.prepared import Prepared
from harness.threat import ThreatModel

RHO = 0.75
"""The share of rising steps below which the step is halved."""

MOMENTUM = 0.75


def checkpoints(steps: int) -> dict[int, int]:
    """After which steps the step size is looked at, and how many steps each look is about."""
    window, least, shorter = max(int(0.22 * steps), 1), max(int(0.06 * steps), 1), max(int(0.03 * steps), 1)
    found, at = {}, window
    while at <= steps:
        found[at] = window
        window = max(window - shorter, least)
        at += window
    return found


class APGD:
    """Rows of Auto-PGD; `zero_gradients` counts those whose first gradient vanished."""

    lockstep = False

    def __init__(
        self, loss: Loss, stage: int, threat: ThreatModel, draws: Draws, steps: int, jobs: Jobs, capacity: int
    ):
        self.loss, self.stage, self.threat, self.draws, self.steps = loss, stage, threat, draws, steps
        self.zero_gradients = 0
        self.lanes: Lanes = lanes_for(capacity, jobs)
        shape, dtype = jobs.x.shape[1:], jobs.x.dtype
        for name in ("x", "previous", "best", "gradient", "best_gradient"):
            self.lanes.buffer(name, shape, dtype)
        if threat.norm == "Linf":
            self.lanes.buffer("low", shape, dtype)
            self.lanes.buffer("high", shape, dtype)
        for name in ("step_size", "value", "best_value", "checked_value"):
            self.lanes.buffer(name, (), dtype)
        for name in ("iteration", "rises"):
            self.lanes.buffer(name, (), torch.int64)
        self.lanes.buffer("reduced", (), torch.bool)
        windows = torch.zeros(steps + 1, dtype=torch.int64)
        for at, window in checkpoints(steps).items():
            windows[at] = window
        self._windows = windows.to(jobs.x.device)
        self._fresh = 0

    def admit(self, jobs: Jobs) -> None:
        """Begin at a random point of the ball."""
        lanes, rows = self.lanes, admit_to(self.lanes, jobs)
        x, linf = jobs.x, self.threat.norm == "Linf"
        drawn = self.draws.start(jobs.keys, self.stage, jobs.target, x.shape[1:], gaussian=not linf).to(x)
        size = drawn.abs().flatten(1).amax(1) if linf else length(drawn)
        lanes["x"][rows] = (x + self.threat.eps * (drawn / (per_row(size, x) + 1e-12))).clamp(0, 1)
        if linf:
            lanes["low"][rows], lanes["high"][rows] = bounds(x, self.threat)
        lanes["previous"][rows] = lanes["x"][rows]
        lanes["step_size"][rows] = 2 * self.threat.eps
        lanes["best_value"][rows] = -torch.inf
        lanes["value"][rows] = torch.inf  # the first value is no rise
        lanes["iteration"][rows] = -1
        lanes["rises"][rows] = 0
        lanes["reduced"][rows] = True
        self._fresh += len(jobs)

    def advance(self, network: Prepared) -> Hits:
        """A step of every row but the new ones, which are evaluated where they begin."""
        lanes, begun = self.lanes, self.lanes.n - self._fresh
        if begun:
            x, stepped = lanes["x"], self._stepped(begun)
            lanes["previous"][:begun] = x[:begun]
            x[:begun] = stepped
        y, target = lanes["y"], lanes["target"]
        values: list[Tensor] = []

        def weights(logits: Tensor, rows: slice) -> Tensor:
            value, gradient = self.loss(logits, y[rows], target[rows])
            values.append(value)
            return gradient

        logits, gradient = network.gradient(lanes["x"], weights)
        rows = wrong(logits, y).nonzero().squeeze(1)
        hits = Hits(rows, lanes["x"][rows]) if len(rows) else no_hits(lanes)
        self._learn(torch.cat(values), gradient)  # it may send rows back to their best image
        return hits

    def finished(self) -> Tensor:
        """Rows that have taken all their steps."""
        return self.lanes["iteration"] >= self.steps

    def natural(self, rows: Tensor) -> Tensor:
        """The natural images of some rows."""
        return self.lanes["natural"][rows]

    def _stepped(self, n: int) -> Tensor:
        """The next images of the first n rows."""
        names = ("x", "previous", "gradient", "natural")
        x, previous, gradient, natural = (self.lanes[name][:n] for name in names)
        step = per_row(self.lanes["step_size"][:n], x)
        # the first step has no momentum
        a = per_row(torch.where(self.lanes["iteration"][:n] > 0, MOMENTUM, 1.0).to(x), x)
        if self.threat.norm == "Linf":
            low, high = self.lanes["low"][:n], self.lanes["high"][:n]
            ahead = torch.clamp(x + step * gradient.sign(), low, high)
            return torch.clamp(x + (ahead - x) * a + (x - previous) * (1 - a), low, high)
        ahead = x + step * (gradient / (per_row(length(gradient), x) + 1e-12))
        ahead = self._projected(natural, ahead)
        return self._projected(natural, x + (ahead - x) * a + (x - previous) * (1 - a))

    def _projected(self, natural: Tensor, x: Tensor) -> Tensor:
        """On the L2 ball, then into [0, 1]."""
        perturbation = x - natural
        size = per_row(length(perturbation), x)
        return (natural + perturbation / (size + 1e-12) * size.clamp(max=self.threat.eps)).clamp(0, 1)

    def _learn(self, value: Tensor, gradient: Tensor) -> None:
        """Take over values and gradients at the rows' images; at checkpoints, look at the step sizes."""
        lanes, fresh = self.lanes, slice(self.lanes.n - self._fresh, self.lanes.n)
        lanes["gradient"].copy_(gradient)
        better = value > lanes["best_value"]
        where = per_row(better, gradient)
        torch.where(where, lanes["x"], lanes["best"], out=lanes["best"])
        torch.where(where, gradient, lanes["best_gradient"], out=lanes["best_gradient"])
        lanes["rises"].add_(value > lanes["value"])
        lanes["value"].copy_(value)
        torch.where(better, value, lanes["best_value"], out=lanes["best_value"])
        lanes["iteration"].add_(1)
        if self._fresh:
            lanes["checked_value"][fresh] = lanes["best_value"][fresh]
            lanes["value"][fresh] = self.loss.floor
            self.zero_gradients += int((gradient[fresh].flatten(1).abs().amax(1) == 0).sum())
            self._fresh = 0
        window = self._windows[lanes["iteration"]]
        looked = window > 0
        if looked.any():
            self._look(looked, window)

    def _look(self, looked: Tensor, window: Tensor) -> None:
        """Halve the steps of rows that rise too seldom, or not at all since their last look; send them back to their best."""
        lanes = self.lanes
        seldom = lanes["rises"] <= window * RHO
        stuck = ~lanes["reduced"] & (lanes["checked_value"] >= lanes["best_value"])
        halved = looked & (seldom | stuck)
        lanes["reduced"].copy_(torch.where(looked, halved, lanes["reduced"]))
        lanes["checked_value"].copy_(torch.where(looked, lanes["best_value"], lanes["checked_value"]))
        lanes["rises"].masked_fill_(looked, 0)
        lanes["step_size"].copy_(torch.where(halved, lanes["step_size"] / 2, lanes["step_size"]))
        where = per_row(halved, lanes["x"])
        torch.where(where, lanes["best"], lanes["x"], out=lanes["x"])
        torch.where(where, lanes["best_gradient"], lanes["gradient"], out=lanes["gradient"])
