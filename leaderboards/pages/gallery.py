"""The pictures of a measurement that lie under samples/, as an entrant's page inlines them.

A picture carries the sha256 of the measurement's arrays: one that was made for other draws is not shown. Pages fetch
nothing, so pictures stand in them as data URIs; larger ones than LARGEST are left to the folder.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from leaderboards.records.files import record_path
from leaderboards.records.schema import Record

LARGEST = 400_000
"""Bytes of a picture that a page takes in."""


@dataclass(frozen=True)
class Picture:
    """A picture of one class: its name, its size in pixels, and itself as a data URI."""

    title: str
    width: int
    height: int
    uri: str


def samples_folder(samples: Path, record: Record) -> Path:
    """Where the samples of a record lie: as its file, under samples/."""
    return record_path(samples, record).with_suffix("")


def gallery(samples: Path | None, record: Record, measure: str) -> tuple[Picture, ...]:
    """The pictures of one measurement, by class; empty where there are none that belong to it."""
    found = record.measurements.get(measure)
    if samples is None or found is None or found.arrays is None:
        return ()
    pictures = []
    for path in sorted(samples_folder(samples, record).glob("class-*.png")):
        content = path.read_bytes()
        if len(content) > LARGEST:
            continue
        try:
            with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
                image.load()
                texts, (width, height) = getattr(image, "text", {}), image.size
        except (OSError, SyntaxError, ValueError, UnidentifiedImageError):
            continue
        if texts.get("measurement") == found.arrays.sha256:
            uri = f"data:image/png;base64,{base64.b64encode(content).decode()}"
            pictures.append(Picture(str(texts.get("class", path.stem)), width, height, uri))
    return tuple(pictures)
