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


HARNESS = (
    ("errors", "energy", "threat", "provenance", "toml"),
    ("classifier", "data", "suites"),
    ("attacks", "sampling", "features"),
    ("measures", "training"),
    ("run",),
    ("doctor",),
    ("check",),
    ("verify",),
    ("experiments",),
    ("cli", "__main__"),
)
"""The rooms of the harness, from the ground up. A room imports those on its own floor and below, and no two each other."""

LEADERBOARDS = (("records",), ("board",), ("findings",), ("charts", "exports"), ("pages",))


def rooms(package: str) -> dict[str, set[str]]:
    """Each room of a package with the other rooms that it imports. The package's own face is no room."""
    found: dict[str, set[str]] = {}
    for path in files(package):
        room = path.relative_to(ROOT / package).parts[0].removesuffix(".py")
        if room != "__init__":
            parts = (name.split(".") for name in imported(path) if name.startswith(f"{package}."))
            others = {name[1] for name in parts if (ROOT / package / name[1]).is_dir() or len(name) > 1}
            known = {other for other in others if list((ROOT / package).glob(f"{other}*"))}
            found.setdefault(room, set()).update(known - {room})
    return found


@pytest.mark.parametrize(("package", "floors"), [("harness", HARNESS), ("leaderboards", LEADERBOARDS)])
def test_rooms_import_only_those_below(package: str, floors: tuple[tuple[str, ...], ...]) -> None:
    floor = {room: number for number, on_it in enumerate(floors) for room in on_it}
    found = rooms(package)
    assert set(found) == set(floor), "a room without a floor, or a floor without its room"
    upwards = [f"{room} imports {o}" for room, others in found.items() for o in others if floor[o] > floor[room]]
    assert upwards == []
    mutual = [f"{room} and {o} import each other" for room, others in found.items() for o in others if room in found[o]]
    assert mutual == []


def test_training_never_imports_the_run_nor_the_check() -> None:
    assert breaches(files("harness/training"), ("harness.run", "harness.check")) == []


def test_only_the_command_line_talks_to_a_terminal() -> None:
    libraries = [path for path in files("harness") + files("zoo") + files("leaderboards") if "cli" not in path.parts]
    assert breaches(libraries, ("click", "rich")) == []


def test_no_test_package_is_named_tests() -> None:
    """torch-fidelity and robustbench install a top-level package `tests`; ours must not need that name."""
    assert not list((ROOT / "tests").rglob("__init__.py"))


@pytest.mark.slow
def test_the_zoo_imports_where_robustbench_alone_does_not() -> None:
    alone = subprocess.run([sys.executable, "-c", "import robustbench"], capture_output=True, text=True, cwd="/")
    assert "autoattack" in alone.stderr, "robustbench imports by itself now: the adapter may have become needless"
    ours = subprocess.run([sys.executable, "-c", "import zoo"], capture_output=True, text=True, cwd="/")
    assert ours.returncode == 0, ours.stderr
