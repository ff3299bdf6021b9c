"""What a pass of an entrant costs, and about how many of its examples break: a short look before the work begins.

It tells nothing of a result. An estimate of time needs it: autoattack takes hundreds of times as long on an example that is
robust as on one that breaks at once, and one network may cost a hundred times another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch

from harness.attacks.pgd import PGD
from harness.classifier.frozen import frozen
from harness.classifier.memory import fitting_size
from harness.classifier.meter import BOTH
from harness.classifier.stopwatch import seconds
from harness.run.executors.place import Assignment, Place
from harness.run.plan import Plan, Task
from harness.run.progress import Pace

SHORT = PGD(steps=10)
"""The attack that says about how many examples break."""

IMAGES = 64
"""Images that are tried at most."""

WORTH = 50
"""A look must be this many times shorter than the work that it is for."""

_TIMED, _ATTACK, _FEWEST = 0.05, 2.0, 8
"""About so many seconds take a pass that is timed, and the attack, on so many images at least."""


@dataclass(frozen=True)
class Probe:
    """The job: it times passes, and `attacks` a few images."""

    attacks: bool

    def __call__(self, place: Place) -> Pace:
        images, device, model = place.judged.images, place.device, place.model
        few = images.examples(0, min(IMAGES, len(images))).to(device)
        with frozen(model), torch.no_grad():
            each = seconds(partial(model, few.x[:4]), device) / len(few.x[:4])
            rows = max(1, min(int(_TIMED / each), fitting_size(model, few.x), 256))
            repeats = -(-rows // len(few))
            x, y = few.x.repeat(repeats, 1, 1, 1)[:rows], few.y.repeat(repeats)[:rows]
            forward = seconds(partial(model, x), device, warm=rows > 4) / rows
        threat, drawn = place.suite.threat, torch.Generator().manual_seed(0)
        steps = replace(SHORT, steps=3)
        both = seconds(partial(steps.perturb, model, x, y, threat, drawn), device, warm=False) / rows / steps.steps
        tried = min(len(few), max(_FEWEST, int(_ATTACK / (SHORT.steps * both))))
        x, y = few.x[:tried], few.y[:tried]
        with torch.no_grad():
            correct, robust = model(x).argmax(1) == y, None
            if self.attacks:
                found = SHORT.legal_images(model, x, y, threat, drawn)
                robust = int((correct & (model(found).argmax(1) == y)).sum())
        return Pace(place.judged.name, forward, both, tried, int(correct.sum()), robust)


def by_entrant(tasks: Sequence[Task]) -> dict[int, list[Task]]:
    """The tasks of each entrant, by its number."""
    found: dict[int, list[Task]] = {}
    for task in tasks:
        found.setdefault(task.judged, []).append(task)
    return found


def probe(plan: Plan, tasks: Sequence[Task]) -> Probe:
    """The look at an entrant whose tasks these are: it attacks where one of them depends on what breaks."""
    measures = {task.measure.name: task.measure for task in tasks}.values()
    costs = [cost for one in measures for cost in one.costs(plan.suite.classes, plan.suite.shape).values()]
    breaks = any(cost.until_broken for cost in costs)
    return Probe(breaks)


def worth(plan: Plan, tasks: Sequence[Task]) -> bool:
    """Whether a look is short beside the work of these tasks."""
    work = sum(
        len(task) * cost.work
        for task in tasks
        for cost in task.measure.costs(plan.suite.classes, plan.suite.shape).values()
    )
    return work > WORTH * 2 * IMAGES * SHORT.steps * BOTH


def probes(plan: Plan, tasks: Sequence[Task]) -> list[Assignment]:
    """A look at each entrant that has much to do; the last one first, so that workers then hold those that begin."""
    return [
        Assignment(number, probe(plan, mine))
        for number, mine in [*by_entrant(tasks).items()][::-1]
        if worth(plan, mine)
    ]
