"""How long a run may take, from a few timed steps of each entrant. It errs high: examples that break early cost less."""

from __future__ import annotations

from functools import partial

import torch

from harness.plan import Plan, Task
from harness.shard import deterministic, prepared
from harness.stopwatch import seconds

PASS = 0.05
"""Seconds of one forward pass that a trial may take: a slower network is tried on fewer images."""


def estimate(plan: Plan, tasks: tuple[Task, ...], devices: tuple[torch.device, ...]) -> float:
    """Seconds that the tasks take at most on so many workers, besides starting them."""
    device = devices[0]
    deterministic(1 if device.type == "cpu" else None)
    total = 0.0
    for index, judged in enumerate(plan.judged):
        mine = [task for task in tasks if task.judged == index]
        if not mine:
            continue
        model = prepared(judged.entrant, plan.suite, judged.images, plan.precision, device)
        size = max(len(task) for task in mine)
        with torch.no_grad():
            forward = seconds(partial(model, judged.images.examples(0, size).x.to(device)), device)
        tried = max(1, min(size, int(size * PASS / forward)))
        examples = judged.images.examples(0, tried).to(device)
        for measure in {task.measure.name: task.measure for task in mine}.values():
            took = measure.trial(model, examples, plan.suite.threat)
            # time is shared out by shards where the whole shard was tried, else by images
            of_measure = [task for task in mine if task.measure.name == measure.name]
            total += took * (len(of_measure) if tried == size else sum(map(len, of_measure)) / tried)
    return total / min(len(devices), max(len(tasks), 1))
