"""Over the recipes of a board: does AutoAttack accuracy go with smoothness, and with the energies themselves?

Recipes of one board are few, chosen by hand and related: a small p-value says that chance alone seldom gives such an order,
not why it is so. The searches behind the figures are short, so those that are maxima err low.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from leaderboards.board.labels import SMOOTHNESS
from leaderboards.findings.recipes import Network, Recipe, mean
from leaderboards.findings.statement import Part, Statement, Verdict, concluded
from leaderboards.findings.statistics import rank_correlation

TOPIC = "Smoothness"
FEWEST = 5
"""Recipes that a rank correlation needs: of four, even a perfect order comes by chance in 1 of 12 cases (two-sided)."""


@dataclass(frozen=True)
class Figure:
    """A number of each network: `of` reads it, from this measure."""

    name: str
    measure: str
    of: Callable[[Network], float | None]


def value(name: str, measure: str, key: str) -> Figure:
    """A value of the record."""
    return Figure(name, measure, lambda network: network.value(measure, key))


def _raw_shift(network: Network) -> float | None:
    """Mean |dE(x)| under PGD: the record holds it over the sd of E(x), and that sd."""
    over = network.value("energies", "pgd.delta_marginal_energy_normalised.mean")
    sd = network.value("energies", "marginal_energy.sd")
    return None if over is None or sd is None else over * sd


SHIFT = "|ΔE(x)|"
SCALES = (
    ("raw", "", "as they are", "in the units of the logits"),
    (
        *("over-sd", "_normalised", "over the standard deviation of E(x)"),
        "divided by the standard deviation of E(x), which takes the scale of the logits away",
    ),
    ("calibrated", "_calibrated", "at the calibrated scale", "at the calibrated scale of the logits"),
)
"""Of the logits: the end of a statement's key, the end of a value's name, words for a title, words for a sentence."""

SHIFTS = (
    Figure(f"{SHIFT} as it is", "energies", _raw_shift),
    value(f"{SHIFT} over the standard deviation of E(x)", "energies", "pgd.delta_marginal_energy_normalised.mean"),
    value(f"{SHIFT} at the calibrated scale", "energies", "pgd.abs_delta_marginal_energy_calibrated.mean"),
)
"""In the order of SCALES."""

ENERGIES = (
    value("mean E(x)", "energies", "marginal_energy.mean"),
    value("standard deviation of E(x)", "energies", "marginal_energy.sd"),
    value("mean E(x,y)", "energies", "joint_energy.mean"),
    value("mean ΔE(x) under PGD", "energies", "pgd.delta_marginal_energy.mean"),
)
TEST = (
    "Spearman's rank correlation with AutoAttack accuracy, a recipe a point (the mean over its seeds), two-sided"
    " permutation test: over"
    f" all orders up to 8 recipes, else over 19,999 random ones. Holm over the figures. Intervals of fewer than ten"
    f" recipes are rough. Fewer than {FEWEST} recipes: undecided."
)
EFFECT = "Rank correlation with AutoAttack accuracy"
ALONE = "The same among robust recipes alone"


def order_statements(recipes: Sequence[Recipe], command: str) -> tuple[Statement, ...]:
    """|dE(x)|, then the figures of smoothness at each scale, then the energies: against AutoAttack accuracy."""
    data = "All recipes of the board that have both numbers, robust and standard ones, by the newest version of the measures."
    energies = Statement(
        key="smaller-shift",
        topic=TOPIC,
        title="|ΔE(x)| is smaller for more robust classifiers",
        claim="The more robust a classifier is, the smaller is |ΔE(x)|: robust classifiers smooth the energy landscape around"
        " the data.",
        data=data,
        fields=(
            "energies: pgd.delta_marginal_energy_normalised.mean, marginal_energy.sd",
            "autoattack: autoattack_accuracy",
        ),
        test=TEST,
        effect=EFFECT,
        size=ALONE,
        counted="recipes",
        needs=f"{command} --measures autoattack,energies",
    )
    found = [concluded(energies, _parts(recipes, SHIFTS), direction=-1)]
    for key, end, title, words in SCALES:
        names = [name for name in SMOOTHNESS if name != "gradient_misalignment" or key != "over-sd"]
        statement = Statement(
            key=f"smoother-{key}",
            topic=TOPIC,
            title=f"More robust classifiers are smoother: figures {title}",
            claim=f"The more robust a classifier is, the smoother it is by every figure of smoothness, {words}.",
            data=f"{data} Every figure is small where the landscape is smooth.",
            fields=(
                f"smoothness: {', '.join(f'{name}{end}.mean' for name in names)}",
                "autoattack: autoattack_accuracy",
            ),
            test=TEST,
            effect=EFFECT,
            size=ALONE,
            counted="recipes",
            needs=f"{command} --measures autoattack,smoothness",
        )
        figures = [value(SMOOTHNESS[name], "smoothness", f"{name}{end}.mean") for name in names]
        found.append(concluded(statement, _parts(recipes, figures), direction=-1))
    question = Statement(
        key="energies-tell-robustness",
        topic=TOPIC,
        title="Mean and spread of the energies go with robustness",
        claim="The energies of natural images tell how robust a classifier is: their mean and their spread go with"
        " AutoAttack accuracy."
        " (The paper compares such energies and gives no coefficient; a correlation of either sign counts.)",
        data=data,
        fields=("energies: marginal_energy.mean, .sd, joint_energy.mean", "autoattack: autoattack_accuracy"),
        test=TEST,
        effect=EFFECT,
        size=ALONE,
        counted="recipes",
        needs=f"{command} --measures autoattack,energies",
    )
    return (*found, concluded(question, _parts(recipes, ENERGIES), direction=0))


def _parts(recipes: Sequence[Recipe], figures: Sequence[Figure]) -> list[Part]:
    found = []
    for figure in figures:
        pairs = [
            (number, robust, recipe.standard is False)
            for recipe in _level(_level(recipes, "autoattack"), figure.measure)
            if (number := mean([figure.of(network) for network in recipe.networks])) is not None
            and (robust := recipe.autoattack) is not None
        ]
        if not pairs:
            continue
        tested = rank_correlation(*zip(*[pair[:2] for pair in pairs], strict=True))
        few = len(pairs) < FEWEST
        if few or tested is None:
            note = f"{len(pairs)} recipes, a verdict needs {FEWEST}" if few else "all recipes are level"
            found.append(
                Part(
                    figure.name,
                    len(pairs),
                    effect=tested.effect if tested else None,
                    verdict=Verdict.UNDECIDED,
                    note=note,
                )
            )
            continue
        among = [pair[:2] for pair in pairs if pair[2]]
        alone = rank_correlation(*zip(*among, strict=True)) if len(among) >= FEWEST else None
        found.append(
            Part(
                figure.name,
                len(pairs),
                effect=tested.effect,
                low=tested.low,
                high=tested.high,
                size=alone.effect if alone else None,
                p=tested.p,
            )
        )
    return found


def _level(recipes: Sequence[Recipe], measure: str) -> list[Recipe]:
    """The recipes whose networks were all measured by the newest version that any was, on the most images."""

    def rank(network: Network) -> tuple[int, int]:
        found = network.measurement(measure)
        return (found.version, found.n) if found else (-1, -1)

    newest = max((rank(network) for recipe in recipes for network in recipe.networks), default=(-1, -1))
    return [recipe for recipe in recipes if all(rank(n) == newest != (-1, -1) for n in recipe.networks)]
