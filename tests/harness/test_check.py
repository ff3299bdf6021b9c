"""harness check on real entrants: passes, fails early, resumes, measures what a run measures, refuses what differs."""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.attacks.named import ATTACKS, MAIN
from harness.check.baseline import baseline_of, from_record, write_baseline
from harness.check.cache import user_cache
from harness.check.candidate import PGDOn
from harness.classifier.precision import Precise
from harness.data.datasets import digits
from harness.measures import Energies
from harness.run.executors.place import Place
from harness.run.group import Group
from harness.run.judge import judge
from harness.run.parts import Parts
from harness.run.plan import Judged, make_plan, shards
from harness.run.store import Store
from harness.suites.suite import SUITES
from leaderboards.records.files import read_record
from zoo.own_entrants import own_entrants

ROOT = Path(__file__).resolve().parents[2]
LEADERBOARDS = ROOT / "leaderboards"
CPU = torch.device("cpu")
HERE = ("--workers", "0")


@pytest.fixture
def baseline(tmp_path: Path) -> Callable[[str], str]:
    """The baseline of a shipped entrant, from the record in the checkout."""

    def write(entrant: str) -> str:
        path = tmp_path / "baselines" / f"{entrant}.safetensors"
        record = read_record(LEADERBOARDS / "results" / "digits" / f"{entrant}.json")
        write_baseline(path, from_record(record, LEADERBOARDS / "arrays"))
        return str(path)

    return write


def test_the_committed_baseline_is_what_the_command_writes(harness_here, tmp_path: Path) -> None:
    given = ("--suite", "digits", "--entrant", "weat-adv", "--out", str(LEADERBOARDS))
    done = harness_here("baseline", *given, "--to", str(tmp_path))
    path = tmp_path / "digits" / "weat-adv.safetensors"
    assert (done.returncode, done.stdout) == (0, f"{path}\n"), done.stderr
    committed = ROOT / "baselines" / "digits" / "weat-adv.safetensors"
    assert path.read_bytes() == committed.read_bytes(), "do: harness baseline --suite digits --entrant weat-adv"


def test_the_standard_entrant_fails_against_a_robust_baseline_before_autoattack(
    harness_here, tmp_path: Path, baseline: Callable[[str], str]
) -> None:
    out = tmp_path / "out"
    place = ("--baseline", baseline("weat-adv"), "--margin", "0.03")
    check = ("check", "--suite", "digits", "--entrant", "standard", *place)
    found = harness_here(*check, *HERE, "--cache", str(out), "--json", "--lost", str(out / "lost.tsv"))
    assert found.returncode == 1, found.stderr
    verdict = json.loads(found.stdout)
    (gate,) = verdict["gates"]
    assert (verdict["outcome"], gate["stage"]) == ("fail", "pgd")
    assert gate["examples"] <= 50, "a quarter of the examples, under PGD alone"
    assert set(verdict["cost"]) == {"natural", "pgd"}
    lost = (out / "lost.tsv").read_text().splitlines()[1:]
    assert len(lost) == len(verdict["lost"]) >= gate["lost"]


@pytest.mark.slow
def test_a_shipped_entrant_passes_against_its_own_baseline(
    harness_here, tmp_path: Path, baseline: Callable[[str], str]
) -> None:
    check = ("check", "--suite", "digits", "--entrant", "weat-adv", "--baseline", baseline("weat-adv"))
    found = harness_here(*check, "--margin", "0.03", "--cache", str(tmp_path / "out"), "--json", "--full")
    assert found.returncode == 0, found.stderr
    (gate,) = json.loads(found.stdout)["gates"]
    assert gate["lost"] <= 2, "another processor may break another example"


@pytest.mark.slow
def test_slightly_perturbed_weights_do_not_fail(harness_here, tmp_path: Path, baseline: Callable[[str], str]) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(ROOT / "zoo" / "digits" / "weat-adv.safetensors")
    torch.manual_seed(1)
    shaken = {k: v + 0.02 * v.std() * torch.randn_like(v) if v.numel() > 1 else v for k, v in weights.items()}
    path = tmp_path / "shaken.safetensors"
    save_file(shaken, path)
    check = ("check", "--suite", "digits", "--entrant", f"checkpoint:{path}@digits-cnn", "--margin", "0.03")
    found = harness_here(*check, "--baseline", baseline("weat-adv"), "--cache", str(tmp_path / "out"))
    assert found.returncode in (0, 3), found.stdout


