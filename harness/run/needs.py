"""What a run needs beside this project: images, and each entrant's weights.

What is here, how large the rest is, where each file belongs, and where a person finds it. Nothing is fetched.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import zoo
from harness.data import datasets
from harness.data.archives import UNPACKED, archives
from harness.data.images import Split
from harness.data.place import require_parent
from harness.errors import BadInput, one_line
from harness.suites.suite import Suite
from zoo.checkpoints import CheckpointEntrant
from zoo.formats import flaw
from zoo.robustbench import RobustBenchEntrant
from zoo.sizes import about


@dataclass(frozen=True)
class NeededFile:
    """A file that is not here, or is not what it should be (`flaw`): its place and its address ("": unknown)."""

    path: Path
    address: str = ""
    flaw: str = ""


@dataclass(frozen=True)
class Need:
    """Images, or the weights of one entrant. `files` are those that are missing, and none where all is here.

    `size`: bytes that are to be fetched (None: not known; of weights about), `unpacked`: bytes that they take besides.
    `fetched`: whether --download brings them. `why`: why nothing can be said of the files. `spec`:
    what names the entrant to a command.
    """

    kind: Literal["data", "weights"]
    name: str
    files: tuple[NeededFile, ...] = ()
    size: int | None = 0
    unpacked: int = 0
    fetched: bool = True
    why: str = ""
    spec: str = ""

    @property
    def here(self) -> bool:
        return not self.files and not self.why

    @property
    def size_text(self) -> str:
        """For people."""
        if self.here:
            return "here"
        if self.size is None:
            return "not known"
        return f"{'about ' if self.kind == 'weights' else ''}{as_bytes(self.size)}"

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        files = [{"path": str(file.path), "address": file.address, "flaw": file.flaw} for file in self.files]
        return {"here": self.here, "bytes": self.size, "download": self.fetched, "missing": files, "why": self.why}


@dataclass(frozen=True)
class Needs:
    """All that a run of these entrants on a suite needs."""

    suite: Suite
    data: tuple[Need, ...]
    weights: tuple[Need, ...]

    @property
    def missing(self) -> tuple[Need, ...]:
        return tuple(need for need in (*self.data, *self.weights) if not need.here)

    @property
    def data_here(self) -> bool:
        return all(need.here for need in self.data)

    @property
    def ready(self) -> tuple[str, ...]:
        """The specs of entrants whose weights are here."""
        return tuple(need.spec for need in self.weights if need.here)

    @property
    def told(self) -> bool:
        """Whether there is more to say than that a file of the user's own is not there."""
        return not self.data_here or any(need.fetched for need in self.missing)

    @property
    def line(self) -> str:
        """What is missing, in words."""
        data = [need.name for need in self.data if not need.here]
        weights = [need for need in self.weights if not need.here and need.fetched]
        words = [f"the data set {data[0]}"] if data else []
        words += [f"the weights of {len(weights)} entrant{'s' if len(weights) > 1 else ''}"] if weights else []
        words += [str(file.path) for need in self.weights if not need.fetched for file in need.files]
        return " and ".join(words)

    def total(self) -> tuple[int, bool]:
        """Bytes that --download would fetch, and whether all of their sizes are known."""
        fetched = [need.size for need in self.missing if need.fetched]
        return sum(size or 0 for size in fetched), None not in fetched

    def require_data(self, download: bool) -> None:
        """Raise BadInput where images of a data set that the harness knows are not here, and `download` does not bring them.

        Of other data, whoever reads them says where they were looked for.
        """
        if any(need.size is not None and not need.here and not (download and need.fetched) for need in self.data):
            fetch = "pass --download, or " if all(need.fetched for need in self.data) else ""
            raise BadInput(f"expected {self.line}, got none of that here; {fetch}put it there by hand")

    def require_room(self) -> None:
        """Raise BadInput where a disk has less room than is to be fetched to it."""
        for folder, needed in self._by_disk().items():
            free = shutil.disk_usage(folder).free
            if free < needed:
                raise BadInput(
                    f"expected {as_bytes(needed)} free in {folder} for {self.line}, got {as_bytes(free)}; make room, or name"
                    " another --data-dir and --model-dir"
                )

    def room(self) -> str:
        """Room that is needed and room that there is, in words; a line for each disk."""
        return "; ".join(
            f"{as_bytes(needed)} on disk, {as_bytes(shutil.disk_usage(folder).free)} free in {folder}"
            for folder, needed in self._by_disk().items()
        )

    def _by_disk(self) -> dict[Path, int]:
        """Bytes that come to each disk, by the folder there that exists."""
        needed: dict[int, int] = {}
        folders: dict[int, Path] = {}
        for need in self.missing:
            if not need.fetched or not need.files:
                continue
            folder = _existing(need.files[0].path)
            disk = folder.stat().st_dev
            folders.setdefault(disk, folder)
            needed[disk] = needed.get(disk, 0) + (need.size or 0) + need.unpacked
        return {folders[disk]: size for disk, size in needed.items()}


