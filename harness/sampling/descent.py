"""From starts to images: a sampler's steps down an objective, for a batch of draws at once, on the model's device.

Each sample moves by itself: objectives are summed, random numbers belong to the draw and the step, and a sample that rests
leaves the batch. So results do not depend on the batch but for the rounding of the network's own sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from harness.energy import joint_energy, marginal_energy
from harness.sampling.noise import STEP, normal
from harness.sampling.objectives import Objective, Reference
from harness.sampling.samplers import Sampler


@dataclass(frozen=True)
class Descent:
    """Where N draws ended. `steps` counts each one's; `finite` is False where a gradient or logit was not, and the sample
    stayed where it was. `joint` and `marginal` (N, P) are E(x,y) and E(x) after the steps `marks`, the first one 0."""

    x: Tensor
    steps: Tensor
    finite: Tensor
    joint: Tensor
    marginal: Tensor
    marks: tuple[int, ...]


def marks_of(steps: int, count: int = 6) -> tuple[int, ...]:
    """Steps after which energies are noted: the start, the end, and evenly between."""
    return tuple(sorted({round(steps * place / (count - 1)) for place in range(count)}))


@dataclass(frozen=True)
class Descend:
    """`tolerance`: a sample rests once E(x,y) is at most this far above the mean E(x,y) of its class's real images, which
    includes what one step carries below it; None: every sample takes all steps."""

    objective: Objective
    sampler: Sampler
    tolerance: float | None = None

    @property
    def needs_reference(self) -> bool:
        return self.objective.needs_reference or self.tolerance is not None

    def __call__(
        self, model: nn.Module, x: Tensor, y: Tensor, draws: Tensor, seed: int, real: Reference | None = None
    ) -> Descent:
        """x_0 (N, C, H, W) clamped to [0,1], classes (N,) and numbers of the draws (N,) int64, on the model's device."""
        marks = marks_of(self.sampler.steps)
        x = x.clamp(0, 1)
        velocity, energies = torch.zeros_like(x), x.new_full((2, len(x)), torch.nan)
        steps, finite = torch.zeros_like(y), torch.ones_like(y, dtype=torch.bool)
        active = torch.arange(len(x), device=x.device)
        path = []
        for step in range(self.sampler.steps + 1):
            last = step == self.sampler.steps
            if len(active):
                here, labels = x[active], y[active]
                gradient, logits = self._gradient(model, here, labels, real, only_logits=last)
                energies[:, active] = torch.stack([joint_energy(logits, labels), marginal_energy(logits)])
                sound = logits.isfinite().all(1) & gradient.flatten(1).isfinite().all(1)
                finite[active[~sound]] = False
            if step in marks:
                path.append(energies.clone())
            if last or not len(active):
                continue
            keep = sound & ~self._rests(energies[0, active], labels, real)
            active, here, labels = active[keep], here[keep], labels[keep]
            if len(active):
                again = partial(self._second, model, labels, real)
                moved, faster = self.sampler(here, gradient[keep], velocity[active], again)
                if self.sampler.noise:
                    noise = normal(seed, draws[active], STEP, x[0].numel(), step).view_as(moved)
                    moved = moved + self.sampler.noise * noise.to(moved.dtype)
                sound = moved.flatten(1).isfinite().all(1)  # a sampler's second gradient may not be
                finite[active[~sound]] = False
                active = active[sound]
                x[active], velocity[active] = moved[sound].clamp(0, 1), faster[sound]
                steps[active] += 1
        noted = torch.stack(path, 1)
        return Descent(x, steps, finite, noted[0].T, noted[1].T, marks)

    def _gradient(
        self, model: nn.Module, x: Tensor, y: Tensor, real: Reference | None, *, only_logits: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Gradients of the objective (zeros where only the logits are wanted), and the logits."""
        if only_logits:
            with torch.no_grad():
                return torch.zeros_like(x), model(x)
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            logits = model(x)
            (gradient,) = torch.autograd.grad(self.objective(logits, y, real).sum(), x)
        return gradient, logits.detach()

    def _second(self, model: nn.Module, y: Tensor, real: Reference | None, x: Tensor) -> Tensor:
        return self._gradient(model, x, y, real)[0]

    def _rests(self, joint: Tensor, y: Tensor, real: Reference | None) -> Tensor:
        if self.tolerance is None or real is None:
            return torch.zeros_like(y, dtype=torch.bool)
        return joint <= real.energies[y] + self.tolerance
