"""harness run: measure entrants on a suite, write their records, render the leaderboard."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

import zoo
from harness.classifier.devices import devices
from harness.cli import options
from harness.cli.options import stderr
from harness.cli.selection import Failures, available, chosen_entrants, chosen_measures
from harness.cli.tables import show_generation, show_plan, show_results
from harness.errors import BadInput, one_line
from harness.run.estimate import estimate
from harness.run.executors.local import Done, LocalExecutor
from harness.run.findings import write_findings
from harness.run.inputs import refuse_overwriting, sources, with_images
from harness.run.plan import Plan, Task, make_plan
from harness.run.site import render_site
from harness.run.store import Store
from harness.suites.files import find_suite


def estimated(plan: Plan, todo: Sequence[Task], workers: Sequence[torch.device], failures: Failures) -> float:
    """Seconds that the tasks take at most; entrants that cannot be tried are named and left out."""
    total = 0.0
    for index, judged in enumerate(plan.judged):
        try:
            total += estimate(plan, index, [task for task in todo if task.judged == index], workers[0])
        except (BadInput, zoo.EntrantError) as error:
            failures.add(judged.name, one_line(error), bad_input=True)
        except Exception as error:  # noqa: BLE001  whatever an entrant's code raises is that entrant's failure alone
            failures.add(judged.name, f"{type(error).__name__}: {one_line(error)}", bad_input=False)
    return total / max(1, min(len(workers), len(todo)))


def execute(
    plan: Plan, todo: Sequence[Task], executor: LocalExecutor, store: Store, failures: Failures, debug: bool
) -> None:
    """Run the tasks with a progress line an entrant and measure, and one for all with the time left."""
    progress = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
        console=stderr, transient=True, disable=not stderr.is_terminal,
    )  # fmt: skip
    left: dict[tuple[int, str], int] = {}
    for task in todo:
        left[task.judged, task.measure.name] = left.get((task.judged, task.measure.name), 0) + 1
    lost: set[int] = set()  # entrants that do not load: two workers may find out, one line tells
    with progress:
        whole = progress.add_task("all", total=len(todo))
        bars = {
            key: progress.add_task(f"{plan.judged[key[0]].name} {key[1]}", total=count) for key, count in left.items()
        }

        def report(done: Done) -> None:
            key = done.task.judged, done.task.measure.name
            name = plan.judged[done.task.judged].name
            progress.advance(whole)
            progress.advance(bars[key])
            if done.error and done.whole_entrant and done.task.judged in lost:
                return
            if done.error:
                if done.whole_entrant:
                    lost.add(done.task.judged)
                who = name if done.whole_entrant else f"{name}, {key[1]} {done.task.start}-{done.task.stop}"
                failures.add(who, done.error, bad_input=done.bad_input)
                if debug:
                    stderr.print(done.trace, markup=False)
                return
            left[key] -= 1
            if left[key] == 0:
                progress.update(bars[key], visible=False)
                stderr.print(f"measured {name}: {key[1]}", markup=False)

        executor(plan, todo, store, report)


@click.command(name="run")
@click.option("--suite", "suite_name", required=True, help="A suite by name, or the path of a .toml file.")
@click.option(
    "--entrants", help="Comma-separated: NAME, robustbench:NAME, checkpoint:PATH[@ARCHITECTURE], python:MODULE:CALLABLE"
)
@click.option(
    "--measures", help="Comma-separated, generation also with a preset (generation:50k); default: the suite's."
)
@click.option(
    "--limit",
    type=int,
    callback=options.positive,
    help="Judge only the first N examples; the record is marked partial.",
)
@click.option("--shard-size", type=int, callback=options.positive, help="Examples a shard, in place of the suite's.")
@options.device
@options.precision
@options.out
@options.data_dir
@options.dataset
@options.model_dir
@options.download
@click.option(
    "--allow-pickle",
    multiple=True,
    metavar="NAME",
    help="Unpickle this entrant's file, code included. Only if you trust it.",
)
@click.option(
    "--inception-weights",
    type=click.Path(path_type=Path),
    help="Weights of torch-fidelity's Inception, by which generation is scored [default: torch's hub cache].",
)
@click.option("--executor", type=click.Choice(["local", "slurm"]), default="local", show_default=True)
@click.option(
    "--workers",
    type=int,
    callback=options.positive,
    help="Processes: default one a GPU, or one a core with one thread each.",
)
@click.option("--dry-run", is_flag=True, help="Print what would run, with passes and an estimate of time, and stop.")
def command(**given: Any) -> int:
    """Measure entrants on a suite. The same command again does only what is missing."""
    suite = find_suite(given["suite_name"])
    if given["dataset"]:
        suite = suite.on(given["dataset"])
    if given["executor"] == "slurm":
        raise BadInput("expected --executor local, got slurm, which this version does not have yet; leave it out")
    measures = chosen_measures(given["measures"], suite)
    workers = devices(given["device"], given["workers"])
    entrants, named = chosen_entrants(
        given["entrants"], suite, model_dir=given["model_dir"], allow_pickle=given["allow_pickle"]
    )
    out = options.output_folder(given["out"])
    failures = Failures()
    ready = available(entrants, suite, named=named, download=given["download"], failures=failures)
    if not ready and failures.status:
        return failures.status
    if not ready:
        raise BadInput(
            f"expected at least one entrant that can be judged on {suite.name}, got none;"
            f" see harness list entrants --suite {suite.name}"
        )
    judged = with_images(ready, suite, data_dir=given["data_dir"], download=given["download"])
    if judged[0].images.name != suite.dataset:
        stderr.print(
            f"the images are JPEG copies: recorded as {judged[0].images.name}, not {suite.dataset}", markup=False
        )
        suite = suite.on(judged[0].images.name)
    if given["shard_size"]:
        suite = replace(suite, shard_size=given["shard_size"])
    beside = sources(
        suite,
        data_dir=given["data_dir"],
        download=given["download"],
        fits=out / "shards" / "fits",
        inception_weights=given["inception_weights"],
    )
    measures = [measure.bound(beside) for measure in measures]
    settings = {"precision": given["precision"], "device": workers[0].type, "limit": given["limit"]}
    plan = make_plan(suite, judged, measures, **settings)
    free = []
    for one in plan.judged:
        try:
            refuse_overwriting(one, plan, out)
            free.append(one)
        except BadInput as error:
            failures.add(one.name, one_line(error), bad_input=True)
    if len(free) < len(plan.judged):
        if not free:
            return failures.status
        plan = make_plan(suite, free, measures, **settings)
    store = Store(out / "shards")
    todo = plan.todo(store)
    if given["dry_run"]:
        show_plan(plan, todo, estimated(plan, todo, workers, failures))
        return failures.status
    stderr.print(
        f"{suite.name}: {len(plan.judged)} entrants, {plan.examples} examples, {len(todo)} of {len(plan.tasks)} shards to"
        f" measure on {len(workers)} x {workers[0].type}",
        markup=False,
    )
    try:
        execute(plan, todo, LocalExecutor(workers), store, failures, "--debug" in sys.argv)
    finally:
        # whatever ended the run, what is measured goes into records
        records = write_findings(plan, store, out)
    if records:
        if any(set(record.measurements) - {"generation"} for record in records):
            show_results(records)
        show_generation(records)
    rendered = render_site(out)
    for problem in rendered.problems:
        stderr.print(f"harness: warning: {problem}", markup=False)
    click.echo(str(rendered.page_of(suite.name)))
    return failures.status
