"""Energies of natural points and of the points that PGD finds for them (Mirza et al. 2024, arXiv 2407.06315)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from harness.attacks.pgd import PGD
from harness.energy import joint_energy, marginal_energy
from harness.images import Examples
from harness.intervals import mean, proportion, standard_deviation
from harness.measures.measure import Cost, Measure, Note, ShardResult, Summary, flags_of, natural_logits
from harness.stopwatch import seconds
from harness.threat import ThreatModel


def start_generator(seed: int, start: int) -> torch.Generator:
    """What the start of PGD is drawn with, for a shard whose first example is `start`.

    On the CPU: the start of the attack is then the same on every device.
    """
    return torch.Generator().manual_seed(seed * 1_000_003 + start)


@dataclass(frozen=True)
class Energies(Measure):
    """E(x), E(x,y) at natural and adversarial points, dE(x), dE(x,y), and accuracy under the attack, an upper bound.

    dE is natural minus adversarial: negative where the attack raises the energy. Energies scale with the logits, so the
    normalised |dE(x)| / sd E(x) is what may be compared between entrants.
    """

    name: ClassVar[str] = "energies"
    version: ClassVar[int] = 1
    seed: int = 0
    attack: PGD = field(default=PGD(loss="ce", steps=20, step_size=0.25))

    def settings(self) -> dict[str, Any]:
        return {"attack": "pgd", **asdict(self.attack)}

    def cost(self, classes: int) -> Cost:
        return Cost(forward=self.attack.steps + 2, backward=self.attack.steps)

    def trial(self, model: nn.Module, examples: Examples, threat: ThreatModel) -> float:
        short = replace(self.attack, steps=2)
        generator = torch.Generator().manual_seed(self.seed)
        timed = seconds(partial(short, model, examples.x, examples.y, threat, generator), examples.x.device)
        return timed / short.steps * (self.attack.steps + 1)

    def __call__(self, model: nn.Module, examples: Examples, threat: ThreatModel) -> ShardResult:
        logits = natural_logits(model, examples)
        x_adv = self.attack(model, examples.x, examples.y, threat, start_generator(self.seed, examples.start))
        with torch.no_grad():
            logits_adv = model(x_adv)
        valid = threat.verify(examples.x, x_adv).valid & logits_adv.isfinite().all(1)
        notes = (
            [Note("rejected", "{n} images of pgd break the threat model or have no finite logits: not counted", n)]
            if (n := int((~valid).sum()))
            else []
        )
        # an image that breaks the rules is no adversarial point: the natural one stands in its place
        logits_adv = torch.where(valid.unsqueeze(1), logits_adv, logits)
        arrays = {
            "marginal_energy": marginal_energy(logits),
            "joint_energy": joint_energy(logits, examples.y),
            "marginal_energy_adv": marginal_energy(logits_adv),
            "joint_energy_adv": joint_energy(logits_adv, examples.y),
            "pgd_correct": logits_adv.argmax(1) == examples.y,
        }
        return ShardResult({name: array.cpu().numpy() for name, array in arrays.items()}, tuple(notes))

    def summarise(self, arrays: Mapping[str, np.ndarray], notes: Sequence[Note]) -> Summary:
        values = {"pgd_accuracy": proportion(arrays["pgd_correct"])}
        series = {name: arrays[name].astype(np.float64) for name in ("marginal_energy", "joint_energy")}
        series |= {
            f"{name}_adv": arrays[f"{name}_adv"].astype(np.float64) for name in ("marginal_energy", "joint_energy")
        }
        for name in ("marginal_energy", "joint_energy"):
            series[f"delta_{name}"] = series[name] - series[f"{name}_adv"]
        for name, energies in series.items():
            values[f"{name}.mean"] = mean(energies)
            values[f"{name}.sd"] = standard_deviation(energies)
        spread = values["marginal_energy.sd"].value
        flags = list(flags_of(notes))
        normalised = (
            np.abs(series["delta_marginal_energy"]) / spread if spread else np.full(len(arrays["pgd_correct"]), np.nan)
        )
        values["delta_marginal_energy_normalised.mean"] = mean(normalised)
        return Summary(values, tuple(flags))