def needs(entrants: Sequence[zoo.Entrant], suite: Suite, data_dir: Path, splits: Sequence[Split] = ("test",)) -> Needs:
    """What judging these entrants on a suite needs."""
    data = tuple(data_need(suite.loaded_from, split, data_dir) for split in splits)
    return Needs(suite, tuple({need.files: need for need in data}.values()), tuple(map(weights_need, entrants)))


def data_need(dataset: str, split: Split, data_dir: Path) -> Need:
    """A split's files. Of data that only the user knows, the path where it is looked for."""
    if datasets.is_here(dataset, split, data_dir):
        return Need("data", dataset)
    require_parent(data_dir, dataset)
    known = archives(dataset, split)
    if not known:
        return Need(
            "data", dataset, (NeededFile((data_dir / dataset / f"{split}.npz").resolve()),), None, fetched=False
        )
    lacking = []
    for file in known:
        places = file.places(data_dir, dataset)
        if any(file.whole(place) for place in places):
            continue
        wrong = next((found for place in places if (found := file.flaw(place))), "")
        path = data_dir / file.then if file.then else places[0]
        lacking.append((file, NeededFile(path.resolve(), file.addresses[0], wrong)))
    size = sum(file.size for file, _ in lacking)
    fetched = all(file.fetched for file in known)
    return Need("data", dataset, tuple(need for _, need in lacking), size, UNPACKED.get(dataset, 0), fetched)


def weights_need(entrant: zoo.Entrant) -> Need:
    """An entrant's files; of those that --download brings, where they come from and about how large they are."""
    name = entrant.card.name
    try:
        lacking = entrant.missing()
        if not lacking:
            return Need("weights", name, spec=entrant.spec)
        if isinstance(entrant, CheckpointEntrant) and entrant.address is not None:
            return Need("weights", name, tuple(NeededFile(p.resolve(), entrant.address.url) for p in lacking), None)
        if not isinstance(entrant, RobustBenchEntrant):
            return Need("weights", name, tuple(NeededFile(path.resolve()) for path in lacking), None, fetched=False)
        files = {file.path: entrant.downloads.address(file.drive_id, file.url, file.path) for file in entrant.files()}
    except (BadInput, zoo.EntrantError) as error:
        return Need("weights", name, size=None, fetched=False, why=one_line(error))
    found = tuple(NeededFile(path.resolve(), files[path], _flaw(path)) for path in lacking)
    size = about(entrant.dataset, entrant.threat, entrant.name)
    return Need("weights", name, found, size and size * len(lacking) // len(files))


def _flaw(path: Path) -> str:
    problem = flaw(path) if path.is_file() else ""
    return f"expected a checkpoint in {path}, got {problem}" if problem else ""


def _existing(path: Path) -> Path:
    return next(folder for folder in path.absolute().parents if folder.is_dir())


def as_bytes(size: int) -> str:
    """Bytes as a person reads them, in powers of 1000."""
    value, units = float(size), iter(("kB", "MB", "GB", "TB"))
    if size < 1000:
        return f"{size} bytes"
    unit = ""
    while value >= 999.5 and (bigger := next(units, "")):
        value, unit = value / 1000, bigger
    return f"{value:.0f} {unit}" if value >= 100 else f"{value:.1f} {unit}"


def flaws(found: Iterable[Need]) -> list[str]:
    """Files that are here and are not what they should be, a line each."""
    return [file.flaw for need in found for file in need.files if file.flaw]
