"""harness export, as it is typed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from harness.cli import main
from leaderboards.records.files import read_record, record_files, write_record
from leaderboards.records.home import Home

PUBLISHED = Home(Path(__file__).resolve().parents[2] / "leaderboards")


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """runs/ of an empty folder with two of the published records, sealed."""
    home = Home(tmp_path / "runs")
    for name in ("sat", "trades"):
        write_record(home.results, read_record(PUBLISHED.results / "digits" / f"{name}.json"))
    shutil.copytree(PUBLISHED.arrays, home.arrays)
    monkeypatch.chdir(tmp_path)
    return home


def exported(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["export", *arguments])
    return int(end.value.code or 0)


def test_outside_a_checkout_the_records_of_runs_are_exported(runs: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert exported("--format", "every-eval-ever") == 0
    said = capsys.readouterr()
    files = [Path(name) for name in said.out.splitlines()]
    assert len(files) == 4
    assert all(path.is_file() and path.is_relative_to("runs/exports/data") for path in files)
    assert "written: 4 files; refused: 0 records" in said.err


def test_in_a_checkout_those_that_it_publishes_are_exported(runs: Home, capsys: pytest.CaptureFixture[str]) -> None:
    Path("pyproject.toml").write_text('[project]\nname = "robust-energy-harness"\n')
    shutil.copytree(runs.root, "leaderboards")
    (Path("leaderboards") / "results" / "digits" / "trades.json").unlink()
    assert exported("--format", "in-toto", "--to", "there") == 0
    assert capsys.readouterr().out == "there/in-toto/digits/sat.intoto.json\n"


def test_the_status_is_1_where_a_record_is_refused_and_the_others_are_written(
    runs: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    path = next(record_files(runs.results))
    path.write_text(path.read_text().replace("0.8,", "0.9,", 1))
    assert exported("--format", "in-toto", "--by", "Example Lab") == 1
    said = capsys.readouterr()
    assert "refused: expected digits/sat.json with an intact seal" in said.err
    (written,) = said.out.splitlines()
    statement = json.loads(Path(written).read_text())
    assert statement["predicate"]["configuration"][0]["annotations"]["measuredBy"] == "Example Lab"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("nowhere", "--format", "in-toto"), "expected a record or a folder, got nowhere"),
        (("--format", "in-toto", "--entrants", "nobody"), "got nobody"),
        (("--format", "in-toto", "--entrants", ","), "expected names after --entrants"),
        (("--format", "in-toto", "--by", " "), "expected a name after --by"),
        (("--format", "pdf"), "pdf"),
        ((), "--format"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    runs: Home, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], reason: str
) -> None:
    assert exported(*arguments) == 2
    said = capsys.readouterr()
    assert reason in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""
