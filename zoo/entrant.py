"""What an entrant is: a classifier that is judged, its card, its files, and how it is loaded.

An entrant maps images in [0,1], shaped (N, C, H, W), to logits, shaped (N, K). Everything a family of entrants has to
offer is the `Entrant` protocol below; `zoo.find` turns what a person types into one.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:  # the words of a command line are read without waiting for torch
    from PIL.Image import Image
    from torch import Tensor, nn

Transform: TypeAlias = "Callable[[Image], Tensor]"
"""A picture of any size to (C, H, W) float32 in [0,1]."""


class EntrantError(ValueError):
    """Something about an entrant that its user can mend; the message is one line: expected, got, what to do."""


@dataclass(frozen=True)
class Domain:
    """What an entrant of a suite must accept and give.

    `dataset` and `norm` are the names RobustBench uses ("cifar10", "cifar100", "imagenet"; "Linf", "L2").
    `shape` is (channels, height, width) of the images, `classes` the number of logits. `varied`: the images or the threat model
    are not those that others publish numbers of.
    """

    suite: str
    dataset: str
    norm: str
    classes: int
    shape: tuple[int, int, int]
    varied: bool = False


@dataclass(frozen=True)
class Card:
    """Who an entrant is. Every text may be empty; `additional_data` is None where nobody has said.

    `published` names the published row that was measured on these very weights; empty where nobody published them.
    `dynamics` is the log of its training (JSON lines, one an epoch), where one may lie beside its files.
    """

    name: str
    source: str
    architecture: str = ""
    title: str = ""
    authors: str = ""
    venue: str = ""
    link: str = ""
    licence: str = ""
    additional_data: bool | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    dynamics: Path | None = None
    published: str = ""


@dataclass(frozen=True)
class WeightsFile:
    """One file that an entrant is made of, by the name to show and the sha256 of its bytes (hex)."""

    name: str
    sha256: str


@dataclass(frozen=True)
class Weights:
    """What a result depends on besides the data: `sha256` changes whenever the entrant's function may have changed.

    It covers the bytes of the files and whatever else decides the function (the architecture's name, the version of the
    package that holds its code); `files` lists the files alone. `note` tells, on one line, what was found in them and what was
    done with it (tensors chosen, renamed, left out; normalisation); empty where there is nothing to tell.
    """

    sha256: str
    files: tuple[WeightsFile, ...] = ()
    note: str = field(default="", compare=False)


class Entrant(Protocol):
    """A classifier that can be judged."""

    @property
    def card(self) -> Card:
        """Who it is; cheap, reads at most a card file."""
        ...

    @property
    def spec(self) -> str:
        """What to type after --entrants to get this entrant again."""
        ...

    def transform(self) -> Transform | None:
        """How it wants pictures brought to its size, where that is its own affair (ImageNet); None: as the suite."""
        ...

    def missing(self) -> tuple[Path, ...]:
        """Files that are not here and are needed to load it; empty when it can be loaded offline."""
        ...

    def fetch(self) -> None:
        """Download what `missing` names. Raises EntrantError where that cannot be done."""
        ...

    def weights(self) -> Weights:
        """Hash what it is made of. Raises EntrantError for a missing or unusable file (an HTML page, say)."""
        ...

    def load(self) -> nn.Module:
        """The classifier on the CPU, in eval mode, float32, its parameters frozen (requires_grad False).

        Raises EntrantError for files of another architecture, pickles that hold code, and the like.
        """
        ...


def sha256_of_file(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint for a mistyped name: ' did you mean A or B?' or an empty string."""
    known = list(known)
    lower = {k.lower(): k for k in known}
    close = [lower[match] for match in difflib.get_close_matches(name.lower(), lower, n=3, cutoff=0.5)]
    return f" did you mean {' or '.join(close)}?" if close else ""


def freeze(model: nn.Module) -> nn.Module:
    """Put the model in eval mode and freeze its parameters, so that attacks compute no weight gradients."""
    return model.eval().requires_grad_(False)