@pytest.fixture
def run_of(tmp_path: Path) -> Callable[[int, str], tuple[Path, tuple[str, ...]]]:
    """A run of `sat` on the first examples: its folder, and the check of the same weights against its baseline."""

    def measure(limit: int, measures: str) -> tuple[Path, tuple[str, ...]]:
        run, file = tmp_path / "run", tmp_path / "sat.safetensors"
        found = judge("sat", "digits", measures.split(","), limit=limit, shard_size=20, device="cpu", out=run)
        write_baseline(file, baseline_of(found))
        given = ("--suite", "digits", "--entrant", "sat", "--baseline", str(file))
        return run, ("check", *given, "--margin", "0.99", *HERE, "--full")

    return measure


def assert_equal_shards(ours: Path, theirs: Path, count: int) -> None:
    """Every shard in one folder is, but for its time, the one in the other."""
    keys = [path.stem for path in ours.rglob("*.safetensors")]
    assert len(keys) == count, "parts of a shard are removed when it is whole"
    for key in keys:
        one, other = Store(ours).read(key), Store(theirs).read(key)
        assert one is not None
        assert other is not None
        assert one.notes == other.notes
        assert set(one.arrays) == set(other.arrays)
        for name, array in one.arrays.items():
            assert np.array_equal(array, other.arrays[name]), name


