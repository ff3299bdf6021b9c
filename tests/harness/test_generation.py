"""The measure of generation: its units of work, what decides its keys, what it says where something is missing."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file
from torch import nn

from harness.data.datasets import digits
from harness.errors import BadInput
from harness.features.digits import as_bytes
from harness.features.scores import frechet_distance
from harness.measures import PRESETS, Generation, StandardAccuracy
from harness.measures.sources import Sources
from harness.run.plan import Judged, make_plan
from harness.run.report import generation_tables
from harness.run.selection import chosen_measures
from harness.sampling.objectives import EnergyDistance
from harness.sampling.samplers import SGLD
from harness.sampling.starts import BlendStart, MixStart
from harness.suites.suite import SUITES
from leaderboards.records.arrays import read_arrays
from leaderboards.records.files import read_record
from zoo.entrant import Weights
from zoo.own_entrants import own_entrants

Harness = Callable[..., subprocess.CompletedProcess[str]]
SUITE = SUITES["digits"]
SOURCES = Sources(train=lambda: digits("train"), held_out=lambda: digits("test"))
SHORT = replace(PRESETS["short"], images=120, sampler=SGLD(eta=0.1, steps=5))


def entrant(name: str = "trades") -> nn.Module:
    return next(one for one in own_entrants(SUITE.domain) if one.card.name == name).load()


def plan(measures, **changes):
    judged = Judged(own_entrants(SUITE.domain)[0], Weights("a" * 64), digits("test").first(200))
    return make_plan(SUITE, [judged], measures, **{"precision": "fp32", "device": "cpu", **changes})


def measured(measure: Generation, model: nn.Module, start: int = 0, stop: int | None = None):
    examples = measure.examples(digits("test"), start, measure.images if stop is None else stop)
    return measure(model, examples, SUITE.threat)


# ---------------------------------------------------------------- units of work and keys


def test_draws_are_cut_into_shards_by_their_own_number_and_examples_by_theirs() -> None:
    made = plan([StandardAccuracy(), SHORT.bound(SOURCES)])
    assert [(t.start, t.stop) for t in made.of(0, "standard")] == [(0, 100), (100, 200)]
    assert [(t.start, t.stop) for t in made.of(0, "generation")] == [(0, 100), (100, 120)]
    assert made.limit is None
    assert [t.key for t in plan([StandardAccuracy()]).tasks] == [t.key for t in made.of(0, "standard")]


def test_a_limit_cuts_draws_too_and_marks_the_run_as_partial() -> None:
    bound = SHORT.bound(SOURCES)
    assert len(plan([bound], limit=50).tasks[0]) == 50
    assert plan([bound], limit=50).limit == 50
    assert plan([bound], limit=120).limit is None
    assert plan([StandardAccuracy(), bound], limit=150).limit == 150, "150 of 200 examples, all 120 draws"


def test_whatever_decides_the_draws_or_their_scores_changes_the_key() -> None:
    train = digits("train")
    fewer = replace(SOURCES, train=lambda: replace(train, images=train.images[1:], labels=train.labels[1:]))
    other = replace(SOURCES, held_out=lambda: digits("test").first(300))
    changed = [
        SHORT.bound(fewer),
        SHORT.bound(other),
        replace(SHORT, seed=1).bound(SOURCES),
        replace(SHORT, objective=EnergyDistance()).bound(SOURCES),
        replace(SHORT, sampler=SGLD(eta=0.1, steps=6)).bound(SOURCES),
        *(replace(SHORT, start=start).bound(SOURCES) for start in (MixStart(), BlendStart(), BlendStart(0.4))),
        *(PRESETS[name].bound(SOURCES) for name in ("short", "10k", "50k", "paper")),
    ]
    bound = SHORT.bound(SOURCES)
    extractor = replace(bound.material.extractor, sha256="0" * 64)  # type: ignore[union-attr, type-var]
    changed.append(replace(bound, material=replace(bound.material, extractor=extractor)))  # type: ignore[type-var]
    keys = [plan([measure]).tasks[0].key for measure in (bound, *changed)]
    assert len(set(keys)) == len(keys)
    assert plan([SHORT.bound(SOURCES)]).tasks[0].key == keys[0]


def test_a_preset_is_chosen_by_its_name_and_by_the_suite() -> None:
    assert chosen_measures(["generation"], SUITE) == [PRESETS["short"]]
    assert chosen_measures(["generation"], SUITES["cifar10"]) == [PRESETS["10k"]]
    assert [m.name for m in chosen_measures(["generation:paper", "standard"], SUITE)] == ["standard", "generation"]
    assert chosen_measures(["generation:paper"], SUITE) == [PRESETS["paper"]]
    assert "generation" not in {m.name for m in chosen_measures((), SUITE)}
    for wrong in ("generation:papr", "generation:10k,generation:50k"):
        with pytest.raises(BadInput, match=r"^expected [^\n]*preset of generation, got [^\n]*$"):
            chosen_measures(wrong.split(","), SUITE)


def test_the_paper_s_preset_is_the_paper_s() -> None:
    found = PRESETS["paper"].settings()
    assert found["sampler"] == {"eta": 0.025, "steps": 500, "momentum": 0.8, "noise": 0.001, "name": "sgld"}
    assert (found["start"]["variance"], found["start"]["tau"], found["images"]) == (0.99, 0.354, 50_000)


# ---------------------------------------------------------------- what is measured


@pytest.fixture(scope="module")
def bound() -> Generation:
    return SHORT.bound(SOURCES)


def test_shards_and_batches_change_nothing_but_rounding(bound: Generation) -> None:
    model = entrant()
    whole = measured(bound, model)
    parts = [measured(replace(bound, batch_size=17), model, *cut) for cut in ((0, 50), (50, 120))]
    for name, array in whole.arrays.items():
        joined = np.concatenate([part.arrays[name] for part in parts])
        if array.dtype == np.uint8:
            assert np.abs(array.astype(int) - joined).max() <= 1, name
        elif name == "nearest":
            assert (array == joined).mean() > 0.98
        else:
            assert np.allclose(array, joined, rtol=1e-3, atol=2e-2), name


def test_each_class_is_drawn_equally_often_and_starts_are_the_plan_s(bound: Generation) -> None:
    found = measured(bound, entrant()).arrays
    assert np.bincount(found["label"]).tolist() == [12] * 10
    assert found["image"].dtype == found["start_image"].dtype == np.uint8
    assert (found["joint_energy"][:, -1] < found["joint_energy"][:, 0]).mean() > 0.95
    assert not np.array_equal(found["image"], found["start_image"])
    none = measured(replace(bound, sampler=SGLD(eta=0.1, steps=0)), entrant()).arrays
    assert np.array_equal(none["image"], none["start_image"])
    assert np.array_equal(none["features"], none["start_features"])


def test_values_stand_beside_the_starts_and_held_out_images_and_name_the_extractor(bound: Generation) -> None:
    result = measured(bound, entrant())
    values = replace(bound, scores=replace(bound.scores, kid_subset_size=100)).summarise(result.arrays, ()).values
    label = f"digits-features {bound.material.extractor.sha256[:8]}"  # type: ignore[union-attr]
    for prefix, n in (("", 120), ("starts.", 120), ("held_out.", 400)):
        for name in ("fid", "kid", "inception_score", "precision", "recall"):
            value = values[f"{prefix}{name}"]
            assert (value.n, value.method, value.reason) == (n, label, "")
            assert value.value is not None
        assert values[f"{prefix}nearest_distance.mean"].n == n
    assert values["held_out.fid"].value < values["fid"].value
    assert values["joint_energy.step_5.mean"].value < values["joint_energy.step_0.mean"].value
    assert bound.settings()["extractor"]["sha256"] == bound.material.extractor.sha256  # type: ignore[union-attr]


def test_generated_images_starts_and_held_out_ones_are_compared_at_one_number_of_images(bound: Generation) -> None:
    fewer = replace(SOURCES, held_out=lambda: digits("test").first(90))
    few = replace(SHORT, scores=replace(SHORT.scores, kid_subset_size=50)).bound(fewer)
    result = measured(few, entrant())
    values = few.summarise(result.arrays, ()).values
    names = ("fid", "kid", "inception_score", "precision", "recall", "nearest_distance.mean", "nearest_distance.min")
    for prefix in ("", "starts.", "held_out."):
        assert {values[f"equal_n.{prefix}{name}"].n for name in names} == {90}
    assert (values["fid"].n, values["starts.fid"].n, values["held_out.fid"].n) == (120, 120, 90)
    assert values["equal_n.held_out.fid"] == values["held_out.fid"]
    # by torch-fidelity on the first 90 draws and on their starts
    train = few.material.real(few.material.training.images, few.material.extractor, torch.device("cpu"))  # type: ignore[union-attr, arg-type]
    for prefix, kind in (("", ""), ("starts.", "start_")):
        features = torch.from_numpy(result.arrays[f"{kind}features"][:90])
        assert values[f"equal_n.{prefix}fid"].value == pytest.approx(frechet_distance(features, train.features))
        distance = result.arrays[f"{kind}nearest_distance"][:90]
        assert values[f"equal_n.{prefix}nearest_distance.min"].value == pytest.approx(float(distance.min()))


def test_where_there_are_more_held_out_images_than_draws_those_are_taken_evenly_from_all_classes(
    bound: Generation,
) -> None:
    test = digits("test")
    order = test.labels.argsort(stable=True)
    by_class = replace(test, images=test.images[order], labels=test.labels[order], digest="")
    few = SHORT.bound(replace(SOURCES, held_out=lambda: by_class))
    values = few.summarise(measured(few, entrant()).arrays, ()).values
    assert values["equal_n.held_out.fid"].n == values["equal_n.fid"].n == 120
    assert values["equal_n.fid"] == values["fid"]
    # images of one class alone are many times as far from all classes
    assert values["equal_n.held_out.fid"].value < 3 * values["held_out.fid"].value


def test_the_draws_that_took_no_step_are_counted(bound: Generation) -> None:
    resting = replace(bound, tolerance=0.0, sampler=SGLD(eta=0.1, steps=20))
    arrays = measured(resting, entrant()).arrays
    value = resting.summarise(arrays, ()).values["steps.zero"]
    assert 0 < value.value < 120
    assert (value.value, value.n) == ((arrays["steps"] == 0).sum(), 120)
    assert resting.quantities()["steps.zero"].title == "Draws that took 0 steps"
    moving = bound.summarise(measured(bound, entrant()).arrays, ()).values
    assert moving["steps.zero"].value == 0


def test_no_two_numbers_of_images_stand_in_one_table_of_the_terminal(bound: Generation) -> None:
    values = bound.summarise(measured(bound, Breaking(entrant(), 0.33)).arrays, ()).values
    record = read_record(Path(__file__).parents[2] / "leaderboards" / "results" / "digits" / "standard.json")
    found = record.measurements["generation"].model_copy(update={"values": dict(values), "n": 120})
    drawn = record.model_copy(update={"measurements": {"generation": found}})
    tables = generation_tables([drawn])
    (equal, *others), n = tables, values["fid"].n
    assert [row[:2] for row in equal[2]] == [
        ("standard", "Generated"),
        ("", "Starts alone (0 steps)"),
        ("", "Held-out real images"),
    ]
    assert equal[0].startswith(f"generation, {n} images, scored by digits-features ")
    assert [title.split()[1] for title, _, _ in others] == ["400", "120"]
    for title, headings, rows in tables:
        assert headings[-1] == "n"
        assert {row[-1] for row in rows} == {title.split()[1]}
        assert {len(row) for row in rows} == {len(headings)}


class Breaking(nn.Module):
    """A classifier whose logits are not numbers for images that are brighter than the others."""

    def __init__(self, model: nn.Module, limit: float) -> None:
        super().__init__()
        self.model, self.limit = model, limit

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        bright = x.flatten(1).mean(1, keepdim=True) > self.limit
        return torch.where(bright, torch.nan, self.model(x))


def test_draws_without_gradients_are_counted_and_left_out_of_every_number(bound: Generation) -> None:
    result = measured(bound, Breaking(entrant(), 0.33))
    failed = int((~result.arrays["finite"]).sum())
    assert 0 < failed < 56
    summary = bound.summarise(result.arrays, result.notes)
    assert [(flag.code, flag.message.startswith(f"{failed} draws")) for flag in summary.flags] == [
        ("no-gradient", True)
    ]
    assert summary.values["fid"].n == summary.values["nearest_distance.mean"].n == 120 - failed
    assert summary.values["starts.fid"].n == 120
    alike = {summary.values[f"equal_n.{prefix}fid"].n for prefix in ("", "starts.", "held_out.")}
    assert alike == {120 - failed}
    assert summary.values["steps.zero"].value == 0, "a draw that failed did not come to rest"
    assert summary.values["joint_energy.step_5.mean"].value is not None


def test_where_every_draw_fails_there_is_no_number_and_a_reason(bound: Generation) -> None:
    result = measured(bound, Breaking(entrant(), -1.0))
    summary = bound.summarise(result.arrays, result.notes)
    for name in ("fid", "kid", "inception_score", "precision", "nearest_distance.mean", "nearest_distance.min"):
        assert summary.values[name].value is None, name
        assert summary.values[name].reason, name


def test_without_an_extractor_images_are_drawn_and_scores_give_the_reason(bound: Generation) -> None:
    blind = replace(bound, material=replace(bound.material, extractor=None, reason="no feature extractor: none here"))  # type: ignore[type-var]
    result = measured(blind, entrant())
    assert not {"features", "logits"} & set(result.arrays)
    summary = blind.summarise(result.arrays, result.notes)
    for prefix in ("", "starts.", "held_out."):
        assert summary.values[f"{prefix}fid"].value is None
        assert summary.values[f"{prefix}fid"].reason == "no feature extractor: none here"
    assert summary.values["nearest_distance.mean"].value is not None
    assert [flag.code for flag in summary.flags] == ["no-extractor"]
    assert blind.settings()["extractor"] is None


def test_an_objective_against_real_images_is_given_them(bound: Generation) -> None:
    found = measured(replace(bound, objective=EnergyDistance(), sampler=SGLD(eta=0.02, steps=20)), entrant()).arrays
    resting = measured(replace(bound, tolerance=0.0, sampler=SGLD(eta=0.1, steps=20)), entrant()).arrays
    spread = [found["joint_energy"][found["label"] == 0, place].std() for place in (0, -1)]
    assert spread[1] < spread[0]
    assert resting["steps"].min() < 20


# ---------------------------------------------------------------- the command


def test_a_run_writes_record_samples_and_gallery_as_one_process_would_measure_them(
    harness_here: Harness, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    given = ("run", "--suite", "digits", "--entrants", "standard", "--measures", "generation", "--limit", "40")
    done = harness_here(*given, "--shard-size", "20", "--workers", "1", "--out", str(out))
    assert done.returncode == 0, done.stderr
    record = read_record(out / "results" / "digits" / "partial-40" / "standard.json")
    found = record.measurements["generation"]
    assert (found.n, record.limit, found.settings["preset"]) == (40, 40, "short")
    assert found.values["fid"].reason == "FID needs more images than the 64 features, got 40"
    assert found.values["inception_score"].value is not None
    assert found.arrays is not None
    arrays = read_arrays(out / "arrays", found.arrays)
    assert not {"image", "start_image", "features", "logits"} & set(arrays), "images and features stay out of git"
    here = measured(PRESETS["short"].bound(SOURCES), entrant("standard"), 0, 40).arrays
    assert np.allclose(arrays["joint_energy"], here["joint_energy"], atol=1e-2)
    assert np.allclose(arrays["nearest_distance"], here["nearest_distance"], atol=1e-2)
    samples = out / "samples" / "digits" / "partial-40" / "standard"
    kept = load_file(samples / "samples.safetensors")
    assert np.abs(kept["image"].astype(int) - here["image"]).max() <= 1
    with Image.open(samples / "class-003.png") as picture:
        assert (picture.mode, picture.text["class"], picture.text["measurement"]) == ("L", "3", found.arrays.sha256)  # type: ignore[attr-defined]
        pixels = np.asarray(picture)
    # four draws of class 3, each pixel a square of four by four: the start in the first row, the result in the second
    assert pixels.shape == (3 * 34 - 2, 4 * 34 - 2)
    assert np.array_equal(pixels[0:32:4, 0:32:4], kept["start_image"][3, 0])
    assert np.array_equal(pixels[34:66:4, 34:66:4], kept["image"][13, 0])
    nearest_image = as_bytes(digits("train").images)[int(kept["nearest"][23]), 0].numpy()
    assert np.array_equal(pixels[68:100:4, 68:100:4], nearest_image)
    page = out / "site" / "digits" / "first-40" / "standard.html"
    assert page.read_text().count("data:image/png;base64,") == 10
    assert "--measures generation:short --limit 40" in page.read_text()
    for path in samples.glob("class-*.png"):
        with Image.open(path) as picture:
            picture.load()
        picture.save(path)  # without the words that tie it to its measurement
    assert harness_here("render", "--out", str(out)).returncode == 0
    assert "data:image/png" not in page.read_text(), "a gallery of other draws is not shown"


def colour_suite(folder: Path, train_labels: np.ndarray) -> list[str]:
    """A suite of small colour pictures: no feature extractor is at hand for it."""
    random = np.random.default_rng(0)
    (folder / "data" / "patches").mkdir(parents=True)
    for split, labels in (("train", train_labels), ("test", np.arange(12) % 3)):
        pictures = (random.random((len(labels), 8, 8, 3)) * 200).astype(np.uint8)
        pictures[np.arange(len(labels)), labels] = 255
        np.savez(folder / "data" / "patches" / f"{split}.npz", image=pictures, label=labels)
    (folder / "patches.toml").write_text(
        'name = "patches"\nversion = 1\ndataset = "patches"\nclasses = 3\nshape = [3, 8, 8]\nnorm = "Linf"\neps = "0.1"\n'
    )
    (folder / "small.py").write_text(
        "import torch\nfrom torch import nn\n\n\ndef small():\n    torch.manual_seed(0)\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(192, 3))\n"
    )
    return [
        *("run", "--suite", str(folder / "patches.toml"), "--entrants", "python:small:small", "--limit", "12"),
        *("--measures", "standard,generation", "--data-dir", str(folder / "data"), "--out", str(folder / "out")),
    ]


def test_a_record_says_that_no_extractor_was_there_and_the_rest_of_it_stands(
    harness_here: Harness, tmp_path: Path
) -> None:
    job = colour_suite(tmp_path, np.arange(30) % 3)
    done = harness_here(*job, "--workers", "0", cwd=tmp_path, TORCH_HOME=str(tmp_path / "torch"))
    assert done.returncode == 0, done.stderr
    (path,) = (tmp_path / "out" / "results" / "patches").rglob("*.json")
    record = json.loads(path.read_text())
    generation = record["measurements"]["generation"]
    assert generation["settings"]["extractor"] is None
    assert generation["values"]["fid"]["value"] is None
    assert "Inception's weights are not here" in generation["values"]["fid"]["reason"]
    assert generation["values"]["nearest_distance.mean"]["value"] > 0
    assert record["measurements"]["standard"]["values"]["standard_accuracy"]["value"] is not None
    site = tmp_path / "out" / "site" / "patches"
    (page,) = (path for path in site.rglob("first-*/*.html") if path.stem not in ("index", "findings"))
    assert "Not scored: no feature extractor" in page.read_text()
    assert page.read_text().count("data:image/png;base64,") == 3


def test_a_class_without_training_images_and_a_missing_train_split_are_told_in_one_line(
    harness_here: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = colour_suite(tmp_path, np.arange(30) % 2)
    monkeypatch.chdir(tmp_path)
    done = harness_here(*arguments)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "expected at least two training images of each class, got 0 of '2'" in done.stderr
    (tmp_path / "data" / "patches" / "train.npz").unlink()
    done = harness_here(*arguments)
    assert done.returncode == 2
    assert "patches/train.npz" in done.stderr
    assert "Traceback" not in done.stderr
