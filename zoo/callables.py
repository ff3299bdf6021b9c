"""Entrants from the user's own code: `python:<module>:<callable>`, a callable without arguments that gives a model.

The module runs with the user's rights, as any import does. A network that is built with random weights is built from
the same seed of PyTorch's in every process, so that workers judge the same one; one that is built differently all the
same is refused by whoever compares hashes. Errs in one way: of code that the model calls but that defines none of its
classes, a change does not change the weights' sha256.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from zoo.entrant import Card, Domain, EntrantError, Weights, WeightsFile, did_you_mean, freeze, sha256_of_file
from zoo.faults import one_line


@dataclass(frozen=True)
class PythonEntrant:
    """What a callable returns, as a classifier of `domain`."""

    module: str
    attribute: str
    domain: Domain

    @property
    def card(self) -> Card:
        return Card(name=f"{self.module}.{self.attribute}", source="python")

    @property
    def spec(self) -> str:
        return f"python:{self.module}:{self.attribute}"

    def transform(self) -> None:
        """The suite's images as they are."""
        return

    def missing(self) -> tuple[Path, ...]:
        """Nothing that is known of: what the callable reads is its own affair."""
        return ()

    def fetch(self) -> None:
        """Nothing to do."""

    def weights(self) -> Weights:
        """The sha256 covers the model's tensors and the source files of the callable and of the model's classes."""
        return _constructed(self.module, self.attribute)[1]

    def load(self) -> nn.Module:
        """A copy of the model, which is constructed once a process. Raises EntrantError where it does not fit."""
        model = _constructed(self.module, self.attribute)[0]
        # some modules hold what cannot be copied; those are handed out themselves
        with contextlib.suppress(Exception):
            model = copy.deepcopy(model)
        model = freeze(model.cpu().float())
        self._try(model)
        return model

    def _try(self, model: nn.Module) -> None:
        """Two black images through the model: it must take the suite's images and give a suite's logits."""
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=()):
                logits = model(torch.zeros(2, *self.domain.shape))
        except Exception as error:  # it is the user's code
            raise EntrantError(
                f"expected {self.spec} to take images {tuple(self.domain.shape)}, got {_raised(error)}"
            ) from error
        got = tuple(logits.shape) if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
        if got != (2, self.domain.classes):
            raise EntrantError(
                f"expected logits of shape {(2, self.domain.classes)} for 2 images from {self.spec}, got {got};"
                f" choose a model for {self.domain.suite}"
            )


@functools.cache
def _constructed(module: str, attribute: str) -> tuple[nn.Module, Weights]:
    """The model and its weights' hash; once a process, because building twice may give two different models."""
    with _working_directory_importable():
        found = _find(module, attribute)
        try:
            # a seed for networks that are built with random weights; the caller's random state is put back
            with torch.random.fork_rng(devices=()):
                torch.default_generator.manual_seed(0)
                model = found()
        except (Exception, SystemExit) as error:
            raise EntrantError(
                f"expected python:{module}:{attribute} to return a torch.nn.Module, got {_raised(error)}"
            ) from error
    if not isinstance(model, nn.Module):
        raise EntrantError(
            f"expected python:{module}:{attribute} to return a torch.nn.Module, got a {type(model).__name__}"
        )
    try:
        files = _sources(module, found, model)
        tensors, attributes = _sha256_of_tensors(model), _sha256_of_attributes(model)
    except (RuntimeError, ValueError, TypeError, OSError) as error:  # lazy or sparse tensors, a source that is gone
        raise EntrantError(
            f"expected python:{module}:{attribute} to have plain tensors, got {_raised(error)}"
        ) from error
    # the name too: two callables of one file may differ in nothing that is hashed here but what they do
    text = "\n".join([f"{module}:{attribute}", tensors, attributes, *(f"{file.name} {file.sha256}" for file in files)])
    return model, Weights(hashlib.sha256(text.encode()).hexdigest(), files)


def _find(module: str, attribute: str) -> Callable[[], object]:
    try:
        imported = importlib.import_module(module)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and error.name and f"{module}.".startswith(f"{error.name}."):
            here = [path.stem for path in Path.cwd().glob("*.py")]
            raise EntrantError(
                f"expected a module, got {module!r}, and there is none;{did_you_mean(module, here)}"
                f" looked in {Path.cwd()} and the installed packages"
            ) from error
        raise EntrantError(f"expected the module {module} to import, got {_raised(error)}") from error
    if not hasattr(imported, attribute):
        names = [name for name, value in vars(imported).items() if callable(value)]
        raise EntrantError(
            f"expected a callable of the module {module}, got {attribute!r}, and there is none;"
            f"{did_you_mean(attribute, names)} see {imported.__file__}"
        )
    found = getattr(imported, attribute)
    if isinstance(found, nn.Module) or not callable(found):
        raise EntrantError(
            f"expected python:{module}:{attribute} to be a callable that returns a model, got a"
            f" {type(found).__name__}; write a function that returns it"
        )
    return found


@contextlib.contextmanager
def _working_directory_importable() -> Iterator[None]:
    """As with `python -m`: an installed command does not have the working directory on its path."""
    before = list(sys.path)
    sys.path.insert(0, os.getcwd())
    importlib.invalidate_caches()  # a file written a moment ago
    try:
        yield
    finally:
        sys.path[:] = before


def _sources(module: str, found: object, model: nn.Module) -> tuple[WeightsFile, ...]:
    """Source files of the callable, and of every class in the model but PyTorch's own."""
    names = {module, getattr(found, "__module__", None) or module}
    classes = {base for part in model.modules() for base in type(part).__mro__}
    names |= {cls.__module__ for cls in classes if cls.__module__.partition(".")[0] != "torch"}
    files = []
    for name in sorted(names):
        file = getattr(sys.modules.get(name), "__file__", None)
        if file and Path(file).is_file():
            files.append(WeightsFile(name.replace(".", "/") + Path(file).suffix, sha256_of_file(Path(file))))
    return tuple(files)


def _sha256_of_tensors(model: nn.Module) -> str:
    """Over names, dtypes, shapes and bytes, in order: the state dict, then buffers that it leaves out."""
    digest = hashlib.sha256()
    state = model.state_dict()
    for name, value in [*state.items(), *((n, b) for n, b in model.named_buffers() if n not in state)]:
        if not isinstance(value, Tensor):  # what a module adds by get_extra_state
            digest.update(f"{name}\n{value!r}\n".encode())
            continue
        digest.update(f"{name}\n{value.dtype}\n{tuple(value.shape)}\n".encode())
        flat = value.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _sha256_of_attributes(model: nn.Module) -> str:
    """Over what modules hold besides tensors and modules: the scale, the steps, the name that a forward may read."""
    plain = (bool, int, float, complex, str, bytes, type(None))
    held = [
        f"{path}.{name}={value!r}"
        for path, part in model.named_modules()
        for name, value in sorted(vars(part).items())
        if name != "training"
        and (isinstance(value, plain) or (isinstance(value, tuple | list) and all(isinstance(v, plain) for v in value)))
    ]
    return hashlib.sha256("\n".join(held).encode()).hexdigest()


def _raised(error: BaseException) -> str:
    return f"{type(error).__name__}: {one_line(error)}; mend it there, --debug shows where it is raised"
