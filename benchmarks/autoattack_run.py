"""One attack in a process of its own, for benchmarks/autoattack.py: a job as JSON in the first argument, JSON as the last line.

A process of its own for each, because the engine's settings of memory and threads must not help the reference, and because
the peak of memory belongs to a process. The engine's floor is measured in the same process, after the attack: what the
passes that it made would take alone, without queue, draws, steps and verdicts.
"""

from __future__ import annotations

import json
import logging
import math
import resource
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from autoattack_cases import Case, images, network
from autoattack_floor import CLOCKS, Clock, floor, wait
from pyautoattack import AutoAttack
from torch import Tensor, nn

from harness.attacks.engine.draws import image_keys
from harness.attacks.engine.engine import TARGETS, Engine, Report
from harness.attacks.engine.outcome import SURVIVED, Outcome
from harness.classifier.determinism import make_deterministic
from harness.classifier.precision import Precise
from harness.classifier.prepared import Search
from harness.threat import ThreatModel

GRADIENT_STAGES = 2
"""What a bounded answer runs on all: both APGD. FAB-T and Square follow on one in TENTH of the images, chosen by key."""

TENTH = 10


@dataclass(frozen=True)
class Job:
    """One attack. way: "reference" (parameters require gradients), "reference frozen", "engine" or "bounded"."""

    case: Case
    way: str
    seed: int = 0
    batch: int = 0
    search: Search = "fp32"
    threads: int = 1
    device: str = "cpu"
    clock: Clock = "wall"


# ---------------------------------------------------------------- memory


class Peak:
    """The most memory that the process (on a GPU: the device) has held since this was made, beyond what it held then."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.begun = device, 0
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        else:
            with suppress(OSError):  # Linux: the mark is set back to what is held now
                Path("/proc/self/clear_refs").write_text("5")
        self.begun = self._mark()

    def _mark(self) -> int:
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        status = Path("/proc/self/status")
        if status.is_file():
            # not ru_maxrss: it begins with that of the process that started this one
            return 1024 * next(int(line.split()[1]) for line in status.read_text().splitlines() if "VmHWM" in line)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def mib(self) -> float:
        """MiB."""
        return (self._mark() - self.begun) / 2**20


# ---------------------------------------------------------------- attacks


def reference(job: Job, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """pyautoattack's version "standard" in its own batches: robust flags (n,)."""
    attack = AutoAttack(model, norm=job.case.norm, eps=job.case.eps, version="standard", seed=job.seed, device=x.device)
    with torch.no_grad():
        classes = model(x[:1]).shape[1]
    # with fewer classes than ten it would stop with an error
    attack.apgd_targeted.n_target_classes = attack.fab.n_target_classes = min(TARGETS, classes - 1)
    _, predicted = attack.run_standard_evaluation(x, y, batch_size=job.batch)
    return predicted == y


def engine(job: Job, model: nn.Module, x: Tensor, y: Tensor) -> tuple[Outcome, list[Report]]:
    """The engine's outcome, complete or bounded, and a report for each call of it."""
    attack, threat = Engine(seed=job.seed, search=job.search), ThreatModel(job.case.norm, job.case.eps)
    if job.way == "engine":
        outcome, report = attack(model, x, y, threat)
        return outcome, [report]
    sampled = image_keys(x).argsort().argsort() < math.ceil(len(x) / TENTH)
    through = torch.where(sampled, SURVIVED, GRADIENT_STAGES)
    outcome, report = attack(model, x, y, threat, through=through)
    reports = [report]
    late = sampled & (outcome.stage >= GRADIENT_STAGES) & ~outcome.robust
    if bool(late.any()):  # a sampled point broke: the rest is run, as the harness does
        outcome, report = attack(model, x, y, threat, outcome)
        reports.append(report)
    return outcome, reports


# ---------------------------------------------------------------- the process


def result(job: Job) -> dict[str, Any]:
    """The attack's seconds, peak of memory in MiB and robust flags; of the engine's also its stages and its floor."""
    device = torch.device(job.device)
    by_engine = job.way in ("engine", "bounded")
    if by_engine:
        make_deterministic(device, job.threads)
    else:
        torch.set_num_threads(job.threads)
        torch.backends.cudnn.allow_tf32 = False  # PyTorch's default would change the network that is judged
    model = network(job.case).to(device).requires_grad_(job.way == "reference")
    x, y = (part.to(device) for part in images(job.case))
    wait(device)
    clock = CLOCKS[job.clock]
    peak, begun = Peak(device), clock()
    found: dict[str, Any] = {}
    if by_engine:
        precise = Precise(model, "fp32")
        outcome, reports = engine(job, precise, x, y)
        robust, found["stage"] = outcome.robust, outcome.stage.tolist()
    else:
        robust = reference(job, model, x, y)
    wait(device)
    found |= {"seconds": clock() - begun, "peak": peak.mib(), "robust": robust.tolist()}
    if by_engine:
        found |= floor(job.search, precise, x, y, reports, found["seconds"], clock)
    return found


def main() -> None:
    fields = json.loads(sys.argv[1])
    job = Job(**fields | {"case": Case(**fields["case"])})
    logging.getLogger("auto-attack").setLevel(logging.ERROR)
    print(json.dumps(result(job)))


if __name__ == "__main__":
    main()
