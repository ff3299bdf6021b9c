"""Data sets as their makers distribute them: the files, their sizes, where they come from and where they belong.

torchvision knows addresses and MD5 sums; the sizes are those that the hosts say. A file that is here is looked at before any
host is asked: one that is whole is used, one that is not is named with what was expected of it. A download goes to a folder of
its own beside its place and is moved there when it is whole.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from harness.data.images import Split
from harness.errors import BadInput, one_line
from zoo.folders import folder_for

UNPACKED = {"cifar10": 186_220_000, "cifar100": 186_310_000, "mnist": 54_950_048}
"""Bytes, about, that the files of a data set take besides, once they are unpacked."""

SIZES = {
    "cifar-10-python.tar.gz": 170_498_071,
    "cifar-100-python.tar.gz": 169_001_437,
    "train-images-idx3-ubyte.gz": 9_912_422,
    "train-labels-idx1-ubyte.gz": 28_881,
    "t10k-images-idx3-ubyte.gz": 1_648_877,
    "t10k-labels-idx1-ubyte.gz": 4_542,
    "train_32x32.mat": 182_040_794,
    "test_32x32.mat": 64_275_384,
}


@dataclass(frozen=True)
class Archive:
    """A file of a data set. `name` is its path below <data-dir>/<data set>/ (or <data-dir>/ itself).

    `addresses` give it, the first one first. `fetched`: --download brings it; else a person does, and
    unpacks it as `then` says.
    """

    name: str
    size: int
    addresses: tuple[str, ...]
    md5: str = ""
    fetched: bool = True
    then: str = ""

    def places(self, data_dir: Path, dataset: str) -> tuple[Path, Path]:
        """Where it is looked for; the first is where it is put."""
        return data_dir / dataset / self.name, data_dir / self.name

    def by_hand(self, data_dir: Path, dataset: str) -> str:
        """What a person does to have it here: the address, and the path."""
        if self.then:
            return f"{self.addresses[0]}, unpacked as {data_dir.resolve() / self.then}"
        return f"{self.addresses[0]} to {self.places(data_dir, dataset)[0].resolve()}"

    def flaw(self, path: Path) -> str:
        """Why a file is not this one: "expected ..., got ..."; empty where it is, or where there is none."""
        if not path.is_file():
            return ""
        if (size := path.stat().st_size) != self.size:
            return f"expected {self.size:,} bytes in {path}, got {size:,}"
        if not self.md5:
            return ""
        with path.open("rb") as handle:
            found = hashlib.file_digest(handle, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        return "" if found == self.md5 else f"expected the MD5 sum {self.md5} of {path}, got {found}"

    def whole(self, path: Path) -> bool:
        """Whether the file is there and is this one."""
        return path.is_file() and not self.flaw(path)


def archives(dataset: str, split: Split = "test") -> tuple[Archive, ...]:
    """The files that a split of a data set is read from; () for digits, which come with scikit-learn, and for unknown data.

    Of CIFAR and MNIST every split needs all files: torchvision looks for all of them.
    """
    import torchvision.datasets as tv

    match dataset:
        case "cifar10" | "cifar100":
            kind = tv.CIFAR10 if dataset == "cifar10" else tv.CIFAR100
            return (Archive(kind.filename, SIZES[kind.filename], (kind.url,), kind.tgz_md5),)
        case "mnist":
            return tuple(
                Archive(f"MNIST/raw/{name}", SIZES[name], tuple(mirror + name for mirror in tv.MNIST.mirrors), md5)
                for name, md5 in tv.MNIST.resources
            )
        case "svhn":
            address, name, md5 = tv.SVHN.split_list[split]
            return (Archive(name, SIZES[name], (address,), md5),)
        case "tiny-imagenet":
            return (
                Archive(
                    "tiny-imagenet-200.zip",
                    248_100_043,
                    ("http://cs231n.stanford.edu/tiny-imagenet-200.zip",),
                    fetched=False,
                    then="tiny-imagenet-200/",
                ),
            )
        case "imagenet":
            return (
                Archive(
                    "ILSVRC2012_img_val.tar",
                    6_744_924_160,
                    ("https://image-net.org/download.php",),
                    fetched=False,
                    then="imagenet/val/<id>/*.JPEG",
                ),
            )
        case _:
            return ()


def fetch(dataset: str, files: tuple[Archive, ...], root: Path) -> None:
    """Put the files that are not here in `root`, each whole or not at all; no folder is left where that fails.

    Raises BadInput with the address and the path by which a person does it.
    """
    from torchvision.datasets.utils import download_url

    _require_room(dataset, [file for file in files if not file.whole(root / file.name)], root)
    for file in files:
        path = root / file.name
        if file.whole(path):
            continue
        problems = []
        with folder_for(path), tempfile.TemporaryDirectory(dir=path.parent, prefix=".download-") as folder:
            for address in file.addresses:
                try:
                    download_url(address, folder, path.name, file.md5 or None)
                    os.replace(Path(folder) / path.name, path)
                    break
                except (OSError, RuntimeError, http.client.HTTPException, ValueError) as error:
                    part = Path(folder) / path.name
                    problems.append(file.flaw(part).replace(str(part), path.name) or one_line(error))
                    part.unlink(missing_ok=True)
            else:
                raise BadInput(
                    f"expected to download {dataset} from {file.addresses[0]}, got {problems[0]};"
                    f" fetch it with a browser and put it at {path.resolve()}"
                )


def _require_room(dataset: str, files: list[Archive], root: Path) -> None:
    needed = sum(file.size for file in files) + UNPACKED.get(dataset, 0)
    there = next(folder for folder in (root.absolute(), *root.absolute().parents) if folder.is_dir())
    if (free := shutil.disk_usage(there).free) < needed:
        raise BadInput(
            f"expected {needed:,} bytes free in {there} for {dataset}, got {free:,}; make room, or name another --data-dir"
        )
