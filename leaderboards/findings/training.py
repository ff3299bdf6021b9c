"""The three phases of training, from the course that its trainer logged: dE(x) on training images falls, is flat, falls away
again.

Nothing is measured here: the change points come from the trainer, which finds them by a piecewise-linear fit. Its false alarms
are rare, so it errs towards too few phases.
"""

from __future__ import annotations

from collections.abc import Sequence

from leaderboards.findings.recipes import Network, Recipe
from leaderboards.findings.statement import Part, Statement, Verdict, concluded
from leaderboards.records.dynamics import Dynamics, dynamics_of
from leaderboards.records.schema import is_number

TOPIC = "Training"
FEWEST = 30
"""Epochs that a verdict needs: each of three phases must be long enough to be told from noise."""

FLAT = 0.25
"""A phase is flat where its slope is at most this part of that of the steepest fall before it."""

AGAIN = 2.0
"""dE falls away again where it falls at least so many times as fast as in the flat phase."""

SERIES = "train.delta_marginal_energy"


def three_phases(slopes: Sequence[float]) -> bool:
    """Whether some phase falls, a later one is flat beside it, and a still later one falls away again."""
    for j in range(1, len(slopes) - 1):
        fall = min(slopes[:j])
        flat = fall < 0 and abs(slopes[j]) <= FLAT * abs(fall)
        if flat and any(slope < 0 and abs(slope) >= AGAIN * abs(slopes[j]) for slope in slopes[j + 1 :]):
            return True
    return False


def phases_statement(recipes: Sequence[Recipe], suite: str) -> Statement:
    """The phases of SAT recipes, with those of other robust recipes beside them."""
    statement = Statement(
        key="three-phases",
        topic=TOPIC,
        title="SAT trains in three phases and overfits in the third",
        claim="Adversarial training (SAT) has three phases: ΔE(x) on training images falls, stays flat, and falls away"
        " again, and"
        " in this third phase robust overfitting sets in.",
        data="The course of training of every SAT recipe. Other robust recipes stand beside it: the paper says that TRADES"
        " and WEAT soften the third phase.",
        fields=(f"dynamics: {SERIES}, validation.pgd_accuracy", "entrant: training.dynamics.phases, overfitting_epoch"),
        test="No p-value: a rule on the change points of the trainer (piecewise-linear fit, each at alpha 0.01). It holds"
        " where a"
        f" phase falls, a later one is at most {FLAT:g} times as steep, and a still later one falls at least {AGAIN:g} times as"
        f" fast as that one. A recipe holds where all its seeds do, and does not where most do not. Fewer than {FEWEST} epochs:"
        " undecided.",
        effect="",
        counted="epochs",
        size="ΔE(x) on training images after the last epoch",
        first=f"It needs an entrant of the recipe sat, trained here for {FEWEST} epochs or more, and a record of it.",
        needs=f"harness train --suite {suite} --recipe sat --epochs {FEWEST}",
    )
    found = [
        part
        for recipe in recipes
        if recipe.standard is False and (part := _part(recipe, counts=recipe.objective == "sat")) is not None
    ]
    return concluded(statement, found)


def _part(recipe: Recipe, counts: bool) -> Part | None:
    courses = [course for network in recipe.networks if (course := _course(network)) is not None]
    if not courses:
        return None
    verdicts, words = zip(*[_verdict(network, course) for network, course in courses], strict=True)
    ends = [course.series[SERIES][-1] for _, course in courses]
    holding = [verdict is Verdict.HOLDS for verdict in verdicts]
    against = sum(verdict is Verdict.DOES_NOT_HOLD for verdict in verdicts)
    most = 2 * against > len(verdicts)
    return Part(
        recipe.name,
        min(len(course.series["epoch"]) for _, course in courses),
        size=sum(ends) / len(ends) if all(map(is_number, ends)) else None,
        verdict=Verdict.HOLDS if all(holding) else Verdict.DOES_NOT_HOLD if most else Verdict.UNDECIDED,
        seeds=len(courses),
        counts=counts,
        note="; ".join(dict.fromkeys(words)),
    )


def _course(network: Network) -> tuple[Network, Dynamics] | None:
    home = network.entry.home
    course = dynamics_of(network.entrant, home.arrays) if home is not None else None
    return (network, course) if course is not None and course.series.get(SERIES) else None


def _verdict(network: Network, course: Dynamics) -> tuple[Verdict, str]:
    epochs = len(course.series["epoch"])
    if epochs < FEWEST:
        return Verdict.UNDECIDED, f"{epochs} epochs, a verdict needs {FEWEST}"
    slopes = slopes_of(network)
    if not slopes:
        return Verdict.UNDECIDED, "its card has no phases"
    starts = ", ".join(f"{phase.first}–{phase.last}" for phase in course.phases)
    ending = (
        f"robust overfitting from epoch {course.overfitting_epoch}"
        if course.overfitting_epoch is not None
        else "no robust overfitting"
    )
    held = Verdict.HOLDS if three_phases(slopes) and course.overfitting_epoch is not None else Verdict.DOES_NOT_HOLD
    schedule = network.recipe.get("schedule")
    rate = f", learning rate {schedule}" if isinstance(schedule, str) and schedule else ""
    return held, f"phases: epochs {starts}; {ending}{rate}"


def slopes_of(network: Network) -> tuple[float, ...]:
    """The slopes of the phases on its card, an epoch; empty where the card has none, or anything else in their place."""
    told = network.entrant.training.get("dynamics")
    phases = told.get("phases") if isinstance(told, dict) else None
    slopes = [phase.get("slope") if isinstance(phase, dict) else None for phase in phases or ()]
    known = [float(slope) for slope in slopes if is_number(slope)]
    return tuple(known) if len(known) == len(slopes) else ()
