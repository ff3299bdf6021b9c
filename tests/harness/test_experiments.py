"""Experiments: arms that remove as many samples, recipes over seeds, ways of drawing; what is done is not done again."""

from __future__ import annotations

import json
import math
import re
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from statsmodels.stats.contingency_tables import mcnemar

from harness.attacks.pgd import PGD
from harness.errors import BadInput
from harness.experiments.measuring import Measuring
from harness.experiments.removal import Removal, arm_spreads, paired
from harness.experiments.sampling import FACTORS, Sampling, sampler_of, start_of
from harness.experiments.spread import over_seeds
from harness.experiments.trials import Ground, Telling, Trial, ground
from harness.measures import MEASURES, PRESETS, StandardAccuracy
from harness.measures.energies import Energies
from harness.measures.generation_file import OBJECTIVES, SAMPLERS, STARTS
from harness.run.selection import Faults
from harness.sampling.samplers import SGLD, NormalisedGradient
from harness.sampling.starts import BlendStart, MixStart
from harness.suites.suite import SUITES
from harness.training.pace import Work
from harness.training.recipes import find_recipe
from harness.training.trainer import Interrupted
from leaderboards.records.schema import Value
from zoo.entrant import Card

SUITE = SUITES["digits"]
TINY = ("--epochs", "1", "--train-limit", "64", "--limit", "8", "--workers", "0")


def tiny(**changes: object) -> Removal:
    recipe = find_recipe("standard", SUITE).changed({"epochs": 1, **changes})
    return Removal(recipe, "standard", fractions=(0.1, 0.3))


def on(folder: Path, images: int = 64) -> Ground:
    return ground(SUITE, folder, data_dir=Path("data"), limit=images, device="cpu")


def names(trials: tuple[Trial, ...]) -> list[str]:
    return [trial.name for trial in trials]


# ---------------------------------------------------------------- removal


def test_every_arm_of_a_fraction_removes_as_many_and_the_rows_say_by_which_rule(tmp_path: Path) -> None:
    removal, place = tiny(), on(tmp_path)
    arms = removal.planned(place)
    assert [arm.trial.name for arm in arms[:3]] == [
        "standard-none-s1",
        "standard-high-energy-10-s1",
        "standard-low-energy-10-s1",
    ]
    assert len(arms) == 1 + 2 * 4
    arms = tuple(arm for arm in arms if arm.fraction in (0, 0.3))
    trials = [arm.trial for arm in arms]
    place.train(trials, Telling())
    cards = {trial.name: place.card(trial) for trial in trials}
    # 64 images, a tenth held out: one batch of 58
    for arm in arms:
        told = cards[arm.trial.name].training.get("removed")
        if arm.how == "none":
            assert told is None
        else:
            assert told["named"] + told["filled"] == arm.count == round(arm.fraction * 58)
    measuring = Measuring(
        SUITE,
        (StandardAccuracy(), Energies(attacks={"pgd": PGD(steps=5)})),
        tmp_path,
        Path("data"),
        device="cpu",
        limit=10,
    )
    faults = Faults(pytest.fail)
    found = measuring([place.spec(trial) for trial in trials[:2]], faults)
    rows = removal.rows(arms, cards, found)
    assert [row.found is None for row in rows] == [False] * 2 + [True] * 3  # the others were not measured
    none, high = found[trials[0].name], rows[1]
    assert none.survivors is not None
    assert high.found is not None
    assert high.found.survivors is not None
    assert high.difference is not None
    naive = sum(int(b) - int(a) for a, b in zip(none.survivors, high.found.survivors, strict=True)) / 10
    assert high.difference.value == pytest.approx(naive)
    assert high.difference.low <= naive <= high.difference.high
    assert high.found.robust is not None
    assert high.found.robust.value == pytest.approx(float(high.found.survivors.mean()))
    assert json.dumps(removal.to_json(rows, arm_spreads(rows), place), allow_nan=False)


