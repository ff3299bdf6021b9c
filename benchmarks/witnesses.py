"""What it costs to prove a number again, beside what it cost to find it: python benchmarks/witnesses.py [--help].

Both in one run and one process, with one thread: AutoAttack by the engine, then `harness.verify` on the record that it wrote
(arrays, natural predictions, one pass for each witness; loading the entrant and the data counts, importing torch does not).
The sizes are those of the bundle: bytes of its file by witnesses, and how many bits a pixel's perturbation takes.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

import harness
from harness.suites.files import find_suite
from harness.verify.verification import verify
from leaderboards.records.files import record_files
from leaderboards.records.home import Home
from leaderboards.records.witnesses import read_witnesses


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--suite", default="digits")
    parser.add_argument("--dataset", help="other data of the suite's kind")
    parser.add_argument("--entrants", default="standard,mart", help="names or specs, comma-separated")
    parser.add_argument("--limit", type=int, help="the first examples alone")
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--model-dir", type=Path, default=Path("models"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    suite = find_suite(given.suite)
    suite = suite.on(given.dataset) if given.dataset else suite
    where = {"data_dir": given.data_dir, "model_dir": given.model_dir}
    print(
        "| entrant | examples | broken | bytes a witness | bits 2 / 4 / 6 / 8 / whole | attack, s | proof, s | ratio |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for spec in given.entrants.split(","):
        with tempfile.TemporaryDirectory() as folder:
            begun = time.process_time()
            found = harness.judge(
                spec,
                suite=suite,
                measures=["standard", "autoattack"],
                limit=given.limit,
                out=folder,
                device="cpu",
                **where,
            )
            attacked = time.process_time() - begun
            bundle = found.measurement("autoattack").witnesses
            assert bundle is not None
            (file,) = record_files(Home(Path(folder)).results)
            begun = time.process_time()
            (verdict,) = verify([file], device="cpu", own=(spec,), mark=False, **where)
            proved = time.process_time() - begun
            bits = read_witnesses(Home(Path(folder)).witnesses, bundle).bits
        assert verdict.outcome == "proved", verdict
        counts = " / ".join(str(int(np.sum(bits == width))) for width in (2, 4, 6, 8, 32))
        size = bundle.size / max(bundle.n, 1)
        name = found.record.entrant.name
        print(
            f"| {name} | {verdict.examples} | {bundle.n} | {size:.0f} | {counts} | {attacked:.2f} | {proved:.2f} |"
            f" {attacked / proved:.1f}x |",
            flush=True,
        )


if __name__ == "__main__":
    main()
