"""How large the tensors of RobustBench's entries are, from their networks alone: nothing is downloaded, no tensor is filled.

    python benchmarks/weight_sizes.py > zoo/sizes.csv

The package builds each network on torch's meta device, and on the CPU where that cannot be. A file may hold more than the
network (an optimiser's state) or less: these are about the files' sizes. An entry that the package cannot build on this machine
is left out, and named on stderr.
"""

from __future__ import annotations

import contextlib
import csv
import io
import sys
import warnings

import torch

from zoo.robustbench import import_robustbench


def tensor_bytes(dataset: str, threat: str, name: str, device: str = "meta") -> int:
    """Bytes of the tensors of an entry's network, parameters and buffers."""
    import timm
    from robustbench.model_zoo.enums import BenchmarkDataset
    from robustbench.utils import DATASET_CLASSES

    registered = f"{name.lower().replace('-', '_')}_{dataset}_{threat.lower()}"
    with torch.device(device), warnings.catch_warnings(action="ignore"), contextlib.redirect_stdout(io.StringIO()):
        if timm.is_model(registered):
            model = timm.create_model(registered, num_classes=DATASET_CLASSES[BenchmarkDataset(dataset)])
        elif dataset == "imagenet" and "Standard" in name:
            from torchvision.models import resnet50

            model = resnet50()
        else:
            model = import_robustbench()[dataset, threat][name]["model"]()
    return sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())


def main() -> None:
    """All entries, a row each, on stdout."""
    rows = csv.writer(sys.stdout, lineterminator="\n")
    rows.writerow(("dataset", "threat", "name", "bytes"))
    for (dataset, threat), entries in sorted(import_robustbench().items()):
        for name in sorted(entries):
            for device in ("meta", "cpu"):
                try:
                    rows.writerow((dataset, threat, name, tensor_bytes(dataset, threat, name, device)))
                    break
                except Exception as error:  # noqa: BLE001  constructors of 206 entries raise what they like
                    print(f"{dataset} {threat} {name} ({device}): {type(error).__name__}: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