def test_arms_that_removed_different_numbers_are_not_compared(tmp_path: Path) -> None:
    removal, place = replace(tiny(), arms=("low-energy", "random"), fractions=(0.1,)), on(tmp_path)
    arms = removal.planned(place)

    def cards(*filled: int) -> dict[str, Card]:
        removed = [{"named": 4, "filled": count, "of": 58} for count in filled]
        return {
            arm.trial.name: Card(name=arm.trial.name, source="zoo", training={"removed": told})
            for arm, told in zip(arms, removed, strict=True)
        }

    assert len(removal.rows(arms, cards(2, 2), {})) == 2
    with pytest.raises(BadInput, match=r"as many samples at 0\.1, got 6, 7"):
        removal.rows(arms, cards(2, 3), {})


def test_a_paired_difference_counts_images_and_its_p_is_mcnemars() -> None:
    generator = np.random.default_rng(0)
    before, after = generator.random(200) < 0.6, generator.random(200) < 0.5
    found = paired(before, after)
    lost = sum(1 for a, b in zip(before, after, strict=True) if a and not b)
    gained = sum(1 for a, b in zip(before, after, strict=True) if b and not a)
    both, neither = int((before & after).sum()), int((~before & ~after).sum())
    assert (found.lost, found.gained, found.n) == (lost, gained, 200)
    assert found.value == pytest.approx(after.mean() - before.mean())
    assert found.by_image.mean() == pytest.approx(found.value)
    assert found.p == pytest.approx(mcnemar([[both, lost], [gained, neither]], exact=True).pvalue)
    assert found.low < found.value < found.high


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (("--arms", "none,lowenergy"), "did you mean low-energy or"),
        (("--arms", "none"), "an arm that removes samples"),
        (("--fractions", "1.5"), "above 0 and below 1, got 1.5"),
        (("--fractions", "0.001"), "removes 1 to 126 of a batch of 128, got 0.001"),
        (("--fractions", "much"), "numbers after --fractions, got 'much'"),
        (("--recipe", "sta"), "did you mean"),
        (("--measures", "standard"), "expected autoattack or energies"),
        (("--set", "drop=random", "--set", "drop_count=3"), "a recipe without drop"),
        (("--seeds", "one"), "whole numbers after --seeds, got 'one'"),
        (("--train-limit", "9999"), "at most 1397 training images"),
    ],
)
def test_what_is_wrong_with_a_removal_is_one_line_before_anything_is_made(
    harness_here: Callable, options: tuple[str, ...], part: str
) -> None:
    result = harness_here("experiment", "removal", "--suite", "digits", *options)
    assert result.returncode == 2
    assert part in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not list(Path.cwd().glob("runs/*"))


def test_a_dry_run_says_what_it_would_do_and_makes_nothing(harness_here: Callable, tmp_path: Path) -> None:
    job = ("experiment", "removal", "--suite", "digits", "--arms", "none,random", *TINY, "--out", str(tmp_path / "o"))
    result = harness_here(*job, "--dry-run")
    assert result.returncode == 0, result.stderr
    assert "3 of 3 entrants to train" in result.stdout
    none = next(line for line in result.stdout.splitlines() if "sat-none-s1" in line)
    # 58 images, one epoch, ten steps of the attack and one of the network
    assert "638" in none
    assert not (tmp_path / "o").exists()


