"""The main job: killed and resumed, in this process and on two workers, limits, partial records, no work twice."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from pyautoattack import AutoAttack

from harness.classifier.precision import Precise
from harness.data.datasets import digits
from harness.measures import MEASURES
from harness.run.signals import Asked, ending_raises, undisturbed
from harness.run.store import Store
from harness.suites.suite import SUITES
from leaderboards.records.arrays import read_arrays
from leaderboards.records.files import read_record, record_files
from leaderboards.records.schema import Record
from zoo.own_entrants import own_entrants

SHIPPED = ("standard", "sat", "trades", "mart", "mail-trades", "weat-nat", "weat-adv")


def records(out: Path) -> dict[str, Record]:
    return {record.entrant.name: record for record in map(read_record, record_files(out / "results"))}


def findings(out: Path) -> dict[str, object]:
    return {name: record.findings() for name, record in records(out).items()}


def shard_files(out: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in (out / "shards").rglob("*.safetensors")}


JOB = (
    *("run", "--suite", "digits", "--entrants", "standard,sat", "--measures", "standard,smoothness"),
    *("--limit", "32", "--shard-size", "4"),
)
HERE = ("--workers", "0")
QUICK = ("standard", "sat")
"""Shipped entrants that are held against pyautoattack in every run of the tests; the others in the slow ones."""


def test_a_killed_run_of_two_workers_is_resumed_without_workers_and_equals_an_uninterrupted_one(
    harness_here,
    start,
    tmp_path: Path,
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    done = harness_here(*JOB, "--out", str(whole), *HERE)
    assert done.returncode == 0, done.stderr

    log = tmp_path / "log"
    with log.open("wb") as stream:
        process = start(*JOB, "--out", str(broken), "--workers", "2", stderr=stream)
        while len(shard_files(broken)) < 6:
            assert process.poll() is None, "the run ended before it could be killed"
            time.sleep(0.05)
        process.kill()
        process.wait()
    time.sleep(2)  # its workers notice within a second
    assert "Traceback" not in log.read_text(), "workers whose run was killed end without a word"
    before = shard_files(broken)
    assert 6 <= len(before) < len(shard_files(whole))
    assert not (broken / "results").exists()

    resumed = harness_here(*JOB, "--out", str(broken), *HERE)
    assert resumed.returncode == 0, resumed.stderr
    after = shard_files(broken)
    assert {path: after[path] for path in before} == before, "a finished shard was measured again"
    assert f"{len(after) - len(before)} of {len(after)} shards" in resumed.stderr
    assert findings(broken) == findings(whole)
    assert set(after) == {broken / path.relative_to(whole) for path in shard_files(whole)}


def test_ctrl_c_is_one_line_and_keeps_what_is_measured(start, tmp_path: Path) -> None:
    out, log = tmp_path / "out", tmp_path / "log"
    with log.open("wb") as stream:
        # a shell that runs this in the background has its children ignore Ctrl-C, and they hand that down
        heeding = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL), "start_new_session": True}
        process = start(*JOB, "--out", str(out), "--workers", "2", stderr=stream, **heeding)
        while len(shard_files(out)) < 12:  # more than the first measure's eight
            assert process.poll() is None, "the run ended before it could be interrupted"
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=60) == 130
    assert "Traceback" not in log.read_text()
    assert "run the same command again" in log.read_text().splitlines()[-1]
    assert records(out), "measures that were whole are in records"
    all_have_ended(process.pid)


def group_lives(number: int) -> bool:
    try:
        os.killpg(number, 0)
    except ProcessLookupError:
        return False
    return True


def all_have_ended(group: int) -> None:
    left = time.monotonic() + 10
    while group_lives(group):
        assert time.monotonic() < left, "a worker is left"
        time.sleep(0.1)


@pytest.mark.slow  # each of them starts three processes; Ctrl-C stands for them in every run of the tests
@pytest.mark.parametrize(
    ("number", "to_all"),
    [(signal.SIGTERM, False), (signal.SIGHUP, True)],
    ids=["to the run alone", "to its workers too, as a terminal that closes"],
)
def test_a_run_that_is_asked_to_end_does_what_ctrl_c_does(
    start, tmp_path: Path, number: signal.Signals, to_all: bool
) -> None:
    out, log = tmp_path / "out", tmp_path / "log"
    with log.open("wb") as stream:
        heeding = {"preexec_fn": lambda: signal.signal(number, signal.SIG_DFL), "start_new_session": True}
        process = start(*JOB, "--out", str(out), "--workers", "2", stderr=stream, **heeding)
        while len(shard_files(out)) < 12:  # more than the first measure's eight
            assert process.poll() is None, "the run ended before it could be asked to end"
            time.sleep(0.05)
        (os.killpg if to_all else os.kill)(process.pid, number)
        assert process.wait(timeout=60) == 128 + number
    said = log.read_text()
    assert "Traceback" not in said
    assert said.splitlines()[-1] == (
        f"harness: error: interrupted by {number.name}; run the same command again to go on"
    )
    assert records(out), "measures that were whole are in records"
    all_have_ended(process.pid)


def test_a_signal_waits_while_records_are_written() -> None:
    done: list[str] = []

    def write() -> None:
        with undisturbed():
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGHUP)
            done.append("written")
        done.append("never")

    with pytest.raises(Asked) as asked, ending_raises():
        write()
    assert (asked.value.name, asked.value.status, done) == ("SIGTERM", 143, ["written"])
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ending_raises(), undisturbed():
            signal.raise_signal(signal.SIGHUP)  # nohup
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_same_command_again_does_nothing(harness_here, tmp_path: Path) -> None:
    job = (
        "run",
        "--suite",
        "digits",
        "--entrants",
        "standard",
        "--measures",
        "standard,energies",
        *("--limit", "16", "--shard-size", "8"),
        "--out",
        str(tmp_path / "out"),
        *HERE,
    )
    first = harness_here(*job)
    assert first.returncode == 0, first.stderr
    everything = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*") if path.is_file()}
    second = harness_here(*job)
    assert second.returncode == 0
    assert "0 of 4 shards" in second.stderr
    assert second.stdout == first.stdout
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*") if path.is_file()} == everything
    assert Path(second.stdout.splitlines()[-1]).is_file()


def test_a_damaged_shard_is_measured_again_and_only_that_one(harness_here, tmp_path: Path) -> None:
    out = tmp_path / "out"
    job = ("run", "--suite", "digits", "--entrants", "standard", "--measures", "standard", "--out", str(out), *HERE)
    harness_here(*job)
    before = findings(out)
    victim = sorted(shard_files(out))[0]
    content = bytearray(victim.read_bytes())
    content[-1] ^= 1
    victim.write_bytes(content)
    result = harness_here(*job)
    assert "1 of 2 shards" in result.stderr
    assert findings(out) == before


def test_a_limited_run_is_partial_and_kept_apart(harness_here, tmp_path: Path) -> None:
    out = tmp_path / "out"
    job = ("run", "--suite", "digits", "--entrants", "standard", "--measures", "standard", "--out", str(out), *HERE)
    harness_here(*job)
    limited = harness_here(*job, "--limit", "30")
    assert limited.stdout.splitlines()[-1] == str(out / "site" / "digits" / "first-30" / "index.html")
    assert "Demonstration: 8x8 digits: first 30 test images" in (out / "site/digits/first-30/index.html").read_text()
    assert (out / "site" / "digits" / "first-30" / "standard.html").is_file()
    paths = [str(path.relative_to(out / "results")) for path in record_files(out / "results")]
    assert paths == ["digits/partial-30/standard.json", "digits/standard.json"]
    partial = read_record(out / "results" / paths[0])
    assert (partial.limit, partial.measurements["standard"].n, partial.suite.examples) == (30, 30, 200)
    whole = harness_here(*job, "--limit", "200")
    assert "0 of 2 shards" in whole.stderr, "a limit that covers the suite is the whole suite"


def test_another_measure_joins_the_record_that_is_there(harness_here, tmp_path: Path) -> None:
    out = tmp_path / "out"
    job = ("run", "--suite", "digits", "--entrants", "standard", "--limit", "8", "--out", str(out), *HERE, "--measures")
    harness_here(*job, "energies")
    harness_here(*job, "standard")
    assert list(records(out)["standard"].measurements) == ["energies", "standard"]


def test_a_dry_run_measures_nothing_and_counts_the_passes(harness_here, tmp_path: Path) -> None:
    out = tmp_path / "out"
    job = ("run", "--suite", "digits", "--entrants", "standard", "--measures", "standard,energies", "--out", str(out))
    result = harness_here(*job, "--dry-run")
    assert result.returncode == 0, result.stderr
    assert not list(out.rglob("*.safetensors"))
    assert "Estimated time" in result.stdout
    table = [line.split() for line in result.stdout.splitlines() if "standard" in line]
    assert any("200" in row for row in table)  # 200 forward passes for standard accuracy
    cost = MEASURES["energies"].cost(10)
    expected = {f"{200 * cost.forward:,}", f"{200 * cost.backward:,}"}
    assert any(expected <= set(row) for row in table)


@pytest.fixture(scope="module")
def by_hand() -> dict[str, torch.nn.Module]:
    entrants = own_entrants(SUITES["digits"].domain)
    return {entrant.card.name: entrant.load() for entrant in entrants}


def direct_flags(model: torch.nn.Module, ranges: list[tuple[int, int]]) -> list[bool]:
    """pyautoattack called directly, a shard at a time, with the seed of the measure."""
    flags: list[bool] = []
    images, threads = digits("test"), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for start, stop in ranges:
            shard = images.examples(start, stop)
            attack = AutoAttack(Precise(model, "fp32"), norm="Linf", eps=0.15, seed=0, version="standard")
            x_adv, _ = attack.run_standard_evaluation(shard.x, shard.y, batch_size=250)
            flags += (model(x_adv).argmax(1) == shard.y).tolist()
    finally:
        torch.set_num_threads(threads)
    return flags


@pytest.mark.parametrize(
    ("limit", "size"),
    [("4", "4"), pytest.param("200", "100", marks=pytest.mark.slow)],
    ids=["4 examples", "the suite"],
)
@pytest.mark.parametrize(
    "name",
    [name if name == "standard" else pytest.param(name, marks=pytest.mark.slow) for name in SHIPPED],
)
def test_flags_of_every_shipped_entrant_equal_pyautoattack_called_directly(
    harness_here,
    tmp_path: Path,
    by_hand: dict[str, torch.nn.Module],
    name: str,
    limit: str,
    size: str,
) -> None:
    out = tmp_path / "out"
    job = ("run", "--suite", "digits", "--entrants", name, "--measures", "autoattack", "--limit", limit)
    result = harness_here(*job, "--engine", "pyautoattack", "--shard-size", size, "--out", str(out), *HERE)
    assert result.returncode == 0, result.stderr
    ranges = [(start, start + int(size)) for start in range(0, int(limit), int(size))]
    arrays = records(out)[name].measurements["autoattack"].arrays
    assert arrays is not None
    stage = read_arrays(out / "arrays", arrays)["stage"]
    assert (stage == 4).tolist() == direct_flags(by_hand[name], ranges)


def test_a_run_without_names_judges_every_shipped_entrant(
    harness_here, tmp_path: Path, by_hand: dict[str, torch.nn.Module]
) -> None:
    job = ("run", "--suite", "digits", "--measures", "standard", "--limit", "20", "--out", str(tmp_path), *HERE)
    result = harness_here(*job)
    assert result.returncode == 0, result.stderr
    assert set(records(tmp_path)) == set(by_hand) == set(SHIPPED)


def test_the_images_that_broke_examples_are_kept_in_the_shards(harness_here, tmp_path: Path, by_hand) -> None:
    out = tmp_path / "out"
    job = (
        "run",
        "--suite",
        "digits",
        "--entrants",
        "standard",
        "--measures",
        "autoattack",
        "--limit",
        "20",
        "--out",
        str(out),
        *HERE,
    )
    assert harness_here(*job).returncode == 0
    (path,) = shard_files(out)
    shard = Store(out / "shards").read(path.stem)
    assert shard is not None
    x_adv, stage = torch.from_numpy(shard.arrays["x_adv"]), shard.arrays["stage"]
    examples = digits("test").examples(0, 20)
    fooled = (by_hand["standard"](x_adv).argmax(1) != examples.y).numpy()
    assert fooled.tolist() == (stage < 4).tolist()
    untouched = np.isin(stage, [-1, 4])
    assert torch.equal(x_adv[untouched], examples.x[untouched])
    assert (x_adv - examples.x).abs().max() <= 0.15 + 1e-6


def test_suites_and_measures_and_entrants_are_listed_for_people_and_machines(harness_here) -> None:
    for what in (("suites",), ("measures",), ("entrants", "--suite", "cifar10")):
        people, machine = harness_here("list", *what), harness_here("list", *what, "--json")
        assert people.returncode == machine.returncode == 0, people.stderr + machine.stderr
        rows = json.loads(machine.stdout)
        assert rows
        assert all(row["name"].split("_")[0][:12] in people.stdout.replace("\n", "") for row in rows)
    names = {row["name"]: row for row in rows}
    assert len(names) == 77, "one that ships, and RobustBench's"
    carmon = names["Carmon2019Unlabeled"]
    assert (carmon["published_autoattack_accuracy"], carmon["files_here"]) == (pytest.approx(0.5953), False)


@pytest.mark.parametrize("suite", ["svhn", "tiny-imagenet"])
def test_a_suite_without_entrants_is_an_answer_and_says_what_to_do(harness_here, suite: str) -> None:
    machine, people = (harness_here("list", "entrants", "--suite", suite, *more) for more in (["--json"], []))
    assert (machine.returncode, json.loads(machine.stdout)) == (0, [])
    assert (people.returncode, people.stdout) == (0, "")
    for done in (machine, people):
        assert f"harness train --suite {suite} --recipe sat" in done.stderr
        assert "--entrants checkpoint:PATH@ARCHITECTURE" in done.stderr
