"""AutoAttack's outcome by example in its three forms: a shard's arrays, the engine's outcome, pyautoattack's state."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from harness.attacks.autoattack import CascadeState, stages_for
from harness.attacks.engine.outcome import MISCLASSIFIED, STAGES, SURVIVED, Outcome
from harness.threat import ThreatModel


def arrays_of(found: Outcome) -> dict[str, np.ndarray]:
    """As a shard keeps it."""
    return {name: getattr(found, name).cpu().numpy() for name in ("stage", "reached", "x_adv")}


def outcome_of(arrays: Mapping[str, np.ndarray], x: Tensor) -> Outcome:
    """What is known of the images x, on their device."""
    stage, reached = (torch.tensor(arrays[name], device=x.device) for name in ("stage", "reached"))
    return Outcome(stage, reached, torch.tensor(arrays["x_adv"]).to(x))


def of_cascade(state: CascadeState) -> Outcome:
    """The number of a stage means the same in every record, also where a stage was left out."""
    numbers = torch.tensor([*map(STAGES.index, state.stages), SURVIVED, MISCLASSIFIED], dtype=torch.int8)
    stage = numbers.to(state.stage.device)[state.stage.long()]
    so_far = SURVIVED if state.finished else STAGES.index(state.stages[state.done])
    return Outcome(stage, torch.where(stage == SURVIVED, so_far, stage.clamp_min(0)).to(torch.int8), state.x_adv)


def cascade_state(arrays: Mapping[str, np.ndarray], x: Tensor, classes: int, threat: ThreatModel) -> CascadeState:
    """What is known of the images x, as the cascade says it; its warnings are notes already."""
    known, stages = outcome_of(arrays, x), stages_for(classes, threat.norm, min(x.shape[2:]))
    back = torch.full((SURVIVED + 2,), -1, dtype=torch.int8)
    for k, stage in enumerate(stages):
        back[STAGES.index(stage)] = k
    back[SURVIVED] = len(stages)
    robust = known.reached[known.robust]
    so_far = int(robust.min()) if len(robust) else SURVIVED
    done = sum(STAGES.index(stage) < so_far for stage in stages)
    return CascadeState(stages, back.to(x.device)[known.stage.long()], known.x_adv, (), (), classes, done)
