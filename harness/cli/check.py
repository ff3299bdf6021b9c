"""harness check: compare an entrant with a baseline, as early as the outcome is clear."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from harness.check.baseline import Baseline, baseline_path, read_baseline, refuse_other
from harness.check.candidate import Candidate
from harness.check.check import Check
from harness.check.gates import ALPHA, MARGIN, Gate, Gates, read_gates
from harness.check.reports import github_annotations, junit, markdown
from harness.check.statistics import Outcome
from harness.check.verdict import Verdict
from harness.classifier.devices import devices
from harness.cli import options
from harness.cli.options import stderr
from harness.errors import BadInput
from harness.measures import MEASURES, PRESETS, Measure
from harness.measures.sources import Sources
from harness.run.executors.place import JobFailed
from harness.run.executors.processes import processes
from harness.run.findings import suite_info
from harness.run.inputs import sources, with_images
from harness.run.plan import Judged, Plan, make_plan
from harness.run.selection import Faults, available, chosen_entrants
from harness.run.store import Store
from harness.suites.files import find_suite
from harness.suites.suite import Suite
from leaderboards.records.files import read_record, write_atomically
from leaderboards.records.schema import Value

STATUS = {Outcome.PASS: 0, Outcome.FAIL: 1, Outcome.UNDECIDED: 3}


def chosen_gates(file: Path | None, margin: float | None, alpha: float | None) -> Gates:
    """--gates, else one gate on robust accuracy; --alpha goes before the file's."""
    if file is not None:
        if margin is not None:
            raise BadInput("expected --gates or --margin, got both; write the margin into the file")
        gates = read_gates(file)
    else:
        wanted = MARGIN if margin is None else margin
        if not 0 <= wanted < 1:
            raise BadInput(f"expected --margin from 0 to 1, got {wanted:g}; one point of accuracy is 0.01")
        gates = Gates((Gate("robust", wanted, measure="robust"),), ALPHA)
    return gates if alpha is None else replace(gates, alpha=alpha)


def needed_measures(gates: Gates, baseline: Baseline, given: Mapping[str, Value]) -> list[Measure]:
    """The measures whose settings must be the baseline's, with the baseline's seeds."""
    by_gate = {
        "standard": ("standard",),
        "pgd": ("energies",),
        "autoattack": ("standard", "autoattack"),
        "robust": ("standard", "autoattack", "energies"),
    }
    names: set[str] = set()
    for gate in gates.gates:
        if gate.measure:
            baseline.flags(gate.measure)  # refuses where the baseline has none
            names |= set(by_gate[gate.measure])
        elif gate.value not in given:
            names.add(gate.value.partition(".")[0])
    for name in sorted(names - MEASURES.keys()):
        raise BadInput(
            f"expected a measure that harness check takes, got {name!r}; measure it and give its record: --record FILE"
        )
    # PGD where the baseline holds none does not count; natural images are classified in any case
    there = {"standard", *baseline.description.measures}
    return [measure for name, measure in MEASURES.items() if name in names & there]


def as_measured(measure: Measure, baseline: Baseline) -> Measure:
    """A measure with the seed and batch size of the baseline; what else differs is refused."""
    then = baseline.description.measures.get(measure.name)
    if then is None:
        return measure
    if measure.name == "generation":
        measure = PRESETS.get(str(then.settings.get("preset")), measure)
    changes: dict[str, Any] = {"seed": then.seed}
    if hasattr(measure, "batch_size") and isinstance(then.settings.get("batch_size"), int):
        changes["batch_size"] = then.settings["batch_size"]
    return replace(measure, **changes)  # type: ignore[type-var]


def the_entrant(given: dict[str, Any], suite: Suite) -> Judged:
    """--entrant, with the suite's images."""
    entrants = chosen_entrants(
        options.names(given["entrant"], "--entrant"),
        suite,
        model_dir=given["model_dir"],
        own_folders=options.own_folders(),
        allow_pickle=given["allow_pickle"],
    )
    if len(entrants) != 1:
        raise BadInput(f"expected one entrant, got {len(entrants)} in {given['entrant']!r}; check them one by one")
    faults = Faults(options.told)
    ready = available(entrants, suite, named=True, download=given["download"], faults=faults)
    if not ready:
        raise click.exceptions.Exit(faults.status)
    return with_images(ready, suite, data_dir=given["data_dir"], download=given["download"])[0]


def values_of(record: Path | None, judged: Judged) -> dict[str, Value]:
    """The values of --record. Raises BadInput for the record of other weights."""
    if record is None:
        return {}
    held = read_record(record)
    if held.entrant.weights_sha256 != judged.weights.sha256:
        raise BadInput(
            f"expected the record of {judged.name} ({judged.weights.sha256[:12]}) in {record}, got one of"
            f" {held.entrant.name} ({held.entrant.weights_sha256[:12]}); measure it again with harness run"
        )
    return {f"{name}.{key}": value for name, m in held.measurements.items() for key, value in m.values.items()}


def prepared_plan(
    judged: Judged, baseline: Baseline, suite: Suite, measures: Sequence[Measure], beside: Sources, device: str
) -> Plan:
    """The tasks of a run that would find what the baseline's found. Raises BadInput with any difference named."""
    was = baseline.description
    suite = replace(suite, shard_size=was.shard_size)
    plan = make_plan(
        suite,
        [judged],
        [as_measured(measure, baseline).bound(beside) for measure in measures],
        precision=was.precision,
        device=device,
        limit=was.limit,
    )
    compared = [measure for measure in plan.measures if measure.name in was.measures]
    refuse_other(baseline, suite_info(plan, judged), compared)
    if plan.examples != baseline.examples:
        raise BadInput(
            f"expected {baseline.examples} examples as the baseline has, got {plan.examples}; complete the data"
        )
    return plan