def test_the_same_removal_again_trains_and_measures_nothing(harness_here: Callable, tmp_path: Path) -> None:
    job = ("experiment", "removal", "--suite", "digits", "--arms", "none,low-energy", "--fractions", "0.2", *TINY)
    first = harness_here(*job, "--out", str(tmp_path))
    assert first.returncode == 0, first.stderr
    assert "2 of 2 entrants to train" in first.stderr
    folder = tmp_path / "experiments" / "removal-digits"
    assert first.stdout.splitlines()[-1] == str(folder / "index.html")
    made = {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}
    numbers = (folder / "experiment.json").read_text()
    again = harness_here(*job, "--out", str(tmp_path))
    assert again.returncode == 0, again.stderr
    assert "0 of 2 entrants to train" in again.stderr
    assert "epoch" not in again.stderr
    assert "measured" not in again.stderr
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")} == made
    assert (folder / "experiment.json").read_text() == numbers
    assert again.stdout == first.stdout
    arms = {row["arm"]: row for row in json.loads(numbers)["arms"]}
    assert arms["low-energy"]["removed"]["all"] == arms["low-energy"]["removed_from_each_batch"] == 12
    assert (folder / arms["none"]["record"]).is_file()
    assert not re.search(r"""(src|href)=["']?https?:""", (folder / "index.html").read_text())
    other = harness_here(*job, "--out", str(tmp_path), "--set", "lr=0.01")
    assert other.returncode == 2
    assert "name another --out" in other.stderr
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")} == made


def test_what_is_asked_to_stop_goes_on_with_what_is_missing(tmp_path: Path) -> None:
    place = on(tmp_path)
    trials = [arm.trial for arm in replace(tiny(), arms=("none", "random")).planned(place)]
    begun: list[str] = []
    left: list[int] = []

    def begins(trial: Trial, later: Sequence[Work]) -> None:
        begun.append(trial.name)
        left.append(len(later))

    with pytest.raises(Interrupted):
        place.train(trials, Telling(begins, asked_to_stop=lambda: len(begun) > 1))
    assert names(place.missing(trials)) == names(tuple(trials))[1:]
    first = place.path(trials[0]).stat().st_mtime_ns
    begun.clear()
    place.train(trials, Telling(begins))
    assert begun == names(tuple(trials))[1:]
    assert left == [1, 0, 0], "trainings that come after the one that begins"
    assert place.missing(trials) == ()
    assert place.path(trials[0]).stat().st_mtime_ns == first


# ---------------------------------------------------------------- seeds


def test_over_seeds_is_the_mean_and_the_sample_standard_deviation_and_needs_two_of_every_seed() -> None:
    shares = [0.5, 0.75, 0.25]
    tables = [np.arange(8) < 8 * share for share in shares]
    values = [Value(value=share, n=8) for share in shares]
    found = over_seeds(values, tables)
    assert found is not None
    assert (found.mean, found.sd) == (pytest.approx(statistics.mean(shares)), pytest.approx(statistics.stdev(shares)))
    assert (found.seeds, found.n) == (3, 8)
    assert found.low is not None
    assert found.high is not None
    assert 0 <= found.low < found.mean < found.high <= 1
    without = over_seeds(values, [None, *tables[1:]])
    assert without is not None
    assert without.low is None
    assert over_seeds(values[:1], tables[:1]) is None
    assert over_seeds([*values, Value(value=None, n=8, reason="bounded")], [*tables, None]) is None


def test_seeds_are_trained_as_recipe_and_seed_and_recipes_are_compared_in_pairs(
    harness_here: Callable, tmp_path: Path
) -> None:
    job = ("experiment", "seeds", "--suite", "digits", "--recipes", "standard,trades", "--seeds", "1,2", *TINY)
    result = harness_here(*job, "--out", str(tmp_path))
    assert result.returncode == 0, result.stderr
    folder = tmp_path / "experiments" / "seeds-digits"
    told = json.loads((folder / "experiment.json").read_text())
    entrants = {row["entrant"]: row for row in told["entrants"]}
    assert sorted(entrants) == ["standard-s1", "standard-s2", "trades-s1", "trades-s2"]
    cards = {path.stem: json.loads(path.read_text()) for path in (folder / "zoo" / "digits").glob("*.json")}
    assert {name: card["training"]["recipe"]["seed"] for name, card in cards.items()} == {
        name: int(name[-1]) for name in entrants
    }
    for line in told["over_seeds"]:
        mine = [entrants[f"{line['recipe']}-s{seed}"]["standard_accuracy"]["value"] for seed in (1, 2)]
        assert line["standard"]["mean"] == pytest.approx(statistics.mean(mine))
        assert line["standard"]["sd"] == pytest.approx(statistics.stdev(mine))
    (pair,) = told["pairs"]
    assert (pair["name"], pair["reference"]) == ("trades", "standard")
    assert pair["sentence"] in result.stdout
    assert [one["seed"] for one in pair["pairs"]] == [1, 2]
    robust = {name: row["robust_accuracy"]["value"] for name, row in entrants.items()}
    for one in pair["pairs"]:
        difference = robust[f"trades-s{one['seed']}"] - robust[f"standard-s{one['seed']}"]
        assert (one["gained"] - one["lost"]) / one["images"] == pytest.approx(difference)


