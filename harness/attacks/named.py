"""The attacks whose effect on the energies is compared, by the names that arrays, values and pages use.

To add an attack, write it (harness.attacks.attack says how) and add a line to ATTACKS.

Published of a standard CIFAR-10 classifier (Mirza et al. 2024): untargeted attacks on the cross-entropy push E(x) far below
its natural value, targeted attacks and attacks on a margin raise it.
"""

from __future__ import annotations

from harness.attacks.attack import Attack
from harness.attacks.individual import APGD, Square, TargetedAPGD, TargetedFAB
from harness.attacks.pgd import PGD

MAIN = "pgd"
"""The attack that the board shows, that a check takes before AutoAttack, and whose energies have a standard deviation."""

ATTACKS: dict[str, Attack] = {
    MAIN: PGD(),
    "pgd-random-target": PGD(target="random"),
    "pgd-least-likely": PGD(target="least-likely"),
    "kl-pgd": PGD("kl"),
    "margin-pgd": PGD("margin"),
    "apgd-ce": APGD("ce"),
    "apgd-dlr": APGD("dlr"),
    "apgd-t": TargetedAPGD(),
    "fab-t": TargetedFAB(),
    "square": Square(),
}


def prefix(attack: str) -> str:
    """What the names of an attack's arrays and values begin with."""
    return f"{attack}."
