"""What torch.load may unpickle.

A pickle is a program: reading one runs it. PyTorch's weights_only reader runs none, and refuses every class that is not
on its list. Old checkpoints often hold their command line (argparse.Namespace) and accuracies (numpy scalars) beside
the tensors: those classes do nothing when they are built, so they are put on the list here. Anything else is the user's
decision, entrant by entrant.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch

from zoo.entrant import EntrantError
from zoo.faults import is_refused_pickle, one_line, refused_pickle
from zoo.formats import Content, content

FORCE_SAFE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
FORCE_UNSAFE = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"


def harmless_globals() -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """Classes and functions that a checkpoint may name: building them runs nothing of the checkpoint's.

    numpy 2 moved its internals from numpy.core to numpy._core; files written before and after name either. The classes
    of the dtypes are listed because weights_only compares the class of a dtype object, which is its own; the dtype of
    Python objects is left out.
    """
    # what numpy pickles a scalar and an array as, by the public way to them
    scalar: Any = np.float64(0).__reduce__()[0]
    reconstruct: Any = np.zeros(0).__reduce__()[0]
    renamed: list[tuple[Callable[..., Any], str]] = [
        (function, f"numpy.{core}.multiarray.{name}")
        for core in ("core", "_core")
        for name, function in (("scalar", scalar), ("_reconstruct", reconstruct))
    ]
    # pathlib moved the class in Python 3.13; the file names the module it was written with
    paths: list[tuple[Callable[..., Any], str]] = [
        (pathlib.PosixPath, f"{module}.PosixPath") for module in ("pathlib", "pathlib._local")
    ]
    dtypes = {type(np.dtype(code)) for code in (*np.typecodes["All"], np.str_, np.bytes_)} - {type(np.dtype(object))}
    return [argparse.Namespace, np.dtype, np.ndarray, *sorted(dtypes, key=lambda d: d.__name__), *renamed, *paths]


@contextmanager
def unpickling(allow_pickle: bool = False) -> Iterator[None]:
    """Within it every torch.load of this process, in whichever library, reads plain tensors and harmless classes only.

    With `allow_pickle` a torch.load that does not say weights_only=True itself unpickles anything, and so runs whatever
    code the file holds. Both ways the environment and PyTorch's list are as before afterwards.
    """
    before = {name: os.environ.get(name) for name in (FORCE_SAFE, FORCE_UNSAFE)}
    for name in before:
        os.environ.pop(name, None)
    # torch.hub passes weights_only=False by default, and torchvision takes that default: only the environment overrides
    os.environ[FORCE_UNSAFE if allow_pickle else FORCE_SAFE] = "1"
    try:
        with torch.serialization.safe_globals(harmless_globals()), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=f"Environment variable {FORCE_UNSAFE}", category=UserWarning)
            warnings.filterwarnings("ignore", message="Detected pickle protocol", category=UserWarning)
            warnings.filterwarnings("ignore", message=".*TorchScript archive", category=UserWarning)
            yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def read(path: Path, allow_pickle: bool, name: str) -> Any:
    """What a file of tensors holds, on the CPU. `name` is what to pass to --allow-pickle.

    Raises EntrantError for a damaged file, and for a pickle that holds code unless `allow_pickle`.
    """
    try:
        if content(path) is Content.SAFETENSORS:
            return safetensors.torch.load_file(path)
        with unpickling(allow_pickle):
            return torch.load(path, map_location="cpu", weights_only=not allow_pickle)
    except Exception as error:  # a damaged file, and an allowed pickle's code, raise what they like
        if is_refused_pickle(error) and not allow_pickle:
            raise EntrantError(
                f"expected plain tensors in {path}, got {refused_pickle(error)};"
                f" pass --allow-pickle {name} only if you trust its author"
            ) from error
        raise EntrantError(
            f"expected a checkpoint in {path}, got {type(error).__name__}: {one_line(error)};"
            " the file is damaged or of another kind, copy it again"
        ) from error