def test_two_files_of_one_name_are_refused_and_so_is_a_name_that_no_entrant_can_have(
    harness_here: Callable, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    for path, base in (("mine.toml", "sat"), ("other/mine.toml", "trades"), ("my own.toml", "sat")):
        (tmp_path / path).write_text(f'base = "{base}"\nepochs = 1\n')
    for names, part in ((("mine.toml", "other/mine.toml"), "'mine' twice"), (("my own.toml",), "got 'my own'")):
        files = ",".join(str(tmp_path / name) for name in names)
        result = harness_here("experiment", "seeds", "--suite", "digits", "--recipes", files, "--dry-run")
        assert result.returncode == 2
        assert part in result.stderr
        assert len(result.stderr.splitlines()) == 1


def test_all_entrants_are_compared_under_the_attack_that_was_asked_for(tmp_path: Path) -> None:
    place = on(tmp_path)
    trials = [Trial(f"standard-s{seed}", tiny(seed=seed).recipe) for seed in (1, 2)]
    place.train(trials, Telling())
    short = Energies(attacks={"pgd": PGD(steps=5)})
    measuring = Measuring(SUITE, (MEASURES["autoattack"],), tmp_path, Path("data"), device="cpu", limit=4)
    faults = Faults(pytest.fail)
    before = measuring([place.spec(trials[0])], faults)["standard-s1"]
    assert before.attacked == "autoattack"
    assert before.survivors is not None
    # the first seed's record holds AutoAttack too: beside one without it that is another attack
    found = replace(measuring, measures=(short,))([place.spec(trial) for trial in trials], faults)
    assert set(found["standard-s1"].record.measurements) == {"autoattack", "energies"}
    for one in found.values():
        assert one.attacked == "energies"
        assert one.robust is not None
        assert one.survivors is not None
        assert one.robust.value == pytest.approx(float(one.survivors.mean()))


def test_images_that_are_not_here_are_told_before_the_training(harness_here: Callable, tmp_path: Path) -> None:
    data = tmp_path / "data" / "small"
    data.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 255, (40, 8, 8, 1), dtype=np.uint8)
    np.savez(data / "train.npz", image=pixels, label=np.arange(40) % 10)
    job = ("experiment", "seeds", "--suite", "digits", "--dataset", "small", "--recipes", "standard", *TINY[:2])
    result = harness_here(*job, "--data-dir", str(tmp_path / "data"), "--out", str(tmp_path / "out"))
    assert result.returncode == 2
    assert "small/test.npz" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


# ---------------------------------------------------------------- sampling


def every_name(**changes: object) -> Sampling:
    base = PRESETS["short"]
    every = Sampling(base, base, tuple(STARTS), tuple(SAMPLERS), tuple(OBJECTIVES))
    return replace(every, **changes)  # type: ignore[arg-type]


def test_one_thing_is_varied_at_a_time_and_the_grid_holds_every_combination() -> None:
    base = PRESETS["short"]
    settings = every_name().settings(base, SUITE)
    assert settings[0].measure == base
    assert len(settings) == 1 + (len(STARTS) - 1) + (len(SAMPLERS) - 1) + (len(OBJECTIVES) - 1)
    for setting in settings[1:]:
        differ = [factor for factor in FACTORS if getattr(setting.measure, factor) != getattr(base, factor)]
        assert differ == [setting.factor]
        assert getattr(setting.measure, setting.factor).name == setting.name
    grid = every_name(every=True).settings(base, SUITE)
    assert len(grid) == len({setting.name for setting in grid}) == len(STARTS) * len(SAMPLERS) * len(OBJECTIVES)


