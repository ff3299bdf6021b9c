"""harness train --seeds: an entrant a seed, by the code that trains the entrants of experiments, and their mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from harness.cli import experiment_options as shared
from harness.cli import options

if TYPE_CHECKING:
    from harness.cli.train import TrainOptions
    from harness.training.distributed import World


def train_seeds(given: TrainOptions, world: World, device: str) -> int:
    """Train <name>-s<seed> for each seed, what is there already left alone; tell of each, and of all. The exit status."""
    from harness.cli.train import judged
    from harness.experiments.held_out import held_out_table
    from harness.experiments.seeds import Seeds
    from harness.experiments.trials import Writing, ground
    from harness.suites.files import find_suite
    from harness.training.entrant import changed_recipe, name_of
    from harness.training.own_objective import require_terms
    from harness.training.place import found_by_name, require_free, writable
    from harness.training.scalars import require_log
    from zoo.cards import require_name
    from zoo.project import own_folder

    if given.log is not None:
        require_log(given.log)
    suite = find_suite(given.suite_name)
    suite = suite.on(given.dataset) if given.dataset else suite
    recipe = changed_recipe(given.recipe_name, suite, given.changes(), given.synthetic is not None)
    require_terms(recipe.method, suite.classes)
    name = require_name(given.name or name_of(given.recipe_name))
    numbers = shared.numbers(given.seeds or "", "--seeds", int)
    planned = Seeds({name: recipe}, tuple(dict.fromkeys(numbers))).planned()
    folder = own_folder() if given.out is None else given.out
    for one in planned:  # before any of them is trained
        require_free(one.trial.name, suite.name, folder, named=given.out is not None)
    place = ground(
        suite, folder, data_dir=given.data_dir, train_on=given.train_on, limit=given.limit, download=given.download,
        device=device,
        writing=Writing(writable(folder), given.synthetic, given.force, given.log, page=True, world=world),
    )  # fmt: skip
    trials = [one.trial for one in planned]
    if status := shared.train_missing(place, trials):
        return status
    if not world.first:
        return 0
    shared.show_table(held_out_table(name, {one.seed: place.card(one.trial) for one in planned}))
    by_name = found_by_name(folder)
    click.echo(str(place.path(trials[0]).parent))
    click.echo(judged(given, place.suite, [trial.name if by_name else place.spec(trial) for trial in trials]))
    options.told("the board shows them as one row: their mean, and their standard deviation over the seeds")
    return 0
