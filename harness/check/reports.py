"""A verdict for those who read it: JUnit XML, Markdown, and GitHub's annotations.

Annotations are workflow commands as GitHub documents them ("Workflow commands for GitHub Actions"): `::error title=T::M`, with
%, carriage return and line feed escaped, and in properties also : and the comma.
"""

from __future__ import annotations

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from harness.check.statistics import Outcome
from harness.check.verdict import GateResult, Verdict

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
    def number(value: float | None) -> str:
        return "" if value is None else gate.text(value)

    ends = f"{number(gate.low)} to {number(gate.high)}" if gate.low is not None else ""
    p = f"{gate.p_corrected:.2g}" if gate.p_corrected is not None and gate.worsening is not None else ""
    examples = f"{gate.examples:,} of {gate.total:,}" if gate.examples else ""
    cells = (
        gate.name,
        MARKS[gate.outcome],
        number(gate.baseline),
        number(gate.candidate),
        number(gate.worsening),
        ends,
        number(gate.margin),
        p,
        examples,
        gate.stage,
    )
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _cell(text: str) -> str:
    """Text as it is, inside a Markdown table on one line."""
    escaped = "".join(f"\\{c}" if c in "\\`*_{}[]<>#|" else c for c in text)
    return " ".join(escaped.split())


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
