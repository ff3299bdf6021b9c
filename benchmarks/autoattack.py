"""AutoAttack by the engine beside pyautoattack's: python benchmarks/autoattack.py [--help].

Each attack runs in a process of its own (autoattack_run.py), the reference and the engine in turn, on the same images and
threads. The reference runs as its users run it (parameters that require gradients) and with frozen parameters, each in
several batches; the fastest counts. With several seeds each attack runs once with each: seconds are means, flags are pooled.

Flags: how many examples only the reference leaves robust, how many only the engine, and the exact two-sided McNemar test.
Several seeds on the same images are not independent, so a pooled p errs low: against the engine.
The floor: the passes that the engine made x the time of a bare pass of the prepared network in its best batch.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from autoattack_cases import Case
from autoattack_run import Job

from harness.check.statistics import two_sided

Runs = dict[int, dict[str, Any]]
"""What each seed's run of one attack gave."""

COLUMNS = (
    "network, images",
    "attack",
    "seconds",
    "against the reference",
    "against it frozen",
    "floor / time",
    "of the matrix rate",
    "peak MiB",
    "robust",
    "robust by the reference only, by the engine only, p",
)


@dataclass(frozen=True)
class Compared:
    """Flags of two attacks, pooled over seeds: how many examples in all, and how many only one of them leaves robust."""

    n: int
    lost: int
    gained: int

    @classmethod
    def of(cls, reference: list[bool], other: list[bool]) -> Compared:
        """From flags in the same order."""
        pairs = list(zip(reference, other, strict=True))
        return cls(len(pairs), sum(a and not b for a, b in pairs), sum(b and not a for a, b in pairs))

    def __str__(self) -> str:
        equal = 1 - (self.lost + self.gained) / self.n
        return (
            f"{self.lost}, {self.gained}, p = {two_sided(self.lost, self.gained):.2g} ({equal:.2%} of {self.n} equal)"
        )


def cases(chosen: argparse.Namespace) -> list[Case]:
    """The networks whose files were given, of those asked for."""
    digits = {"data": "digits", "n": chosen.digits_images, "eps": 0.15}
    found = [Case("standard, digits", "standard", **digits), Case("MART, digits", "mart", **digits)]
    if chosen.cifar:
        cifar = {"data": "cifar10", "eps": 8 / 255, "folder": str(chosen.cifar), "n": chosen.cifar_images}
        found.append(Case("ResNet-18, CIFAR-10", "python:zoo.pyautoattack:resnet18", **cifar))
        if chosen.robust:
            found.append(Case("robust network, CIFAR-10", chosen.robust, **cifar))
    if chosen.mnist and chosen.mnist_checkpoint:
        folder, weights = str(chosen.mnist), str(chosen.mnist_checkpoint)
        found.append(Case("TRADES, MNIST", "trades-mnist", "mnist", chosen.mnist_images, 0.3, folder, weights))
    if not chosen.cases:
        return found
    return [case for case in found if any(part.lower() in case.name.lower() for part in chosen.cases)]


def jobs(case: Case, chosen: argparse.Namespace) -> list[Job]:
    """The attacks on one network, with the first seed; the reference's and the engine's in turn."""
    plain = Job(case, "reference", threads=chosen.threads, device=chosen.device, clock=chosen.clock)
    batches = sorted({min(batch, case.n) for batch in chosen.batches})
    theirs = [replace(plain, way=way, batch=batch) for batch in batches for way in chosen.reference]
    ours = [replace(plain, way="engine", search=search) for search in chosen.search]
    if chosen.bounded:
        ours += [replace(job, way="bounded") for job in ours]
    turns = max(len(theirs), len(ours))
    return [job for i in range(turns) for group in (theirs, ours) for job in group[i : i + 1]]


def run(job: Job) -> dict[str, Any]:
    """What the process of one attack printed."""
    script = Path(__file__).with_name("autoattack_run.py")
    done = subprocess.run(
        [sys.executable, str(script), json.dumps(asdict(job))],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env=os.environ | {"OMP_NUM_THREADS": str(job.threads)},
    )
    return json.loads(done.stdout.splitlines()[-1])


def described(job: Job) -> str:
    """The attack in words."""
    if job.batch:
        return f"{job.way}, batch {job.batch}"
    return f"{job.way}, {job.search}"


def mean(runs: Runs, key: str) -> float:
    """Of one number over the seeds."""
    return sum(found[key] for found in runs.values()) / len(runs)


def best(of: Mapping[Job, Runs], way: str) -> Job | None:
    """The reference's fastest batch; None where it was not run this way."""
    return min((job for job in of if job.way == way), key=lambda job: mean(of[job], "seconds"), default=None)


