"""Measuring one shard: what a worker does with a task, whichever executor handed it over."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import nn

from harness.classifier.logits import natural_logits
from harness.classifier.precision import Precise
from harness.data.images import Examples, ImageSet
from harness.errors import BadInput
from harness.measures.measure import ShardResult
from harness.provenance import provenance
from harness.run.plan import Judged, Task
from harness.run.store import Shard
from harness.suites.suite import Suite
from harness.threat import ThreatModel


def prepared(judged: Judged, suite: Suite, precision: str, device: torch.device) -> nn.Module:
    """The entrant on its device as the measures see it.

    Raises BadInput where it does not fit the suite's images, and where it is not the one that the plan has hashed: a
    checkpoint that is still being written, a callable that builds another network each time.
    """
    entrant, images = judged.entrant, judged.images
    model = Precise(entrant.load(), precision).to(device).eval()
    if entrant.weights().sha256 != judged.weights.sha256:
        raise BadInput(
            f"expected {entrant.spec} as it was when the run began, got other weights; wait until its file is written,"
            " or seed what it is built with, and run again"
        )
    try:
        natural_logits(model, images.examples(0, 2).to(device), suite.classes)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        shape = "x".join(map(str, images.shape))
        first = str(error).strip().splitlines()[0]
        raise BadInput(
            f"expected {entrant.spec} to take images of {shape} (channels, height, width), got: {first};"
            " choose a classifier of this data set"
        ) from error
    return model


def measure_shard(
    task: Task,
    model: nn.Module,
    suite: Suite,
    images: ImageSet,
    precision: str,
    device: torch.device,
    part: Callable[[nn.Module, Examples, ThreatModel], ShardResult] | None = None,
) -> Shard:
    """Measure a task's examples on a prepared model; `part` is what is done where that is not the whole measure."""
    begun = time.perf_counter()
    # an entrant that draws random numbers draws the same ones whoever measures the shard
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(task.measure.seed * 1_000_003 + task.start)
        examples = task.measure.examples(images, task.start, task.stop)
        result = (part or task.measure)(model, examples.to(device), suite.threat)
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
