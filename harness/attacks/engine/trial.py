"""How long the engine may take, from a few timed steps of each stage. It errs high: examples that break early cost less."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from harness.attacks.engine.engine import Engine
from harness.attacks.engine.outcome import STAGES, SURVIVED, Outcome
from harness.classifier.stopwatch import seconds
from harness.threat import ThreatModel

_STEPS, _QUERIES = (2, 6), (10, 40)


def trial(
    engine: Engine, model: nn.Module, x: Tensor, threat: ThreatModel, shares: Sequence[float] = (1,) * 4
) -> float:
    """Seconds that the engine takes on images x (N, C, H, W) at most; `shares` of them go through the stages.

    The steps are timed at eps 0, where nothing breaks. Each stage is timed with few steps and with some more: the difference
    is what steps cost, and the rest is done once.
    """
    with torch.no_grad():
        logits = model(x)
    y, targets = logits.argmax(1), min(engine.targets, logits.shape[1] - 1)
    still = replace(threat, eps=0.0)
    total = 0.0
    for number, stage in enumerate(STAGES):
        before = Outcome(
            torch.full_like(y, SURVIVED, dtype=torch.int8), torch.full_like(y, number, dtype=torch.int8), x
        )
        first, second = (
            seconds(partial(replace(engine, steps=s, queries=q, targets=1), model, x, y, still, before, through=number + 1),
                    x.device, warm=number == 0)
            for s, q in zip(_STEPS, _QUERIES, strict=True)
        )  # fmt: skip
        span, whole = (_QUERIES, engine.queries) if stage == "square" else (_STEPS, engine.steps)
        each = targets if stage in ("apgd-t", "fab-t") else 1
        total += shares[number] * (first + max(second - first, 0.0) / (span[1] - span[0]) * whole * each)
    return total
