"""Is energy a sign of difficulty? E(x) of misclassified natural images, and of those that AutoAttack breaks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from leaderboards.findings.recipes import Network, Recipe
from leaderboards.findings.statement import Part, Statement, concluded
from leaderboards.findings.statistics import merged, rank_sum_test

TOPIC = "Energy and difficulty"
FEWEST = 5
"""Images that each of the two groups needs."""

TEST = (
    "Mann and Whitney's rank-sum test over the images, two-sided, one for each recipe; seeds of a recipe one by one,"
    " their p-values"
    f" merged. Holm over the recipes. Fewer than {FEWEST} images in a group: undecided."
)

Groups = Callable[[Network], tuple[np.ndarray, np.ndarray] | None]


def misclassified(network: Network) -> tuple[np.ndarray, np.ndarray] | None:
    """E(x) of the natural images that are misclassified, and of the others; None without the arrays."""
    energy, correct = network.energies.get("marginal_energy"), network.correct
    if energy is None or correct is None or energy.shape != correct.shape or not np.isfinite(energy).all():
        return None
    right = correct.astype(bool)
    return energy[~right], energy[right]


def broken(network: Network) -> tuple[np.ndarray, np.ndarray] | None:
    """E(x) of the correctly classified natural images that AutoAttack breaks, and of those that it leaves."""
    energy, correct, robust = network.energies.get("marginal_energy"), network.correct, network.robust
    if energy is None or correct is None or robust is None or not np.isfinite(energy).all():
        return None
    if not energy.shape == correct.shape == robust.shape:
        return None
    right = correct.astype(bool)
    return energy[right & ~robust], energy[right & robust]


def image_statements(recipes: Sequence[Recipe], command: str) -> tuple[Statement, ...]:
    """Both statements over all recipes, standard and robust ones."""
    wrong = Statement(
        key="misclassified-high",
        topic=TOPIC,
        title="Misclassified images have higher E(x)",
        claim="Natural images that are misclassified have higher energy E(x) than those that are classified correctly.",
        data="Every natural image of the board, recipe by recipe.",
        fields=("energies: marginal_energy, natural_correct",),
        test=TEST,
        effect="Chance that a misclassified image has the higher E(x)",
        unit="share",
        size="Share of images that are misclassified",
        size_unit="share",
        needs=f"{command} --measures standard,energies",
    )
    breaks = Statement(
        key="high-energy-breaks",
        topic=TOPIC,
        title="Images of high E(x) are the easiest to break",
        claim="Among natural images that are classified correctly, those of high energy E(x) are the easiest to break:"
        " WEAT gives"
        " them more weight for this reason.",
        data="The natural images that each recipe classifies correctly: those that AutoAttack breaks against those that"
        " it leaves.",
        fields=("energies: marginal_energy, natural_correct", "autoattack: stage"),
        test=TEST,
        effect="Chance that a broken image has the higher E(x)",
        unit="share",
        size="Share of correct images that break",
        size_unit="share",
        needs=f"{command} --measures autoattack,energies",
    )
    return tuple(
        concluded(statement, [part for recipe in recipes if (part := _part(recipe, groups)) is not None], 0.5)
        for statement, groups in ((wrong, misclassified), (breaks, broken))
    )


def _part(recipe: Recipe, groups: Groups) -> Part | None:
    found = [both for network in recipe.networks if (both := groups(network)) is not None]
    if not found:
        return None
    n = len(found[0][0]) + len(found[0][1])
    share = float(np.mean([len(first) / max(1, len(first) + len(second)) for first, second in found]))
    fewest = min(len(group) for both in found for group in both)
    tests = [tested for both in found if (tested := rank_sum_test(*both)) is not None]
    if fewest < FEWEST or len(tests) < len(found):
        return Part(
            recipe.name, n, size=share, seeds=len(found), note=f"a group of {fewest} images, a verdict needs {FEWEST}"
        )
    one = merged(tests)
    return Part(recipe.name, n, effect=one.effect, low=one.low, high=one.high, size=share, p=one.p, seeds=len(found))
