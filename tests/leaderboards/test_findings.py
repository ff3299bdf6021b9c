"""Statements of the paper on made boards: one where they hold, one where they do not, one that is too small to tell."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leaderboards.board.entry import Entry
from leaderboards.findings.findings import Findings, as_json, find
from leaderboards.findings.recipes import recipes_of
from leaderboards.findings.statement import Statement, Verdict
from leaderboards.pages.environment import fill, make_environment
from leaderboards.pages.findings import findings_view
from leaderboards.records.arrays import write_arrays
from leaderboards.records.dynamics import columns
from leaderboards.records.home import Home
from leaderboards.records.schema import Record, Value

RecordOf = Callable[..., Record]
N = 60
H, D, U, M = Verdict.HOLDS, Verdict.DOES_NOT_HOLD, Verdict.UNDECIDED, Verdict.NOT_MEASURED


@dataclass(frozen=True)
class Maker:
    """Makes measured entries by hand, with their arrays in one home."""

    home: Home
    record_of: RecordOf

    def __call__(
        self,
        name: str,
        objective: str = "sat",
        *,
        shift: np.ndarray | float = 1.0,
        robust: float = 0.5,
        energy: np.ndarray | None = None,
        stage: np.ndarray | None = None,
        values: dict[str, float] | None = None,
        smoothness: float | None = None,
        training: dict[str, Any] | None = None,
        course: list[float] | None = None,
    ) -> Entry:
        """`shift` is E(x_adv) - E(x) of each image under every attack, in units of the logits."""
        seed = int(name.rpartition("-s")[2]) if "-s" in name else 1
        card: dict[str, Any] = {"training": {"recipe": {"objective": objective, "seed": seed}, **(training or {})}}
        if course is not None:
            rows = [{"number": k, "train": {"delta_marginal_energy": y}} for k, y in enumerate(course, 1)]
            card["dynamics"] = write_arrays(self.home.arrays, columns(rows))
        record = self.record_of(name, energies=-5.0, n=N, robust=robust, smoothness=smoothness, entrant=card)
        natural = np.linspace(-9, -1, N) if energy is None else energy
        arrays: dict[str, np.ndarray] = {
            "marginal_energy": natural.astype(np.float32),
            "natural_correct": np.arange(N) < N - 8,
        }
        for attack in ("pgd", "kl-pgd", "apgd-ce", "apgd-t"):
            arrays[f"{attack}.marginal_energy_adv"] = (natural + shift).astype(np.float32)
        kept = write_arrays(self.home.arrays, arrays)
        more = {key: Value(value=number, n=N) for key, number in (values or {}).items()}
        energies = record.measurements["energies"]
        energies = energies.model_copy(update={"arrays": kept, "values": energies.values | more})
        measurements = record.measurements | {"energies": energies}
        if stage is not None:
            flags = {"stage": stage.astype(np.int8), "reached": np.maximum(stage, 0).astype(np.int8)}
            found = record.measurements["autoattack"]
            share = Value(value=float((stage == 4).mean()), n=N)
            measurements["autoattack"] = found.model_copy(
                update={
                    "arrays": write_arrays(self.home.arrays, flags),
                    "values": found.values | {"autoattack_accuracy": share},
                }
            )
        return Entry(record.model_copy(update={"measurements": measurements}), home=self.home)


@pytest.fixture
def entry(tmp_path: Path, record_of: RecordOf) -> Maker:
    return Maker(Home(tmp_path), record_of)


def of(entries: list[Entry], key: str) -> Statement:
    found = find(entries)
    assert found is not None
    return next(statement for statement in found.statements if statement.key == key)


def test_an_attack_that_lowers_the_energy_of_nearly_every_image_does_so(entry: Maker) -> None:
    shift = np.where(np.arange(N) < 5, 0.1, -2.0)
    found = of([entry("a", shift=shift), entry("b", "trades", shift=shift)], "falls-untargeted-robust")
    assert found.verdict is H
    assert found.why == "confirmed in all 6 tests"
    one = found.parts[0]
    assert (one.title, one.n, one.effect) == ("a, PGD", N, 55 / 60)
    assert one.size == pytest.approx(-2.0 / np.linspace(-9, -1, N).std(ddof=1), rel=1e-5)


def test_one_recipe_whose_energy_rises_refutes_the_statement(entry: Maker) -> None:
    found = of([entry("a", shift=-1.0), entry("b", "trades", shift=1.0)], "falls-untargeted-robust")
    assert found.verdict is D
    assert "contradicted in 3 (b, PGD;" in found.why
    assert of([entry("a", shift=-1.0), entry("b", "trades", shift=1.0)], "rises-apgd-t-robust").verdict is D


def test_as_many_images_up_as_down_leave_it_undecided(entry: Maker) -> None:
    shift = np.where(np.arange(N) % 2 == 0, 1.0, -1.0)
    found = of([entry("a", shift=shift)], "falls-untargeted-robust")
    assert (found.verdict, found.parts[0].effect) == (U, 0.5)


def test_standard_and_robust_recipes_are_asked_apart(entry: Maker) -> None:
    entries = [entry("plain", "standard", shift=-1.0), entry("a", shift=1.0)]
    assert of(entries, "falls-untargeted-standard").verdict is H
    assert of(entries, "falls-untargeted-robust").verdict is D
    assert of(entries[1:], "falls-untargeted-standard").verdict is M


def test_without_a_card_autoattack_says_which_entrants_are_standard_ones(entry: Maker) -> None:
    entries = [entry("a", "", robust=0.09), entry("b", "", robust=0.11), entry("c", "sat", robust=0.0)]
    assert [recipe.standard for recipe in recipes_of(entries)] == [True, False, False]


def test_images_that_rounding_alone_moves_do_not_count(entry: Maker) -> None:
    shift = np.where(np.arange(N) < 40, 1e-6, -1.0)
    found = of([entry("a", shift=shift)], "falls-untargeted-robust")
    assert (found.parts[0].effect, found.parts[0].note) == (1.0, "40 of 60 images do not move")
    still = of([entry("a", shift=0.0)], "falls-untargeted-robust")
    assert (still.verdict, still.parts[0].note) == (U, "the attack moves the energy of no image")


def test_the_seeds_of_a_recipe_are_one_and_must_agree(entry: Maker) -> None:
    alike = [entry(f"sat-s{k}", shift=-1.0) for k in (1, 2, 3)]
    found = of(alike, "falls-untargeted-robust")
    assert (found.verdict, len(found.parts), found.parts[0].seeds) == (H, 3, 3)
    odd = of([*alike[:2], entry("sat-s3", shift=1.0)], "falls-untargeted-robust")
    assert (odd.verdict, odd.parts[0].effect) == (U, pytest.approx(2 / 3))


def board(entry: Maker, sign: int, count: int = 6) -> list[Entry]:
    """Recipes of rising robust accuracy whose |dE(x)| and roughness rise (sign 1) or fall with it."""
    return [
        entry(
            f"r{k}",
            f"recipe-{k}",
            robust=0.2 + 0.1 * k,
            values={"pgd.delta_marginal_energy_normalised.mean": 1 + sign * 0.1 * k, "marginal_energy.sd": 1.0},
            smoothness=2 + sign * 0.2 * k,
        )
        for k in range(count)
    ]


def test_smoother_in_the_order_of_robustness_holds_and_the_other_way_does_not(entry: Maker) -> None:
    for sign, verdict in ((-1, H), (1, D)):
        found = of(board(entry, sign), "smaller-shift")
        assert (found.verdict, [part.effect for part in found.parts]) == (verdict, [sign, sign])
        assert [part.p for part in found.parts] == pytest.approx([2 / 720] * 2)
        assert of(board(entry, sign), "smoother-over-sd").verdict is verdict


def test_a_perfect_order_of_five_recipes_decides_and_one_of_four_does_not(entry: Maker) -> None:
    five = of(board(entry, -1, 5), "smaller-shift")
    assert (five.verdict, five.parts[0].p) == (H, pytest.approx(2 / 120))
    four = of(board(entry, -1, 4), "smaller-shift")
    assert (four.verdict, four.parts[0].p, four.why) == (
        U,
        None,
        "undecided in all 2 tests: 4 recipes, a verdict needs 5",
    )


def test_a_recipe_of_three_seeds_counts_once_in_a_correlation(entry: Maker) -> None:
    more = [entry(f"sat-s{k}", robust=0.9, values={"pgd.delta_marginal_energy_normalised.mean": 0.2}) for k in (1, 2)]
    assert of([*board(entry, -1), *more], "smaller-shift").parts[0].n == 7


def test_an_older_version_of_a_measure_is_not_correlated_with_newer_ones(entry: Maker) -> None:
    entries = board(entry, -1)
    record = entries[0].record
    assert record is not None
    newer = record.measurements["energies"].model_copy(update={"version": 2})
    changed = record.model_copy(update={"measurements": record.measurements | {"energies": newer}})
    assert of([Entry(changed, home=entry.home), *entries[1:]], "smaller-shift").parts[0].n == 1


def test_trades_keeps_the_energies_nearer_than_sat(entry: Maker) -> None:
    entries = [entry("t", "trades", shift=0.5), entry("s", "sat", shift=-2.0)]
    found = of(entries, "narrower-trades-than-sat")
    assert found.verdict is H
    assert (found.parts[0].effect, found.parts[0].size) == (1.0, pytest.approx(0.25, rel=1e-5))
    other = of([entry("t", "trades", shift=-2.0), entry("s", "sat", shift=0.5)], "narrower-trades-than-sat")
    assert other.verdict is D


def test_misclassified_and_broken_images_of_high_energy(entry: Maker) -> None:
    # the last 8 images are misclassified, the 20 before them break
    stage = np.where(np.arange(N) < 32, 4, np.where(np.arange(N) < 52, 1, -1))
    up, down = np.linspace(-9, -1, N), np.linspace(-1, -9, N)
    high = [entry("a", energy=up, stage=stage)]
    assert of(high, "misclassified-high").verdict is H
    assert of(high, "high-energy-breaks").verdict is H
    assert of(high, "high-energy-breaks").parts[0].size == pytest.approx(20 / 52)
    assert of([entry("b", energy=down, stage=stage)], "high-energy-breaks").verdict is D
    few = np.where(np.arange(N) < 48, 4, np.where(np.arange(N) < 52, 1, -1))
    found = of([entry("c", energy=up, stage=few)], "high-energy-breaks")
    assert (found.verdict, found.parts[0].note) == (U, "a group of 4 images, a verdict needs 5")


def phases(slopes: tuple[float, ...], overfitting: int | None) -> dict[str, Any]:
    told = [{"first": 1 + 10 * k, "last": 10 + 10 * k, "slope": slope} for k, slope in enumerate(slopes)]
    return {"dynamics": {"phases": told, "overfitting_epoch": overfitting}}


def test_the_three_phases_of_sat(entry: Maker) -> None:
    falling, flat = phases((-0.02, -0.001, -0.05), 21), phases((-0.02, -0.001, 0.0), None)
    course = np.linspace(0, -1, 30).tolist()
    found = of([entry("a", training=falling, course=course)], "three-phases")
    assert found.verdict is H
    assert found.parts[0].note == "phases: epochs 1–10, 11–20, 21–30; robust overfitting from epoch 21"
    assert found.parts[0].size == -1.0
    assert of([entry("a", training=flat, course=course)], "three-phases").verdict is D
    short = of([entry("a", training=falling, course=course[:29])], "three-phases")
    assert (short.verdict, short.parts[0].note) == (U, "29 epochs, a verdict needs 30")
    odd = of([entry("a", training={"dynamics": {"phases": ["x", 3]}}, course=course)], "three-phases")
    assert (odd.verdict, odd.parts[0].note) == (U, "its card has no phases")


def test_recipes_other_than_sat_stand_beside_the_phases(entry: Maker) -> None:
    course = np.linspace(0, -1, 30).tolist()
    found = of([entry("t", "trades", training=phases((-0.02, -0.01), None), course=course)], "three-phases")
    assert (found.verdict, found.parts[0].verdict, found.parts[0].counts) == (M, D, False)


def seeds(entry: Maker, objective: str, robust: int) -> list[Entry]:
    stage = np.where(np.arange(N) < robust, 4, 0)
    return [entry(f"{objective}-s{k}", objective, stage=stage) for k in (1, 2, 3)]


@pytest.mark.parametrize(("robust", "verdict"), [(50, H), (10, D), (31, U)])
def test_weat_against_trades_over_seeds_and_images(entry: Maker, robust: int, verdict: Verdict) -> None:
    found = of([*seeds(entry, "trades", 30), *seeds(entry, "weat-adv", robust)], "weat-above-trades")
    assert found.verdict is verdict
    assert found.parts[0].effect == pytest.approx((robust - 30) / N)
    assert found.parts[0].seeds == 3


def test_one_seed_of_a_recipe_decides_nothing_about_it(entry: Maker) -> None:
    found = of([entry("t", "trades", robust=0.2), entry("w", "weat-adv", robust=0.8)], "weat-above-trades")
    assert (found.verdict, found.parts[0].effect) == (U, pytest.approx(0.6))
    assert found.why.endswith(": 1 seed of a recipe, a verdict needs 2")


def test_what_is_not_measured_names_the_command_that_measures_it(record_of: RecordOf) -> None:
    found = find([Entry(record_of("a", limit=9))])
    assert found is not None
    assert {statement.verdict for statement in found.statements} == {M}
    energies = next(s for s in found.statements if s.key == "falls-untargeted-robust")
    assert energies.needs == "harness run --suite digits --limit 9 --measures energies"
    assert energies.why == "no entrant of this board has what it needs"


def test_a_board_without_records_has_no_findings() -> None:
    assert find([]) is None


def test_the_file_holds_every_part_and_no_nan(entry: Maker) -> None:
    found = find([entry("a", course=[float("nan")] * 30)])
    assert isinstance(found, Findings)
    content = json.loads(as_json({"name": "digits"}, found))
    assert [statement["key"] for statement in content["statements"]] == [s.key for s in found.statements]
    assert content["recipes"] == {"a": ["a"]}
    assert content["alpha"] == 0.05
    part = content["statements"][1]["parts"][0]
    assert (part["of"], part["name"], part["verdict"]) == ("a", "PGD", "does not hold")


def test_the_page_says_each_verdict_in_words(entry: Maker) -> None:
    found = find([entry("a")])
    assert found is not None
    page = fill(make_environment(), "findings.html", findings_view("Digits", "../", "all test images", found))
    row = page[page.index('href="#falls-untargeted-robust"') :]
    assert "does not hold</span>" in row[: row.index("</tr>")]
    assert "contradicted in all 3 tests" in row[: row.index("</tr>")]
    assert "<code>harness run --suite digits --measures autoattack,smoothness</code>" in page
