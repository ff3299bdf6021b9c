"""The user's own code, named as `module:callable`: from a module of the working directory, of the root of its project, or of an
installed package.

The module runs with the user's rights, as any import does. What it builds is known by its tensors, by the plain
attributes of its modules, and by the source files of the callable and of the model's classes. Errs in one way: of code
that the model calls but that defines none of its classes, a change is not seen.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoo.entrant import EntrantError, WeightsFile, did_you_mean, sha256_of_file
from zoo.faults import one_line
from zoo.project import project_root


@dataclass(frozen=True)
class OwnCode:
    """A callable by its module and its name there; `what` says what it returns, for messages ("a model")."""

    module: str
    attribute: str
    what: str = "a model"
    prefix: str = ""

    @classmethod
    def parse(cls, text: str, what: str) -> OwnCode:
        """`module:callable`, such as my_nets:small. Imports nothing; raises EntrantError for another form."""
        module, colon, attribute = text.partition(":")
        if not (colon and attribute.isidentifier() and all(part.isidentifier() for part in module.split("."))):
            raise EntrantError(
                f"expected module:callable that returns {what}, got {text!r}; write it as my_module:mine"
            )
        return cls(module, attribute, what)

    def __str__(self) -> str:
        return f"{self.prefix}{self.module}:{self.attribute}"

    def take(self) -> Any:
        """Import the module and take what is named from it. Raises EntrantError, one line with the nearest name."""
        try:
            with working_directory_importable():
                imported = importlib.import_module(self.module)
        except (Exception, SystemExit) as error:
            if isinstance(error, ModuleNotFoundError) and error.name and f"{self.module}.".startswith(f"{error.name}."):
                folders = dict.fromkeys((Path.cwd(), project_root()))
                here = [path.stem for folder in folders for path in folder.glob("*.py")]
                raise EntrantError(
                    f"expected a module, got {self.module!r}, and there is none;{did_you_mean(self.module, here)}"
                    f" looked in {', '.join(map(str, folders))} and the installed packages"
                ) from error
            raise EntrantError(f"expected the module {self.module} to import, got {raised(error)}") from error
        if not hasattr(imported, self.attribute):
            names = [name for name, value in vars(imported).items() if callable(value)]
            raise EntrantError(
                f"expected a callable of the module {self.module}, got {self.attribute!r}, and there is none;"
                f"{did_you_mean(self.attribute, names)} see {imported.__file__}"
            )
        return getattr(imported, self.attribute)

    def find(self) -> Callable[..., Any]:
        """The same, of a callable that returns something; raises EntrantError for anything else."""
        found = self.take()
        if isinstance(found, nn.Module) or not callable(found):
            raise EntrantError(
                f"expected {self} to be a callable that returns {self.what}, got a"
                f" {type(found).__name__}; write a function that returns it"
            )
        return found


@contextlib.contextmanager
def working_directory_importable() -> Iterator[None]:
    """As with `python -m`: an installed command does not have the working directory on its path. After it comes the root of the
    project, so that an entrant that is found from a folder below finds its code too."""
    before = list(sys.path)
    sys.path[:0] = dict.fromkeys((os.getcwd(), str(project_root())))
    importlib.invalidate_caches()  # a file written a moment ago
    try:
        yield
    finally:
        sys.path[:] = before


def raised(error: BaseException) -> str:
    """What the user's code raised, as the end of "expected ..., got ..."."""
    return f"{type(error).__name__}: {one_line(error)}; mend it there, --debug shows where it is raised"


@contextlib.contextmanager
def seeded() -> Iterator[None]:
    """PyTorch's random state is the same within, in every process, and as before afterwards."""
    with torch.random.fork_rng(devices=()):
        torch.default_generator.manual_seed(0)
        yield


def require_logits(model: nn.Module, who: object, classes: int, shape: tuple[int, int, int], remedy: str) -> None:
    """Two black images through a model: it must take (N, C, H, W) and give (N, classes). Raises EntrantError."""
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=()):
            logits = model(torch.zeros(2, *shape))
    except Exception as error:  # it is the user's code
        raise EntrantError(f"expected {who} to take images {tuple(shape)}, got {raised(error)}") from error
    got = tuple(logits.shape) if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
    if got != (2, classes):
        raise EntrantError(f"expected logits of shape {(2, classes)} for 2 images from {who}, got {got}; {remedy}")


def sources(module: str, found: object, model: nn.Module) -> tuple[WeightsFile, ...]:
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


def hidden_buffers(model: nn.Module) -> list[tuple[str, Tensor]]:
    """Buffers that the state dict leaves out, so that no file of tensors holds them."""
    state = model.state_dict()
    return [(name, buffer) for name, buffer in model.named_buffers() if name not in state]


def sha256_of_tensors(tensors: list[tuple[str, Any]]) -> str:
    """Over names, dtypes, shapes and bytes, in order."""
    digest = hashlib.sha256()
    for name, value in tensors:
        if not isinstance(value, Tensor):  # what a module adds by get_extra_state
            digest.update(f"{name}\n{value!r}\n".encode())
            continue
        digest.update(f"{name}\n{value.dtype}\n{tuple(value.shape)}\n".encode())
        flat = value.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def sha256_of_attributes(model: nn.Module) -> str:
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
