"""Do attacks make images more likely or less? E(x_adv) - E(x), image by image, and how far it moves under TRADES and SAT.

The attacks of `energies` have short budgets, so the size of a shift errs low; its sign is what is tested.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from leaderboards.board.labels import ATTACKS
from leaderboards.findings.recipes import Network, Recipe, mean
from leaderboards.findings.statement import Part, Statement, concluded
from leaderboards.findings.statistics import merged, sign_test

TOPIC = "Energies under attack"
STILL = 1e-5
"""Of |E(x)|, and at least of 1: a shift that rounding alone makes counts as none."""


@dataclass(frozen=True)
class Claim:
    """What the paper says of some attacks. `beside`: attacks of which it does not say so, shown beside the statement."""

    key: str
    sign: int
    attacks: tuple[str, ...]
    title: str
    says: str
    beside: tuple[str, ...] = ()


CLAIMS = (
    Claim(
        "falls-untargeted",
        -1,
        ("pgd", "kl-pgd", "apgd-ce"),
        "Untargeted attacks lower E(x)",
        "Untargeted attacks lower the energy E(x): PGD, PGD on the KL of TRADES, and APGD-CE make images that the classifier"
        " finds more likely than natural ones.",
    ),
    Claim(
        "rises-apgd-t",
        1,
        ("apgd-t",),
        "APGD-T raises E(x)",
        "Targeted attacks do not lower the energy E(x) as untargeted ones do: APGD-T raises it.",
        ("pgd-random-target", "pgd-least-likely"),
    ),
    Claim(
        "rises-margin",
        1,
        ("apgd-dlr", "fab-t", "square", "margin-pgd"),
        "APGD-DLR, FAB, Square and CW raise E(x)",
        "The other attacks that stop at the border of the class raise the energy E(x) too: APGD-DLR, FAB, Square and"
        " Carlini and"
        " Wagner's margin.",
    ),
)
KINDS = (
    ("standard", True, "standard classifiers", "The paper's Figure 2 shows a standard classifier."),
    (
        "robust",
        False,
        "robust classifiers",
        "The paper shows this of a standard classifier; here it is asked of robust ones.",
    ),
)
TEST = (
    "Exact sign test on E(x_adv) − E(x) over the images, two-sided, one for each attack and recipe. Wilcoxon's"
    " signed-rank test is not"
    " used: it needs symmetric shifts, and an attack moves the images that it breaks much farther than the others. Images whose"
    " energy does not move are left out. Holm over all attacks and recipes of the statement."
)


def shift(network: Network, attack: str) -> np.ndarray | None:
    """E(x_adv) - E(x) of each image in units of the sd of E(x), (n,) float64, 0 where rounding alone moved it; None without
    arrays."""
    natural, attacked = (network.energies.get(name) for name in ("marginal_energy", f"{attack}.marginal_energy_adv"))
    if natural is None or attacked is None or natural.shape != attacked.shape or natural.ndim != 1:
        return None
    energy = natural.astype(np.float64)
    moved = attacked.astype(np.float64) - energy
    spread = float(energy.std(ddof=1)) if len(energy) > 1 else 0.0
    if not np.isfinite(moved).all() or spread <= 0:
        return None
    return np.where(np.abs(moved) <= STILL * np.maximum(1, np.abs(energy)), 0.0, moved) / spread


def shift_statements(recipes: Sequence[Recipe], command: str) -> tuple[Statement, ...]:
    """Where E(x) goes under attack: each claim for standard and for robust recipes."""
    return tuple(
        _statement(claim, kind, [recipe for recipe in recipes if recipe.standard is standard], words, source, command)
        for claim in CLAIMS
        for kind, standard, words, source in KINDS
    )


def _statement(claim: Claim, kind: str, recipes: Sequence[Recipe], words: str, source: str, command: str) -> Statement:
    statement = Statement(
        key=f"{claim.key}-{kind}",
        topic=TOPIC,
        title=f"{claim.title}: {words}",
        claim=f"{claim.says} Here: {words}.",
        data=f"{source} Every image of the board, also those that an attack does not break.",
        fields=tuple(f"energies: marginal_energy, {attack}.marginal_energy_adv" for attack in claim.attacks),
        test=TEST,
        effect=f"Share of the moved images whose E(x) {'rises' if claim.sign > 0 else 'falls'}",
        unit="share",
        size="Median of E(x_adv) − E(x), in standard deviations of E(x)",
        needs=f"{command} --measures energies",
    )
    found = [
        part
        for attack in (*claim.attacks, *claim.beside)
        for recipe in recipes
        if (part := _part(recipe, attack, claim.sign, attack in claim.attacks)) is not None
    ]
    return concluded(statement, found, 0.5)


def _part(recipe: Recipe, attack: str, sign: int, counts: bool) -> Part | None:
    shifts = [moved for network in recipe.networks if (moved := shift(network, attack)) is not None]
    if not shifts:
        return None
    tests = [found for moved in shifts if (found := sign_test(sign * moved)) is not None]
    part = Part(ATTACKS[attack], len(shifts[0]), recipe.name, seeds=len(shifts), counts=counts)
    if len(tests) < len(shifts):
        return replace(part, note="the attack moves the energy of no image")
    one = merged(tests)
    still = len(shifts[0]) - one.n
    return replace(
        part,
        effect=one.effect,
        low=one.low,
        high=one.high,
        size=mean([float(np.median(moved)) for moved in shifts]),
        p=one.p,
        note=f"{still} of {len(shifts[0])} images do not move" if still else "",
    )
