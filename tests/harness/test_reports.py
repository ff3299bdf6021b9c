"""Reports of a verdict, read back by readers that this project has not written."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest
from junitparser import Error, Failure, JUnitXml, Skipped

from harness.check.reports import github_annotations, junit, markdown, write_reports
from harness.check.statistics import Outcome
from harness.check.verdict import AccuracyResult, Evidence, LostExample, StoppedResult, ValueResult, Verdict

FAILED = AccuracyResult(
    name="robust", what="robust accuracy", outcome=Outcome.FAIL, margin=0.01, worsening=0.12,
    evidence=Evidence(0.08, 0.16, 0.95, 1e-6, 3e-6), baseline=0.7, candidate=0.58, examples=200, total=1000,
    lost=26, gained=2, stage="pgd",
)  # fmt: skip
PASSED = AccuracyResult(
    name="clean, all: 100 %", what="standard accuracy", outcome=Outcome.PASS, margin=0.02, worsening=0.0,
    evidence=Evidence(-0.01, 0.01, 0.95, 1.0, 1.0), baseline=0.9, candidate=0.9, examples=1000, total=1000,
    lost=0, gained=0, stage="natural",
)  # fmt: skip
OPEN = ValueResult(
    name="fid", what="generation.fid", outcome=Outcome.UNDECIDED, margin=2.0, worsening=1.5,
    evidence=Evidence(0.5, 2.5, 0.95, 0.1, 0.2), baseline=30.0, candidate=31.5, examples=1000, total=1000,
)  # fmt: skip
STOPPED = StoppedResult(
    name="aa", what="autoattack accuracy", outcome=Outcome.STOPPED, margin=0.01, unit="fraction", total=1000
)
VERDICT = Verdict(
    Outcome.FAIL, "mine|<b>&", "digits", "weat-adv", "00", 0.05, (FAILED, PASSED, OPEN, STOPPED),
    tuple(LostExample(i, "seven", "robust", "pgd") for i in range(60)), {"natural": 1000, "pgd": 200},
)  # fmt: skip

BETTER = replace(
    PASSED, name="better", what="pgd accuracy", worsening=-0.01, evidence=Evidence(-0.02, 0.0, 0.95, 1.0, 1.0),
    baseline=0.5, candidate=0.51, gained=10, stage="pgd",
)  # fmt: skip
UNDECIDED = replace(
    PASSED, name="open", what="autoattack accuracy", outcome=Outcome.UNDECIDED, margin=0.01, worsening=0.005,
    evidence=Evidence(-0.01, 0.02, 0.95, 0.2, 0.4), baseline=0.5, candidate=0.495, lost=10, gained=5, stage="square",
    needed=12345,
)  # fmt: skip
ENERGY = replace(
    OPEN, name="energy", what="energies.delta_marginal_energy.mean", outcome=Outcome.FAIL, margin=0.05, worsening=0.4,
    evidence=Evidence(0.3, 0.5, 0.95, 1e-9, 4e-9), baseline=1.25, candidate=0.85,
)  # fmt: skip
UNTESTED = replace(
    OPEN, name="spread", what="energies.marginal_energy.sd", outcome=Outcome.PASS, margin=0.5, worsening=0.25,
    evidence=None, baseline=2.0, candidate=2.25,
)  # fmt: skip
EVERY_KIND = Verdict(
    Outcome.FAIL, "mine|<b>&", "digits", "weat-adv", "00", 0.05,
    (
        FAILED, PASSED, BETTER, UNDECIDED, replace(UNDECIDED, name="never", margin=0.005, needed=None), OPEN, ENERGY,
        UNTESTED, STOPPED, StoppedResult(name="kid", what="generation.kid", outcome=Outcome.STOPPED, margin=0.003),
    ),
    tuple(LostExample(i, "seven, 7 %", "robust", "pgd") for i in range(60)), {"natural": 1000, "pgd": 200},
    ("The baseline was measured on cuda, the candidate on cpu: another draw of attacks.",),
)  # fmt: skip

WRITTEN = Path(__file__).with_name("verdict")
"""The reports of EVERY_KIND as files: what others read by machine changes on purpose only."""


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("plain.json", json.dumps(EVERY_KIND.plain(), indent=1, ensure_ascii=False) + "\n"),
        ("junit.xml", junit(EVERY_KIND, 12.5)),
        ("summary.md", markdown(EVERY_KIND)),
        ("annotations.txt", "\n".join(github_annotations(EVERY_KIND)) + "\n"),
    ],
)
def test_the_reports_of_every_kind_of_result_are_the_written_ones(file: str, text: str) -> None:
    assert text == (WRITTEN / file).read_text(encoding="utf-8")


def test_what_unfinished_attacks_have_not_broken_is_no_gain() -> None:
    early = replace(FAILED, gained=0, open=5)
    assert early.statement.startswith(
        "robust accuracy fell by at least 12.0 points (26 lost of 200 examples (5 that were wrong before are not attacked to"
        " the end); 95% interval of the least worsening [8.0, 16.0]; "
    )
    assert "26 lost, 2 gained of 200 examples (1 that was wrong before" in replace(FAILED, open=1).statement
    verdict = replace(VERDICT, gates=(early,))
    assert "| 70.0 | at most 58.0 | at least 12.0 | 8.0 to 16.0 |" in markdown(verdict)
    for text in (markdown(verdict), junit(verdict, 1.0), *github_annotations(verdict)):
        assert "gained" not in text


def test_reports_go_to_the_files_that_are_named_and_summaries_to_their_ends(tmp_path: Path) -> None:
    summary = tmp_path / "new" / "summary.md"
    for _ in range(2):
        write_reports(VERDICT, 1.0, junit_file=tmp_path / "junit.xml", summaries=[summary])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["junit.xml", "new"]
    assert summary.read_text(encoding="utf-8") == 2 * markdown(VERDICT)
    write_reports(VERDICT, 1.0, lost_file=tmp_path / "lost.tsv")
    rows = (tmp_path / "lost.tsv").read_text().splitlines()
    assert rows[:2] == ["example\tlabel\tgate\tbroken by", "0\tseven\trobust\tpgd"]
    assert len(rows) == 61


def test_a_value_that_is_a_fraction_is_shown_in_percent_and_points() -> None:
    recall = replace(OPEN, name="recall", what="generation.recall", unit="fraction", margin=0.02, worsening=0.015,
                     evidence=Evidence(0.005, 0.025, 0.95, 0.1, 0.2), baseline=0.5, candidate=0.485)  # fmt: skip
    assert recall.statement.startswith(
        "generation.recall went from 50.0 % to 48.5 % (95% interval of the worsening [0.5, 2.5]; margin 2.0; p = 0.2)"
    )
    assert recall.plain()["unit"] == "points"
    assert (recall.plain()["baseline"], replace(recall, unit="energy").plain()["unit"]) == (0.5, "energy")


def test_junit_is_read_by_two_readers(tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    path.write_text(junit(VERDICT, 12.5), encoding="utf-8")
    (suite,) = JUnitXml.fromfile(str(path))
    cases = {case.name: case for case in suite}
    assert list(cases) == ["robust", "clean, all: 100 %", "fid", "aa"]
    assert [type(result) for case in cases.values() for result in case.result] == [Failure, Error, Skipped]
    assert "26 lost, 2 gained of 200 examples" in cases["robust"].result[0].message
    root = ET.parse(path).getroot()
    assert root.tag == "testsuites"
    assert {key: root.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "4", "failures": "1", "errors": "1", "skipped": "1",
    }  # fmt: skip
    assert root.find("testsuite").get("time") == "12.5"  # type: ignore[union-attr]
    assert {case.get("classname") for case in root.iter("testcase")} == {"digits.mine|<b>&"}


COMMAND = re.compile(r"::(?P<name>error|warning|notice) (?P<properties>[^:]*)::(?P<data>.*)")


def unescaped(text: str) -> str:
    """As GitHub's runner reads a workflow command: %25 last."""
    for code, sign in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(code, sign)
    return text


