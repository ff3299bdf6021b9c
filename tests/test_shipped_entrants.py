"""The entrants and data that ship are those that the committed records are of: code that changes keys would say so here."""

from __future__ import annotations

from pathlib import Path

import pytest

import zoo
from harness.data.datasets import digits
from harness.suites.suite import SUITES
from leaderboards.records.files import read_record

RECORDS = sorted((Path(__file__).parents[1] / "leaderboards" / "results" / "digits").glob("*.json"))


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_shipped_entrant_and_its_data_are_those_of_its_record(path: Path) -> None:
    suite, record = SUITES["digits"], read_record(path)
    weights = zoo.find(record.entrant.spec, suite.domain, model_dir=Path("models")).weights()
    assert weights.sha256 == record.entrant.weights_sha256
    assert [(file.name, file.sha256) for file in weights.files] == [(f.name, f.sha256) for f in record.entrant.files]
    assert digits("test").first(suite.examples).fingerprint == record.suite.fingerprint
    assert (suite.threat.norm, suite.threat.eps) == (record.suite.norm, record.suite.eps)


def test_there_are_records_to_compare_with() -> None:
    assert len(RECORDS) >= 7