def written(given: dict[str, Any], verdict: Verdict, seconds: float) -> None:
    """The reports that were asked for; results to stdout."""
    if given["junit"]:
        write_atomically(given["junit"], junit(verdict, seconds).encode())
    if given["lost"]:
        rows = [f"{x.index}\t{x.label}\t{x.gate}\t{x.stage}" for x in verdict.lost]
        write_atomically(given["lost"], "\n".join(["example\tlabel\tgate\tbroken by", *rows, ""]).encode())
    summaries = [given["summary"]] if given["summary"] else []
    on_github = given["github"] if given["github"] is not None else os.environ.get("GITHUB_ACTIONS") == "true"
    if on_github:
        if os.environ.get("GITHUB_STEP_SUMMARY"):
            summaries.append(Path(os.environ["GITHUB_STEP_SUMMARY"]))
        for line in github_annotations(verdict):
            click.echo(line, err=given["as_json"])
    for path in summaries:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as stream:  # steps of one job share a summary
            stream.write(markdown(verdict))
    click.echo(json.dumps(verdict.plain(), indent=1, ensure_ascii=False) if given["as_json"] else verdict.line)


@click.command(name="check")
@click.option("--suite", "suite_name", required=True, help="A suite by name, or the path of a .toml file.")
@click.option("--entrant", required=True, help="The candidate, in any form that harness run takes.")
@click.option(
    "--baseline",
    "place",
    type=click.Path(path_type=Path),
    required=True,
    help="A file of harness baseline, or a folder with <suite>/<entrant>.safetensors.",
)
@click.option("--gates", "gates_file", type=click.Path(path_type=Path), help="A TOML file with several gates.")
@click.option(
    "--margin",
    type=float,
    help="Robust accuracy that may be lost, 0.01 is one point  [default: 0.01]; without --gates.",
)
@click.option("--alpha", type=float, help="Chance that an entrant that is no worse fails  [default: 0.05]")
@click.option("--record", type=click.Path(path_type=Path), help="A record of the candidate, for values that it holds.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the order in which examples are looked at.")
@click.option("--full", is_flag=True, help="Measure everything, also when decided: for all lost examples.")
@click.option("--json", "as_json", is_flag=True, help="The verdict as JSON on stdout.")
@click.option("--junit", type=click.Path(path_type=Path), help="Write JUnit XML: one test case a gate.")
@click.option("--summary", type=click.Path(path_type=Path), help="Append a Markdown summary.")
@click.option("--lost", type=click.Path(path_type=Path), help="Write the examples that were right and no longer are.")
@click.option(
    "--github/--no-github",
    default=None,
    help="Annotations, and the step summary  [default: where GITHUB_ACTIONS is true]",
)
@click.option("--workers", type=int, callback=options.positive, help="Processes: default one a GPU, or one a core.")
@click.option("--allow-pickle", multiple=True, metavar="NAME", help="Unpickle this entrant's file, code included.")
@options.device
@options.out
@options.data_dir
@options.dataset
@options.model_dir
@options.download
def command(**given: Any) -> int:
    """Fail where an entrant is less robust than its baseline. Exit status: 0 pass, 1 fail, 3 undecided, 2 bad input."""
    begun = time.perf_counter()
    suite = find_suite(given["suite_name"])
    if given["dataset"]:
        suite = suite.on(given["dataset"])
    gates = chosen_gates(given["gates_file"], given["margin"], given["alpha"])
    on = devices(given["device"], given["workers"])
    judged = the_entrant(given, suite)
    if judged.images.name != suite.dataset:
        suite = suite.on(judged.images.name)
    baseline = read_baseline(baseline_path(given["place"], suite.name, judged.name))
    values = values_of(given["record"], judged)
    shards = options.output_folder(given["out"]) / "shards"
    beside = sources(
        suite, data_dir=given["data_dir"], download=given["download"], fits=shards / "fits", inception_weights=None
    )
    plan = prepared_plan(judged, baseline, suite, needed_measures(gates, baseline, values), beside, on[0].type)
    store = Store(shards)
    was = baseline.description
    notes = []
    if was.device != plan.device:
        notes.append(
            f"The baseline was measured on {was.device}, the candidate on {plan.device}: another draw of attacks."
        )
    stderr.print(
        f"{judged.name} on {plan.suite.name}, {plan.examples} examples, against {was.entrant} ({was.measured_at})",
        markup=False,
    )

    def told(line: str) -> None:
        stderr.print(line, markup=False)

    try:
        with processes(plan, on) as ready:
            check = Check(
                gates,
                baseline,
                Candidate(plan, store, ready),
                values,
                seed=given["seed"],
                full=given["full"],
                told=told,
            )
            outcome = check()
    except JobFailed as error:
        stderr.print(f"harness: error: {judged.name}: {error}", markup=False)
        return 1
    classes = [judged.images.classes[label] for label in judged.images.labels[: plan.examples].tolist()]
    verdict = Verdict(
        outcome=outcome,
        entrant=judged.name,
        suite=plan.suite.name,
        baseline=was.entrant,
        weights_sha256=judged.weights.sha256,
        alpha=gates.alpha,
        gates=check.results(),
        lost=check.lost(classes),
        cost=check.cost,
        notes=tuple(notes),
    )
    written(given, verdict, time.perf_counter() - begun)
    return STATUS[outcome]
