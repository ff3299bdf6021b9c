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
import yaml
from junitparser import JUnitXml

from harness.attacks.named import ATTACKS, MAIN
from harness.check.baseline import from_record, write_baseline
from harness.check.candidate import PGDOn
from harness.classifier.precision import Precise
from harness.data.datasets import digits
from harness.measures import Energies
from harness.run.executors.place import Place
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
    found = harness_here(*check, *HERE, "--out", str(out), "--json", "--lost", str(out / "lost.tsv"))
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
    found = harness_here(*check, "--margin", "0.03", "--out", str(tmp_path / "out"), "--json", "--full")
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
    found = harness_here(*check, "--baseline", baseline("weat-adv"), "--out", str(tmp_path / "out"))
    assert found.returncode in (0, 3), found.stdout


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_an_interrupted_check_resumes_and_measures_what_a_run_measures(
    harness_here, start: Callable, tmp_path: Path, number: signal.Signals
) -> None:
    run, out = tmp_path / "run", tmp_path / "check"
    size = ("--limit", "20")
    done = harness_here(
        "run", "--suite", "digits", "--entrants", "sat", *size, "--shard-size", "20", "--out", str(run),
        "--measures", "standard,autoattack,energies", "--workers", "0",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    file = tmp_path / "sat.safetensors"
    done = harness_here(
        "baseline", "--suite", "digits", "--entrant", "sat", *size, "--out", str(run), "--to", str(file)
    )
    assert done.returncode == 0, done.stderr

    check = (
        "check",
        "--suite",
        "digits",
        "--entrant",
        "sat",
        "--baseline",
        str(file),
        "--margin",
        "0.3",
        *HERE,
        "--full",
    )
    process = start(*check, "--out", str(out))
    while len(list(out.rglob("*.safetensors"))) < 2:  # natural images, and AutoAttack after a stage
        assert process.poll() is None, "the check ended before it could be killed"
        time.sleep(0.02)
    process.send_signal(number)
    process.communicate()
    assert process.returncode == (128 + number if number == signal.SIGTERM else -number)
    time.sleep(1.5)  # its workers notice within a second
    assert len(list(out.rglob("*.safetensors"))) == 2

    found = harness_here(*check, "--out", str(out), "--json")
    assert found.returncode == 0, found.stderr
    verdict = json.loads(found.stdout)
    assert verdict["gates"][0]["lost"] == verdict["gates"][0]["gained"] == 0
    ours = {path.stem: Store(out / "shards").read(path.stem) for path in (out / "shards").rglob("*.safetensors")}
    assert len(ours) == 2, "parts of a shard are removed when it is whole"
    for key, shard in ours.items():
        theirs = Store(run / "shards").read(key)
        assert theirs is not None
        assert shard is not None
        assert shard.notes == theirs.notes
        assert set(shard.arrays) == set(theirs.arrays)
        for name, array in shard.arrays.items():
            assert np.array_equal(array, theirs.arrays[name]), name

    again = harness_here(*check, "--out", str(run), "--json")  # the run's own shards: nothing is left to measure
    assert json.loads(again.stdout)["gates"][0]["stage"] == "autoattack"
    missing = harness_here("run", "--suite", "digits", "--entrants", "sat", *size, "--shard-size", "20", "--out", str(out),
                      "--measures", "standard,autoattack", "--dry-run")  # fmt: skip
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
        "--out",
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
    done = harness_here("check", *good, "--out", str(tmp_path / "out"), *options)
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
        done = harness_here(*check, "--out", str(out), "--json", "--summary", str(summary), "--junit", f"{out}/j.xml")
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
                        "--out", str(tmp_path / "out"))  # fmt: skip
    assert done.returncode == 2
    assert "suite eps 0.15" in done.stderr
    assert "suite eps 0.1;" in done.stderr.split("got", 1)[1]


def test_a_baseline_without_a_record_says_how_to_make_one(harness_here, tmp_path: Path) -> None:
    done = harness_here("baseline", "--suite", "digits", "--entrant", "nobody", "--out", str(tmp_path))
    assert done.returncode == 2
    assert "harness run --suite digits --entrants nobody" in done.stderr


# ---------------------------------------------------------------- the workflow

WORKFLOW = ROOT / ".github" / "workflows" / "robust-accuracy.yml"


def steps(**inputs: str) -> list[tuple[str, dict[str, str]]]:
    """The shell commands of the reusable workflow as they stand, with the environment that GitHub would give them."""
    workflow = yaml.safe_load(WORKFLOW.read_text())
    declared = workflow[True]["workflow_call"]["inputs"]  # YAML 1.1 reads the key `on` as true
    values = {
        name: str(inputs.get(name.replace("-", "_"), about.get("default", ""))) for name, about in declared.items()
    }
    found = []
    for step in workflow["jobs"]["check"]["steps"]:
        if "run" in step:
            assert "${{" not in step["run"], "what a caller gives comes as environment, never as code"
            given = {name: value.replace("${{ inputs.", "").removesuffix(" }}") for name, value in step["env"].items()}
            found.append((step["run"], {name: values[key].replace("False", "false") for name, key in given.items()}))
    assert len(found) == 3
    return found


def test_the_workflow_fails_a_job_and_reports(shell: Callable, tmp_path: Path, baseline: Callable[[str], str]) -> None:
    given = {"suite": "digits", "entrant": "standard", "baseline": baseline("weat-adv"), "prepare": "touch ready"}
    given["margin"] = "0.03"
    results = [shell(run, environment) for run, environment in steps(**given)]
    assert [done.returncode for done in results] == [0, 0, 1], results[-1].stderr
    place = tmp_path / "job"
    assert (place / "ready").exists()
    (suite,) = JUnitXml.fromfile(str(place / ".robust-accuracy" / "junit.xml"))
    assert (suite.tests, suite.failures) == (1, 1)
    assert any(
        line.startswith("::error title=robust%3A fail::standard on digits") for line in results[-1].stdout.split("\n")
    )
    assert "| robust | ❌ fail |" in (place / "summary.md").read_text()


def test_the_workflow_may_let_an_undecided_check_through(
    shell: Callable, tmp_path: Path, baseline: Callable[[str], str]
) -> None:
    gates = tmp_path / "gates.toml"
    gates.write_text("[standard]\nmargin = 0.03\n")
    given = {"suite": "digits", "entrant": "standard", "baseline": baseline("sat"), "gates": str(gates)}
    for allowed, status in (("false", 3), ("true", 0)):
        run, environment = steps(**given, allow_undecided=allowed, options="--workers 1")[-1]
        done = shell(run, environment)
        assert done.returncode == status, done.stderr
        assert "::warning title=standard%3A undecided::" in done.stdout
