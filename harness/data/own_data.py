"""A data set of the user's own: `module:callable`, which gives a split's images, labels and class names.

The callable is called with "train" or "test" and returns (images (N, C, H, W) uint8 or floats in [0,1], whole-number
labels (N,), class names), as tensors or arrays, or an ImageSet. Results carry its `name` attribute where it has one, else
<module>-<callable>, and the fingerprint of what it returned: changed data are other data.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.data.images import BUILT_IN, ImageSet, Split
from harness.errors import BadInput
from zoo.entrant import EntrantError
from zoo.own_code import OwnCode, raised, working_directory_importable


def is_own(dataset: str) -> bool:
    """Whether a data set is named as the user's own code, module:callable; nothing is imported."""
    return ":" in dataset


@dataclass(frozen=True)
class OwnData:
    """What loads the data; `found` is the callable that `code` names."""

    code: OwnCode
    found: Callable[[Split], Any]

    @classmethod
    def find(cls, dataset: str) -> OwnData:
        """Import the callable from a module of the working directory. Raises BadInput, one line."""
        try:
            code = OwnCode.parse(dataset, "images, labels and class names")
            return cls(code, code.find())
        except EntrantError as error:
            raise BadInput(str(error)) from error

    @property
    def name(self) -> str:
        """What results and their folders are named by. Raises BadInput for what cannot be a file's name."""
        name = getattr(self.found, "name", f"{self.code.module}-{self.code.attribute}")
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", name):
            raise BadInput(
                f"expected a name of letters, digits and . _ + - for the data of {self.code}, got {name!r};"
                " give the callable an attribute `name` with another"
            )
        if name.removesuffix("-jpeg") in BUILT_IN:
            raise BadInput(
                f"expected a name of their own for the data of {self.code}, got {name!r}; results on them are not results"
                f" on {name}, give the callable an attribute `name` with another"
            )
        return name

    def __call__(self, split: Split) -> ImageSet:
        """A split. Raises BadInput, one line, where the callable raises or returns something else."""
        who = f"{self.code}({split!r})"
        try:
            with working_directory_importable():
                held = self.found(split)
        except (Exception, SystemExit) as error:  # it is the user's code
            raise BadInput(f"expected {who} to return images, labels and class names, got {raised(error)}") from error
        if isinstance(held, ImageSet):
            held = (held.images, held.labels, held.classes)
        if not isinstance(held, tuple | list) or len(held) != 3:
            got = f"{len(held)} things" if isinstance(held, tuple | list) else f"a {type(held).__name__}"
            raise BadInput(f"expected {who} to return images, labels and class names, got {got}; return these three")
        images, labels, classes = _tensor(held[0]), _tensor(held[1]), held[2]
        if images is None or images.dim() != 4 or not (images.dtype == torch.uint8 or images.is_floating_point()):
            raise BadInput(
                f"expected images (N, C, H, W) of uint8 or floats in [0,1] from {who}, got {_form(held[0])}; convert them"
            )
        if labels is None or labels.dim() != 1 or not _whole(labels):
            raise BadInput(f"expected whole numbers (N,) as labels from {who}, got {_form(held[1])}; convert them")
        if (
            isinstance(classes, str)
            or not isinstance(classes, Sequence)
            or not all(isinstance(c, str) for c in classes)
        ):
            raise BadInput(f"expected a list of texts as class names from {who}, got {classes!r:.100}; name each class")
        return ImageSet(
            name=self.name,
            split=split,
            images=images if images.dtype == torch.uint8 else images.float(),
            labels=labels.long(),
            classes=tuple(classes),
            source=who,
        )


def _tensor(held: Any) -> Tensor | None:
    """A tensor on the CPU of a tensor, an array or a list; None of what is none."""
    try:
        if isinstance(held, Tensor):
            return held.detach().cpu().contiguous()
        array = np.ascontiguousarray(held)
        return torch.from_numpy(array if array.flags.writeable else array.copy())  # a file that is mapped is not
    except (TypeError, ValueError, RuntimeError):  # texts, objects, lists of different lengths
        return None


def _whole(labels: Tensor) -> bool:
    return not (labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool)


def _form(held: Any) -> str:
    """What something is, for a message: its type, and of arrays the numbers' type and the shape."""
    if isinstance(held, Tensor | np.ndarray):
        return f"{str(held.dtype).removeprefix('torch.')} {tuple(held.shape)}"
    return f"a {type(held).__name__}"
