"""Entrants of RobustBench (Croce et al. 2021, arXiv 2010.09670): every entry that the package robustbench can load.

The package builds the networks, reads the files and matches their keys; this module finds the files, looks at them, and
says on one line what is wrong. The package publishes no checksums, so the sha256 of each file is recorded. Three of its
entries (Bai2023Improving_*) put tensors on a GPU while they are built and load nowhere else.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import io
import logging
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from torch import nn

from zoo.downloads import Downloads
from zoo.entrant import Card, EntrantError, Transform, Weights, WeightsFile, did_you_mean, freeze, sha256_of_file
from zoo.faults import is_mismatch, is_refused_pickle, mismatch, one_line, refused_pickle
from zoo.formats import flaw
from zoo.published import published_result
from zoo.unpickling import unpickling

log = logging.getLogger(__name__)

INSTALL = 'do: pip install "robust-energy-harness[robustbench]" (in a checkout: pip install -e ".[robustbench]")'
"""What brings the package, with the versions of timm and setuptools that it needs."""


@functools.cache
def import_robustbench() -> Mapping[tuple[str, str], Mapping[str, Mapping[str, Any]]]:
    """Import the package, and give its entries by (dataset, threat) and name. A few seconds the first time.

    It imports AutoAttack under its old name, `autoattack`, while its dependency installs `pyautoattack`: both names
    are registered first, here and nowhere else. Raises EntrantError where it cannot be imported.
    """
    try:
        # its dependencies warn of their own deprecated imports; nothing here can mend those
        with warnings.catch_warnings(action="ignore"):
            import pyautoattack
            import pyautoattack.state

            sys.modules.setdefault("autoattack", pyautoattack)
            sys.modules.setdefault("autoattack.state", pyautoattack.state)
            from robustbench.model_zoo import model_dicts
    except ImportError as error:
        raise EntrantError(f"expected the package robustbench to import, got {one_line(error)}; {INSTALL}") from error
    return {
        (dataset.value, threat.value): entries
        for dataset, threats in model_dicts.items()
        for threat, entries in threats.items()
    }


@dataclass(frozen=True)
class RemoteFile:
    """A file that an entry is loaded from, and where it comes from: a Drive id or a web address."""

    path: Path
    drive_id: str | None = None
    url: str | None = None


@dataclass(frozen=True)
class RobustBenchEntrant:
    """One entry. `threat` is "Linf", "L2" or "corruptions"; files lie in <model_dir>/<dataset>/<threat>.

    `allow_pickle` lets its files run code while they are read. `downloads` says where missing files come from.
    """

    name: str
    dataset: str
    threat: str
    model_dir: Path
    allow_pickle: bool = False
    downloads: Downloads = field(default_factory=Downloads, compare=False)

    @property
    def card(self) -> Card:
        row = published_result(self.dataset, self.threat, self.name)
        if row is None:
            return Card(name=self.name, source="robustbench")
        return Card(
            name=self.name,
            source="robustbench",
            architecture=row.architecture,
            title=row.title,
            authors=row.authors,
            venue=row.venue,
            link=row.link,
            additional_data=row.additional_data,
        )

    @property
    def spec(self) -> str:
        return f"robustbench:{self.name}"

    def files(self) -> tuple[RemoteFile, ...]:
        """Every file it is loaded from. Raises EntrantError for a name that the package does not have."""
        entries = import_robustbench().get((self.dataset, self.threat), {})
        if self.name not in entries:
            raise EntrantError(
                f"expected an entry of RobustBench for {self.dataset}, {self.threat}, got {self.name!r};"
                f"{did_you_mean(self.name, entries)} see harness list entrants"
            )
        url = _hub_url(self.dataset, self.threat, self.name)
        if url:
            path = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name
            return (RemoteFile(path, url=url),)
        drive_id = entries[self.name]["gdrive_id"]
        path = self.model_dir / self.dataset / self.threat / f"{self.name}.pt"
        if isinstance(drive_id, str):
            return (RemoteFile(path, drive_id),)
        return tuple(RemoteFile(path.with_name(f"{path.name}_m{i}.pt"), part) for i, part in enumerate(drive_id))

    def transform(self) -> Transform | None:
        """The preprocessing that it is published with, on ImageNet; elsewhere images come in the size it wants."""
        if self.dataset != "imagenet":
            return None
        import_robustbench()
        with warnings.catch_warnings(action="ignore"):
            from robustbench.data import get_preprocessing
            from robustbench.model_zoo.enums import BenchmarkDataset, ThreatModel

        return get_preprocessing(BenchmarkDataset(self.dataset), ThreatModel(self.threat), self.name, None)

    def missing(self) -> tuple[Path, ...]:
        """Files that are not here, or that are here and are no checkpoints (a host's error page, a part of a file)."""
        return tuple(file.path for file in self.files() if not file.path.is_file() or flaw(file.path))

    def fetch(self) -> None:
        """Download what is missing; a page that lies in a checkpoint's place is removed first."""
        for file in self.files():
            if file.path.is_file():
                if not flaw(file.path):
                    continue
                log.warning("removing %s: it is %s", file.path, flaw(file.path))
                file.path.unlink()
            if file.drive_id is not None:
                self.downloads.from_drive(file.drive_id, file.path)
            elif file.url is not None:
                self.downloads.from_hub(file.url, file.path)

    def weights(self) -> Weights:
        """The sha256 covers the files' bytes, the entry's name and the version of the package, which holds its code."""
        self._require_files()
        files = tuple(WeightsFile(file.path.name, sha256_of_file(file.path)) for file in self.files())
        parts = [f"robustbench=={importlib.metadata.version('robustbench')}", self.dataset, self.threat, self.name]
        text = "\n".join([*parts, *(f"{file.name} {file.sha256}" for file in files)])
        return Weights(hashlib.sha256(text.encode()).hexdigest(), files)

    def load(self) -> nn.Module:
        """The package's own network with the files' tensors. Never downloads; leaves torch's random state alone."""
        self._require_files()
        from robustbench.utils import load_model

        # constructors print to stdout, which is for results, and warn of interfaces they should no longer use
        with (
            contextlib.redirect_stdout(io.StringIO()) as said,
            warnings.catch_warnings(action="ignore"),
            torch.random.fork_rng(devices=()),
            unpickling(self.allow_pickle),
        ):
            try:
                model = load_model(self.name, self.model_dir, self.dataset, self.threat)
            except Exception as error:  # constructors and readers of 206 entries raise what they like
                raise EntrantError(self._why(error)) from error
        if said.getvalue():
            log.debug("%s: %s", self.name, said.getvalue().strip())
        return freeze(model)

    def _require_files(self) -> None:
        for file in self.files():
            if file.path.is_file() and (problem := flaw(file.path)):
                raise EntrantError(
                    f"expected a checkpoint in {file.path}, got {problem}; remove it, or replace it with"
                    f" harness run ... --entrants {self.spec} --download"
                )
        missing = self.missing()
        if missing:
            raise EntrantError(
                f"expected the files of {self.name}, got no {', '.join(str(path) for path in missing)};"
                f" download with harness run ... --entrants {self.spec} --download"
            )

    def _why(self, error: Exception) -> str:
        if is_refused_pickle(error) and not self.allow_pickle:
            expected = f"expected plain tensors in {', '.join(file.path.name for file in self.files())}"
            got = f"got {refused_pickle(error)}"
            if self.files()[0].url:
                return f"{expected}, {got}; its loader reads nothing else, do not use this file"
            return f"{expected}, {got}; pass --allow-pickle {self.name} only if you trust its author"
        if is_mismatch(error):
            return f"expected the tensors of {self.name}, got a checkpoint with {mismatch(error)}; check its file"
        return f"expected {self.name} to load, got {type(error).__name__}: {one_line(error)}"


def _hub_url(dataset: str, threat: str, name: str) -> str:
    """Where an entry comes from that ignores model_dir and keeps its file in torch.hub's folder; empty for the others.

    Follows the branches of robustbench.utils.load_model: networks registered with timm under a name made of the
    entry's; and the standard ImageNet network, for which it builds torchvision's with its first published weights.
    """
    import timm
    from timm.models import get_pretrained_cfg

    registered = f"{name.lower().replace('-', '_')}_{dataset.lower()}_{threat.lower()}"
    if timm.is_model(registered):
        config = get_pretrained_cfg(registered)
        return config.url if config is not None and config.url else ""
    if dataset == "imagenet" and "Standard" in name:
        from torchvision.models import ResNet50_Weights

        return ResNet50_Weights.IMAGENET1K_V1.url
    return ""
