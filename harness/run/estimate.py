"""How long a run may take, from a few timed steps of each entrant. It errs high: examples that break early cost less."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch

from harness.classifier.across import beside
from harness.classifier.determinism import deterministic
from harness.classifier.stopwatch import seconds
from harness.run.plan import Plan, Task
from harness.run.shard import prepared

PASS = 0.05
"""Seconds of one forward pass that a trial may take: a slower network is tried on fewer images."""


def estimate(plan: Plan, judged: int, tasks: Sequence[Task], device: torch.device) -> float:
    """Seconds that one entrant's tasks take one worker at most, besides starting it."""
    if not tasks:
        return 0.0
    with deterministic(device):
        return _timed(plan, judged, tasks, device)


def _timed(plan: Plan, judged: int, tasks: Sequence[Task], device: torch.device) -> float:
    one = plan.judged[judged]
    model = prepared(one, plan.suite, plan.precision, device)
    device = beside(device)
    size = max(len(task) for task in tasks)
    with torch.no_grad():
        forward = seconds(partial(model, one.images.examples(0, size).x.to(device)), device)
    tried = max(1, min(size, int(size * PASS / forward)))
    examples = one.images.examples(0, tried).to(device)
    total = 0.0
    for measure in {task.measure.name: task.measure for task in tasks}.values():
        took = measure.trial(model, examples, plan.suite.threat)
        # time is shared out by shards where the whole shard was tried, else by images
        mine = [task for task in tasks if task.measure.name == measure.name]
        total += took * (len(mine) if tried == size else sum(map(len, mine)) / tried)
    return total
