"""Where work is done: --device and --workers as one device a worker."""

from __future__ import annotations

import os
import sys

import torch

from harness.errors import BadInput


def devices(name: str, workers: int | None) -> tuple[torch.device, ...]:
    """--device and --workers as one device a worker (0 workers: this process's). Raises BadInput for one that is not here."""
    if workers == 0:
        return devices(name, None)[:1]
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = [torch.device(part.strip()) for part in name.split(",")]
    except RuntimeError as error:
        raise BadInput(f"expected --device auto, cpu, cuda, mps or cuda:0,cuda:1, got {name!r}; correct it") from error
    if any(device.type not in ("cpu", "cuda", "mps") for device in chosen):
        raise BadInput(f"expected --device auto, cpu, cuda, mps or cuda:0,cuda:1, got {name!r}; correct it")
    if any(device.type == "mps" for device in chosen) and not torch.backends.mps.is_available():
        raise BadInput(f"expected an Apple GPU for --device {name}, got none usable here; use --device cpu")
    if len({device.type for device in chosen}) > 1:
        raise BadInput(f"expected one kind of device, got --device {name}: numbers of the two are not mixed; name one")
    if chosen[0].type == "mps":
        return (torch.device("mps"),) * (workers or 1)
    if any(device.type == "cuda" for device in chosen):
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if any((device.index or 0) >= count for device in chosen if device.type == "cuda"):
            raise BadInput(f"expected a GPU for --device {name}, got {count} usable here; use --device cpu")
        if chosen == [torch.device("cuda")]:
            chosen = [torch.device("cuda", index) for index in range(count)]
        return tuple(chosen[i % len(chosen)] for i in range(workers)) if workers else tuple(chosen)
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return (torch.device("cpu"),) * (workers or cores)
