"""Reports of a verdict, read back by readers that this project has not written."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

from junitparser import Error, Failure, JUnitXml, Skipped

from harness.check.reports import github_annotations, junit, markdown
from harness.check.statistics import Outcome
from harness.check.verdict import GateResult, LostExample, Verdict

FAILED = GateResult(
    "robust", "robust accuracy", Outcome.FAIL, 0.01, "points", 0.12, 0.08, 0.16, 0.95, 1e-6, 3e-6, 0.7, 0.58, 200, 1000,
    26, 2, "pgd",
)  # fmt: skip
PASSED = GateResult(
    "clean, all: 100 %", "standard accuracy", Outcome.PASS, 0.02, "points", 0.0, -0.01, 0.01, 0.95, 1.0, 1.0, 0.9, 0.9,
    1000, 1000, 0, 0, "natural",
)  # fmt: skip
OPEN = GateResult(
    "fid", "generation.fid", Outcome.UNDECIDED, 2.0, "", 1.5, 0.5, 2.5, 0.95, 0.1, 0.2, 30.0, 31.5, 1000, 1000
)
STOPPED = GateResult("aa", "autoattack accuracy", Outcome.STOPPED, 0.01, "points", total=1000)
VERDICT = Verdict(
    Outcome.FAIL, "mine|<b>&", "digits", "weat-adv", "00", 0.05, (FAILED, PASSED, OPEN, STOPPED),
    tuple(LostExample(i, "seven", "robust", "pgd") for i in range(60)), {"natural": 1000, "pgd": 200},
)  # fmt: skip


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
