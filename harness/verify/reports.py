"""Verdicts for a build server: JUnit XML, one test case a record."""

from __future__ import annotations

from collections.abc import Sequence

from junitparser import Error, Failure, JUnitXml, TestCase, TestSuite

from harness.verify.verdict import Outcome, Verdict


def junit(verdicts: Sequence[Verdict]) -> str:
    """Records that differ are failures; those that cannot be proved are errors, for nothing was shown."""
    xml = JUnitXml("harness verify")
    for name in dict.fromkeys(verdict.suite for verdict in verdicts):
        suite = TestSuite(f"harness verify {name}")
        for verdict in (verdict for verdict in verdicts if verdict.suite == name):
            case = TestCase(verdict.entrant, classname=f"{name}.{verdict.file}", time=round(verdict.seconds, 3))
            if verdict.outcome is Outcome.DIFFERS:
                case.result = [Failure(fault, "differs") for fault in verdict.faults]
            elif verdict.outcome is Outcome.CANNOT:
                case.result = [Error(missing, "cannot") for missing in verdict.missing]
            case.system_out = "\n".join((verdict.line, *verdict.details))
            suite.add_testcase(case)
        xml.add_testsuite(suite)
    xml.update_statistics()
    return str(xml.tostring(), "utf-8")
