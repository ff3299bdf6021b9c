"""Natural images shown to a classifier again: its predictions and energies held against those of a record.

Processors round differently: an example whose two largest logits lie closer than `ROUNDING` of the spread of its logits may be
told apart otherwise on another machine. It is named, and is no fault where there are few. Nothing else may differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from harness.classifier.logits import natural_logits
from harness.classifier.memory import fitted
from harness.data.images import ImageSet
from harness.energy import joint_energy, marginal_energy
from harness.verify.evidence import Evidence
from harness.verify.verdict import Findings

ROUNDING = {"fp32": 1e-4, "bf16": 3e-2}
"""By precision: how far two machines' logits of an image may lie apart, over the spread of its logits."""

NARROW = 0.01
"""Of the examples: of how many rounding may decide otherwise than in the record; of one it always may."""

BATCH = 250
"""Images that are passed through the classifier at once, at most."""


@dataclass(frozen=True)
class Natural:
    """A classifier's answer to n natural images: logits (n, K) float32 and labels (n,) int64, both on the CPU."""

    logits: torch.Tensor
    labels: torch.Tensor
    precision: str

    @property
    def correct(self) -> np.ndarray:
        """(n,) bool."""
        return (self.logits.argmax(1) == self.labels).numpy()

    @property
    def rounding(self) -> np.ndarray:
        """(n,): what rounding may change a logit of an image by."""
        return ((self.logits.amax(1) - self.logits.amin(1)) * ROUNDING.get(self.precision, ROUNDING["fp32"])).numpy()

    @property
    def tied(self) -> np.ndarray:
        """(n,) bool: rounding decides between the two largest logits."""
        two = self.logits.topk(min(2, self.logits.shape[1]), dim=1).values
        return (two[:, 0] - two[:, -1]).numpy() <= self.rounding


def shown(model: nn.Module, images: ImageSet, n: int, device: torch.device, precision: str) -> Natural:
    """Show the first n images of a suite. Raises BadInput where the logits are not finite."""
    first = images.examples(0, 1).to(device)
    model = fitted(model, first.x)
    size = min(BATCH, model.size)
    logits = [
        natural_logits(model, images.examples(start, min(start + size, n)).to(device)).float().cpu()
        for start in range(0, n, size)
    ]
    return Natural(torch.cat(logits), images.labels[:n], precision)


def held_against(found: Natural, evidence: Evidence, findings: Findings) -> None:
    """Hold what a classifier answers here against the arrays of a record."""
    n = len(found.labels)
    standard, attacked, energies, smoothness = (
        evidence.arrays.get(name, {}) for name in ("standard", "autoattack", "energies", "smoothness")
    )
    claims: dict[str, np.ndarray | None] = {
        "standard": standard.get("correct"),
        "autoattack": None if "stage" not in attacked else attacked["stage"] != -1,
        "energies": energies.get("natural_correct"),
    }
    tied: set[int] = set()
    for name, flags in claims.items():
        if flags is not None and flags.shape == (n,):
            tied |= _differ(name, "right or wrong", flags.astype(bool) != found.correct, found, findings)
    for name, here in (("prediction", found.logits.argmax(1)), ("label", found.labels)):
        if name in standard and standard[name].shape == (n,):
            tied |= _differ("standard", f"its {name}", standard[name] != here.numpy(), found, findings)
    if len(tied) > max(1, NARROW * n):
        findings.faults.append(
            f"{len(tied)} of {n} natural images are told apart otherwise than in the record, by logits that tie within"
            f" rounding: more than {NARROW:.0%} of them cannot be taken on trust"
        )
    elif tied:
        findings.notes.append(
            f"{len(tied)} natural images lie on a class boundary, but for rounding, and fall on the other side here:"
            f" the first is example {min(tied)}"
        )
    for name, arrays in (("energies", energies), ("smoothness", smoothness)):
        findings.faults += _energies_differ(name, arrays, found)


def _differ(measure: str, what: str, apart: np.ndarray, found: Natural, findings: Findings) -> set[int]:
    """Name the examples that differ by more than rounding; returns those that differ by rounding."""
    sure = np.flatnonzero(apart & ~found.tied)
    if len(sure):
        findings.faults.append(
            f"{measure}: {len(sure)} natural images differ here in {what}, the first is example {sure[0]}"
        )
    return set(np.flatnonzero(apart & found.tied).tolist())


def _energies_differ(measure: str, arrays: Mapping[str, np.ndarray], found: Natural) -> Iterator[str]:
    energies = {
        "marginal_energy": marginal_energy(found.logits),
        "joint_energy": joint_energy(found.logits, found.labels),
    }
    size = found.logits.abs().amax(1).numpy() * ROUNDING.get(found.precision, ROUNDING["fp32"])
    for name, here in energies.items():
        held = arrays.get(name)
        if held is None or held.shape != (len(found.labels),):
            continue
        apart = np.flatnonzero(~(np.abs(held - here.numpy()) <= size + found.rounding))
        if len(apart):
            yield f"{measure}: {name} of {len(apart)} natural images differs here, the first is example {apart[0]}"