@pytest.mark.parametrize("preset", list(PRESETS))
def test_samplers_of_one_experiment_take_as_many_gradients_and_go_as_far(preset: str) -> None:
    base, usual = PRESETS[preset], PRESETS["10k"].sampler
    assert isinstance(usual, SGLD)
    assert isinstance(base.sampler, SGLD)
    made = {name: sampler_of(name, base, usual, (3, 32, 32)) for name in SAMPLERS}
    assert made["sgld"] == base.sampler
    assert {sampler.gradients * sampler.steps for sampler in made.values()} == {base.sampler.steps}
    # down a constant slope, momentum and Heun's method cover one distance
    slope = base.sampler.eta / (1 - base.sampler.momentum) * base.sampler.steps
    heun = made["heun"]
    assert heun.eta * heun.steps == pytest.approx(slope)  # type: ignore[attr-defined]
    straight = made["normalised-gradient"]
    assert straight.eta * straight.steps / math.sqrt(3072) == pytest.approx(0.25)  # type: ignore[attr-defined]
    other = replace(base, sampler=NormalisedGradient(eta=0.1, steps=20))
    assert sampler_of("sgld", other, usual, (3, 32, 32)) == SGLD(eta=usual.eta, steps=20)


def test_mixed_starts_are_made_from_the_presets_own_pca_start() -> None:
    base = PRESETS["short"]
    assert start_of("pca", base) == base.start
    assert start_of("mix", base) == MixStart(pca=base.start)  # type: ignore[arg-type]
    assert start_of("blend", base) == BlendStart(pca=base.start)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (("--starts", "pca,noised"), "did you mean noised-real?"),
        (("--samplers", "heun,normalised"), "did you mean normalised-gradient?"),
        (("--objectives", "joint"), "did you mean joint-energy?"),
        (("--preset", "shrt"), "did you mean short?"),
        (("--entrant", "trads"), "did you mean trades"),
    ],
)
def test_an_unknown_name_of_sampling_is_one_line_with_the_nearest(
    harness_here: Callable, options: tuple[str, ...], part: str
) -> None:
    result = harness_here("experiment", "sampling", "--suite", "digits", "--entrant", "trades", *options)
    assert result.returncode == 2
    assert part in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_ways_of_drawing_are_compared_with_their_starts_and_drawn_once(harness_here: Callable, tmp_path: Path) -> None:
    job = ("experiment", "sampling", "--suite", "digits", "--entrant", "trades", "--images", "20", "--workers", "0")
    few = ("--starts", "pca,uniform", "--samplers", "sgld", "--objectives", "joint-energy,energy-distance")
    result = harness_here(*job, *few, "--out", str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert "3 settings, 3 of 3 shards to draw" in result.stderr
    folder = tmp_path / "experiments" / "sampling-digits"
    told = json.loads((folder / "experiment.json").read_text())
    settings = {one["setting"]: one for one in told["settings"]}
    assert list(settings) == ["default", "uniform", "energy-distance"]
    energies = {name: one["values"]["joint_energy.step_50.mean"]["value"] for name, one in settings.items()}
    starts = {name: one["values"]["joint_energy.step_0.mean"]["value"] for name, one in settings.items()}
    assert starts["default"] == starts["energy-distance"] != starts["uniform"]
    assert energies["default"] < starts["default"], "the default descends the joint energy"
    assert energies["default"] < energies["energy-distance"], "that stays near the energy of real images"
    for row in ("uniform alone", "pca alone", "real images, held out"):
        assert row in result.stdout
    page = (folder / "index.html").read_text()
    assert page.count("data:image/png;base64,") == 3
    made = {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}
    again = harness_here(*job, *few, "--out", str(tmp_path))
    assert "3 settings, 0 of 3 shards to draw" in again.stderr
    assert again.stdout == result.stdout
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")} == made
