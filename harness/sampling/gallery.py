"""Pictures of draws: for each class the start, the result below it, and below that the nearest training image."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from leaderboards.records.files import write_atomically

CLASSES = 10
"""Classes that get a picture, at most: a page inlines them."""
EACH = 10
"""Draws shown of a class."""
GAP = 2
LEAST = 32
"""Pixels an image has at least in a picture: smaller ones are enlarged, each pixel to a square."""


def grid(rows: Sequence[np.ndarray]) -> Image.Image:
    """Rows of images (N, C, H, W) uint8, grey or RGB, to one picture, with gaps between them."""
    _, channels, height, width = rows[0].shape
    columns, times = max(len(row) for row in rows), max(1, LEAST // height)
    canvas = np.full(
        (len(rows) * (height * times + GAP) - GAP, columns * (width * times + GAP) - GAP, channels), 128, np.uint8
    )
    for line, row in enumerate(rows):
        for column, image in enumerate(row):
            large = image.transpose(1, 2, 0).repeat(times, 0).repeat(times, 1)
            top, left = line * (height * times + GAP), column * (width * times + GAP)
            canvas[top : top + large.shape[0], left : left + large.shape[1]] = large
    return Image.fromarray(canvas[..., 0] if channels == 1 else canvas)


def _save(picture: Image.Image, path: Path, texts: dict[str, str]) -> None:
    described = PngInfo()
    for key, text in texts.items():
        described.add_itxt(key, text)
    stream = io.BytesIO()
    picture.save(stream, "PNG", pnginfo=described, optimize=True)
    write_atomically(path, stream.getvalue())


def write_gallery(
    folder: Path,
    mark: str,
    images: np.ndarray,
    starts: np.ndarray,
    nearest: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
) -> None:
    """`class-<k>.png` for the first classes, and `grid.png` with results alone, a row a class.

    Images, starts and nearest training images (N, C, H, W) uint8 in the order of the draws; `mark` is written into each
    picture, so that a page shows it beside its own measurement only.
    """
    results = []
    for klass in range(min(CLASSES, len(classes))):
        mine = np.flatnonzero(labels == klass)[:EACH]
        if len(mine):
            picture = grid([starts[mine], images[mine], nearest[mine]])
            _save(picture, folder / f"class-{klass:03}.png", {"measurement": mark, "class": classes[klass]})
            results.append(images[mine])
    if results:
        _save(grid(results), folder / "grid.png", {"measurement": mark})
