"""Parts of data sets: files that hold the first examples of a split and nothing else, known by their content.

Where a data set itself is not here, <data-dir>/<data set>-first<N>/<split>.npz takes its place, and a run on it is a run on
the first N examples. So that it finds the same wherever it is made, a run with --limit M is judged on the part that holds its
M examples also where the whole data set is here: fingerprint, calibration and shards do not depend on which files were read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from harness.data.images import ImageSet, Split
from harness.data.npz import npz_split
from harness.errors import BadInput


@dataclass(frozen=True)
class KnownPart:
    """The first `examples` of the `whole` ones that a split has; `content` is ImageSet.content (sha256, hex) of them all."""

    dataset: str
    split: Split
    examples: int
    whole: int
    classes: tuple[str, ...]
    content: str

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.dataset}-first{self.examples}"

    def begins(self, images: ImageSet) -> bool:
        """Whether a set begins with the part's pixels and labels."""
        named = (images.name, images.split) == (self.dataset, self.split)
        return named and len(images) >= self.examples and images.content(0, self.examples) == self.content


KNOWN_PARTS = (
    KnownPart(
        dataset="cifar10",
        split="test",
        examples=1_017,
        whole=10_000,
        classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        content="7291f27b9d7a570c52c5a71509ada887db1e50371184e5a8df062d4ab06e1eb5",
    ),
)
"""The parts that the project knows; the smaller ones of a split first."""


def parts_here(dataset: str, split: Split, data_dir: Path) -> dict[int, Path]:
    """The files of a folder of data that are named as parts of a split, by the examples that they hold."""
    return {
        int(named[1]): path
        for path in data_dir.glob(f"{dataset}-first*/{split}.npz")
        if (named := re.fullmatch(rf"{re.escape(dataset)}-first([1-9]\d{{0,8}})", path.parent.name))
    }


def find_part(dataset: str, split: Split, data_dir: Path) -> ImageSet | None:
    """The largest part of a split that a folder of data holds; None where there is none.

    Raises BadInput for one that the project does not know, and for one that holds something else.
    """
    found = parts_here(dataset, split, data_dir)
    if not found:
        return None
    path = found[max(found)]
    known = next((part for part in KNOWN_PARTS if (part.name, part.split) == (path.parent.name, split)), None)
    if known is None:
        raise BadInput(
            f"expected a part of {dataset} that the harness knows, got {path}; put {dataset} itself there, or judge it as other"
            f" data with --dataset {path.parent.name}"
        )
    images = npz_split(dataset, path, split, len(known.classes))
    if len(images) != known.examples or not known.begins(images):
        raise BadInput(
            f"expected the first {known.examples} {split} examples of {dataset} in {path}, got other images or labels; put the"
            " right file there, or rename its folder and name that with --dataset"
        )
    return replace(images, classes=known.classes, whole=known.whole, source=f"{path.parent.name}/{path.name}")


def first_examples(images: ImageSet, limit: int | None) -> ImageSet:
    """What a run of the first `limit` examples (None: of all) is judged on: the known part that holds them, else the set.

    Raises BadInput where the set is a part of fewer examples than `limit`.
    """
    if images.whole and limit is not None and limit > len(images):
        raise BadInput(
            f"expected at most {len(images)} examples, got --limit {limit}: of the {images.whole} of {images.name} only the"
            f" first {len(images)} are here ({images.source}); give a smaller --limit, or put {images.name} itself there"
        )
    for part in KNOWN_PARTS:
        if limit is not None and limit <= part.examples < len(images) and part.begins(images):
            return replace(images.first(part.examples), whole=part.whole)
    return images


def partly(images: ImageSet, limit: int | None) -> str:
    """For people: that only a part of a split is here, and how it is judged; empty where all of it is here."""
    if not images.whole:
        return ""
    return (
        f"only the first {len(images)} of the {images.whole} {images.split} examples of {images.name} are here"
        f" ({images.source}): judged as with --limit {limit or len(images)} on all of it"
    )


def require_other(dataset: str, own: str) -> None:
    """Raise BadInput for a part of the data set `own` that is named as other data."""
    part = next((part for part in KNOWN_PARTS if (part.name, part.dataset) == (dataset, own)), None)
    if part is not None:
        raise BadInput(
            f"expected other data than {own}, got {dataset}, its first {part.examples} examples; leave --dataset out and give"
            f" --limit {part.examples}"
        )
