"""harness check: compare an entrant with a baseline, as early as the outcome is clear."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli import options

if TYPE_CHECKING:  # it imports torch: --help is there without it
    from harness.check.verdict import Verdict

STATUS = {"pass": 0, "fail": 1, "undecided": 3}


@dataclass(frozen=True)
class CheckOptions:
    """What `harness check` is asked for."""

    suite_name: str
    entrant: str
    place: Path
    gates_file: Path | None
    margin: float | None
    alpha: float | None
    record: Path | None
    seed: int
    full: bool
    as_json: bool
    junit: Path | None
    summary: Path | None
    lost: Path | None
    github: bool | None
    workers: int | None
    allow_pickle: tuple[str, ...]
    device: str
    cache: Path | None
    out: Path | None
    data_dir: Path
    dataset: str | None
    model_dir: Path
    download: bool


def report(given: CheckOptions, verdict: Verdict, seconds: float) -> None:
    """Write the reports that were asked for; annotations and the result go to stdout."""
    from harness.check.reports import github_annotations, summary_files, write_reports

    on_github = given.github if given.github is not None else os.environ.get("GITHUB_ACTIONS") == "true"
    files = {"junit_file": given.junit, "lost_file": given.lost}
    write_reports(verdict, seconds, **files, summaries=summary_files(given.summary, on_github))
    for line in github_annotations(verdict) if on_github else ():
        click.echo(line, err=given.as_json)
    click.echo(verdict.json() if given.as_json else verdict.line)


@click.command(name="check")
@click.option("--suite", "suite_name", required=True, help="A suite by name, or the path of a .toml file.")
@click.option("--entrant", required=True, help="The candidate, in any form that harness run takes.")
@click.option(
    "--baseline",
    "place",
    type=options.PATH,
    required=True,
    help="A file of harness baseline, or a folder with <suite>/<entrant>.safetensors.",
)
@click.option("--gates", "gates_file", type=options.PATH, help="A TOML file with several gates.")
@click.option(
    "--margin",
    type=float,
    help="Robust accuracy that may be lost, 0.01 is one point  [default: 0.01]; without --gates.",
)
@click.option("--alpha", type=float, help="Chance that an entrant that is no worse fails  [default: 0.05]")
@click.option("--record", type=options.PATH, help="A record of the candidate, for values that it holds.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the order in which examples are looked at.")
@click.option("--full", is_flag=True, help="Measure everything, also when decided: for all lost examples.")
@click.option("--json", "as_json", is_flag=True, help="The verdict as JSON on stdout.")
@click.option("--junit", type=options.PATH, help="Write JUnit XML: one test case a gate.")
@click.option("--summary", type=options.PATH, help="Append a Markdown summary.")
@click.option("--lost", type=options.PATH, help="Write the examples that were right and no longer are.")
@click.option(
    "--github/--no-github",
    default=None,
    help="Annotations, and the step summary  [default: where GITHUB_ACTIONS is true]",
)
@options.workers
@options.allow_pickle
@options.device
@click.option(
    "--cache",
    type=options.PATH,
    help="Where what is measured is kept, so that the next check goes on from it  [default: robust-energy-harness in the"
    " user's cache, such as ~/.cache; XDG_CACHE_HOME names another]. It may be removed at any time.",
)
@click.option(
    "--out", type=options.PATH,
    help="A run whose shards are taken too, and stay as they are  [default: runs/ of the checkout, where it has some]",
)  # fmt: skip
@options.data_dir
@options.dataset
@options.model_dir
@options.download
@options.typed(CheckOptions)
def command(given: CheckOptions) -> int:
    """Fail where an entrant is less robust than its baseline."""
    from harness.check.baseline import baseline_path, read_baseline
    from harness.check.cache import check_store
    from harness.check.gates import chosen_gates
    from harness.check.preparation import Checking, chosen_candidate, values_of
    from harness.classifier.devices import devices
    from harness.cli.progress import Display
    from harness.measures import MEASURES
    from harness.run.executors.place import JobFailed
    from harness.run.folders import own_folders
    from harness.run.forecast import Forecast, costs_on
    from harness.run.inputs import sources
    from harness.run.selection import Faults
    from harness.suites.files import find_suite
    from leaderboards.records.files import read_record

    begun = time.perf_counter()
    suite = find_suite(given.suite_name)
    if given.dataset:
        suite = suite.on(given.dataset)
    gates = chosen_gates(given.gates_file, given.margin, given.alpha)
    on = devices(given.device, given.workers)
    faults = Faults(options.told)
    judged = chosen_candidate(
        options.names(given.entrant, "--entrant"), suite, faults, model_dir=given.model_dir,
        own_folders=own_folders(), allow_pickle=given.allow_pickle, data_dir=given.data_dir, download=given.download,
    )  # fmt: skip
    if judged is None:
        return faults.status
    if judged.images.name != suite.dataset:
        suite = suite.found_as(judged.images.name)
    baseline = read_baseline(baseline_path(given.place, suite.name, judged.name))
    values = values_of(read_record(given.record), judged) if given.record else {}
    store = check_store(given.cache, given.out)
    beside = sources(
        suite, data_dir=given.data_dir, download=given.download, fits=store.root / "fits", inception_weights=None
    )
    display = Display(f"check {judged.name}, this look", Forecast(costs_on(suite, MEASURES.values())))
    checking = Checking(
        judged, suite, baseline, gates, store, beside, on, values,
        seed=given.seed, full=given.full, told=options.told, heard=display.heard,
        workers=given.workers,
    )  # fmt: skip
    try:
        with display.shown():
            verdict = checking()
    except JobFailed as error:
        options.told(f"harness: error: {judged.name}: {error}")
        return 1
    report(given, verdict, time.perf_counter() - begun)
    return STATUS[verdict.outcome.value]
