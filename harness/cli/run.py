"""harness run: measure entrants on a suite, write their records, render the leaderboard."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from harness.cli import options
from harness.cli.options import stderr
from zoo.faults import escaped


@dataclass(frozen=True)
class RunOptions:
    """What `harness run` is asked for."""

    suite_name: str
    entrants: str | None
    name: str | None
    title: str | None
    paper: str | None
    card: Path | None
    measures: str | None
    limit: int | None
    shard_size: int | None
    seed: int | None
    device: str
    precision: str
    engine: str | None
    search: str | None
    out: Path | None
    data_dir: Path
    dataset: str | None
    model_dir: Path
    download: bool
    allow_pickle: tuple[str, ...]
    inception_weights: Path | None
    workers: int | None
    dry_run: bool


@click.command(name="run")
@click.option("--suite", "suite_name", required=True, help="A suite by name, or the path of a .toml file.")
@click.option(
    "--entrants", help="Comma-separated: NAME, robustbench:NAME, checkpoint:PATH[@ARCHITECTURE], python:MODULE:CALLABLE"
)
@options.name
@options.title
@options.paper
@options.card
@click.option(
    "--measures",
    help="Comma-separated, generation also with a preset or file (generation:50k, generation:mine.toml); autoattack:bounded:"
    " faster, an interval; default: the suite's.",
)
@click.option(
    "--limit",
    type=int,
    callback=options.positive,
    help="Judge only the first N examples. Such records have a board of their own.",
)
@click.option("--shard-size", type=int, callback=options.positive, help="Examples a shard, in place of the suite's.")
@click.option("--seed", type=int, help="Of all random numbers, in place of the measures' own [default: 0].")
@options.device
@options.precision
@options.out
@options.data_dir
@options.dataset
@options.model_dir
@options.download
@options.engine
@options.search
@options.allow_pickle
@click.option(
    "--inception-weights",
    type=options.PATH,
    help="Weights of torch-fidelity's Inception, by which generation is scored [default: torch's hub cache].",
)
@options.workers
@click.option("--dry-run", is_flag=True, help="Print what would run, with passes and an estimate of time, and stop.")
@options.typed(RunOptions)
def command(given: RunOptions) -> int:
    """Measure entrants on a suite. The same command again does only what is missing."""
    from harness.classifier.devices import devices
    from harness.cli.needs import show_needs, show_outline
    from harness.cli.progress import following
    from harness.cli.tables import show_generation, show_plan, show_results
    from harness.run.executors.executor import executor_for
    from harness.run.folders import output_folder, own_folders
    from harness.run.selection import Faults, attacked_by, chosen_entrants, chosen_measures
    from harness.run.session import Request, begin
    from harness.run.site import render_site
    from harness.suites.files import find_suite
    from harness.verify.transfers import as_written, met
    from zoo.described import Said

    suite = find_suite(given.suite_name)
    if given.dataset:
        suite = suite.on(given.dataset)
    workers = devices(given.device, given.workers)
    specs = options.names(given.entrants, "--entrants")
    faults = Faults(options.told)
    request = Request(
        suite=suite,
        measures=attacked_by(
            chosen_measures(options.names(given.measures, "--measures"), suite), given.engine, given.search
        ),
        entrants=tuple(
            chosen_entrants(
                specs,
                suite,
                model_dir=given.model_dir,
                own_folders=own_folders(),
                allow_pickle=given.allow_pickle,
                said=Said(given.name or "", given.title or "", given.paper or ""),
                card=given.card,
            )
        ),
        named=bool(specs),
        out=output_folder(given.out),
        device=workers[0],
        data_dir=given.data_dir,
        precision=given.precision,
        limit=given.limit,
        shard_size=given.shard_size,
        seed=given.seed,
        download=given.download,
        inception_weights=given.inception_weights,
    )
    lacking = request.needs
    if lacking.missing and not given.download:
        if lacking.told:
            show_needs(lacking)
        if given.dry_run:
            show_outline(request.outline(lacking))
    lacking.require_data(given.download)
    session = begin(request, faults)
    if session is None:
        return faults.status
    plan, todo = session.plan, session.todo
    if given.dry_run:
        show_plan(plan, todo, session.estimate(workers, faults))
        return faults.status
    options.told(
        f"{plan.suite.name}: {len(plan.judged)} entrants, {plan.examples} examples, {len(todo)} of {len(plan.tasks)} shards"
        f" to measure on {len(workers)} x {workers[0].type}"
    )
    with following(plan, todo, faults) as report:
        records = session(executor_for(workers, given.workers), report, report.heard)
    if not records and faults.status:  # no page would show anything of this run
        return faults.status
    met(plan, request.out, workers[0], options.told)
    records = as_written(records, request.out)
    if any(set(record.measurements) - {"generation"} for record in records):
        show_results(records)
    show_generation(records)
    rendered = render_site(request.out)
    for line in rendered.beside_published(records):
        click.echo(escaped(line))
    for problem in rendered.problems:
        stderr.print(f"harness: warning: {problem}", markup=False)
    click.echo(str(rendered.page_of(plan.suite.name, plan.limit)))
    return faults.status
