"""harness experiment removal: which samples does adversarial training need?"""

from __future__ import annotations

from dataclasses import dataclass

import click

from harness.cli import experiment_options as shared
from harness.cli import options
from harness.cli.experiment_options import TrialOptions


@dataclass(frozen=True)
class RemovalOptions(TrialOptions):
    """What `harness experiment removal` is asked for."""

    recipe_name: str
    arms: str
    fractions: str


@click.command(name="removal")
@shared.shared(seeds="1")
@click.option("--recipe", "recipe_name", default="sat", show_default=True, help="As in harness train.")
@click.option(
    "--arms",
    default="none,high-energy,low-energy,misclassified,random",
    show_default=True,
    help="Which samples leave the batches: an arm for each kind.",
)
@click.option("--fractions", default="0.1,0.2", show_default=True, help="How much of each batch leaves it.")
@options.typed(RemovalOptions)
def command(given: RemovalOptions) -> int:
    """Train a recipe while samples of one kind leave every batch, an arm for each kind, and compare the arms.

    All arms of a fraction remove the same number of samples. Where an arm names too few, random ones fill up: the table says
    how many.
    """
    from harness.experiments.removal import Removal, arm_spreads
    from harness.experiments.removal_view import removal_view
    from harness.run.selection import Faults
    from leaderboards.pages.experiment import write_experiment

    suite = given.suite()
    removal = Removal(
        given.recipe(given.recipe_name, suite),
        shared.label(given.recipe_name),
        tuple(options.names(given.arms, "--arms")),
        tuple(shared.numbers(given.fractions, "--fractions", float)),
        given.seed_numbers(),
    )
    folder = given.folder("removal", suite)
    ground = given.ground(folder, suite)
    measuring = given.measuring(ground)
    arms = removal.planned(ground)
    trials = [arm.trial for arm in arms]
    if given.dry_run:
        shared.show_dry_run(ground, measuring, trials)
        return 0
    if status := shared.train_missing(ground, trials):
        return status
    faults = Faults(options.told)
    found = shared.measure_missing(measuring, ground, trials, faults)
    rows = removal.rows(arms, {trial.name: ground.card(trial) for trial in trials}, found)
    spreads = arm_spreads(rows)
    view = removal_view(removal, rows, spreads, ground)
    shared.show_experiment(view, write_experiment(folder, view, removal.to_json(rows, spreads, ground)))
    return faults.status
