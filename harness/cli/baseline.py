"""harness baseline: write the baseline that harness check compares with, from a record."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from harness.cli import options


@dataclass(frozen=True)
class BaselineOptions:
    """What `harness baseline` is asked for."""

    suite_name: str
    entrant: str
    limit: int | None
    to: Path
    out: Path | None
    dataset: str | None


@click.command(name="baseline")
@click.option("--suite", "suite_name", required=True, help="A suite by name, or the path of a .toml file.")
@click.option("--entrant", required=True, help="The name that its record has.")
@click.option("--limit", type=int, callback=options.positive, help="Take the partial record of the first N examples.")
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    default=Path("baselines"),
    show_default=True,
    help="A .safetensors file, or a folder for <suite>/<entrant>.safetensors.",
)
@options.out
@options.dataset
@options.typed(BaselineOptions)
def command(given: BaselineOptions) -> int:
    """Write a baseline from the record of an entrant: per-sample flags and how they were found.

    The record is the run's (--out), else the one that the checkout publishes.
    """
    from harness.check.baseline import baseline_of, baseline_path, recorded, write_baseline
    from harness.run.folders import output_folder, published
    from harness.suites.files import find_suite
    from leaderboards.records.home import Home

    suite = find_suite(given.suite_name)
    if given.dataset:
        suite = suite.on(given.dataset)
    out = output_folder(given.out)
    homes = [home for home in (Home(out), published(out)) if home is not None]
    baseline = baseline_of(recorded(homes, suite.name, given.entrant, given.limit))
    target = baseline_path(given.to, suite.name, given.entrant)
    changed = write_baseline(target, baseline)
    held = ", ".join(baseline.description.measures)
    done = "wrote" if changed else "unchanged"
    options.told(f"{done}: {given.entrant} on {suite.name}, {baseline.examples} examples, {held}")
    click.echo(str(target))
    return 0
