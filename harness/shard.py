"""Measuring one shard: what a worker does with a task, whichever executor handed it over."""

from __future__ import annotations

import time

import torch
from torch import nn

from harness.errors import BadInput
from harness.images import ImageSet
from harness.measures.measure import Precise, natural_logits
from harness.plan import Task
from harness.provenance import provenance
from harness.store import Shard
from harness.suites import Suite
from zoo.entrant import Entrant


def deterministic(threads: int | None) -> None:
    """The same numbers whenever and by however many workers a shard is measured.

    One thread a worker on the CPU (the order of a sum depends on the number of threads); on a GPU plain fp32 without
    TF32, and no kernel chosen by timing.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def prepared(entrant: Entrant, suite: Suite, images: ImageSet, precision: str, device: torch.device) -> nn.Module:
    """The entrant on its device as the measures see it. Raises BadInput where it does not fit the suite's images."""
    model = Precise(entrant.load(), precision).to(device).eval()
    few = images.examples(0, 2).to(device)
    before = few.x.clone()
    try:
        natural_logits(model, few, suite.classes)
    except RuntimeError as error:
        shape = "x".join(map(str, images.shape))
        first = str(error).strip().splitlines()[0]
        raise BadInput(
            f"expected {entrant.spec} to take images of {shape} (channels, height, width), got: {first};"
            " choose a classifier of this data set"
        ) from error
    if not torch.equal(few.x, before):
        raise BadInput(
            f"expected {entrant.spec} to leave its images as they are, got images changed in place;"
            " normalise a copy (x = (x - mean) / std)"
        )
    return model


def measure_shard(
    task: Task, model: nn.Module, suite: Suite, images: ImageSet, precision: str, device: torch.device
) -> Shard:
    """Measure a task's examples on a prepared model."""
    begun = time.perf_counter()
    result = task.measure(model, images.examples(task.start, task.stop).to(device), suite.threat)
    for name, array in result.arrays.items():
        if len(array) != len(task):
            raise RuntimeError(f"{task.measure.name} gave {len(array)} values of {name} for {len(task)} examples")
    return Shard(
        arrays=result.arrays,
        notes=result.notes,
        seconds=time.perf_counter() - begun,
        provenance=provenance(device, precision),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
    )
