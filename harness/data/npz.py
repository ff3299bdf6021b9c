"""Images and labels in .npz files: `image` (N, H, W, C) uint8 or floats in [0,1], and whole-number `label` (N,).

What the arrays are is read from their headers, and how large from the archive's directory, before anything is unpacked.
"""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path

import numpy as np
import torch

from harness.data.images import ImageSet, Split, native
from harness.errors import BadInput, one_line
from zoo.bounds import zip_flaw

MOST_BYTES = 16 * 2**30
"""Of all arrays: five million images of 32x32 pixels as uint8."""

SQUEEZED = 100
"""How many times smaller than its arrays a file may be: drawings in double precision reach 30, bombs 1,000."""

HEADER_BYTES = 2**16

NAMES = ["image", "label"]


def header(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of an array, of which nothing more is unpacked. Raises ValueError where they do not fit its size."""
    entry = archive.getinfo(f"{name}.npy")
    with archive.open(entry) as packed:
        stream = io.BytesIO(packed.read(HEADER_BYTES))
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    if dtype.hasobject:
        raise ValueError(f"Python objects in {name}")
    if stream.tell() + math.prod(shape) * dtype.itemsize != entry.file_size:
        raise ValueError(f"another size of {name} than its shape {shape} needs")
    return shape, dtype


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The two arrays of a file. Raises BadInput for one that holds others, and for what is no such file."""
    try:
        if flaw := zip_flaw(path, MOST_BYTES, SQUEEZED):
            raise ValueError(flaw)
        with zipfile.ZipFile(path) as archive:
            keys = sorted(name.removesuffix(".npy") for name in archive.namelist())
            if keys != NAMES:
                raise BadInput(
                    f"expected the arrays image and label in {path}, got {', '.join(keys)[:200]}; rename them"
                )
            (images, pixels), (labels, numbers) = (header(archive, name) for name in NAMES)
        numeric = pixels == np.uint8 or np.issubdtype(pixels, np.floating)
        if len(images) != 4 or len(labels) != 1 or not numeric or not np.issubdtype(numbers, np.integer):
            raise BadInput(
                f"expected image (N, H, W, C) of uint8 or floats and integer label (N,) in {path},"
                f" got {pixels} {images} and {numbers} {labels}; reshape them"
            )
        if 0 in images or images[0] != labels[0]:
            raise BadInput(
                f"expected as many labels as images and at least one, got image {images} and label {labels} in {path};"
                " mend the file"
            )
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as data:
            return data["image"], data["label"]
    except BadInput:
        raise
    except Exception as error:  # numpy's reader of headers, zipfile and zlib raise what they like
        raise BadInput(
            f"expected an .npz of plain arrays in {path}, got {one_line(error)[:200]}; write it again"
        ) from error


def npz_split(name: str, path: Path, split: Split, classes: int) -> ImageSet:
    """A split of a data set. Raises BadInput for a file that is not as above."""
    images, labels = _read(path)
    exact = native(np.moveaxis(images, 3, 1))
    if exact is None:
        raise BadInput(
            f"expected image of uint8 or of floats that float64 can hold in {path}, got {images.dtype};"
            " write it as float32"
        )
    pixels = torch.from_numpy(exact)
    if pixels.dtype != torch.uint8:
        pixels = pixels.float()
    names = tuple(str(k) for k in range(classes))
    return ImageSet(name, split, pixels, torch.from_numpy(labels.astype(np.int64)), names, path.name)


def npz_file(path: Path, shape: tuple[int, int, int], classes: int) -> ImageSet:
    """Images to train on besides a data set's own, such as synthetic ones: an .npz of the suite's shape and classes."""
    found = npz_split(path.stem, path, "train", classes)
    if found.shape != shape:
        raise BadInput(
            f"expected images of {'x'.join(map(str, shape))} (channels, height, width) in {path}, got"
            f" {'x'.join(map(str, found.shape))}; resize them"
        )
    return found
