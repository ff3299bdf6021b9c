"""The user's project: the folder whose entrants/ holds entrants of the user's own, found from any folder below it.

From the working directory upwards the first folder with `entrants/` is the project's; where none has one, the first with a
pyproject.toml or a .git; else the working directory. Nobody looks above a repository's root, nor into the home folder, the
root of the file system or a folder that everybody may write to, unless it is the working directory itself.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

ENTRANTS = "entrants"
"""The folder's name: <project>/entrants/<suite>/<name>.safetensors, with a card <name>.json."""

OLD = "zoo"
"""Where training wrote before: <working directory>/zoo. Entrants there are still found."""


def project_root(start: Path | None = None) -> Path:
    """The root of the project around a folder (default: the working directory); the folder itself outside of any."""
    here = (start or Path.cwd()).resolve()
    marked: Path | None = None
    for folder in (here, *here.parents):
        if folder != here and _closed(folder):
            break
        if (folder / ENTRANTS).is_dir():
            return folder
        if marked is None and ((folder / "pyproject.toml").is_file() or (folder / ".git").exists()):
            marked = folder
        if (folder / ".git").exists():  # a folder, or a file in a work tree
            break
    return marked or here


def own_folder(start: Path | None = None) -> Path:
    """Where entrants of the user's own are written and found; it may not be there yet."""
    return project_root(start) / ENTRANTS


def old_folder() -> Path | None:
    """The working directory's zoo/ of before, there or not; None where that is the package of this project."""
    folder = Path.cwd() / OLD
    return None if (folder / "__init__.py").exists() else folder


def own_folders() -> tuple[Path, ...]:
    """The folders that there are in which entrants of the user's own are found by their names."""
    return tuple(folder for folder in (own_folder(), old_folder()) if folder is not None and folder.is_dir())


def in_project(folder: Path) -> Path:
    """A folder by its name: in the working directory, or, where it is not there, in the root of the project around it."""
    there = project_root() / folder
    return there if not folder.exists() and there.is_dir() else folder


def shown_place(path: Path) -> str:
    """A path as people read it: from the working directory where it lies in the project, else whole."""
    path = Path(os.path.abspath(path))
    if path.is_relative_to(project_root()):
        return Path(os.path.relpath(path, Path.cwd().resolve())).as_posix()
    return str(path)


def _closed(folder: Path) -> bool:
    """Whether a folder is nobody's project when one comes to it from below."""
    if folder == folder.parent:
        return True
    try:
        if folder == Path.home().resolve():
            return True
    except RuntimeError:  # nobody's home is known
        pass
    try:
        return os.name == "posix" and bool(folder.stat().st_mode & stat.S_IWOTH)
    except OSError:
        return True
