"""CIFAR-10, CIFAR-100, MNIST and SVHN from the files that torchvision reads; an archive that is here is unpacked first."""

from __future__ import annotations

import gzip
import tarfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from harness.data.archives import Archive, archives, fetch
from harness.data.images import ImageSet, Split
from harness.data.missing import missing
from harness.data.parts import find_part
from harness.errors import BadInput, one_line

if TYPE_CHECKING:
    from torchvision.datasets import VisionDataset

LOSSLESS = ("mnist", "cifar10", "cifar100", "svhn")
"""Data sets that are distributed without loss: JPEG copies of them are other data, and are named so."""


def torchvision_split(name: str, data_dir: Path, split: Split, download: bool) -> ImageSet:
    """A split from <data-dir>/ or <data-dir>/<name>/: as torchvision unpacks it, else from archives that are whole, else, where
    they may be fetched, from those. Raises BadInput, naming files that are not what they should be.
    """
    data = next((found for root in _roots(name, data_dir) if (found := _unpacked(name, root, split)) is not None), None)
    if data is None:
        data = _unpack(name, data_dir, split, download)
    if data is None:
        if (part := find_part(name, split, data_dir)) is not None:
            return part
        raise missing(name, data_dir, split, "torchvision's files" + _torn(name, data_dir, split))
    held: Any = data
    if name == "mnist":
        images, labels = held.data.unsqueeze(1), held.targets
        classes = tuple(str(k) for k in range(10))
    elif name == "svhn":
        images, labels = torch.from_numpy(held.data), torch.from_numpy(held.labels)
        classes = tuple(str(k) for k in range(10))
    else:
        images, labels = torch.from_numpy(held.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(held.targets)
        classes = tuple(held.classes)
    return ImageSet(name, split, images, labels.long(), classes, f"torchvision's {name} files")


def torchvision_here(name: str, data_dir: Path, split: Split) -> bool:
    """Whether a split's files are here by name and size, unpacked or not."""
    unpacked = any(all(path.is_file() for path in _files(name, root, split)) for root in _roots(name, data_dir))
    return unpacked or _archived(name, data_dir, split) is not None


def _roots(name: str, data_dir: Path) -> tuple[Path, Path]:
    return data_dir, data_dir / name


def _archived(name: str, data_dir: Path, split: Split) -> Path | None:
    """The folder that holds all archives of a split, each whole."""
    files = archives(name, split)
    return next((r for r in _roots(name, data_dir) if all(file.whole(r / file.name) for file in files)), None)


def _unpack(name: str, data_dir: Path, split: Split, download: bool) -> VisionDataset | None:
    """The split from archives, fetched where that is asked for; None where they are not here."""
    root = _archived(name, data_dir, split)
    if root is None:
        if not download:
            return None
        root = data_dir / name
        fetch(name, archives(name, split), root)
    try:
        return _built(name, root, split, True)  # it finds the archives whole, and asks no host
    except (OSError, RuntimeError, EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError) as error:
        raise BadInput(
            f"expected to unpack {name} in {root}, got {one_line(error)}; unpack its files elsewhere and put them there"
        ) from error


def _unpacked(name: str, root: Path, split: Split) -> VisionDataset | None:
    """The split from unpacked files; None where they are not here. Raises BadInput for files of MNIST that break off."""
    if name == "mnist":
        for path in _files(name, root, split):
            if flaw := _idx_flaw(path):
                raise BadInput(f"expected {flaw}; remove it, and read or fetch the data set again")
    try:
        return _built(name, root, split, False)
    except RuntimeError:  # "Dataset not found or corrupted": torchvision has no narrower error
        return None


def _built(name: str, root: Path, split: Split, unpack: bool) -> VisionDataset:
    import torchvision.datasets as tv

    match name:
        case "mnist":
            return tv.MNIST(str(root), train=split == "train", download=unpack)
        case "cifar10":
            return tv.CIFAR10(str(root), train=split == "train", download=unpack)
        case "cifar100":
            return tv.CIFAR100(str(root), train=split == "train", download=unpack)
        case _:
            return tv.SVHN(str(root), split=split, download=unpack)


def _sums(name: str) -> dict[str, str]:
    """MD5 sums of CIFAR's unpacked files, by their paths below the root."""
    import torchvision.datasets as tv

    kind = tv.CIFAR10 if name == "cifar10" else tv.CIFAR100
    listed = [*kind.train_list, *kind.test_list, [kind.meta["filename"], kind.meta["md5"]]]
    return {f"{kind.base_folder}/{file}": md5 for file, md5 in listed}


def _files(name: str, root: Path, split: Split) -> tuple[Path, ...]:
    """The unpacked files that a split is read from."""
    if name == "svhn":
        return tuple(root / file.name for file in archives(name, split))
    if name == "mnist":
        which = "train" if split == "train" else "t10k"
        return tuple((root / file.name).with_suffix("") for file in archives(name) if f"/{which}-" in file.name)
    return tuple(root / path for path in _sums(name))


def _torn(name: str, data_dir: Path, split: Split) -> str:
    """Unpacked files of CIFAR that are here and are not what they should be, for a message."""
    if not name.startswith("cifar"):
        return ""
    found = (
        Archive(path, place.stat().st_size, (), md5).flaw(place)
        for root in _roots(name, data_dir)
        for path, md5 in _sums(name).items()
        if (place := root / path).is_file()
    )
    flaws = [flaw for flaw in found if flaw]
    return f" ({'; '.join(flaws)})" if flaws else ""


def _idx_flaw(path: Path) -> str:
    """Why a file is no whole array of MNIST's format: "<n> bytes in <path>, got <m>"; empty where it is, or is not here.

    The format: two zeros, a type (8: uint8), the number of dimensions, each of them in four bytes, and the numbers.
    """
    if not path.is_file():
        return ""
    with path.open("rb") as handle:
        head = handle.read(4)
        sides = handle.read(4 * head[3]) if len(head) == 4 else b""
    if len(head) < 4 or head[:3] != b"\0\0\x08" or len(sides) < 4 * head[3]:
        return f"an array of MNIST's format in {path}, got {path.stat().st_size:,} bytes of something else"
    size = 4 + len(sides)
    count = 1
    for k in range(0, len(sides), 4):
        count *= int.from_bytes(sides[k : k + 4], "big")
    there = path.stat().st_size
    return "" if there == size + count else f"{size + count:,} bytes in {path}, got {there:,}"
