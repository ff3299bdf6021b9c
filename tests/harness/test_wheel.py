"""The wheel, as someone uses it who has no checkout: from an empty folder."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

DISTRIBUTIONS = {
    "PIL": "pillow",
    "sklearn": "scikit-learn",
    "torch_fidelity": "torch-fidelity",
    "vl_convert": "vl-convert-python",
    "pydantic_core": "pydantic",
}
"""Packages that come with a distribution of another name."""

OF_ENTRANTS = {"transformers"}
"""Imported where a user's own network is of it, and only then."""


def declared(requirements: list[str]) -> set[str]:
    return {re.match(r"[\w.-]+", requirement)[0].lower() for requirement in requirements}  # type: ignore[index]


def imported() -> set[str]:
    """Distributions that the three packages import from anywhere in their files."""
    found = set()
    for path in (path for package in ("harness", "zoo", "leaderboards") for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            called = node.func if isinstance(node, ast.Call) else None
            if isinstance(called, ast.Attribute) and called.attr == "files":  # importlib.resources.files("package")
                names += [str(one.value) for one in node.args if isinstance(one, ast.Constant)]
            found |= {name.partition(".")[0] for name in names}
    own = {"harness", "zoo", "leaderboards", "__future__"}
    return {DISTRIBUTIONS.get(name, name) for name in found - sys.stdlib_module_names - own}


def test_what_is_imported_is_declared_and_what_is_declared_is_imported() -> None:
    extras = declared([line for lines in PROJECT["optional-dependencies"].values() for line in lines])
    assert imported() <= declared(PROJECT["dependencies"]) | extras | OF_ENTRANTS
    assert declared(PROJECT["dependencies"]) <= imported()


def test_robustbench_and_what_it_pins_are_an_extra_that_developers_have() -> None:
    extras = PROJECT["optional-dependencies"]
    assert declared(extras["robustbench"]) == {"robustbench", "timm", "setuptools"}
    assert "robust-energy-harness[robustbench]" in extras["dev"]
    assert not declared(extras["robustbench"]) & declared(PROJECT["dependencies"])


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked where nothing of the checkout is."""
    pytest.importorskip("hatchling", reason="it builds the wheel: pip install -e '.[dev]'")
    place = tmp_path_factory.mktemp("wheel")
    build = f"from hatchling.build import build_wheel; build_wheel({str(place)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=ROOT, check=True, capture_output=True, timeout=300)
    (wheel,) = place.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(place / "site")
    return place / "site"


@pytest.mark.slow
def test_the_wheel_holds_the_program_and_entrants_and_no_records(installed: Path) -> None:
    files = {path.relative_to(installed).as_posix() for path in installed.rglob("*") if path.is_file()}
    assert {"zoo/digits/trades.safetensors", "zoo/published.csv", "leaderboards/pages/templates/style.css"} <= files
    folders = {name.split("/")[1] for name in files if name.startswith("leaderboards/") and name.count("/") > 1}
    assert folders == {"board", "charts", "exports", "findings", "pages", "records"}
    assert not [name for name in files if name.split("/")[0] not in ("harness", "zoo", "leaderboards")
                and ".dist-info" not in name]  # fmt: skip


@pytest.mark.slow
def test_the_wheel_works_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200"}
    before = {path: path.stat().st_mtime_ns for path in installed.rglob("*")}

    def ran(words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "harness", *words.split()], cwd=tmp_path, env=environment, capture_output=True, text=True,
            timeout=600,
        )  # fmt: skip
        assert done.returncode == status, (words, done.stderr)
        return done

    where = [sys.executable, "-c", "import harness, zoo, leaderboards.board; print(harness.__file__)"]
    shown = subprocess.run(where, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert Path(shown.stdout.strip()).is_relative_to(installed)

    done = ran("run --suite digits --limit 20 --measures standard,autoattack --workers 0")
    assert (tmp_path / "runs" / "site" / "digits" / "first-20" / "index.html").is_file()
    assert "as published here" not in done.stdout, "the published records are the checkout's"
    assert "trades" in ran("list entrants --suite digits").stdout
    assert "resnet-18" in ran("list architectures").stdout
    ran("baseline --suite digits --entrant trades --limit 20")
    ran("check --suite digits --entrant trades --baseline baselines --margin 0.3")
    trained = ran("train --suite digits --recipe standard --epochs 1 --limit 100 --name mine").stdout
    judge = re.search(r"judge it: harness (run .*)", trained)
    assert judge is not None
    ran(f"{judge[1]} --measures standard --limit 20 --workers 0")
    ran("render")
    assert "did you mean runs?" in ran("render --out rnus", 2).stderr
    ran("verify runs --entrants trades --no-mark")
    assert {path.name for path in tmp_path.iterdir()} <= {
        "runs",
        "zoo",
        "entrants",
        "baselines",
        "verified",
        "user-cache",
    }
    assert {path: path.stat().st_mtime_ns for path in installed.rglob("*")} == before, (
        "nothing is written to the package"
    )
