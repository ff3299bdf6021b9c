"""harness experiment: entrants that differ in one thing, trained and measured alike, and compared on a page."""

from __future__ import annotations

import click

from harness.cli import experiment_removal, experiment_sampling, experiment_seeds
from harness.cli.verbs import Verbs


@click.group(name="experiment", cls=Verbs)
def command() -> None:
    """Vary one thing, train and measure every variant alike, and compare them: a table, a page, and all numbers as JSON.

    An experiment lies in <out>/experiments/<experiment>-<suite>/. The same command again does only what is missing.
    """


command.add_command(experiment_removal.command)
command.add_command(experiment_seeds.command)
command.add_command(experiment_sampling.command)
