"""Whether gradients lead anywhere: signs that they are hidden from attacks (Athalye et al. 2018, Carlini et al. 2019).

Attacked is the class that the network predicts, so no label is needed. Where these signs are missing gradients may be hidden
all the same: only attacks tell.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from harness.attacks.losses import log_odds
from harness.classifier.memory import image_gradient
from harness.doctor.accuracy import OF_IMAGES
from harness.doctor.check import Check, fault, fine, warning
from harness.doctor.finding import Finding, percent
from harness.doctor.subject import BATCH, Subject
from harness.measures.landscape import has_no_gradient
from harness.measures.zero_gradients import HIDDEN
from harness.threat import ThreatModel

SHORT = 4
"""The step whose direction is judged is this part of eps: there the gradient should still hold."""

RANDOM = 2
"""Random steps of the same length, for each image."""

STEPS = 4
"""Steps of the attack by which radii are compared."""

MISLED, OFTEN = 0.2, 0.5
"""Share of the images at which a random step does more than the gradient's: for a warning, and for a fault."""

WIDER = {"Linf": 0.5, "L2": 8.0}
"""The larger radius: in [0,1] with Linf 0.5 every image can be made grey, and L2 takes so many times eps."""

KEPT = 0.5
"""Share of the predictions that a small radius leaves from which on a large one must break."""


def gradients(subject: Subject) -> list[Finding]:
    """Gradients that are missing or not finite; steps along them that do less than random ones; radii that do not matter."""
    x = subject.x[: subject.attacked]
    y = subject.logits[: len(x)].argmax(1)
    try:
        odds, slope = _odds_and_slope(subject, x, y)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # noqa: BLE001  it is the user's code
        seen = f"the backward pass fails: {type(error).__name__}: {' '.join(str(error).split())[:120]}"
        return [
            fault(
                "gradients",
                seen,
                "No attack by gradient can be run.",
                "Mend the entrant's forward: use torch operations.",
            )
        ]
    n = len(x)
    bad = int((~slope.flatten(1).isfinite().all(1)).sum())
    if bad:
        advice = "Look for sqrt, norm, log or a division at zero in forward, and add a small number there."
        seen = f"NaN or infinity in the gradient of {bad} of {n} images"
        return [fault("gradients", seen, "Attacks by gradient stand still there.", advice, not_finite=bad / n)]
    zero = int(has_no_gradient(slope).sum())
    if zero > HIDDEN * n:
        return [
            fault(
                "gradients",
                f"the gradient is exactly zero at {zero} of {n} images",
                "Attacks by gradient see nothing: the accuracy that they leave is no robustness.",
                "Look for rounding, argmax, detach, no_grad, a hard threshold or a saturated nonlinearity in forward.",
                zero=zero / n,
            )
        ]
    found = [_steps(subject, x, y, odds, slope), *_radii(subject, x, y)]
    numbers = {name: number for one in found for name, number in one.numbers.items()}
    return [one for one in found if one.counts] or [
        fine(
            "gradients",
            f"there at {n - zero} of {n} images, finite, and steps along them work",
            zero=zero / n,
            **numbers,
        )
    ]


def _steps(subject: Subject, x: Tensor, y: Tensor, odds: Tensor, slope: Tensor) -> Finding:
    """Whether a short step along the gradient lowers the odds of the prediction more than random steps do."""
    threat = subject.suite.threat
    short = replace(threat, eps=threat.eps / SHORT)
    by_gradient = odds - _odds(subject, _moved(x, -slope, short), y)
    best = torch.full_like(by_gradient, -torch.inf)
    for number in range(RANDOM):
        best = torch.maximum(best, odds - _odds(subject, _moved(x, _noise(x, number), short), y))
    misled = float((best > by_gradient).float().mean())
    if misled <= MISLED:
        return fine("gradient-step", "", misled=misled)
    seen = f"a random step does more than the gradient's at {percent(misled)} of {len(x)} images (step {short.eps:.3g})"
    meaning = "The gradient does not lead where the network is weak: attacks by gradient may be misled."
    advice = "Look for noise, quantisation or a gradient of your own in forward; compare with Square, which needs none."
    kind = fault if misled > OFTEN else warning
    return kind("gradient-step", seen, meaning, advice, misled=misled)


