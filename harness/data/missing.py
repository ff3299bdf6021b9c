"""Data that is not here, in one line: what was expected, where it was looked for, what to do, by hand too."""

from __future__ import annotations

from pathlib import Path

from harness.data.archives import archives
from harness.data.images import Split
from harness.errors import BadInput


class MissingData(BadInput):
    """A data set is not here."""


def missing(name: str, data_dir: Path, split: Split, what: str) -> MissingData:
    """The line for a split that is not here; a file that is here and is not whole is named."""
    files = archives(name, split)
    places = [(file, place) for file in files for place in file.places(data_dir, name)]
    flaws = [flaw for file, place in places if (flaw := file.flaw(place))]
    wrong = f" ({'; '.join(flaws)}: remove it)" if flaws else ""
    fetch = ", or pass --download" if any(file.fetched for file in files) else ""
    absent = [file for file in files if not any(file.whole(place) for place in file.places(data_dir, name))]
    by_hand = "; ".join(file.by_hand(data_dir, name) for file in absent)
    return MissingData(
        f"expected the data set {name} under {data_dir.resolve()}: {name}/{split}/<class>/*.png or .jpg,"
        f" {name}/{split}.npz, or {what}, got none of them{wrong}; put it there, name another --data-dir{fetch}"
        + (f"; by hand: {by_hand}" if by_hand else "")
    )