def test_annotations_are_workflow_commands() -> None:
    found = []
    for line in github_annotations(VERDICT):
        assert "\n" not in line
        command = COMMAND.fullmatch(line)
        assert command, line
        properties = dict(part.split("=", 1) for part in command["properties"].split(","))
        assert list(properties) == ["title"]
        found.append((command["name"], unescaped(properties["title"]), unescaped(command["data"])))
    assert [(name, title) for name, title, _ in found] == [
        ("error", "robust: fail"),
        ("notice", "clean, all: 100 %: pass"),
        ("warning", "fid: undecided"),
        ("notice", "aa: stopped"),
    ]
    assert found[0][2] == f"mine|<b>& on digits: {FAILED.statement}"


def test_the_summary_has_a_row_a_gate_and_no_markup_of_others() -> None:
    text = markdown(VERDICT)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    columns = [len(re.findall(r"(?<!\\)\|", row)) for row in rows[:6]]
    assert columns == [columns[0]] * 6
    assert "| robust | ❌ fail | 70.0 | 58.0 | 12.0 | 8.0 to 16.0 | 1.0 | 3e-06 | 200 of 1,000 | pgd |" in rows
    assert "mine\\|\\<b\\>&" in text
    assert "and 10 more" in text


def test_the_line_says_what_decided() -> None:
    assert VERDICT.line == (
        "FAIL mine|<b>& on digits: robust accuracy fell by 12.0 points (26 lost, 2 gained of 200 examples; 95% interval of"
        " the worsening [8.0, 16.0]; margin 1.0; p = 3e-06): decided by pgd, after 200 of 1000 examples (20.0%)"
        " (and 3 other gates)"
    )
    assert VERDICT.plain()["gates"][0]["statement"] == FAILED.statement