def _radii(subject: Subject, x: Tensor, y: Tensor) -> list[Finding]:
    """Whether noise breaks more than the gradient does, and whether a much larger radius breaks more than eps does."""
    threat = subject.suite.threat
    near = _left(subject, x, y, threat)
    noisy = torch.ones_like(near)
    for number in range(RANDOM):
        noisy &= subject.answers(_moved(x, _noise(x, number), threat)).argmax(1) == y
    kept, by_noise = float(near.float().mean()), float(noisy.float().mean())
    if by_noise < kept - MISLED:
        seen = f"{percent(1 - by_noise)} of {len(x)} predictions change by noise within eps, {percent(1 - kept)} by gradients"
        meaning = "Noise does more than an attack: gradients are hidden."
        return [
            fault(
                "gradient-noise",
                seen,
                meaning,
                "Judge by attacks without gradients too (Square).",
                noise=by_noise,
                kept=kept,
            )
        ]
    far = replace(threat, eps=WIDER["Linf"] if threat.norm == "Linf" else WIDER["L2"] * threat.eps)
    if kept <= MISLED or far.eps <= threat.eps:
        return [fine("gradient-radius", "", noise=by_noise, kept=kept)]
    wide = float(_left(subject, x, y, far).float().mean())
    if wide <= KEPT * kept:
        return [fine("gradient-radius", "", noise=by_noise, kept=kept, wide=wide)]
    seen = (
        f"of {len(x)} predictions {percent(kept)} stay under {STEPS} steps within {threat.eps:.3g}, {percent(wide)} within"
        f" {far.eps:.3g}"
    )
    meaning = (
        "A radius at which every image can be destroyed must break nearly all: gradients are hidden, or lead nowhere."
    )
    advice = "Look for what stops the gradient in forward, and trust no accuracy under attacks by gradient."
    return [warning("gradient-radius", seen, meaning, advice, kept=kept, wide=wide)]


def _left(subject: Subject, x: Tensor, y: Tensor, threat: ThreatModel) -> Tensor:
    """(n,) bool: which predictions stay under a few steps of half the radius along the gradient."""
    stays, at = torch.ones(len(x), dtype=torch.bool, device=x.device), x.clone()
    for _ in range(STEPS):
        left = stays.nonzero().squeeze(1)
        if len(left) == 0:
            break
        slope = _odds_and_slope(subject, at[left], y[left])[1].nan_to_num()
        at[left] = threat.project(x[left], at[left] - threat.eps / 2 * threat.ascent(slope))
        stays[left] = subject.answers(at[left]).argmax(1) == y[left]
    return stays


def _moved(x: Tensor, direction: Tensor, threat: ThreatModel) -> Tensor:
    return threat.project(x, x + threat.eps * threat.ascent(direction))


def _noise(x: Tensor, number: int) -> Tensor:
    """A direction (n, C, H, W) that is the same on every device."""
    return torch.randn(x.shape, generator=torch.Generator().manual_seed(number)).to(x)


def _odds(subject: Subject, x: Tensor, y: Tensor) -> Tensor:
    return log_odds(subject.answers(x), y)


def _odds_and_slope(subject: Subject, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The log odds (n,) of classes y, and their gradients at x (n, C, H, W); zeros where there is none."""
    odds, slopes = [], []
    for part, of in zip(x.split(BATCH), y.split(BATCH), strict=True):
        with torch.enable_grad():
            leaf = part.clone().requires_grad_()
            found = log_odds(subject.model(leaf), of)
        odds.append(found.detach())
        slopes.append(image_gradient(leaf, found, torch.ones_like(found)))
    return torch.cat(odds), torch.cat(slopes)


GRADIENTS = (
    Check(
        "gradients",
        "sign of hidden gradients",
        gradients,
        frozenset(
            {
                "images",
                "output",
                "classes",
                "dtype",
                "train-mode",
                "randomness",
                "batch-dependence",
                "probabilities",
                "chance-level",
            }
        )
        | OF_IMAGES,
    ),
)
