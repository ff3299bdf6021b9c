"""A folder as the Hugging Face hub holds a model: config.json, and model.safetensors or pytorch_model.bin beside it.

timm's form of config.json names a network of timm, its arguments, and in `pretrained_cfg` the mean and std of its images. The
form of transformers names a class of that package (optional: pip install transformers), and preprocessor_config.json says how
images are scaled. Nothing is downloaded, and no code that comes with a model is run.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoo.architectures.libraries import LibraryArchitecture
from zoo.bounds import MOST_CARD, size_flaw
from zoo.entrant import EntrantError
from zoo.faults import one_line
from zoo.normalisation import Normalisation

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
WEIGHTS = ("model.safetensors", "pytorch_model.safetensors", "open_clip_model.safetensors", "pytorch_model.bin")

FOREIGN = frozenset(
    {"cache_dir", "checkpoint_path", "pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "pretrained_strict"}
)
"""Arguments of timm by which a configuration would fetch weights, or unpickle a file."""


class Logits(nn.Module):
    """A network of transformers as one from images (N, C, H, W) to logits (N, K)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(pixel_values=x).logits
        return logits


@dataclass(frozen=True)
class HuggingFaceFolder:
    """One such folder. Every property raises EntrantError, one line, for a folder that lacks what it needs."""

    path: Path

    @property
    def weights(self) -> Path:
        """The file of tensors; the first name of WEIGHTS where there is none."""
        here = [self.path / name for name in WEIGHTS if (self.path / name).is_file()]
        return here[0] if here else self.path / WEIGHTS[0]

    @property
    def files(self) -> tuple[Path, ...]:
        """What decides the function beside the tensors."""
        return tuple(path for name in (CONFIG, PREPROCESSOR) if (path := self.path / name).is_file())

    @property
    def architecture(self) -> str:
        """timm:<name> or transformers:<class>."""
        config = self._config()
        if isinstance(name := config.get("architecture"), str):
            return f"timm:{name}"
        names = config.get("architectures")
        if isinstance(names, list) and names and isinstance(names[0], str):
            return f"transformers:{names[0]}"
        raise EntrantError(
            f"expected 'architecture' (timm) or 'architectures' (transformers) in {self.path / CONFIG}, got"
            f" {', '.join(map(repr, list(config)[:5])) or 'no keys'}; correct it, or name the file and an architecture"
        )

    @property
    def version(self) -> str:
        library = self.architecture.partition(":")[0]
        try:
            return f"{library}=={importlib.metadata.version(library)}"
        except importlib.metadata.PackageNotFoundError as error:
            raise EntrantError(
                f"expected the package {library}, which builds {self.architecture} of {self.path}, got none;"
                f" pip install {library}"
            ) from error

    @property
    def normalisation(self) -> Normalisation | None:
        config = self._config()
        said = config.get("pretrained_cfg")
        said = said if isinstance(said, Mapping) else config
        if "mean" in said and "std" in said:
            return Normalisation(_numbers(said["mean"], self.path), _numbers(said["std"], self.path))
        if not (self.path / PREPROCESSOR).is_file():
            return None
        how = self._read(PREPROCESSOR)
        scale = 255 * float(how.get("rescale_factor") or 1 / 255) if how.get("do_rescale", True) else 255.0
        means = "image_mean" in how and "image_std" in how and how.get("do_normalize", True)
        mean = _numbers(how["image_mean"], self.path) if means else (0.0,)
        std = _numbers(how["image_std"], self.path) if means else (1.0,)
        if abs(scale - 1) < 1e-3:
            return Normalisation(mean, std) if means else None
        return Normalisation(tuple(v / scale for v in mean), tuple(v / scale for v in std))

    def __call__(self, classes: int, shape: tuple[int, int, int]) -> nn.Module:
        """The network with random weights, of as many classes as its configuration says."""
        self.version  # noqa: B018  says what to install
        name, config = self.architecture, self._config()
        with warnings.catch_warnings(action="ignore"):
            try:
                if name.startswith("timm:"):
                    arguments = config.get("model_args")
                    arguments = {
                        "num_classes": config.get("num_classes", classes),
                        "in_chans": shape[0],
                        **(arguments if isinstance(arguments, Mapping) else {}),
                    }
                    import timm

                    if not timm.is_model(LibraryArchitecture.parse(name).name):  # hf_hub:... would be downloaded
                        raise ValueError("no network of timm's own")
                    if foreign := sorted(FOREIGN & arguments.keys()):  # weights from elsewhere, read as pickles
                        raise ValueError(f"{foreign[0]!r} in model_args, which loads other weights")
                    network: nn.Module = timm.create_model(LibraryArchitecture.parse(name).name, **arguments)
                    return network
                transformers = importlib.import_module("transformers")  # optional
                # a model that brings its own code is refused: trust_remote_code is False
                read = transformers.AutoConfig.from_pretrained(str(self.path), local_files_only=True)
                built = getattr(transformers, name.partition(":")[2])(read)
                return Logits(built.to(torch.float32))
            except Exception as error:  # libraries raise what they like
                raise EntrantError(
                    f"expected {name} to be built as {self.path / CONFIG} says, got {type(error).__name__}:"
                    f" {one_line(error)}; install the version of the package that wrote it"
                ) from error

    def _config(self) -> Mapping[str, Any]:
        return self._read(CONFIG)

    def _read(self, name: str) -> Mapping[str, Any]:
        path = self.path / name
        if not path.is_file():
            raise EntrantError(
                f"expected {name} and {WEIGHTS[0]} in the folder {self.path}, got no {name}; name a file, or a whole folder"
            )
        status = path.stat()
        return _json(path, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=16)
def _json(path: Path, *_: int) -> Mapping[str, Any]:
    try:
        if large := size_flaw(path, MOST_CARD):
            raise ValueError(large)
        held = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise EntrantError(f"expected JSON in {path}, got {one_line(error)}; copy it again") from error
    if not isinstance(held, Mapping):
        raise EntrantError(f"expected a JSON object in {path}, got a {type(held).__name__}; copy it again")
    return held


def _numbers(values: Any, path: Path) -> tuple[float, ...]:
    values = values if isinstance(values, list) else [values]
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        raise EntrantError(f"expected numbers for mean and std in {path}, got {values!r:.80}; correct them")
    return tuple(float(value) for value in values)
