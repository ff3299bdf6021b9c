"""The import rules of the three packages, read from the code itself."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def imported(path: Path) -> set[str]:
    """Every module that a file imports, also inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where a name comes from"
            found |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def files(package: str) -> list[Path]:
    found = sorted((ROOT / package).rglob("*.py"))
    assert found, f"no code in {package}"
    return found


def breaches(places: list[Path], forbidden: tuple[str, ...]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in places
        for module in sorted(imported(path))
        if any(module == name or module.startswith(f"{name}.") for name in forbidden)
    ]


def test_the_zoo_imports_neither_the_judge_nor_the_leaderboards() -> None:
    assert breaches(files("zoo"), ("harness", "leaderboards")) == []


def test_the_leaderboards_import_neither_the_judge_nor_the_zoo() -> None:
    assert breaches(files("leaderboards"), ("harness", "zoo")) == []


def test_nothing_imports_the_command_line() -> None:
    # python -m harness is the command line itself
    below = [p for p in files("harness") if "cli" not in p.relative_to(ROOT).parts and p.name != "__main__.py"]
    assert breaches(below, ("harness.cli",)) == []


@pytest.mark.parametrize("module", ["energy.py", "threat.py", "images.py", "datasets.py"])
def test_the_ground_imports_nothing_of_the_harness_but_the_ground(module: str) -> None:
    ground = ("harness.errors", "harness.images")
    names = {name for name in imported(ROOT / "harness" / module) if name.startswith("harness")}
    assert not [name for name in names if not name.startswith(ground)]


def test_measures_import_neither_executors_nor_plan_nor_store() -> None:
    places = sorted((ROOT / "harness" / "measures").glob("*.py"))
    assert breaches(places, ("harness.executors", "harness.plan", "harness.store", "harness.shard")) == []


def test_no_test_package_is_named_tests() -> None:
    """torch-fidelity and robustbench install a top-level package `tests`; ours must not need that name."""
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_the_zoo_imports_where_robustbench_alone_does_not() -> None:
    alone = subprocess.run([sys.executable, "-c", "import robustbench"], capture_output=True, text=True, cwd="/")
    assert "autoattack" in alone.stderr, "robustbench imports by itself now: the adapter may have become needless"
    ours = subprocess.run([sys.executable, "-c", "import zoo"], capture_output=True, text=True, cwd="/")
    assert ours.returncode == 0, ours.stderr
