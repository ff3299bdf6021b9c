"""harness experiment sampling: how do starts, samplers and objectives of generation compare?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from harness.cli import experiment_options as shared
from harness.cli import options


@dataclass(frozen=True)
class SamplingOptions:
    """What `harness experiment sampling` is asked for."""

    suite_name: str
    entrant: str
    starts: str
    samplers: str
    objectives: str
    every: bool
    preset: str | None
    images: int | None
    seed: int
    inception_weights: Path | None
    device: str
    out: Path | None
    data_dir: Path
    dataset: str | None
    model_dir: Path
    download: bool
    workers: int | None
    dry_run: bool


@click.command(name="sampling")
@click.option("--suite", "suite_name", required=True, help="A suite by name, or the path of a .toml file.")
@click.option("--entrant", required=True, help="One entrant, as in harness run --entrants.")
@click.option(
    "--starts",
    default="pca,uniform,gaussian,mix,noised-real,class-mean",
    show_default=True,
    help="Where images begin; also blend.",
)
@click.option("--samplers", default="sgld,heun,normalised-gradient", show_default=True, help="How they move.")
@click.option(
    "--objectives",
    default="joint-energy,marginal-energy,cross-entropy,energy-difference,energy-distance,mahalanobis",
    show_default=True,
    help="What they descend.",
)
@click.option("--all", "every", is_flag=True, help="Every combination; default: one thing at a time around the preset.")
@click.option("--preset", help="Of generation, by name or .toml file; default: the suite's.")
@click.option(
    "--images",
    type=int,
    callback=options.positive,
    help="Draws of each setting [default: the preset's, and at most as many as there are held-out images].",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the draws.")
@click.option("--inception-weights", type=options.PATH, help="As in harness run.")
@options.device
@click.option(
    "--out",
    type=options.PATH,
    help="Holds experiments/sampling-<suite>/ with records, images and page [default: runs/ of the checkout].",
)
@options.data_dir
@options.dataset
@options.model_dir
@options.download
@options.workers
@click.option("--dry-run", is_flag=True, help="Print what would be drawn, with passes, and stop.")
@options.typed(SamplingOptions)
def command(given: SamplingOptions) -> int:
    """Draw images from one entrant by several starts, samplers and objectives, and compare their scores and images.

    One thing is varied at a time around the preset. The start alone, before any step, has a row of its own.
    """
    from harness.cli.progress import following
    from harness.experiments.measuring import Measuring
    from harness.experiments.sampling import Sampling, joined
    from harness.experiments.sampling_view import sampling_view
    from harness.experiments.trials import folder_of
    from harness.measures.generation import Generation
    from harness.run.folders import default_run, output_folder, own_folders
    from harness.run.selection import Faults, chosen_measures, with_seed
    from harness.suites.files import find_suite
    from leaderboards.pages.experiment import write_experiment

    suite = find_suite(given.suite_name)
    if given.dataset:
        suite = suite.on(given.dataset)
    wanted = [f"generation:{given.preset}"] if given.preset else ["generation"]
    (base,) = with_seed(chosen_measures(wanted, suite), given.seed)
    (usual,) = chosen_measures(["generation"], suite)
    assert isinstance(base, Generation)
    assert isinstance(usual, Generation)
    sampling = Sampling(
        base,
        usual,
        tuple(options.names(given.starts, "--starts")),
        tuple(options.names(given.samplers, "--samplers")),
        tuple(options.names(given.objectives, "--objectives")),
        given.images,
        given.every,
    )
    folder = folder_of(given.out or default_run(), "sampling", suite)
    measuring = Measuring(
        suite=suite,
        measures=(base,),
        folder=folder,
        data_dir=given.data_dir,
        model_dir=given.model_dir,
        device=given.device,
        workers=given.workers,
        download=given.download,
        inception_weights=given.inception_weights,
        own_folders=own_folders(),
    )
    faults = Faults(options.told)
    sessions = sampling.sessions(measuring, given.entrant, faults)
    if not sessions:
        return faults.status
    if given.dry_run:
        shared.show_settings(sessions)
        return faults.status
    output_folder(folder)
    plan, todo = joined(sessions)
    options.told(f"{plan.suite.name}: {len(sessions)} settings, {len(todo)} of {len(plan.tasks)} shards to draw")
    drawn = sampling(sessions, measuring, faults, following)
    entrant = plan.judged[0].name
    view = sampling_view(sampling, drawn, plan.suite, entrant)
    shared.show_experiment(view, write_experiment(folder, view, sampling.to_json(drawn, plan.suite, entrant)))
    return faults.status
