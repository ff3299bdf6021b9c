"""Folders that are written to: known to be writable beforehand, and none left behind that holds nothing."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def folder_for(path: Path) -> Iterator[None]:
    """Make the folder of a file that is to be written; those that were made go again where they are empty at the end."""
    made = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        for folder in made:
            with contextlib.suppress(OSError):  # it holds something
                folder.rmdir()


def require_writable(folder: Path) -> None:
    """Raise OSError where a folder cannot be made or written to. It is not made: what writes to it makes it.

    Its names are tried in a folder of their own, so that nobody who does the same at the same time is in the way.
    """
    there = next(place for place in (folder, *folder.parents) if place.exists())
    with tempfile.TemporaryDirectory(dir=there, prefix=".writable-") as tried:
        made = Path(tried) / folder.relative_to(there)
        made.mkdir(parents=True, exist_ok=True)
        (made / "file").touch()
