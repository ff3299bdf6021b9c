"""Smoothness of the energy landscape around the examples: eleven figures, each with its formula in harness.measures.landscape.

Each is measured twice: of the entrant as it is, and of the entrant at its calibrated scale (harness.measures.calibration).
Only the calibrated ones compare entrants: the others depend on the scale of the logits, which no prediction does, also where
they are divided by the standard deviation of E(x).

Maxima over the ball err low, and an entrant that hides its gradients looks smoother than it is: points without a gradient
are left out of the figures that need it, and an entrant with many of them gets no figure but a flag.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
from torch import Tensor, nn

from harness.attacks.pgd import PGD
from harness.classifier.logits import natural_logits
from harness.classifier.memory import fitted
from harness.data.images import Examples
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
from harness.measures.distributions import distribution
from harness.measures.intervals import standard_deviation
from harness.measures.measure import Cost, Note, ShardResult, Summary, batch_notes, flags_of, generator_of
from harness.measures.zero_gradients import ZERO_GRADIENTS, hides, reason, warning
from harness.threat import ThreatModel
from leaderboards.board.labels import label
from leaderboards.records.schema import Distribution, Quantity, Unit, Value


@dataclass(frozen=True)
class Figure:
    """Whose gradient a figure needs, and the power of sd E(x) that it is divided by, where that makes sense (else 0)."""

    of: Literal["energy", "ce"]
    power: Literal[0, 1, 2] = 1


FIGURES: dict[str, Figure] = {
    "gradient_l1": Figure("energy"),
    "gradient_l2": Figure("energy"),
    "lipschitz_logits": Figure("energy"),
    "lipschitz_energy": Figure("energy"),
    "curvature_ce": Figure("ce"),
    "curvature_energy": Figure("energy"),
    "linearity_gap": Figure("ce"),
    "elle": Figure("ce", 2),
    "gradient_misalignment": Figure("ce", 0),
    "ball_deviation": Figure("energy"),
    "path_range": Figure("ce"),  # its end is an attack's on the cross-entropy
}
"""Every figure by the name of its array; small is smooth."""

_SHOWN = {
    "lipschitz_energy": (
        "Lipschitz of E",
        "Largest |E(x) - E(x')| / ||x - x'|| found in the ball, at the calibrated scale of the logits: small where the energy"
        " is smooth.",
    ),
    "linearity_gap": (
        "Linearity gap",
        "Largest distance of the cross-entropy from its tangent found in the ball, at the calibrated scale of the logits:"
        " small where the loss is straight.",
    ),
    "gradient_misalignment": (
        "1 − cos",
        "1 less the cosine between the gradients of the cross-entropy at the image and at random points of the ball, at the"
        " calibrated scale of the logits: 0 where they are aligned.",
    ),
}
"""The figures that are headlines, each with its short title and what it is."""


@dataclass(frozen=True)
class Smoothness(CalibratedMeasure):
    """Gradient norms, local Lipschitz, curvature, linearity, gradient alignment and spread of E(x) around the examples.

    All depend on the scale of the logits. Values whose names end with `_calibrated` are those of the entrant at the scale
    that fits its labels best, and may be compared between entrants. Raw ones, and raw ones over the standard deviation of E(x)
    (ELLE: its square), describe the entrant as it is.
    """

    name: ClassVar[str] = "smoothness"
    version: ClassVar[int] = 2
    seed: int = 0
    steps: int = 10
    step_size: float = 0.2
    directions: int = 16
    gradient_directions: int = 4
    path_points: int = 11
    attack: PGD = field(default=PGD())

    def settings(self) -> dict[str, Any]:
        return {
            "steps": self.steps,
            "step_size": self.step_size,
            "directions": self.directions,
            "gradient_directions": self.gradient_directions,
            "path_points": self.path_points,
            "path_attack": self.attack.settings(),
            **calibration_settings(),
        }

    def quantities(self) -> Mapping[str, Quantity]:
        found = {"marginal_energy.sd": Quantity(title=label("marginal_energy.sd"), unit="energy")}
        found[SCALE] = calibration_quantity()
        for name, figure in FIGURES.items():
            units: dict[str, Unit] = {name: "energy" if figure.power == 1 else "", f"{name}{CALIBRATED}": ""}
            if figure.power:
                units[f"{name}_normalised"] = "sd" if figure.power == 1 else ""
            for key, unit in units.items():
                calibrated_one = key.endswith(CALIBRATED)
                short, said = _SHOWN.get(name, ("", ""))
                if not calibrated_one:  # a board of records from before shows these
                    said = ""
                    short = f"{short} / sd" if short and key.endswith("_normalised") else "" if figure.power else short
                found[f"{key}.mean"] = Quantity(
                    title=label(f"{key}.mean"),
                    short=short,
                    unit=unit,
                    better="lower" if calibrated_one else "neither",  # smoother; others depend on the scale
                    kind="headline" if short and calibrated_one else "detail",
                    description=said,
                )
        return found

    def cost(self, classes: int) -> Cost:
        forward, backward = self.attack.passes(classes)
        ascents = 6 * (self.steps + 1)  # two Lipschitz constants, and four for the linearity gap
        gradients = 2 + 2 + self.gradient_directions  # at x, at x + h z, around x
        # natural logits, those that the Lipschitz constants start from, ELLE's three points, the ball, the path
        values = 3 + 3 * self.directions + self.directions + self.path_points
        # all of them twice, but for the natural logits, which are scaled
        once = forward + ascents + gradients + values
        return Cost(2 * once - 1, 2 * (backward + ascents - 6 + gradients))

    def __call__(self, model: nn.Module, examples: Examples, threat: ThreatModel) -> ShardResult:
        model = fitted(model, examples.x)
        calibration = calibrated(model, examples, natural_logits(model, examples))
        found = self._figures(model, examples, threat)
        scaled = model.around(Scaled(model.model, calibration.scale))
        found |= {f"{name}{CALIBRATED}": array for name, array in self._figures(scaled, examples, threat).items()}
        arrays = {
            name: array.cpu().numpy().astype(bool if name.startswith("zero_") else np.float32)
            for name, array in found.items()
        }
        return ShardResult(
            arrays | {ARRAY: calibration.array(len(examples))}, batch_notes(model) or batch_notes(scaled)
        )

    def _figures(self, model: nn.Module, examples: Examples, threat: ThreatModel) -> dict[str, Tensor]:
        """Every figure of one network, E(x), and where gradients are zero: (N,) each."""
        x, y = examples.x, examples.y
        ce = landscape.cross_entropy(y)
        draw = partial(generator_of, self.seed, examples.start)
        energy, slope = landscape.value_and_gradient(model, x, landscape.energy)
        loss, loss_slope = landscape.value_and_gradient(model, x, ce)
        l1, l2 = landscape.gradient_norms(slope)
        ascent = landscape.Ascent(self.steps, self.step_size)
        # an image that breaks the rules is no end of a path: the natural one stands in its place
        x_adv = self.attack.legal_images(model, x, y, threat, draw("path"))
        return {
            "marginal_energy": energy,
            "zero_gradient_energy": landscape.has_no_gradient(slope),
            "zero_gradient_ce": landscape.has_no_gradient(loss_slope),
            "gradient_l1": l1,
            "gradient_l2": l2,
            "lipschitz_logits": landscape.local_lipschitz(
                model, x, threat, draw("lipschitz_logits"), Tensor.double, ascent
            ),
            "lipschitz_energy": landscape.local_lipschitz(
                model, x, threat, draw("lipschitz_energy"), landscape.energies, ascent
            ),
            "curvature_ce": landscape.curvature(model, x, threat, ce, loss_slope),
            "curvature_energy": landscape.curvature(model, x, threat, landscape.energy, slope),
            "linearity_gap": landscape.linearity_gap(
                model, x, threat, draw("linearity_gap"), ce, loss, loss_slope, ascent
            ),
            "elle": landscape.elle(model, x, threat, draw("elle"), ce, self.directions),
            "gradient_misalignment": landscape.gradient_misalignment(
                model, x, threat, draw("gradient_misalignment"), ce, loss_slope, self.gradient_directions
            ),
            "ball_deviation": landscape.ball_deviation(model, x, threat, draw("ball_deviation"), self.directions),
            "path_range": landscape.path_range(model, x, x_adv, self.path_points),
        }

    def summarise(self, arrays: Mapping[str, np.ndarray], notes: Sequence[Note]) -> Summary:
        spread = standard_deviation(arrays["marginal_energy"])
        values: dict[str, Value] = {"marginal_energy.sd": spread, SCALE: Calibration.of(arrays).value()}
        distributions: dict[str, Distribution] = {}
        flags = list(flags_of(notes))
        for end in ("", CALIBRATED):
            # without a gradient of E(x) no logit has a slope: nothing is scored there
            zero = {"energy": arrays[f"zero_gradient_energy{end}"]}
            zero["ce"] = zero["energy"] | arrays[f"zero_gradient_ce{end}"]
            if zero["ce"].any() and not any(flag.code == ZERO_GRADIENTS for flag in flags):
                flags.append(warning("E(x)" if zero["energy"].any() else "the cross-entropy", zero["ce"]))
            for name, figure in FIGURES.items():
                found, without = arrays[f"{name}{end}"].astype(np.float64), zero[figure.of]
                if name == "gradient_misalignment":  # no angle either where the gradients around the point are zero
                    without = without | np.isnan(found)
                series = {f"{name}{end}": found[~without]}
                if figure.power and not end:
                    series[f"{name}_normalised"] = found[~without] / (spread.value or np.nan) ** figure.power
                for key, numbers in series.items():
                    if hides(without):
                        values[f"{key}.mean"] = Value(value=None, n=len(found), reason=reason(without))
                    elif key.endswith("_normalised") and not spread.value:
                        values[f"{key}.mean"] = Value(value=None, n=len(found), reason="E(x) does not vary")
                    else:
                        distributions[key] = distribution(numbers)
                        values[f"{key}.mean"] = distributions[key].mean
        return Summary(values, tuple(flags), distributions)
