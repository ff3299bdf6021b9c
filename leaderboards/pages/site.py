"""The folder of the pages: only what changed is written, and pages that are no longer made are removed.

Data files lie beside the pages that link them: <page>.json, and board.csv, .json and .bib beside a board's index.html, with
board-groups.csv where it has groups of seeds. They can carry no mark, so they are ours where their page is.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from leaderboards.records.files import file_stem, is_leftover, write_atomically
from leaderboards.records.schema import Record

MARK = '<meta name="generator" content="robust-energy-harness leaderboards">'
"""Stands at the head of every page: a file without it is not ours and is never removed."""

DATA = (".csv", ".json", ".bib")


def board_folder(suite: str, limit: int | None = None) -> str:
    """Where the pages of a board lie, inside the site: that of a suite, or that of its first `limit` examples."""
    return file_stem(suite) if limit is None else f"{file_stem(suite)}/first-{limit}"


def record_page(record: Record) -> str:
    """The page of a record, in the folder of its board."""
    return f"{file_stem(record.entrant.name)}.html"


@dataclass
class Site:
    """Pages under `root`. Write each page once, then `remove_stale`: the lists hold what happened, sorted by path.

    Nobody else may write there meanwhile: a file that is half written is then one that a killed command has left.
    With `check`, no file is touched: the lists hold what would happen.
    """

    root: Path
    check: bool = False
    written: list[Path] = field(default_factory=list)
    unchanged: list[Path] = field(default_factory=list)
    removed: list[Path] = field(default_factory=list)

    def write(self, relative: str, page: str) -> None:
        """Write one page or data file, unless the file there has the same bytes."""
        path = self.root / relative
        content = page.encode()
        if path.is_file() and path.read_bytes() == content:
            self.unchanged.append(path)
        else:
            if not self.check:
                write_atomically(path, content, lasting=False)
            self.written.append(path)

    def remove_stale(self) -> None:
        """Remove our pages that were not written this time, what killed commands left, and the folders that this empties.

        Links are not followed: what lies outside the site is never touched.
        """
        made = {*self.written, *self.unchanged}
        for folder, _, files in os.walk(self.root, topdown=False):
            left = [path for name in files if (path := Path(folder, name)) not in made]
            stale = [path for path in left if _is_ours(path) or is_leftover(path)]
            self.removed += stale
            if self.check:
                continue
            for path in stale:
                path.unlink()
            if stale and not os.listdir(folder):
                os.rmdir(folder)
        for paths in (self.written, self.unchanged, self.removed):
            paths.sort()


def _is_ours(path: Path) -> bool:
    if path.suffix in DATA and not path.is_symlink():
        page = path.with_name("index.html") if path.stem in ("board", "board-groups") else path.with_suffix(".html")
        return page.is_file() and _is_ours(page)
    if path.suffix != ".html" or path.is_symlink():
        return False
    with path.open("rb") as stream:
        return MARK.encode() in stream.read(512)