def test_an_interrupted_check_goes_on_after_the_stage_that_it_had_ended(
    harness_here, run_of: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, check = run_of(1, "standard,autoattack")
    cache, stages = tmp_path / "cache", []
    keep, run_group = Parts.keep, Group.__call__

    def then_interrupted(self: Parts, *given: object) -> None:
        keep(self, *given)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    def counted(self: Group, place: Place) -> object:
        stages.append(self.through)
        return run_group(self, place)

    monkeypatch.setattr(Group, "__call__", counted)
    # the run's own folder is out of sight: no shard of it is to be taken
    with monkeypatch.context() as patch:
        patch.setattr(Parts, "keep", then_interrupted)
        done = harness_here(*check, "--cache", str(cache))
    assert (done.returncode, "run the same command again to go on" in done.stderr) == (130, True), done.stderr
    assert len(list(cache.rglob("*.safetensors"))) == 2, "natural images, and what AutoAttack's first stage left"
    assert len(stages) == 2
    found = harness_here(*check, "--cache", str(cache), "--json")
    assert found.returncode == 0, found.stderr
    assert len(stages) == 2 + 3, "natural images and the first of four stages are not run again"
    assert json.loads(found.stdout)["gates"][0]["lost"] == 0
    assert_equal_shards(cache / "shards", run / "shards", 2)
    assert harness_here(*check, "--cache", str(cache)).returncode == 0
    assert len(stages) == 5, "nothing is left to measure"


def test_a_check_takes_the_shards_of_a_run_and_leaves_it_as_it_is(
    harness_here, run_of: Callable, tmp_path: Path
) -> None:
    run, check = run_of(1, "standard,autoattack")
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    home = {"XDG_CACHE_HOME": str(tmp_path / "home-cache")}
    done = harness_here(*check, "--out", str(run), "--json", **home)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["gates"][0]["stage"] == "autoattack", "as one: no stage of it was run"
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
    assert not list((tmp_path / "home-cache").rglob("*.safetensors")), "nothing had to be measured"
    refused = harness_here(*check, "--out", str(tmp_path / "nowhere"), **home)
    assert refused.returncode == 2
    assert f"expected a run with shards/ in {tmp_path}/nowhere, got none; leave --out away" in refused.stderr


def test_a_check_leaves_nothing_in_the_working_tree(
    harness_here, tmp_path: Path, baseline: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place, home = tmp_path / "project", tmp_path / "home"
    place.mkdir()
    home.mkdir()
    gates = tmp_path / "gates.toml"
    gates.write_text("[standard]\nmargin = 0.05\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    asked = ("check", "--suite", "digits", "--entrant", "standard", "--baseline", baseline("weat-adv"), *HERE)
    done = harness_here(*asked, "--gates", str(gates), cwd=place)
    assert done.returncode == 0, done.stderr
    assert list(place.iterdir()) == []
    assert [path for path in home.rglob("*.safetensors") if user_cache() / "shards" in path.parents], (
        "kept for the next"
    )
    (tmp_path / "file").touch()
    refused = harness_here(*asked, "--gates", str(gates), "--cache", str(tmp_path / "file"), cwd=place)
    assert (refused.returncode, "expected a folder to write to as --cache" in refused.stderr) == (2, True)


@pytest.mark.parametrize(
    ("system", "variables", "folder"),
    [
        ("linux", {}, "/home/me/.cache"),
        ("linux", {"XDG_CACHE_HOME": "/elsewhere"}, "/elsewhere"),
        ("linux", {"XDG_CACHE_HOME": "relative/is/ignored"}, "/home/me/.cache"),
        ("darwin", {}, "/home/me/Library/Caches"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local"),
        ("win32", {}, "/home/me/AppData/Local"),
    ],
)
def test_the_users_cache_is_where_the_system_has_it(
    system: str, variables: dict[str, str], folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/me", **variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("harness.check.cache.sys.platform", system)
    assert user_cache() == Path(folder, "robust-energy-harness")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_check_resumes_and_measures_what_a_run_measures(
    harness_here, run_of: Callable, start: Callable, tmp_path: Path, number: signal.Signals
) -> None:
    run, check = run_of(20, "standard,autoattack,energies")
    cache = tmp_path / "check"
    process = start(*check, "--cache", str(cache))
    while len(list(cache.rglob("*.safetensors"))) < 2:  # natural images, and AutoAttack after a stage
        assert process.poll() is None, "the check ended before it could be killed"
        time.sleep(0.02)
    process.send_signal(number)
    process.communicate()
    assert process.returncode == (128 + number if number == signal.SIGTERM else -number)
    time.sleep(1.5)  # its workers notice within a second
    assert len(list(cache.rglob("*.safetensors"))) == 2

    found = harness_here(*check, "--cache", str(cache), "--json")
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["gates"][0]["lost"] == json.loads(found.stdout)["gates"][0]["gained"] == 0
    assert_equal_shards(cache / "shards", run / "shards", 2)
    missing = harness_here("run", "--suite", "digits", "--entrants", "sat", "--limit", "20", "--shard-size", "20",
                      "--out", str(cache), "--measures", "standard,autoattack", "--dry-run")  # fmt: skip
    assert "0 of 2 shards" in missing.stdout


def test_pgd_on_some_examples_finds_what_it_finds_on_whole_shards() -> None:
    suite, images = SUITES["digits"], digits("test").first(60)
    entrant = next(one for one in own_entrants(suite.domain) if one.card.name == "weat-adv")
    model = Precise(entrant.load(), "fp32")
    ranges = shards(60, 25)
    energies = Energies(attacks={MAIN: ATTACKS[MAIN]})
    whole = [energies(model, energies.examples(images, a, b), suite.threat).arrays["pgd.correct"] for a, b in ranges]
    expected = np.concatenate(whole)
    chosen = np.sort(np.random.default_rng(0).permutation(60)[:23])
    one = Judged(entrant, entrant.weights(), images)
    place = Place(model, one, make_plan(suite, [one], [], precision="fp32", device="cpu"), CPU)
    found = PGDOn(ATTACKS[MAIN], 0, tuple(ranges), chosen)(place)
    assert found.tolist() == expected[chosen].tolist()
    assert not found.all()


@pytest.mark.slow
def test_many_gates_are_judged_together_and_values_too(
    harness_here, tmp_path: Path, baseline: Callable[[str], str]
) -> None:
    gates = tmp_path / "gates.toml"
    gates.write_text(
        "[standard]\nmargin = 0.1\n[pgd]\nmargin = 0.5\n"
        "[energy]\nvalue = 'energies.pgd.delta_marginal_energy.mean'\nworse = 'either'\nmargin = 0.01\n"
        "[spread]\nvalue = 'energies.marginal_energy.sd'\nworse = 'higher'\nmargin = 0.5\n"
    )
    own = baseline("weat-adv")
    common = (
        "--suite",
        "digits",
        "--baseline",
        own,
        "--gates",
        str(gates),
        "--cache",
        str(tmp_path / "out"),
        "--json",
        *HERE,
    )
    same = harness_here("check", "--entrant", "weat-adv", *common, "--full")
    assert same.returncode == 0, same.stdout + same.stderr
    found = {gate["name"]: gate for gate in json.loads(same.stdout)["gates"]}
    assert found["energy"]["worsening"] == pytest.approx(0, abs=1e-3)
    assert found["spread"]["p"] is None, "a standard deviation has no interval: numbers are compared"
    other = harness_here("check", "--entrant", "standard", *common, "--full")
    assert other.returncode == 1, other.stdout + other.stderr
    outcomes = {gate["name"]: gate["outcome"] for gate in json.loads(other.stdout)["gates"]}
    assert outcomes["energy"] == "fail"


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--entrant", "standard,sat"], ["one entrant", "got 2"]),
        (["--margin", "2"], ["--margin from 0 to 1"]),
        (["--alpha", "0"], ["alpha above 0"]),
        (["--baseline", "nowhere"], ["expected a baseline in nowhere/digits/standard.safetensors", "harness baseline"]),
        (["--gates", "nowhere.toml"], ["TOML in nowhere.toml"]),
        (["--record", f"{LEADERBOARDS}/results/digits/sat.json"], ["record of standard", "got one of sat"]),
        (["--suite", "cifar10"], ["got"]),
        (
            ["--margin", "0.01"],
            [
                "expected a margin that 200 examples can decide, got 0.01 for the gate 'robust'",
                "a drop of 1.9 points is not excluded; give a margin of 0.0194, or judge 390 examples",
            ],
        ),
        (["--margin", "0"], ["got 0 for the gate 'robust'", "give a margin of 0.0194"]),
    ],
)
def test_bad_input_is_one_line(
    harness_here, tmp_path: Path, baseline: Callable[[str], str], options: list[str], parts: list[str]
) -> None:
    good = ["--suite", "digits", "--entrant", "standard", "--baseline", baseline("weat-adv")]
    done = harness_here("check", *good, "--cache", str(tmp_path / "out"), *options)
    assert done.returncode == 2, done.stdout + done.stderr
    lines = [line for line in done.stderr.splitlines() if "error:" in line]
    assert len(lines) == 1
    assert "Traceback" not in done.stderr
    for part in parts:
        assert part in lines[0], lines[0]


def test_equal_weights_pass_at_once_and_say_so(harness_here, tmp_path: Path, baseline: Callable[[str], str]) -> None:
    out, summary = tmp_path / "out", tmp_path / "summary.md"
    copy = tmp_path / "copy.safetensors"
    shutil.copy(ROOT / "zoo" / "digits" / "weat-adv.safetensors", copy)
    for entrant in ("weat-adv", f"checkpoint:{copy}@digits-cnn"):
        check = ("check", "--suite", "digits", "--entrant", entrant, "--baseline", baseline("weat-adv"))
        done = harness_here(*check, "--cache", str(out), "--json", "--summary", str(summary), "--junit", f"{out}/j.xml")
        assert done.returncode == 0, done.stderr
        verdict = json.loads(done.stdout)
        said = "robust accuracy: the weights are the baseline's own; nothing was measured (--full measures)"
        (gate,) = verdict["gates"]
        assert (verdict["outcome"], verdict["cost"], gate["statement"], gate["lost"]) == ("pass", {}, said, None)
        assert verdict["line"].endswith(f" on digits: {said}")
        assert "| robust | ✅ pass |" in summary.read_text()
    assert not list(out.rglob("*.safetensors")), "nothing was measured, also where the margin could not be decided"


def test_a_baseline_of_another_suite_is_refused_with_the_difference(
    harness_here, tmp_path: Path, baseline: Callable[[str], str]
) -> None:
    suite = tmp_path / "mine.toml"
    suite.write_text('base = "digits"\nname = "mine"\neps = 0.1\n')
    done = harness_here("check", "--suite", str(suite), "--entrant", "standard", "--baseline", baseline("standard"),
                        "--cache", str(tmp_path / "out"))  # fmt: skip
    assert done.returncode == 2
    assert "suite eps 0.15" in done.stderr
    assert "suite eps 0.1;" in done.stderr.split("got", 1)[1]


def test_a_baseline_without_a_record_says_how_to_make_one(harness_here, tmp_path: Path) -> None:
    done = harness_here("baseline", "--suite", "digits", "--entrant", "nobody", "--out", str(tmp_path))
    assert done.returncode == 2
    assert "harness run --suite digits --entrants nobody" in done.stderr
