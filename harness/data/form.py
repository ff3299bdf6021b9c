"""What a user's own images look like, for who writes a suite for them: how many classes, and which shape."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from harness.data.npz import header
from harness.data.own_data import OwnData, is_own
from harness.errors import BadInput


@dataclass(frozen=True)
class Form:
    """Of a data set: its classes, None where its files do not tell, and the shape (C, H, W) of its images."""

    classes: int | None
    shape: tuple[int, int, int]

    def __str__(self) -> str:
        """As a suite's file says it."""
        classes = "" if self.classes is None else f"classes = {self.classes}, "
        return f"{classes}shape = {list(self.shape)}"


def form_of(dataset: str, data_dir: Path) -> Form | None:
    """The form of a data set, by its test split, else by its training split; None where nothing tells it."""
    for split in ("test", "train"):
        folder = data_dir / dataset / split
        try:
            if is_own(dataset):
                images = OwnData.find(dataset)("test")
                return Form(len(images.classes), images.shape)
            if folder.is_dir():
                return _of_pictures(folder)
            if folder.with_suffix(".npz").is_file():
                with zipfile.ZipFile(folder.with_suffix(".npz")) as archive:
                    (_, height, width, channels), _ = header(archive, "image")
                return Form(None, (channels, height, width))
        except (BadInput, OSError, ValueError, KeyError, zipfile.BadZipFile):
            return None  # what is wrong with the data is told where they are read
    return None


def _of_pictures(folder: Path) -> Form | None:
    classes = [path for path in folder.iterdir() if path.is_dir()]
    for klass in classes:
        for path in klass.iterdir():
            if path.suffix.lower() in (".png", ".jpg", ".jpeg"):
                with Image.open(path) as picture:
                    grey = picture.mode in ("1", "L", "I;16")
                    return Form(len(classes), (1 if grey else 3, picture.height, picture.width))
    return None
