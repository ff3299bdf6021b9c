"""Is WEAT more robust than TRADES? Recipes of several seeds, paired on the same images (see board.paired)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from leaderboards.board import formats
from leaderboards.board.paired import paired
from leaderboards.findings.recipes import Recipe
from leaderboards.findings.statement import Part, Statement, Verdict, concluded

VERDICTS = {"above": Verdict.HOLDS, "below": Verdict.DOES_NOT_HOLD, "undecided": Verdict.UNDECIDED}
REFERENCE = "trades"
BESIDE = ("weat-nat", "mail-trades", "mart")


def weat_statement(recipes: Sequence[Recipe], command: str) -> Statement:
    """WEAT_adv against TRADES, each pair of such recipes on one architecture; other recipes against TRADES stand beside it."""
    statement = Statement(
        key="weat-above-trades",
        topic="WEAT",
        title="WEAT_adv is more robust than TRADES",
        claim="Weighting the loss by energy makes classifiers more robust: WEAT_adv has higher AutoAttack accuracy than"
        " TRADES.",
        data="Recipes trained with the objectives weat-adv and trades on the same architecture, two seeds or more of"
        " each, on the same images."
        " The other recipes that build on TRADES or weight its samples stand beside it.",
        fields=("autoattack: stage",),
        test="The mean difference of AutoAttack accuracy over pairs of seeds and images, with a 95 % interval that takes"
        " the seeds"
        " and the images as drawn at random. It holds where the interval lies above 0, and does not where it lies below."
        " With one seed of"
        " a recipe nothing is known of the spread of training: undecided.",
        effect="AutoAttack accuracy less that of TRADES",
        unit="points",
        first="It needs two seeds or more of each of the recipes trades and weat-adv, trained by harness train and named"
        " trades-s1, trades-s2, weat-adv-s1 and so on.",
        needs=f"{command} --measures autoattack",
    )
    found = [
        _part(recipe, reference, counts)
        for objectives, counts in ((("weat-adv",), True), (BESIDE, False))
        for objective in objectives
        for recipe in recipes
        for reference in recipes
        if recipe.objective == objective
        and reference.objective == REFERENCE
        and recipe.architecture == reference.architecture
        and recipe.autoattack is not None
        and reference.autoattack is not None
    ]
    judged = concluded(statement, found)
    counted = [part for part in found if part.counts]
    alone = len(counted) == 1 and counted[0].low is not None
    return replace(judged, why=_line(counted[0])) if alone else judged


def _line(part: Part) -> str:
    """The one test that counts, with its number."""
    ends = " to ".join(formats.points(end, part.n) for end in (part.low, part.high) if end is not None)
    return (
        f"AutoAttack accuracy, {part.name}: {formats.points(part.effect or 0.0, part.n)} points,"
        f" 95{formats.THIN}% interval {ends} ({part.seeds} seeds)"
    )


def _part(recipe: Recipe, reference: Recipe, counts: bool) -> Part:
    names = f"{recipe.name} against {reference.name}"
    found = paired(recipe.group, reference.group) if recipe.group and reference.group else None
    if found is None or found.difference is None:
        seeds = min(recipe.seeds, reference.seeds)
        images = min(network.entry.examples or 0 for one in (recipe, reference) for network in one.networks)
        return Part(
            names,
            images,
            effect=(recipe.autoattack or 0.0) - (reference.autoattack or 0.0),
            seeds=seeds,
            counts=counts,
            note=found.reason if found else f"{seeds} seed of a recipe, a verdict needs 2",
        )
    return Part(
        names,
        found.difference.images,
        effect=found.difference.mean,
        low=found.difference.low,
        high=found.difference.high,
        verdict=VERDICTS[found.verdict],
        seeds=found.difference.seeds,
        counts=counts,
        note=found.details,
    )
