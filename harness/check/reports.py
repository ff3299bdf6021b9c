"""A verdict for those who read it: JUnit XML, Markdown, a table of lost examples, and GitHub's annotations.

Annotations are workflow commands as GitHub documents them ("Workflow commands for GitHub Actions"): `::error title=T::M`, with
%, carriage return and line feed escaped, and in properties also : and the comma.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from harness.check.statistics import Outcome
from harness.check.verdict import AccuracyResult, ComparedResult, GateResult, Verdict
from leaderboards.records.files import write_atomically

SHOWN = 50
"""Lost examples that a summary for people lists; JSON has all."""

MARKS = {
    Outcome.PASS: "✅ pass",
    Outcome.FAIL: "❌ fail",
    Outcome.UNDECIDED: "❔ undecided",
    Outcome.STOPPED: "stopped",
}


def junit(verdict: Verdict, seconds: float) -> str:
    """One test case a gate: failed ones as failures, undecided ones as errors (nothing was shown), stopped ones as skipped."""
    suite = TestSuite(f"harness check {verdict.suite}")
    for gate in verdict.gates:
        case = TestCase(gate.name, classname=f"{verdict.suite}.{verdict.entrant}", time=0.0)
        if gate.outcome is Outcome.FAIL:
            case.result = [Failure(gate.statement, "worse")]
        elif gate.outcome is Outcome.UNDECIDED:
            case.result = [Error(gate.statement, "undecided")]
        elif gate.outcome is Outcome.STOPPED:
            case.result = [Skipped(gate.statement)]
        case.system_out = gate.statement
        suite.add_testcase(case)
    suite.time = round(seconds, 3)
    for name, value in (("baseline", verdict.baseline), ("weights_sha256", verdict.weights_sha256)):
        suite.add_property(name, value)
    xml = JUnitXml("harness check")
    xml.add_testsuite(suite)
    xml.update_statistics()
    suite.time = xml.time = round(seconds, 3)
    return str(xml.tostring(), "utf-8")


def markdown(verdict: Verdict) -> str:
    """A summary with the table of gates, as for GitHub's step summary."""
    rows = [
        "| gate | outcome | baseline | candidate | worse by | 95 % interval | margin | p | examples | decided by |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|---|",
        *(_row(gate) for gate in verdict.gates),
    ]
    stages = ", ".join(f"{stage} {count:,}" for stage, count in verdict.cost.items()) or "none"
    found = [
        f"### {MARKS[verdict.outcome]}: {_cell(verdict.entrant)} on {_cell(verdict.suite)}",
        "",
        _cell(verdict.decisive.statement) + ".",
        "",
        *rows,
        "",
        f"Against the baseline of {_cell(verdict.baseline)}; alpha {verdict.alpha:g} over all gates (Holm) and looks;"
        f" accuracies and margins in percent and points. Examples measured: {_cell(stages)}.",
        *(f"\n{_cell(note)}" for note in verdict.notes),
    ]
    if verdict.lost:
        found += [
            "",
            f"<details><summary>{len(verdict.lost)} examples, of those measured, that were right and no longer are"
            "</summary>",
            "",
            "| example | label | gate | broken by |",
            "|--:|---|---|---|",
            *(f"| {x.index} | {_cell(x.label)} | {_cell(x.gate)} | {x.stage} |" for x in verdict.lost[:SHOWN]),
            *([f"| and {len(verdict.lost) - SHOWN} more | | | |"] if len(verdict.lost) > SHOWN else []),
            "",
            "</details>",
        ]
    return "\n".join(found) + "\n"


def _row(gate: GateResult) -> str:
    margin = gate.text(gate.margin)
    cells = ["", "", "", "", margin, "", "", ""]
    if isinstance(gate, ComparedResult):
        evidence = gate.evidence
        unsettled = isinstance(gate, AccuracyResult) and gate.open > 0
        cells = [
            gate.text(gate.baseline),
            f"{'at most ' if unsettled else ''}{gate.text(gate.candidate)}",
            f"{'at least ' if unsettled else ''}{gate.text(gate.worsening)}",
            f"{gate.text(evidence.low)} to {gate.text(evidence.high)}" if evidence else "",
            margin,
            f"{evidence.p_corrected:.2g}" if evidence else "",
            f"{gate.examples:,} of {gate.total:,}",
            gate.stage,
        ]
    return f"| {' | '.join(_cell(cell) for cell in (gate.name, MARKS[gate.outcome], *cells))} |"


def _cell(text: str) -> str:
    """Text as it is, inside a Markdown table on one line."""
    escaped = "".join(f"\\{c}" if c in "\\`*_{}[]<>#|" else c for c in text)
    return " ".join(escaped.split())


def lost_table(verdict: Verdict) -> str:
    """Every lost example on a line of its own, its columns separated by tabs."""
    rows = [f"{x.index}\t{x.label}\t{x.gate}\t{x.stage}" for x in verdict.lost]
    return "\n".join(["example\tlabel\tgate\tbroken by", *rows, ""])


def write_reports(
    verdict: Verdict,
    seconds: float,
    *,
    junit_file: Path | None = None,
    lost_file: Path | None = None,
    summaries: Sequence[Path] = (),
) -> None:
    """Write the reports that have a file. A summary goes to the end of its file; `seconds` is what the check took."""
    if junit_file is not None:
        write_atomically(junit_file, junit(verdict, seconds).encode())
    if lost_file is not None:
        write_atomically(lost_file, lost_table(verdict).encode())
    for path in summaries:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as stream:  # steps of one job share a summary
            stream.write(markdown(verdict))


def github_annotations(verdict: Verdict) -> list[str]:
    """GitHub's workflow commands, one a gate: an error for a failure, a warning for an undecided gate, else a notice."""
    level = {Outcome.FAIL: "error", Outcome.UNDECIDED: "warning"}
    return [
        f"::{level.get(gate.outcome, 'notice')} title={_property(f'{gate.name}: {gate.outcome.value}')}::"
        f"{_data(f'{verdict.entrant} on {verdict.suite}: {gate.statement}')}"
        for gate in verdict.gates
    ]


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def summary_files(asked: Path | None, on_github: bool) -> list[Path]:
    """Where summaries go: the file that was asked for, and on GitHub the step's."""
    step = os.environ.get("GITHUB_STEP_SUMMARY") if on_github else None
    return [path for path in (asked, Path(step) if step else None) if path]
