"""The examples of the guides run as they are written."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
import textwrap
from pathlib import Path
from types import ModuleType

import pytest

from harness.cli import main
from harness.measures import PRESETS
from harness.measures.generation_file import OBJECTIVES, SAMPLERS, STARTS, read_generation
from leaderboards.records.files import read_record, write_record

ROOT = Path(__file__).resolve().parents[1]


def fenced(document: str) -> list[str]:
    """The python blocks of a guide, in order."""
    return re.findall(r"^```python\n(.*?)^```", (ROOT / document).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def first_indented(document: str, title: str) -> str:
    """The first indented block below a title."""
    section = (ROOT / document).read_text(encoding="utf-8").split(f"\n## {title}\n")[1]
    found = re.search(r"(?:^(?: {4}[^\n]*)?\n)+", section[section.index("\n    ") + 1 :], re.MULTILINE)
    assert found is not None
    return textwrap.dedent(found[0]).strip()


def run(source: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    module = ModuleType("example")
    monkeypatch.setitem(sys.modules, "example", module)  # dataclasses look their module up
    exec(compile(source, "example", "exec"), module.__dict__)


@pytest.mark.parametrize("number", range(len(fenced("docs/python.md"))))
def test_an_example_of_the_python_guide_runs(
    number: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(fenced("docs/python.md")[number], monkeypatch, tmp_path)
    assert "Traceback" not in capsys.readouterr().err


def test_the_first_example_of_the_python_guide_prints_what_it_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = fenced("docs/python.md")[0]
    said = re.search(r"# (\d\.\d{3} \[[^\n]*n = 20)", source)
    assert said is not None
    run(source, monkeypatch, tmp_path)
    assert said[1] in capsys.readouterr().out


def test_the_example_of_the_guide_to_the_doctor_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (source,) = fenced("docs/doctor.md")
    run(source, monkeypatch, tmp_path)
    assert "fault: probabilities: no output is negative" in capsys.readouterr().out


def test_the_example_of_the_guide_to_generation_runs_and_its_file_is_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (source,) = fenced("docs/generation.md")
    run(source, monkeypatch, tmp_path)
    assert capsys.readouterr().out == "0.000, n = 20\n"
    text = (ROOT / "docs" / "generation.md").read_text(encoding="utf-8")
    (tmp_path / "mine.toml").write_text(text.split("```toml\n")[1].split("```")[0], encoding="utf-8")
    measure = read_generation(tmp_path / "mine.toml", PRESETS["short"])
    assert (measure.images, measure.start.name, measure.sampler.name) == (200, "mix", "heun")
    for kind in (*STARTS, *OBJECTIVES, *SAMPLERS):
        assert f"| `{kind}` |" in text, "each has a row"


def test_the_commands_of_the_guide_to_exports_run_and_write_where_it_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("sat", "trades"):
        write_record(tmp_path / "runs" / "results", read_record(ROOT / f"leaderboards/results/digits/{name}.json"))
    shutil.copytree(ROOT / "leaderboards" / "arrays", tmp_path / "runs" / "arrays")
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
    commands = re.findall(r"^    harness (export .*)$", text, re.MULTILINE)
    assert len(commands) == 3
    for words in commands:
        with pytest.raises(SystemExit) as end:
            main(shlex.split(words))
        assert not end.value.code
    for name in capsys.readouterr().out.splitlines():
        path = Path(name)
        inside = path.relative_to("runs/exports" if path.is_relative_to("runs") else "exports").as_posix()
        pattern = r"data/robust-energy-harness-digits/robust-energy-harness/(sat|trades)-[0-9a-f]{8}/[0-9a-f-]{36}"
        assert re.fullmatch(rf"{pattern}(\.json|_samples\.jsonl)|in-toto/digits/(sat|trades)\.intoto\.json", inside)
        assert path.is_file()


def test_the_measure_of_the_contributing_guide_is_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (source,) = fenced("CONTRIBUTING.md")
    run(source, monkeypatch, tmp_path)
    assert re.fullmatch(r"0\.\d{3} \[.*\], n = 20\n", capsys.readouterr().out)


def test_the_example_of_the_readme_judges_a_torchvision_model_in_at_most_six_lines(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = first_indented("README.md", "From Python")
    assert len([line for line in source.splitlines() if line]) <= 6
    run(source, monkeypatch, tmp_path)
    assert re.fullmatch(r"0\.\d{3} \[0\.\d{3}, 0\.\d{3}\], n = 20\n", capsys.readouterr().out)
