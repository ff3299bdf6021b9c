"""Energies of natural points and of the points that attacks find for them (Mirza et al. 2024, arXiv 2407.06315).

Attacks see the entrant at its calibrated scale (harness.measures.calibration), so that what they find does not depend on the
scale of its logits. Energies are given at the entrant's own scale, and their changes at both; only those at the calibrated
scale compare entrants.

Accuracy under each attack errs high: none is as strong as AutoAttack's cascade. A small |dE| may also mean that an attack
failed, so points at which the gradient is zero are counted, and where there are many no normalised |dE| of an attack by
gradient is given. The gradient that is looked at is the one that attacks on the cross-entropy see.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn

from harness.attacks.attack import Attack
from harness.attacks.named import ATTACKS, MAIN, prefix
from harness.classifier.logits import natural_logits
from harness.classifier.memory import fitted
from harness.classifier.meter import meter
from harness.data.images import Examples
from harness.energy import joint_energy, kl_in_energies, marginal_energy
from harness.measures import landscape
from harness.measures.calibration import (
    ARRAY,
    CALIBRATED,
    SCALE,
    CalibratedMeasure,
    Calibration,
    Scaled,
    calibrated,
    calibration_quantity,
    calibration_settings,
)
from harness.measures.distributions import DELTA_EDGES, ENERGY_EDGES, Bins, distribution
from harness.measures.intervals import proportion, standard_deviation
from harness.measures.measure import Cost, Note, ShardResult, Summary, batch_notes, flags_of, generator_of
from harness.measures.zero_gradients import hides, reason, warning
from harness.threat import ThreatModel
from leaderboards.board.labels import label
from leaderboards.records.schema import Distribution, Quantity, Unit, Value


@dataclass(frozen=True)
class Energies(CalibratedMeasure):
    """E(x), E(x,y) at natural and adversarial points of ten attacks, dE(x), dE(x,y), the KL in energies, accuracies.

    dE is natural minus adversarial: negative where the attack raises the energy. Energies scale with the logits, so only
    values whose names end with `_calibrated`, of the entrant at the scale that fits its labels best, may be compared between
    entrants; what is divided by sd E(x) still depends on the scale. Each attack sees every example, by itself; what it returns
    where it fails its class says. Arrays and values of an attack begin with its name and a point.
    """

    name: ClassVar[str] = "energies"
    version: ClassVar[int] = 4
    seed: int = 0
    attacks: Mapping[str, Attack] = field(default_factory=lambda: dict(ATTACKS))

    def settings(self) -> dict[str, Any]:
        return {"attacks": {name: attack.settings() for name, attack in self.attacks.items()}, **calibration_settings()}

    def correct(self, arrays: Mapping[str, np.ndarray]) -> np.ndarray | None:
        return arrays.get(correct_array(MAIN))

    def quantities(self) -> Mapping[str, Quantity]:
        main, deltas = prefix(MAIN), ("delta_marginal_energy", "delta_joint_energy")
        found = {
            name: Quantity(title=label(name), unit="fraction", better="higher")
            for name in ("standard_accuracy", *map(accuracy_value, self.attacks))
        }
        for series in (*NATURAL, *(f"{main}{name}" for name in (*(f"{name}_adv" for name in NATURAL), *deltas))):
            found[f"{series}.sd"] = Quantity(title=label(f"{series}.sd"), unit="energy")
        for name in NATURAL:
            found[f"{name}.mean"] = Quantity(title=label(f"{name}.mean"), unit="energy")
        found[SCALE] = calibration_quantity()
        for attack in self.attacks:
            for key in HEADLINES:
                name = f"{prefix(attack)}{key}.mean"
                if key.endswith(CALIBRATED):  # small is smooth
                    found[name] = Quantity(title=label(name), better="lower")
                else:
                    unit: Unit = "sd" if key.endswith("_normalised") else "energy"
                    found[name] = Quantity(title=label(name), unit=unit)
        shown = {accuracy_value(MAIN): _PGD, "marginal_energy.mean": _MEAN}
        shown |= {f"{main}{deltas[0]}.mean": _DELTA, f"{main}abs_{deltas[0]}{CALIBRATED}.mean": _ABSOLUTE_DELTA}
        for name, (short, said) in shown.items():
            if name in found:
                words = {"short": short, "description": said}
                found[name] = found[name].model_copy(update={"kind": "headline", **words})
        return found

    def cost(self, classes: int) -> Cost:
        # beside the attacks: natural logits, the gradient at the natural points, and the logits of what each one found
        passes = [attack.passes(classes) for attack in self.attacks.values() if not attack.obstacle(classes, "Linf", 5)]
        return Cost(2 + sum(forward + 1 for forward, _ in passes), 1 + sum(backward for _, backward in passes))

    def costs(self, classes: int, shape: Sequence[int]) -> Mapping[str, Cost]:
        found = {"natural": Cost(2, 1)}
        for name, attack in self.attacks.items():
            if not attack.obstacle(classes, "Linf", min(shape[1:])):
                forward, backward = attack.passes(classes)
                found[name] = Cost(forward + 1, backward, until_broken=attack.ends_early)
        return found

    def __call__(self, model: nn.Module, examples: Examples, threat: ThreatModel) -> ShardResult:
        x, y = examples.x, examples.y
        meter().enter("natural")
        model = fitted(model, x)
        natural = natural_logits(model, examples)
        calibration = calibrated(model, examples, natural)
        scale = calibration.scale
        model, logits = model.around(Scaled(model.model, scale)), scale * natural
        _, slope = landscape.value_and_gradient(model, x, landscape.log_odds(y))
        arrays = {
            "marginal_energy": marginal_energy(logits / scale),
            "joint_energy": joint_energy(logits / scale, y),
            f"marginal_energy{CALIBRATED}": marginal_energy(logits),
            f"joint_energy{CALIBRATED}": joint_energy(logits, y),
            "natural_correct": logits.argmax(1) == y,
            "zero_gradient": landscape.has_no_gradient(slope),
        }
        notes: list[Note] = []
        for name, attack in self.attacks.items():
            if obstacle := attack.obstacle(logits.shape[1], threat.norm, min(x.shape[2:])):
                notes.append(Note("attacks-left-out", f"{name} was not run: {obstacle}"))
                continue
            meter().enter(name)
            found = attack(model, x, y, threat, generator_of(self.seed, examples.start, name), natural=logits)
            if name == MAIN:
                meter().robust = int((~found.broken).sum())
            if found.rejected:
                notes.append(Note("rejected", REJECTED.format(name), int((~found.counted).sum())))
            of_attack = _found(logits, found.logits, y, scale)
            arrays |= {f"{prefix(name)}{key}": array for key, array in of_attack.items()}
            arrays[correct_array(name)] = ~found.broken
        notes += batch_notes(model)
        kept = {name: array.cpu().numpy() for name, array in arrays.items()}
        return ShardResult(kept | {ARRAY: calibration.array(len(examples))}, tuple(notes))

    def summarise(self, arrays: Mapping[str, np.ndarray], notes: Sequence[Note]) -> Summary:
        wide = {name: array.astype(np.float64) for name, array in arrays.items() if array.dtype != bool}
        zero = arrays["zero_gradient"]
        spread = standard_deviation(wide["marginal_energy"]).value or np.nan
        values: dict[str, Value] = {"standard_accuracy": proportion(arrays["natural_correct"])}
        values[SCALE] = Calibration.of(arrays).value()
        distributions: dict[str, Distribution] = {}
        bins = {"delta_marginal_energy": Bins(DELTA_EDGES, 0.0, spread)}
        bins["delta_joint_energy"] = bins["delta_marginal_energy"]
        for name in NATURAL:
            bins[name] = bins[f"{name}_adv"] = Bins(ENERGY_EDGES, float(wide[name].mean()), spread)
            distributions[name] = distribution(wide[name], bins[name])
            values[f"{name}.mean"] = distributions[name].mean
            values[f"{name}.sd"] = standard_deviation(wide[name])
        for attack in self.attacks:
            if correct_array(attack) not in arrays:
                continue  # it could not be run on this entrant: a flag says so
            start = prefix(attack)
            values[accuracy_value(attack)] = proportion(arrays[correct_array(attack)])
            blind = self.attacks[attack].by_gradient and hides(zero)
            for key, numbers in _series(wide, start, spread).items():
                if blind and key.endswith(("_normalised", CALIBRATED)):
                    values[f"{start}{key}.mean"] = Value(value=None, n=len(zero), reason=reason(zero))
                    continue
                found = distributions[f"{start}{key}"] = distribution(numbers, bins.get(key))
                if key in HEADLINES:
                    values[f"{start}{key}.mean"] = found.mean
                if attack == MAIN and key in bins:
                    values[f"{start}{key}.sd"] = standard_deviation(numbers)
        flags = flags_of(notes)
        if zero.any():
            flags = (*flags, warning("the cross-entropy", zero))
        return Summary(values, flags, distributions)


NATURAL = ("marginal_energy", "joint_energy")

REJECTED = "{{n}} images of {} break the threat model or have no finite logits: not counted"

HEADLINES = (
    *("marginal_energy_adv", "joint_energy_adv", "delta_marginal_energy", "delta_joint_energy"),
    *("delta_marginal_energy_normalised", "delta_joint_energy_normalised", "kl_conditional", "kl_marginal"),
    *(f"abs_delta_marginal_energy{CALIBRATED}", f"abs_delta_joint_energy{CALIBRATED}"),
)
"""Series whose mean is a value of the record, for each attack. All series are distributions of the record."""

_PGD = (
    "PGD",
    "Share of examples that stay correct under PGD alone: a weaker upper bound on robust accuracy than AutoAttack's.",
)
_MEAN = (
    "Mean E(x)",
    "Marginal energy of the unchanged examples, E(x) = -logsumexp of the logits. It scales with the logits.",
)
_DELTA = (
    "Mean ΔE(x)",
    "Mean of E(x) - E(x_adv) under PGD: negative where the attacked examples have the higher energy.",
)
_ABSOLUTE_DELTA = (
    "Mean |ΔE(x)|",
    "Mean |E(x) - E(x_adv)| at the calibrated scale of the logits: it does not depend on the scale that the entrant gives"
    " them. Small where the energy is smooth.",
)


def correct_array(attack: str) -> str:
    """The array that says which examples an attack leaves correct."""
    return f"{prefix(attack)}correct"


def accuracy_value(attack: str) -> str:
    """The value that is the accuracy under an attack."""
    return f"{prefix(attack)}accuracy"


def _found(logits: Tensor, logits_adv: Tensor, y: Tensor, scale: float) -> dict[str, Tensor]:
    """What is kept of an attack's points, for each example. With the natural energies it gives dE and both terms of the KL.

    Logits are those at the calibrated scale: `scale` times the entrant's own.
    """
    return {
        "marginal_energy_adv": marginal_energy(logits_adv / scale),
        "joint_energy_adv": joint_energy(logits_adv / scale, y),
        f"marginal_energy_adv{CALIBRATED}": marginal_energy(logits_adv),
        f"joint_energy_adv{CALIBRATED}": joint_energy(logits_adv, y),
        "kl_conditional": kl_in_energies(logits / scale, logits_adv / scale).conditional,
    }


def _series(wide: Mapping[str, np.ndarray], start: str, spread: float) -> dict[str, np.ndarray]:
    """Every number that an attack gives each example: energies, dE signed and absolute, raw and over sd E(x), KL terms,
    and |dE| at the calibrated scale.

    `_over_sd` is the signed difference over sd E(x), `_normalised` the absolute one. The marginal term of the KL is dE(x).
    """
    series = {f"{name}_adv": wide[f"{start}{name}_adv"] for name in NATURAL}
    for name in NATURAL:
        delta = wide[name] - wide[f"{start}{name}_adv"]
        series[f"delta_{name}"] = delta
        series[f"abs_delta_{name}"] = np.abs(delta)
        series[f"delta_{name}_over_sd"] = delta / spread
        series[f"delta_{name}_normalised"] = np.abs(delta) / spread
        at_scale = wide[f"{name}{CALIBRATED}"] - wide[f"{start}{name}_adv{CALIBRATED}"]
        series[f"abs_delta_{name}{CALIBRATED}"] = np.abs(at_scale)
    series["kl_conditional"] = wide[f"{start}kl_conditional"]
    series["kl_marginal"] = series["delta_marginal_energy"]
    return series
