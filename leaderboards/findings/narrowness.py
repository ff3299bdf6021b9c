"""Does TRADES keep the energies of attacked images nearer to the natural ones than SAT does? |dE(x)|, image by image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from leaderboards.findings.recipes import Network, Recipe, mean
from leaderboards.findings.shifts import shift
from leaderboards.findings.statement import Part, Statement, concluded
from leaderboards.findings.statistics import merged, sign_test

SCALES = ("as it is", "over the standard deviation of E(x)", "at the calibrated scale")


def sizes(network: Network, scale: str) -> np.ndarray | None:
    """|E(x_adv) - E(x)| under PGD of each image at one of SCALES, (n,) float64; None without the arrays."""
    if scale == SCALES[1]:
        moved = shift(network, "pgd")
        return None if moved is None else np.abs(moved)
    end = "_calibrated" if scale == SCALES[2] else ""
    names = (f"marginal_energy{end}", f"pgd.marginal_energy_adv{end}")
    natural, attacked = (network.energies.get(name) for name in names)
    if natural is None or attacked is None or natural.shape != attacked.shape or natural.ndim != 1:
        return None
    moved = np.abs(attacked.astype(np.float64) - natural)
    return moved if np.isfinite(moved).all() else None


def narrowness_statement(recipes: Sequence[Recipe], command: str) -> Statement:
    """TRADES against SAT, each pair of such recipes on one architecture, seed by seed in the order of their seeds."""
    statement = Statement(
        key="narrower-trades-than-sat",
        topic="Smoothness",
        title="TRADES keeps ΔE(x) nearer to 0 than SAT",
        claim="TRADES pulls the energy of an attacked image to that of the natural one: ΔE(x) lies more narrowly around 0 than"
        " under SAT.",
        data="Each pair of a TRADES and a SAT recipe on the same architecture, on the same images, attacked by PGD.",
        fields=("energies: marginal_energy, pgd.marginal_energy_adv, and both at the calibrated scale",),
        test="Exact sign test over the images on |ΔE(x)| of SAT less that of TRADES, two-sided, at each scale of the logits."
        " Holm over scales and pairs.",
        effect="Share of images on which |ΔE(x)| is smaller under TRADES",
        unit="share",
        size="Median |ΔE(x)| of TRADES as a multiple of that of SAT",
        first="It needs an entrant of each of the recipes sat and trades.",
        needs=f"{command} --measures energies",
    )
    of = {name: [recipe for recipe in recipes if recipe.objective == name] for name in ("trades", "sat")}
    found = [
        part
        for trades in of["trades"]
        for sat in of["sat"]
        if trades.architecture == sat.architecture
        for scale in SCALES
        if (part := _part(trades, sat, scale)) is not None
    ]
    return concluded(statement, found, 0.5)


def _part(trades: Recipe, sat: Recipe, scale: str) -> Part | None:
    pairs = [
        (first, second)
        for one, other in zip(trades.networks, sat.networks, strict=False)
        if (first := sizes(one, scale)) is not None
        and (second := sizes(other, scale)) is not None
        and first.shape == second.shape
    ]
    tests = [found for first, second in pairs if (found := sign_test(second - first)) is not None]
    if not tests:
        return None
    one = merged(tests)
    ratios = [float(np.median(first)) / middle for first, second in pairs if (middle := float(np.median(second))) > 0]
    return Part(
        f"|ΔE(x)| {scale}",
        len(pairs[0][0]),
        f"{trades.name} and {sat.name}",
        effect=one.effect,
        low=one.low,
        high=one.high,
        size=mean(ratios),
        p=one.p,
        seeds=len(pairs),
    )
