"""Every witness of a record shown to its classifier again, and what that proves.

A witness that is legal and misclassified proves its example broken, whoever made it. One whose margin is within rounding may
count on one machine and not on another: it is named and proves nothing here, and is a fault where more than `NARROW` of a
bundle's, and more than one, are such.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from harness.data.images import ImageSet
from harness.errors import BadInput, one_line
from harness.threat import ThreatModel
from harness.verify.natural import NARROW, Natural
from harness.verify.replay import replayed
from harness.verify.verdict import Findings
from leaderboards.records.witnesses import Packed


def replay(
    name: str,
    model: nn.Module,
    images: ImageSet,
    found: Packed,
    threat: ThreatModel,
    natural: Natural,
    device: torch.device,
    findings: Findings,
    batch_size: int,
) -> np.ndarray:
    """Show a bundle. Returns the examples (m,) that it proves broken; every other one is named in the findings."""
    n = len(natural.labels)
    outside = found.examples[found.examples >= n]
    if len(outside):
        findings.faults.append(f"{name}: witness {outside[0]} is of no example that was judged")
        return np.zeros(0, np.int64)
    try:
        again = replayed(model, images, found, threat, device, batch_size)
    except BadInput as error:
        findings.faults.append(f"{name}: {one_line(error)}")
        return np.zeros(0, np.int64)
    illegal = np.zeros(len(again.examples), bool)
    for reason, held in again.reasons.items():
        illegal |= held
        if held.any():
            first, many = again.examples[held][0], int(held.sum())
            what = f"{many} witnesses do" if many > 1 else "1 witness does"
            findings.faults.append(f"{name}: {what} not count ({reason}), the first of example {first}")
    failed = ~again.broken & ~illegal
    narrow = failed & (np.abs(again.margin) <= natural.rounding[again.examples])
    wide = failed & ~narrow
    if narrow.sum() > max(1, NARROW * len(again.examples)):
        wide, narrow = failed, np.zeros_like(narrow)
    if wide.any():
        first, many = again.examples[wide][0], int(wide.sum())
        what = f"{many} witnesses are" if many > 1 else "1 witness is"
        findings.faults.append(f"{name}: {what} classified correctly here, the first of example {first}")
    if narrow.any():
        findings.notes.append(
            f"{name}: {int(narrow.sum())} witnesses fool the classifier by less than rounding, and do not here: the first is"
            f" of example {again.examples[narrow][0]}"
        )
    return again.examples[again.broken]
