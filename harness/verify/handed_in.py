"""Images that somebody hands in as proof, from a file of theirs: nothing in it is trusted, and no code in it is run.

An .npz holds `image` or `x_adv`, (N, H, W, C) or (N, C, H, W) as the suite's shape tells, and `index` (N,) where the images are
not those of the first N examples. A .pt holds a tensor (N, C, H, W), as RobustBench asks for it, or a dict of one under
`adv_complete`, `x_adv` or `image`, with `index` beside it or not. Images are uint8, or floats in [0,1].
"""

from __future__ import annotations

import math
import warnings
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.data.images import ImageSet, native
from harness.data.npz import SQUEEZED, header
from harness.errors import BadInput, one_line
from zoo.bounds import ROOM, zip_flaw
from zoo.faults import is_refused_pickle, refused_pickle
from zoo.formats import flaw
from zoo.unpickling import unpickling

IN_NPZ, IN_PT = ("image", "x_adv"), ("adv_complete", "x_adv", "image")
INDEX = "index"


@dataclass(frozen=True)
class HandedIn:
    """N images as they were handed in: `images` (N, C, H, W) float32, any values; `examples` (N,) int64, each once: the places
    in the suite that they are said to belong to."""

    images: Tensor
    examples: np.ndarray

    def rows(self, examples: np.ndarray) -> np.ndarray:
        """(n,) places in the file of the images of these examples."""
        order = np.argsort(self.examples, kind="stable")
        return order[np.searchsorted(self.examples[order], examples)]


def read_handed_in(path: Path, images: ImageSet) -> HandedIn:
    """Read a file of images against a suite's test examples. Raises BadInput for what is none; the images are not judged."""
    if not path.is_file():
        raise BadInput(f"expected a file of images, got {path}, which is none; check the path")
    most = ROOM + 16 * len(images) * math.prod(images.shape)  # twice what they take in double precision
    try:
        held = {".npz": _npz, ".pt": _pt}[path.suffix](path, most)
    except KeyError:
        raise BadInput(f"expected an .npz or a .pt file, got {path.name}; write one of the two") from None
    pixels, index = _form(held.images, path, images), held.index
    examples = np.arange(len(pixels)) if index is None else _index(index, len(pixels), len(images), path)
    return HandedIn(pixels, examples)


@dataclass(frozen=True)
class _Held:
    """What a file holds, nothing of it checked but that they are arrays of numbers."""

    images: Tensor
    index: Tensor | None


def _chosen(names: Iterable[str], allowed: tuple[str, ...], path: Path) -> str:
    """The one name of images among those in a file. Raises BadInput for none, for two, and for names that nobody reads."""
    found = sorted(map(str, names))
    images = [name for name in found if name in allowed]
    if len(images) != 1 or set(found) - {*images, INDEX}:
        raise BadInput(
            f"expected one of {', '.join(allowed)}, and {INDEX} or not, in {path.name}, got"
            f" {', '.join(found)[:200] or 'nothing'}; rename them"
        )
    return images[0]


def _npz(path: Path, most: int) -> _Held:
    try:
        if problem := zip_flaw(path, most, SQUEEZED):
            raise ValueError(problem)
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            chosen = _chosen(names, IN_NPZ, path)
            for name in names:
                header(archive, name)  # refuses what holds objects, or says more than there is
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as data:
            held = {name: native(np.atleast_1d(data[name])) for name in names}
    except BadInput:
        raise
    except Exception as error:  # numpy's reader of headers, zipfile and zlib raise what they like
        raise BadInput(
            f"expected an .npz of plain arrays in {path.name}, got {one_line(error)[:200]}; write it again"
        ) from error
    if (images := held[chosen]) is None:
        raise BadInput(f"expected images of uint8 or floats in {path.name}, got longdouble; write them as float32")
    return _Held(_tensor(images, path), _tensor(index, path) if (index := held.get(INDEX)) is not None else None)


def _pt(path: Path, most: int) -> _Held:
    try:
        if problem := flaw(path, most):
            raise ValueError(problem)
        with unpickling(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch says of sparse tensors, which are refused below
            held = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises what it likes of a damaged file
        got = refused_pickle(error) if is_refused_pickle(error) else one_line(error)[:200]
        raise BadInput(f"expected plain tensors in {path.name}, got {got}; save the tensor alone") from error
    if isinstance(held, dict):
        chosen = _chosen(held, IN_PT, path)
        index = held.get(INDEX)
        return _Held(_tensor(held[chosen], path), None if index is None else _tensor(index, path))
    return _Held(_tensor(held, path), None)


def _tensor(held: Any, path: Path) -> Tensor:
    """A plain tensor of what may be anything. Raises BadInput."""
    if isinstance(held, np.ndarray) and held.dtype.kind in "buif":
        held = torch.from_numpy(held.copy() if held.dtype.kind != "u" else _unsigned(held))
    plain = isinstance(held, Tensor) and held.layout is torch.strided and held.device.type == "cpu"
    if not plain or held.is_quantized or held.is_complex():
        raise BadInput(f"expected plain arrays of numbers in {path.name}, got {_kind(held)}; write it again")
    return held.detach()


def _unsigned(held: np.ndarray) -> np.ndarray:
    """torch counts in signed numbers, but for bytes."""
    return held.copy() if held.dtype == np.uint8 else held.astype(np.int64)


def _kind(held: Any) -> str:
    return f"{type(held).__name__} of {held.dtype}" if hasattr(held, "dtype") else type(held).__name__


def _form(held: Tensor, path: Path, images: ImageSet) -> Tensor:
    """(N, C, H, W) float32. Raises BadInput for another shape or type, before anything is made of the values."""
    channels, height, width = images.shape
    shape = tuple(held.shape)
    as_written = shape[1:] == (channels, height, width)
    last = path.suffix == ".npz" and shape[1:] == (height, width, channels)
    if len(shape) != 4 or not (as_written or last):
        forms = f"(N, {channels}, {height}, {width})"
        forms += f" or (N, {height}, {width}, {channels})" if path.suffix == ".npz" else ""
        raise BadInput(
            f"expected images of {forms} in {path.name}, got {shape}; hand in images of the suite, in its shape"
        )
    if not 0 < shape[0] <= len(images):
        raise BadInput(
            f"expected 1 to {len(images)} images in {path.name}, got {shape[0]}; hand in one for an example at most"
        )
    if held.dtype != torch.uint8 and not held.is_floating_point():
        raise BadInput(f"expected images of uint8 or floats in [0,1] in {path.name}, got {held.dtype}; convert them")
    pixels = held if as_written else held.movedim(3, 1)
    return (pixels.float() / 255 if held.dtype == torch.uint8 else pixels.to(torch.float32)).contiguous()


def _index(held: Tensor, n: int, examples: int, path: Path) -> np.ndarray:
    if tuple(held.shape) != (n,) or held.is_floating_point() or held.dtype == torch.bool:
        raise BadInput(
            f"expected {INDEX} of {n} whole numbers, one an image, in {path.name}, got {held.dtype}"
            f" {tuple(held.shape)}; write the numbers of the examples"
        )
    index = held.numpy().astype(np.int64)
    if int(index.min()) < 0 or int(index.max()) >= examples:
        raise BadInput(
            f"expected {INDEX} from 0 to {examples - 1} in {path.name}, got {int(index.min())} to {int(index.max())};"
            " count the suite's examples from 0"
        )
    if len(np.unique(index)) < n:
        raise BadInput(
            f"expected each example once in {INDEX} of {path.name}, got one of them twice; keep one image of it"
        )
    return index
