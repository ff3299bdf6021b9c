"""Networks of libraries by name: `robustbench:<entry>`, `timm:<model>`, `torchvision:<model>`. No weights are downloaded.

A library is imported when one of its networks is built; what it builds is a function of its version, which is part of what
results are kept by. RobustBench's constructors fix the number of classes and where an entry is normalised.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zoo.entrant import EntrantError, did_you_mean
from zoo.faults import one_line
from zoo.normalisation import Normalisation

if TYPE_CHECKING:
    from torch import nn

CLASSES = {"cifar10": 10, "cifar100": 100, "imagenet": 1000}


@dataclass(frozen=True)
class LibraryArchitecture:
    """What builds the network `name` of `library`."""

    library: str
    name: str

    @classmethod
    def parse(cls, architecture: str) -> LibraryArchitecture:
        library, _, name = architecture.partition(":")
        return cls(library, name)

    def __str__(self) -> str:
        return f"{self.library}:{self.name}"

    @property
    def version(self) -> str:
        """The version of the library, for what results are kept by. Raises EntrantError where it is not installed."""
        try:
            return f"{self.library}=={importlib.metadata.version(self.library)}"
        except importlib.metadata.PackageNotFoundError as error:
            raise EntrantError(
                f"expected {self.library} for {self}, got no such package; install it: pip install {self.library}"
            ) from error

    @property
    def normalisation(self) -> Normalisation | None:
        """Of timm's published configuration, where the name says which one (resnet18.a1_in1k); else None."""
        if self.library != "timm" or "." not in self.name:
            return None
        timm = self._timm()
        config = timm.models.get_pretrained_cfg(self.name)
        return Normalisation(tuple(config.mean), tuple(config.std)) if config is not None else None

    def __call__(self, classes: int, shape: tuple[int, int, int]) -> nn.Module:
        """A network with random weights. Raises EntrantError for an unknown name, and for one that cannot be built so."""
        builders: dict[str, Callable[[int, tuple[int, int, int]], nn.Module]] = {
            "robustbench": self._robustbench,
            "timm": self._of_timm,
            "torchvision": self._torchvision,
        }
        self.version  # noqa: B018  says what to install
        if self.library not in builders:
            raise EntrantError(
                f"expected a network that a name builds, got {self}; name the folder of its config.json:"
                " checkpoint:<folder>"
            )
        with warnings.catch_warnings(action="ignore"), contextlib.redirect_stdout(io.StringIO()):
            try:
                return builders[self.library](classes, shape)
            except EntrantError:
                raise
            except Exception as error:  # constructors raise what they like
                raise EntrantError(
                    f"expected {self} to be built for {classes} classes and images {shape}, got {type(error).__name__}:"
                    f" {one_line(error)}; choose another architecture"
                ) from error

    def _torchvision(self, classes: int, shape: tuple[int, int, int]) -> nn.Module:
        from torchvision import models

        known = models.list_models(module=models)
        if self.name.lower() not in known:
            raise self._unknown(known)
        network: nn.Module = models.get_model(self.name, weights=None, num_classes=classes)
        return network

    def _timm(self) -> Any:
        self.version  # noqa: B018
        with warnings.catch_warnings(action="ignore"):
            import timm
        return timm

    def _of_timm(self, classes: int, shape: tuple[int, int, int]) -> nn.Module:
        timm = self._timm()
        if not timm.is_model(self.name):
            raise self._unknown(timm.list_models())
        network: nn.Module = timm.create_model(self.name, pretrained=False, num_classes=classes, in_chans=shape[0])
        return network

    def _robustbench(self, classes: int, shape: tuple[int, int, int]) -> nn.Module:
        from zoo.robustbench import import_robustbench

        *where, name = self.name.split(":")
        entries = {
            key: held[name]
            for key, held in import_robustbench().items()
            if name in held and key[1] != "corruptions_3d" and set(where) <= set(key)
        }
        if not entries:
            raise self._unknown([name for held in import_robustbench().values() for name in held])
        fitting = {key: entry for key, entry in entries.items() if CLASSES[key[0]] == classes}
        if not fitting:
            raise EntrantError(
                f"expected a network for {classes} classes, got {self}, which is one for"
                f" {' and '.join(sorted({str(CLASSES[dataset]) for dataset, _ in entries}))}; choose another entry"
            )
        built = {key: self._entry(*key, name, entry, classes) for key, entry in fitting.items()}
        if len({_form(network) for network in built.values()}) > 1:
            raise EntrantError(
                f"expected one network of that name, got {self} of {' and '.join(threat for _, threat in built)}, which differ;"
                f" write {' or '.join(f'robustbench:{threat}:{name}' for _, threat in built)}"
            )
        return next(iter(built.values()))

    def _entry(self, dataset: str, threat: str, name: str, entry: Any, classes: int) -> nn.Module:
        registered = f"{name.lower().replace('-', '_')}_{dataset}_{threat.lower()}"
        timm = self._timm()
        if timm.is_model(registered):
            network: nn.Module = timm.create_model(registered, pretrained=False, num_classes=classes)
            return network
        if dataset == "imagenet" and "Standard" in name:  # its constructor downloads weights
            raise EntrantError(f"expected a network without weights, got {self}; write torchvision:resnet50")
        built: nn.Module = entry["model"]()
        return built

    def _unknown(self, known: list[str]) -> EntrantError:
        return EntrantError(
            f"expected a network of {self.library}, got {self.name!r};"
            f"{did_you_mean(self.name, known)} write {self.library}:<name> as the library has it"
        )


def _form(network: nn.Module) -> tuple[Any, ...]:
    return type(network).__name__, *((name, tuple(value.shape)) for name, value in network.state_dict().items())
