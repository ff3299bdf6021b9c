"""harness experiment seeds: how much does a recipe's result depend on its seed?"""

from __future__ import annotations

from dataclasses import dataclass

import click

from harness.cli import experiment_options as shared
from harness.cli import options
from harness.cli.experiment_options import TrialOptions


@dataclass(frozen=True)
class SeedsOptions(TrialOptions):
    """What `harness experiment seeds` is asked for."""

    recipe_names: str


@click.command(name="seeds")
@shared.shared(seeds="1,2,3")
@click.option(
    "--recipes", "recipe_names", required=True, metavar="R,S", help="Comma-separated, each as in harness train."
)
@options.typed(SeedsOptions)
def command(given: SeedsOptions) -> int:
    """Train each recipe with each seed, as <recipe>-s<seed>, and compare the recipes on the same images.

    The table has the mean and the standard deviation over seeds. Every pair of recipes is compared seed by seed.
    """
    from harness.experiments.seeds import Seeds
    from harness.experiments.seeds_view import seeds_view
    from harness.run.selection import Faults
    from leaderboards.pages.experiment import write_experiment

    suite = given.suite()
    names = options.names(given.recipe_names, "--recipes")
    seeds = Seeds(shared.labelled(names, lambda name: given.recipe(name, suite)), given.seed_numbers())
    folder = given.folder("seeds", suite)
    ground = given.ground(folder, suite)
    measuring = given.measuring(ground)
    planned = seeds.planned()
    trials = [one.trial for one in planned]
    if given.dry_run:
        shared.show_dry_run(ground, measuring, trials)
        return 0
    if status := shared.train_missing(ground, trials):
        return status
    faults = Faults(options.told)
    found = shared.measure_missing(measuring, ground, trials, faults)
    lines, pairs = seeds.lines(planned, found), seeds.pairs(planned, found, ground)
    view = seeds_view(seeds, planned, found, lines, pairs, ground)
    shared.show_experiment(view, write_experiment(folder, view, seeds.to_json(planned, found, lines, pairs, ground)))
    return faults.status
