"""Auto-PGD (Croce & Hein 2020), untargeted on the cross-entropy and targeted on the difference-of-logits ratio.

Its iterates are those of AutoAttack's reference, sample by sample and up to rounding, given the same random starts. A row ends
at its first adversarial image, where the reference goes on and keeps its last. On a GPU rows are looked at every few steps, for
each look waits for the device; a row's first adversarial image, and its strongest, are kept until then.
"""

from __future__ import annotations

from collections import Counter

import torch
from torch import Tensor

from harness.attacks.engine.draws import Draws
from harness.attacks.engine.lanes import Lanes
from harness.attacks.engine.losses import Loss
from harness.attacks.engine.search import Hits, Jobs, admit_to, bounds, lanes_for, length, no_hits, wrong
from harness.classifier.prepared import Prepared
from harness.threat import ThreatModel, per_sample

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
    """Rows of Auto-PGD; `blind` counts those whose first gradient vanished, by example."""

    lockstep = False

    def __init__(
        self,
        loss: Loss,
        stage: int,
        threat: ThreatModel,
        draws: Draws,
        steps: int,
        jobs: Jobs,
        capacity: int,
        interval: int = 1,
        blind: Counter[int] | None = None,
    ):
        self.loss, self.stage, self.threat, self.draws, self.steps = loss, stage, threat, draws, steps
        self.interval, self.quiet, self._since = interval, False, 0
        self.blind = blind
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
        if interval > 1:
            self.lanes.buffer("hit", (), torch.bool)
            self.lanes.buffer("hit_value", (), dtype)
            self.lanes.buffer("hit_x", shape, dtype)
            self.lanes.buffer("strong_x", shape, dtype)
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
        lanes["x"][rows] = (x + self.threat.eps * (drawn / (per_sample(size, x) + 1e-12))).clamp(0, 1)
        if linf:
            lanes["low"][rows], lanes["high"][rows] = bounds(x, self.threat)
        lanes["previous"][rows] = lanes["x"][rows]
        lanes["step_size"][rows] = 2 * self.threat.eps
        lanes["best_value"][rows] = -torch.inf
        lanes["value"][rows] = torch.inf  # the first value is no rise
        lanes["iteration"][rows] = -1
        lanes["rises"][rows] = 0
        lanes["reduced"][rows] = True
        if self.interval > 1:
            lanes["hit"][rows] = False
            lanes["hit_value"][rows] = -torch.inf
        self._fresh += len(jobs)

    def advance(self, network: Prepared) -> Hits:
        """A step of every row but the new ones, which are evaluated where they begin.

        Where rows are looked at every few steps alone, new ones are evaluated first, so that all take as many steps.
        """
        lanes = self.lanes
        if self._fresh and self.interval > 1:
            self._evaluate(network, slice(lanes.n - self._fresh, lanes.n))
        if begun := lanes.n - self._fresh:
            x, stepped = lanes["x"], self._stepped(begun)
            lanes["previous"][:begun] = x[:begun]
            x[:begun] = stepped
        wrong_rows = self._evaluate(network, slice(0, lanes.n))
        self._since += 1
        self.quiet = self._since < self.interval
        if self.quiet:
            return no_hits(lanes)
        self._since = 0
        if self.interval > 1:
            rows = lanes["hit"].nonzero().squeeze(1)
            lanes["hit"].zero_()
            lanes["hit_value"].fill_(-torch.inf)
            # the first of each row, and, should that be refused, the strongest
            return Hits(torch.cat((rows, rows)), torch.cat((lanes["hit_x"][rows], lanes["strong_x"][rows])))
        return wrong_rows

    def _evaluate(self, network: Prepared, rows: slice) -> Hits:
        """Pass rows forward and backward and learn from it. Gives those that are wrong, or keeps the first of each."""
        lanes = self.lanes
        x, y, target = (lanes[name][rows] for name in ("x", "y", "target"))
        values: list[Tensor] = []

        def weights(logits: Tensor, part: slice) -> Tensor:
            value, gradient = self.loss(logits, y[part], target[part])
            values.append(value)
            return gradient

        logits, gradient = network.gradient(x, weights)
        bad = wrong(logits, y)
        if self.interval == 1:
            found = bad.nonzero().squeeze(1)
            hits = Hits(found, x[found]) if len(found) else no_hits(lanes)
        else:
            first = bad & ~lanes["hit"][rows]
            lanes["hit"][rows] |= first
            lanes["hit_x"][rows] = torch.where(per_sample(first, x), x, lanes["hit_x"][rows])
            strong = bad & (torch.cat(values) > lanes["hit_value"][rows])
            lanes["hit_value"][rows] = torch.where(strong, torch.cat(values), lanes["hit_value"][rows])
            lanes["strong_x"][rows] = torch.where(per_sample(strong, x), x, lanes["strong_x"][rows])
            hits = no_hits(lanes)
        self._learn(rows, torch.cat(values), gradient)  # it may send rows back to their best image
        return hits

    def finished(self) -> Tensor:
        """Rows that have taken all their steps."""
        return self.lanes["iteration"] >= self.steps

    def taken(self) -> Tensor:
        """The share of its steps that each row has taken."""
        return self.lanes["iteration"].clamp(0, self.steps) / self.steps

    def _stepped(self, n: int) -> Tensor:
        """The next images of the first n rows."""
        names = ("x", "previous", "gradient", "natural")
        x, previous, gradient, natural = (self.lanes[name][:n] for name in names)
        step = per_sample(self.lanes["step_size"][:n], x)
        # the first step has no momentum
        a = per_sample(torch.where(self.lanes["iteration"][:n] > 0, MOMENTUM, 1.0).to(x), x)
        if self.threat.norm == "Linf":
            low, high = self.lanes["low"][:n], self.lanes["high"][:n]
            ahead = torch.clamp(x + step * gradient.sign(), low, high)
            return torch.clamp(x + (ahead - x) * a + (x - previous) * (1 - a), low, high)
        ahead = x + step * (gradient / (per_sample(length(gradient), x) + 1e-12))
        ahead = self._projected(natural, ahead)
        return self._projected(natural, x + (ahead - x) * a + (x - previous) * (1 - a))

    def _projected(self, natural: Tensor, x: Tensor) -> Tensor:
        """On the L2 ball, then into [0, 1]."""
        perturbation = x - natural
        size = per_sample(length(perturbation), x)
        return (natural + perturbation / (size + 1e-12) * size.clamp(max=self.threat.eps)).clamp(0, 1)

    def _learn(self, rows: slice, value: Tensor, gradient: Tensor) -> None:
        """Take over values and gradients at the rows' images; at checkpoints, look at the step sizes."""
        names = ("x", "gradient", "best", "best_gradient", "value", "best_value", "rises", "iteration")
        x, own, best, best_gradient, last, best_value, rises, iteration = (self.lanes[name][rows] for name in names)
        own.copy_(gradient)
        better = value > best_value
        where = per_sample(better, gradient)
        torch.where(where, x, best, out=best)
        torch.where(where, gradient, best_gradient, out=best_gradient)
        rises.add_(value > last)
        last.copy_(value)
        torch.where(better, value, best_value, out=best_value)
        iteration.add_(1)
        if self._fresh:
            fresh = slice(self.lanes.n - self._fresh, self.lanes.n)
            self.lanes["checked_value"][fresh] = self.lanes["best_value"][fresh]
            self.lanes["value"][fresh] = self.loss.floor
            if self.blind is not None:
                flat = self.lanes["gradient"][fresh].flatten(1).abs().amax(1) == 0
                self.blind.update(self.lanes["example"][fresh][flat].tolist())
            self._fresh = 0
        window = self._windows[self.lanes["iteration"]]
        looked = window > 0
        looked[: rows.start] = False  # where new rows are evaluated alone, the others have been looked at already
        if self.interval > 1 or looked.any():
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
        where = per_sample(halved, lanes["x"])
        torch.where(where, lanes["best"], lanes["x"], out=lanes["x"])
        torch.where(where, lanes["best_gradient"], lanes["gradient"], out=lanes["gradient"])