def rows(case: Case, of: Mapping[Job, Runs]) -> Iterator[list[str]]:
    """The table's rows for one network."""
    fastest = [best(of, "reference"), best(of, "reference frozen")]
    against = next(job for job in fastest if job is not None)
    for job, runs in of.items():
        if job.batch and job not in fastest:
            continue
        by_engine = not job.batch
        ratios = [f"{mean(of[it], 'seconds') / mean(runs, 'seconds'):.2f}x" if it else "" for it in fastest]
        robust = " ".join(str(sum(found["robust"])) for found in runs.values())
        flags = [flag for found in runs.values() for flag in found["robust"]]
        theirs = [flag for seed in runs for flag in of[against][seed]["robust"]]
        notes = sorted({note for found in runs.values() for note in found.get("notes", ())})
        compared = ""
        if job.way == "engine":
            compared = str(Compared.of(theirs, flags)) + "".join(f"; {note}" for note in notes)
        elif job is against and len(runs) > 1:
            each = [found["robust"] for found in runs.values()]
            self_compared = [Compared.of(a, b) for a, b in pairwise(each)]
            equal = 1 - sum(c.lost + c.gained for c in self_compared) / sum(c.n for c in self_compared)
            compared = f"one seed against the next: {equal:.2%} equal"
        yield [
            f"{case.name}, {case.n}",
            described(job),
            f"{mean(runs, 'seconds'):.1f}",
            *ratios,
            f"{mean(runs, 'floor') / mean(runs, 'seconds'):.0%}" if by_engine else "",
            f"{mean(runs, 'matrix_share'):.0%}" if by_engine else "",
            f"{mean(runs, 'peak'):.0f}",
            robust,
            compared,
        ]


def machine(device: str) -> str:
    """The processor, and what it has for bfloat16."""
    if device != "cpu":
        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.is_file() else ""
    name = next(
        (line.split(":")[1].strip() for line in text.splitlines() if "model name" in line), platform.processor()
    )
    if "amx_bf16" in text:
        return f"{name}, with bfloat16 matrix units (AMX)"
    if "avx512_bf16" in text:
        return f"{name}, with bfloat16 dot products (AVX-512), without matrix units"
    return f"{name}, without bfloat16 units"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", help="parts of the names of networks; default: all whose files are given")
    parser.add_argument("--digits-images", type=int, default=200)
    parser.add_argument("--cifar", type=Path, help=".npz of CIFAR-10 test images (image N H W C uint8, label)")
    parser.add_argument("--cifar-images", type=int, default=64)
    parser.add_argument("--robust", help="a robust network for CIFAR-10: any entrant, as checkpoint:FILE@resnet-8")
    parser.add_argument("--mnist", type=Path, help="folder of MNIST's t10k files, packed by gzip or not")
    parser.add_argument("--mnist-checkpoint", type=Path, help="the TRADES authors' network, a state dict")
    parser.add_argument("--mnist-images", type=int, default=60)
    parser.add_argument(
        "--reference", nargs="+", default=["reference", "reference frozen"], choices=["reference", "reference frozen"]
    )
    parser.add_argument(
        "--batches", nargs="+", type=int, default=[64, 250], help="of the reference, which runs in each"
    )
    parser.add_argument("--search", nargs="+", default=["fp32"], choices=["fp32", "tf32", "bf16"])
    parser.add_argument("--bounded", action="store_true", help="also FAB-T and Square on a tenth alone")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--clock", default="wall", choices=["wall", "cpu"], help="cpu: processor time, fairer while other jobs run"
    )
    parser.add_argument("--table", action="store_true", help="as Markdown, for RESULTS.md")
    chosen = parser.parse_args()
    if chosen.clock == "cpu" and chosen.device != "cpu":
        parser.error("expected --clock wall with a GPU, got cpu; leave it out")
    print(f"torch {torch.__version__}, {machine(chosen.device)}, {chosen.threads} thread(s), clock: {chosen.clock}")
    print(f"seeds {chosen.seeds}, batches of the reference {chosen.batches}\n", flush=True)
    if chosen.table:
        print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}", flush=True)
    for case in cases(chosen):
        found: dict[Job, Runs] = {job: {} for job in jobs(case, chosen)}
        for seed in chosen.seeds:
            for job, runs in found.items():
                runs[seed] = run(replace(job, seed=seed))
                print(f"{case.name}, seed {seed}: {described(job)} {runs[seed]['seconds']:.1f} s", file=sys.stderr)
        for row in rows(case, found):
            if chosen.table:
                print(f"| {' | '.join(row)} |", flush=True)
            else:
                print(
                    "\n  ".join(f"{column}: {cell}" for column, cell in zip(COLUMNS, row, strict=True) if cell),
                    flush=True,
                )


if __name__ == "__main__":
    main()
