"""Starts, objectives and samplers of a user's own choice: from a TOML file, from a suite's file, and from Python."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

import harness as judge
from harness.errors import BadInput
from harness.features.scores import Scores
from harness.measures import PRESETS, Generation
from harness.measures.generation_file import read_generation
from harness.run.selection import chosen_measures
from harness.sampling.objectives import EnergyDifference
from harness.sampling.samplers import SGLD, Heun
from harness.sampling.starts import BlendStart, MixStart, NoisedRealStart, PCAStart, UniformStart
from harness.suites.files import read_suite
from harness.suites.suite import SUITES
from leaderboards.pages.commands import measured_again as commands
from leaderboards.records.files import read_record

Harness = Callable[..., subprocess.CompletedProcess[str]]

SAMPLER = 'sampler = { name = "sgld", eta = 0.1, steps = 2 }\n'
CHOICES = {
    "start": {
        "pca": "variance = 0.9, sigma = 0.01",
        "gaussian": "",
        "mix": "weight = 0.3, pca = { variance = 0.8, tau = 0.7 }",
        "blend": "weight = 0.3",
        "uniform": "",
        "noised-real": "noise = 0.2",
        "class-mean": "",
    },
    "objective": {
        "joint-energy": "",
        "marginal-energy": "",
        "cross-entropy": "",
        "energy-difference": "weight = 0.5",
        "energy-distance": "",
        "mahalanobis": "",
    },
    "sampler": {
        "sgld": "eta = 0.2, steps = 2, momentum = 0.5, noise = 0.0",
        "heun": "eta = 0.2, steps = 2",
        "normalised-gradient": "eta = 0.2, steps = 2, noise = 0.01",
    },
}


def written(folder: Path, text: str, name: str = "mine.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("table", "name", "fields"),
    [(table, name, fields) for table, names in CHOICES.items() for name, fields in names.items()],
)
def test_each_start_objective_and_sampler_of_a_file_is_measured_and_recorded_with_its_settings(
    table: str, name: str, fields: str, tmp_path: Path
) -> None:
    inner = ", ".join(part for part in (f'name = "{name}"', fields) if part)
    text = f"images = 10\n{'' if table == 'sampler' else SAMPLER}{table} = {{ {inner} }}\n"
    path = written(tmp_path, text)
    found = judge.judge("sat", suite="digits", measures=[f"generation:{path}"], out=tmp_path / "out")
    (file,) = (tmp_path / "out" / "results" / "digits").glob("*.json")
    measurement = read_record(file).measurements["generation"]
    chosen = measurement.settings[table]
    expected = asdict(getattr(read_generation(path, PRESETS["short"]), table))
    assert chosen == expected
    assert chosen["name"] == name
    for part in fields.split(", ") if "{" not in fields else ["weight = 0.3"]:
        key, _, number = part.partition(" = ")
        if key:
            assert chosen[key] == float(number)
    assert measurement.n == found.value("steps.mean").n == 10
    assert found.value("steps.mean").value == 2
    assert (measurement.settings["preset"], measurement.settings["images"]) == ("mine.toml", 10)
    assert str(tmp_path) not in file.read_text(), "no path of this machine"


def test_what_a_file_does_not_give_is_its_base_s_or_the_suite_s_usual_preset_s(tmp_path: Path) -> None:
    path = written(tmp_path, "tolerance = 1\nbatch_size = 20\n")
    named = f"generation:{path}"
    assert chosen_measures([named], SUITES["digits"]) == [
        replace(PRESETS["short"], tolerance=1.0, batch_size=20, preset="mine.toml")
    ]
    (of_colour,) = chosen_measures([named], SUITES["cifar10"])
    assert of_colour == replace(PRESETS["10k"], tolerance=1.0, batch_size=20, preset="mine.toml")
    whole = written(
        tmp_path,
        'base = "paper"\nimages = 12\nreference_images = 7\n[start]\nname = "mix"\n[start.pca]\nsigma = 0.005\n'
        '[objective]\nname = "energy-difference"\nweight = 0\n[sampler]\nname = "heun"\neta = 1\nsteps = 3\n'
        "[scores]\nkid_subset_size = 4\n",
    )
    assert read_generation(whole, PRESETS["short"]) == Generation(
        images=12,
        start=MixStart(pca=PCAStart(tau=None, sigma=0.005)),
        objective=EnergyDifference(0.0),
        sampler=Heun(1.0, 3),
        reference_images=7,
        scores=Scores(kid_subset_size=4),
        preset="mine.toml",
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("imagse = 5", "expected the keys of generation in FILE, got 'imagse'; did you mean images"),
        ("images = 0", "expected images of at least 1, got 0; correct it in FILE"),
        ("images = true", "expected images to be a whole number in FILE, got True; correct it"),
        ("images = 1.5", "expected images to be a whole number in FILE, got 1.5; correct it"),
        ("tolerance = nan", "expected tolerance to be a finite number in FILE, got nan; correct it"),
        ('base = "papr"', "expected base to be a preset of generation in FILE, got 'papr'; did you mean paper"),
        ('start = "pca"', "expected start to be a table in FILE, got 'pca'; write [start]"),
        ("[start]\ntau = 1", "expected start.name to be one of pca, gaussian, mix, blend, uniform, noised-real,"),
        ('[start]\nname = "guassian"', "got 'guassian'; did you mean gaussian"),
        ('[start]\nname = "uniform"\nnoise = 1', "expected a field of start in FILE, got 'noise'; it has none but its"),
        ('[start]\nname = "pca"\ntau = -1', "expected tau or sigma above 0, got -1.0; correct it in start of FILE"),
        ('[start]\nname = "pca"\nvariance = 95', "variance above 0 and up to 1, got 95.0; 0.95 keeps 95 % in start of"),
        (
            '[start]\nname = "mix"\npca = { tua = 1 }',
            "expected a field of start.pca in FILE, got 'tua'; did you mean tau?",
        ),
        ('[start]\nname = "blend"\npca = 3', "expected start.pca to be a table in FILE, got 3; write [start.pca]"),
        ('[objective]\nname = "energy"', "expected objective.name to be one of joint-energy, marginal-energy,"),
        ('[sampler]\nname = "sgld"\nsteps = 3', "expected eta in sampler of FILE, got none; add what is missing"),
        ('[sampler]\nname = "heun"\neta = "1"\nsteps = 3', "expected sampler.eta to be a number in FILE, got '1'"),
        ('[sampler]\nname = "sgld"\neta = 1\nsteps = 3\nmomentm = 0', "got 'momentm'; did you mean momentum"),
        ("[scores]\nisc_splits = 0", "expected isc_splits of at least 1, got 0; correct it in scores of FILE"),
        ("images =", "expected settings of generation in TOML in FILE, got Invalid value"),
    ],
)
def test_a_wrong_file_is_told_in_one_line(text: str, said: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    with pytest.raises(BadInput, match=r"^expected [^\n]*, got [^\n]*; [^\n]*$") as caught:
        read_generation(path, PRESETS["short"])
    assert said in str(caught.value).replace(str(path), "FILE")


def test_a_file_that_is_not_there_and_two_of_them_are_told_by_the_command(harness_here: Harness) -> None:
    for measures, said in (
        ("generation:none.toml", "expected settings of generation in TOML in none.toml, got [Errno 2]"),
        ("generation:shrt", "did you mean short? choose one of short, 10k, 50k, paper, or give the path of a .toml"),
        ("generation:a.toml,generation:b.toml", "expected one preset of generation, got a.toml, b.toml;"),
    ):
        done = harness_here("run", "--suite", "digits", "--measures", measures)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert said in done.stderr


def test_a_suite_names_a_file_that_lies_beside_its_own_and_the_page_names_it_without_folders(
    harness_here: Harness, tmp_path: Path
) -> None:
    folder = tmp_path / "suites"
    folder.mkdir()
    written(folder, 'images = 4\nstart = { name = "uniform" }\n' + SAMPLER, "drawn.toml")
    suite = written(
        folder, 'base = "digits"\nname = "drawn"\nmeasures = ["generation:drawn.toml"]\n', "drawn-suite.toml"
    )
    (measure,) = chosen_measures([], read_suite(suite))
    assert isinstance(measure, Generation)
    assert (measure.start, measure.sampler, measure.images) == (UniformStart(), SGLD(eta=0.1, steps=2), 4)
    out = tmp_path / "out"
    done = harness_here("run", "--suite", str(suite), "--entrants", "sat", "--workers", "0", "--out", str(out))
    assert done.returncode == 0, done.stderr
    record = read_record(out / "results" / "drawn" / "sat.json")
    assert record.measurements["generation"].settings["start"] == {"name": "uniform"}
    page = (out / "site" / "drawn" / "sat.html").read_text()
    assert "--measures generation:drawn.toml" in page
    assert "The settings below were given by the file <code><bdi>drawn.toml</bdi></code>." in page
    assert "Draws that took 0 steps" in page
    assert str(folder) not in page


def test_from_python_every_field_is_judged_and_no_command_claims_a_preset_that_it_is_not(tmp_path: Path) -> None:
    mine = Generation(images=8, start=NoisedRealStart(0.2), sampler=Heun(eta=0.1, steps=2))
    found = judge.judge("sat", suite="digits", measures=[mine, "standard"], limit=8, out=tmp_path)
    settings = found.measurement("generation").settings
    assert settings["start"] == {"noise": 0.2, "name": "noised-real"}
    assert settings["sampler"] == {"eta": 0.1, "steps": 2, "noise": 0.001, "name": "heun"}
    assert settings["preset"] == ""
    assert [command.partition("--measures ")[2].split()[0] for command in commands(found.record)] == ["standard"]
    assert [replace(PRESETS[name], seed=3).settings()["preset"] for name in PRESETS] == list(PRESETS)
    assert mine.settings() != replace(mine, start=BlendStart()).settings()


@pytest.mark.parametrize(
    "make",
    [
        lambda: Generation(images=0),
        lambda: Generation(tolerance=float("inf")),
        lambda: Scores(neighbours_of=3),
        lambda: EnergyDifference(float("nan")),
        lambda: PCAStart(variance=0.0),
    ],
)
def test_fields_out_of_range_are_refused_from_python_too(make: Callable[[], object]) -> None:
    with pytest.raises(BadInput, match=r"^expected [^\n]*, got [^\n]*$"):
        make()
