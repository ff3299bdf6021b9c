"""TorchScript archives: a network saved with its program (torch.jit.save).

The program is restricted, but it can read and write files (aten::from_file, aten::save): to run one is to trust its author. So
it is refused, as a pickle that holds code is, until the user names the entrant in --allow-pickle.
"""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path

import torch
from torch import nn

ARCHITECTURE = "torchscript"
"""What its card says: the archive is its own architecture."""


def is_torchscript(path: Path) -> bool:
    """Told by the archive's directory; nothing is unpacked."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return False
    return any(name.endswith("/constants.pkl") for name in names) and any("/code/" in name for name in names)


def load_program(path: Path) -> nn.Module:
    """The network on the CPU. Runs the archive's program: for files that the user has allowed."""
    with warnings.catch_warnings(action="ignore"):  # of its age: torch.export is its successor
        network: nn.Module = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]
    return network
