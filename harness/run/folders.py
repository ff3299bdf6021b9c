"""Where a run writes, what is published beside it, and where entrants of the user's own lie."""

from __future__ import annotations

import tomllib
from pathlib import Path

from harness.errors import BadInput, one_line
from leaderboards.records.files import record_files
from leaderboards.records.home import Home
from zoo import project
from zoo.entrant import did_you_mean
from zoo.folders import require_writable


def checkout(start: Path | None = None) -> Path | None:
    """The root of the project's checkout around a folder (default: the current one), or None outside one."""
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        try:
            project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
            continue
        if project.get("project", {}).get("name") == "robust-energy-harness":
            return folder
    return None


def default_run() -> Path:
    """runs/ of the checkout, else ./runs."""
    return (checkout() or Path.cwd()) / "runs"


def run_folder(run: Path | None) -> Path:
    """The folder of a run that there is: the one that is named, else the default. Raises BadInput where it has no records."""
    folder = run if run is not None else default_run()
    if not (folder / "results").is_dir():
        raise BadInput(f"expected a run with results/ in {folder}, got none; do: harness run")
    return folder


def require_records(out: Path | None) -> None:
    """Raise BadInput where a folder that is named, or ./runs outside a checkout, has no results/; the folder is not made."""
    folder = out if out is not None else default_run()
    if (folder / "results").is_dir() or (out is None and checkout() is not None):
        return
    here = sorted(path.parent.name for path in Path.cwd().glob("*/results") if any(record_files(path)))
    if hint := did_you_mean(str(folder), here) if out is not None else "":
        raise BadInput(f"expected a folder with records in results/ as --out, got {folder};{hint} correct it")
    said = f"{folder}, which has none" if folder.is_dir() else f"{folder}, which is not there"
    raise BadInput(f"expected a folder with records in results/, got {said}; do: harness run, or name another --out")


def output_folder(out: Path | None) -> Path:
    """--out, else runs/ of the checkout, else ./runs; known to be writable. It is not made: what writes to it makes it."""
    if out is not None and str(out) in ("", "."):
        raise BadInput("expected a folder of its own as --out, got the working directory; name another")
    folder = out if out is not None else default_run()
    try:
        require_writable(folder)
    except OSError as error:
        raise BadInput(
            f"expected a folder to write to as --out, got {folder} ({one_line(error)}); name another"
        ) from error
    return folder


def published(out: Path) -> Home | None:
    """The records that the checkout publishes, to be shown beside those of a run; None outside a checkout, where it publishes
    none, and where the run writes to them itself."""
    root = checkout()
    folder = root / "leaderboards" if root else None
    if folder is None or not (folder / "results").is_dir() or folder.resolve() == out.resolve():
        return None
    return Home(folder)


def published_folder(to: Path | None) -> Path:
    """--to, else leaderboards/ of the checkout, else ./leaderboards; known to be writable."""
    return output_folder(to if to is not None else (checkout() or Path.cwd()) / "leaderboards")


def own_folders() -> tuple[Path, ...]:
    """Where entrants of the user's own lie, besides the shipped ones: zoo.project says where that is."""
    return project.own_folders()
