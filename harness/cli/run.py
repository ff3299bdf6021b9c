"""harness run: measure entrants on a suite, write their records, render the leaderboard."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

import zoo
from harness import datasets
from harness.calibration import estimate
from harness.cli import options
from harness.cli.render import render_site
from harness.cli.tables import show_plan, show_results
from harness.errors import BadInput, one_line
from harness.executors.local import Done, LocalExecutor, devices
from harness.findings import write_findings
from harness.images import ImageSet
from harness.measures import MEASURES, Measure
from harness.plan import Judged, Plan, Task, make_plan
from harness.store import Store
from harness.suite_files import find_suite
from harness.suites import Suite
from leaderboards.records import RecordError, file_stem, read_record
from zoo.checkpoints import own_entrants
from zoo.entrant import Transform, did_you_mean

stderr = Console(stderr=True, highlight=False, soft_wrap=True)


@dataclass
class Failures:
    """What went wrong, by entrant; decides the exit status."""

    bad_input: int = 0
    failed: int = 0

    def add(self, who: str, message: str, *, bad_input: bool) -> None:
        if bad_input:
            self.bad_input += 1
        else:
            self.failed += 1
        stderr.print(f"harness: error: {who}: {message}", markup=False)

    @property
    def status(self) -> int:
        return 1 if self.failed else 2 if self.bad_input else 0


def chosen_measures(text: str | None, suite: Suite) -> list[Measure]:
    """--measures, else the suite's, as objects in their fixed order."""
    wanted = options.names(text) or list(suite.measures)
    for name in wanted:
        if name not in MEASURES:
            raise BadInput(
                f"expected a measure, got {name!r};{did_you_mean(name, MEASURES)} choose among {', '.join(MEASURES)}"
            )
    return [measure for name, measure in MEASURES.items() if name in wanted]


def chosen_entrants(
    text: str | None, suite: Suite, *, model_dir: Path, allow_pickle: Sequence[str]
) -> tuple[list[zoo.Entrant], bool]:
    """--entrants, else the suite's own and default ones; and whether they were asked for by name."""
    folders = options.own_folders()

    own = {entrant.card.name: entrant for domain in suite.domains[::-1] for entrant in own_entrants(domain, folders)}

    def find(spec: str) -> zoo.Entrant:
        domain = suite.domains[-1] if spec in own and own[spec].domain != suite.domain else suite.domain
        return zoo.find(spec, domain, model_dir=model_dir, own_folders=folders, allow_pickle=allow_pickle)

    specs = options.names(text)
    found = [find(spec) for spec in specs] if specs else [*own.values(), *(find(spec) for spec in suite.entrants)]
    unique = list({entrant.spec: entrant for entrant in found}.values())
    by_name: dict[str, str] = {}
    for entrant in unique:
        other = by_name.setdefault(file_stem(entrant.card.name), entrant.spec)
        if other != entrant.spec:
            raise BadInput(
                f"expected entrants with different names, got {other} and {entrant.spec}, both {entrant.card.name!r};"
                " rename one, or judge them in two runs with two --out"
            )
    return unique, bool(specs)


def available(
    entrants: Sequence[zoo.Entrant], suite: Suite, *, named: bool, download: bool, out: Path, failures: Failures
) -> list[tuple[zoo.Entrant, zoo.Weights]]:
    """The entrants whose files are here (fetched with --download), hashed; the others are named with what to do."""
    ready = []
    for entrant in entrants:
        name = entrant.card.name
        try:
            if entrant.missing():
                if download:
                    stderr.print(f"fetching {name}", markup=False)
                    entrant.fetch()
                elif entrant.card.source != "robustbench":
                    entrant.weights()  # says what is missing: an own file has no download
                else:
                    spec = shlex.quote(entrant.spec)
                    command = f"harness run --suite {shlex.quote(suite.name)} --entrants {spec} --download"
                    if named:
                        failures.add(name, f"expected its files, got none here; do: {command}", bad_input=True)
                    else:
                        stderr.print(f"not here: {name}; to fetch and judge it: {command}", markup=False)
                    continue
            weights = entrant.weights()
            _refuse_taken_name(entrant, weights, suite, out)
            ready.append((entrant, weights))
        except (BadInput, zoo.EntrantError) as error:
            failures.add(name, one_line(error), bad_input=True)
    return ready


def _refuse_taken_name(entrant: zoo.Entrant, weights: zoo.Weights, suite: Suite, out: Path) -> None:
    """An entrant must not overwrite the record of another that happens to have its name."""
    folder, file = out / "results" / file_stem(suite.name), f"{file_stem(entrant.card.name)}.json"
    for path in (folder / file, *folder.glob(f"partial-*/{file}")):
        try:
            there = read_record(path).entrant
        except RecordError:
            continue
        if there.spec != entrant.spec and there.weights_sha256 != weights.sha256:
            raise BadInput(
                f"expected a name of its own, got {entrant.card.name!r}, which {there.spec} has on this board;"
                " rename it, or name another --out"
            )


def with_images(
    ready: Sequence[tuple[zoo.Entrant, zoo.Weights]], suite: Suite, *, data_dir: Path, download: bool
) -> list[Judged]:
    """The entrants with the suite's images, read once for each transform that an entrant brings."""
    sets: dict[str, ImageSet] = {}
    judged = []
    for entrant, weights in ready:
        transform = entrant.transform()
        name = " ".join(repr(transform).split()) if transform else ""
        if name not in sets:
            sets[name] = suite_images(suite, data_dir=data_dir, download=download, transform=transform)
        judged.append(Judged(entrant, weights, sets[name], name))
    return judged


def suite_images(suite: Suite, *, data_dir: Path, download: bool, transform: Transform | None = None) -> ImageSet:
    """The suite's test examples, checked against what the suite says of them."""
    images = datasets.load(
        suite.dataset,
        "test",
        data_dir=data_dir,
        shape=suite.shape,
        classes=suite.classes,
        download=download,
        transform=transform,
    )
    if len(images.classes) != suite.classes or (transform is None and images.shape != suite.shape):
        raise BadInput(
            f"expected {suite.classes} classes and images of {suite.shape} for {suite.name},"
            f" got {len(images.classes)} and {images.shape} in {images.source}; correct the suite or the data"
        )
    return images.first(suite.examples)


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
@click.option("--measures", help="Comma-separated; default: the suite's.")
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
@click.option("--executor", type=click.Choice(["local", "slurm"]), default="local", show_default=True)
@click.option(
    "--workers",
    type=int,
    callback=options.positive,
    help="Processes: default one a GPU, or one a core with one thread each.",
)
@click.option("--dry-run", is_flag=True, help="Print what would run, with passes and an estimate of time, and stop.")
@click.pass_context
def command(ctx: click.Context, **given: Any) -> int:
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
    ready = available(entrants, suite, named=named, download=given["download"], out=out, failures=failures)
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
    plan = make_plan(
        suite, judged, measures, precision=given["precision"], device=workers[0].type, limit=given["limit"]
    )
    store = Store(out / "shards")
    todo = plan.todo(store)
    if given["dry_run"]:
        show_plan(plan, todo, estimate(plan, todo, workers))
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
        show_results(records)
    rendered = render_site(out)
    for problem in rendered.problems:
        stderr.print(f"harness: warning: {problem}", markup=False)
    click.echo(str(rendered.page_of(suite.name)))
    return failures.status
