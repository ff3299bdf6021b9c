"""What the numbers of a record are called where a person reads them."""

from __future__ import annotations

STAGES = (("apgd-ce", "APGD-CE"), ("apgd-t", "APGD-T"), ("fab-t", "FAB-T"), ("square", "Square"))
"""Of AutoAttack, in its order."""

ATTACKS: dict[str, str] = {
    "pgd": "PGD",
    "pgd-random-target": "PGD to a random class",
    "pgd-least-likely": "PGD to the least likely class",
    "kl-pgd": "PGD on the KL",
    "margin-pgd": "PGD on the Carlini-Wagner margin",
    "apgd-ce": "APGD-CE",
    "apgd-dlr": "APGD-DLR",
    "apgd-t": "APGD-T",
    "fab-t": "FAB-T",
    "square": "Square",
}
"""By the name that an attack's values begin with."""

SHORT: dict[str, str] = {
    **ATTACKS,
    "pgd-random-target": "PGD, random",
    "pgd-least-likely": "PGD, least likely",
    "kl-pgd": "PGD, KL",
    "margin-pgd": "PGD, CW margin",
}
"""Attacks in the little room of a chart."""

SMOOTHNESS: dict[str, str] = {
    "gradient_l1": "‖∇E(x)‖₁",
    "gradient_l2": "‖∇E(x)‖₂",
    "lipschitz_logits": "Local Lipschitz constant of the logits",
    "lipschitz_energy": "Local Lipschitz constant of E(x)",
    "curvature_ce": "Curvature of the cross-entropy",
    "curvature_energy": "Curvature of E(x)",
    "linearity_gap": "Local linearity gap of the cross-entropy",
    "elle": "ELLE of the cross-entropy",
    "gradient_misalignment": "Gradient alignment, 1 − cos",
    "ball_deviation": "Standard deviation of E(x) in the ball",
    "path_range": "Range of E(x) on the way to the PGD point",
}
"""Figures of smoothness, small where the landscape is smooth."""

_ENERGIES: dict[str, str] = {
    "marginal_energy": "E(x)",
    "joint_energy": "E(x,y)",
    "marginal_energy_adv": "E(x_adv)",
    "joint_energy_adv": "E(x_adv,y)",
    "kl_conditional": "KL, conditional term",
    "kl_marginal": "KL, marginal term",
}
for _name, _symbol in (("marginal_energy", "E(x)"), ("joint_energy", "E(x,y)")):
    _ENERGIES[f"delta_{_name}"] = f"Δ{_symbol}"
    _ENERGIES[f"abs_delta_{_name}"] = f"|Δ{_symbol}|"
    _ENERGIES[f"delta_{_name}_over_sd"] = f"Δ{_symbol} over the standard deviation of E(x)"
    _ENERGIES[f"abs_delta_{_name}_calibrated"] = f"|Δ{_symbol}| at the calibrated scale"
    _ENERGIES[f"delta_{_name}_normalised"] = f"|Δ{_symbol}| over the standard deviation of E(x)"

SERIES: dict[str, str] = {
    **_ENERGIES,
    **SMOOTHNESS,
    **{
        f"{name}_normalised": f"{label} over the {'variance' if name == 'elle' else 'standard deviation'} of E(x)"
        for name, label in SMOOTHNESS.items()
    },
    **{f"{name}_calibrated": f"{label} at the calibrated scale" for name, label in SMOOTHNESS.items()},
}
"""By a per-sample number's name."""

CALIBRATED = {
    "pgd.delta_marginal_energy_normalised": "pgd.abs_delta_marginal_energy_calibrated",
    "pgd.delta_joint_energy_normalised": "pgd.abs_delta_joint_energy_calibrated",
    **{f"{name}_normalised": f"{name}_calibrated" for name in SMOOTHNESS},
    "gradient_misalignment": "gradient_misalignment_calibrated",
}
"""Figures that depend on the scale of the logits, each with the one that takes its place where a record has it. Records made
before entrants were calibrated have the first alone."""

SETS = (("", "Generated"), ("starts.", "Starts alone (0 steps)"), ("held_out.", "Held-out real images"))

EQUAL_N = "equal_n."
"""What the names of scores begin with that compare the three sets at one number of images."""

GENERATION: dict[str, str] = {
    f"{equal}{prefix}{key}": f"{label}{', ' + of.lower() if prefix else ''}{', at equal n' if equal else ''}"
    for equal in ("", EQUAL_N)
    for prefix, of in SETS
    for key, label in (
        ("fid", "FID"),
        ("kid", "KID"),
        ("kid.sd", "KID, standard deviation over subsets"),
        ("inception_score", "Inception Score"),
        ("inception_score.sd", "Inception Score, standard deviation over splits"),
        ("precision", "Precision"),
        ("recall", "Recall"),
        ("nearest_distance.mean", "L2 distance to the nearest training image, mean"),
        ("nearest_distance.min", "L2 distance to the nearest training image, least"),
    )
} | {"steps.mean": "Steps taken, mean", "steps.zero": "Draws that took 0 steps"}
"""By a value's name in a record; energies along the path keep their names."""

_VALUES: dict[str, str] = {
    "standard_accuracy": "Standard accuracy",
    "autoattack_accuracy": "AutoAttack accuracy",
    "calibration.scale": "Calibrated scale of the logits",
    **{f"accuracy_after.{key}": f"Accuracy after {heading}" for key, heading in STAGES},
    **GENERATION,
}
_ENDINGS = {"mean": "mean", "sd": "standard deviation"}


def label(name: str) -> str:
    """A value's or distribution's name in words; one that is not known stays as it is."""
    if name in _VALUES:
        return _VALUES[name]
    attack, _, rest = name.partition(".")
    if attack in ATTACKS and rest:
        return f"{ATTACKS[attack]}: accuracy" if rest == "accuracy" else f"{ATTACKS[attack]}: {label(rest)}"
    series, _, ending = name.rpartition(".")
    if series in SERIES and ending in _ENDINGS:
        return f"{SERIES[series]}, {_ENDINGS[ending]}"
    return SERIES.get(name, name)
