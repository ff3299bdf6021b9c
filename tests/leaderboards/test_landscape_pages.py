"""What a board says of smoothness and robustness together, and a page of accuracy by energy."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from leaderboards.board.board import Published, make_board
from leaderboards.board.by_energy import by_energy
from leaderboards.board.correlations import Correlation, correlations
from leaderboards.board.labels import ATTACKS, SMOOTHNESS, label
from leaderboards.pages.pages import SuitePage, render
from leaderboards.records.home import Home
from leaderboards.records.schema import Record

RecordOf = Callable[..., Record]
Written = Callable[..., Home]
DIGITS = SuitePage("digits", "Digits", "", "digits", "Linf", "0.1")
ROUGHNESS = (5.0, 4.0, 3.5, 1.0, 2.0)


@pytest.fixture
def five(record_of: RecordOf) -> list[Record]:
    """Five entrants, the smoother ones more robust but for the last two."""
    return [
        record_of(name, robust=0.1 * k + 0.1, smoothness=rough)
        for k, (name, rough) in enumerate(zip("abcde", ROUGHNESS, strict=True))
    ]


def of(records: list[Record], words: str = "Lipschitz constant of E(x)") -> Correlation:
    return next(found for found in correlations(make_board(records).entries) if words in found.label)


def test_the_rank_correlation_has_its_exact_p_value(five: list[Record]) -> None:
    found = of(five)
    robust = np.arange(5)
    expected = stats.spearmanr(ROUGHNESS, robust).statistic
    assert (found.n, found.rho) == (5, pytest.approx(expected))
    assert expected == pytest.approx(-0.9)
    # every order of five is as likely as any other: the share of those at least as far out, to either side
    everywhere = [stats.spearmanr(order, robust).statistic for order in itertools.permutations(range(5))]
    assert found.p == pytest.approx(np.mean(np.abs(everywhere) >= 0.9 - 1e-9))
    assert "exact" in found.method


def test_fewer_than_four_entrants_have_no_correlation_and_say_how_many_they_are(five: list[Record]) -> None:
    found = of(five[:3])
    assert (found.n, found.rho, found.p) == (3, None, None)
    assert found.reason == "not given for fewer than 4 entrants"
    assert of(five[:4]).rho == pytest.approx(-1)


def test_many_entrants_have_the_p_value_of_the_t_distribution(record_of: RecordOf) -> None:
    roughness = np.random.default_rng(0).random(20)
    records = [record_of(f"e{k}", robust=k / 20, smoothness=rough) for k, rough in enumerate(roughness.tolist())]
    expected = stats.spearmanr(roughness, np.arange(20))
    found = of(records)
    assert (found.rho, found.p) == (pytest.approx(expected.statistic), pytest.approx(expected.pvalue))


def test_what_cannot_be_compared_is_not_correlated(five: list[Record], record_of: RecordOf) -> None:
    before = of(five)
    others = [
        record_of("partial", robust=0.9, smoothness=9.0, limit=8),  # on a board of its own
        record_of("short", robust=0.9, smoothness=9.0, n=10),
        record_of("another suite", robust=0.9, smoothness=9.0, suite={"eps": 0.3}),
        record_of("hidden", robust=0.9, smoothness=math.inf),
        record_of("no AutoAttack", robust=None, smoothness=9.0),
        record_of("no smoothness", robust=0.9),
    ]
    assert of([*five, *others]) == before
    newer = record_of("newer", robust=0.9, smoothness=9.0, version=2)
    assert of([*five, newer]).n == 1, "older versions of the measure do not stand beside newer ones"
    published = [Published("only published", autoattack_accuracy=0.9)]
    assert correlations(make_board(five, published).entries) == correlations(make_board(five).entries)


def test_entrants_that_are_level_have_no_correlation(record_of: RecordOf) -> None:
    found = of([record_of(name, robust=0.5, smoothness=k + 1.0) for k, name in enumerate("abcd")])
    assert (found.n, found.rho, found.reason) == (4, None, "all entrants are level")


def test_the_board_shows_correlations_and_sorts_by_smoothness(
    five: list[Record], written: Written, tmp_path: Path
) -> None:
    render(written(*five), tmp_path / "site", [DIGITS])
    page = (tmp_path / "site" / "digits" / "index.html").read_text(encoding="utf-8")
    assert "Rank correlation of smoothness with AutoAttack accuracy" in page
    assert "−0.900" in page
    for heading in ("Smoothness: Lipschitz of E / sd", "Smoothness: Linearity gap / sd", "Smoothness: 1 − cos"):
        assert f'aria-label="{heading}"' in page
    assert [f'data-order="{rough}"' in page for rough in ROUGHNESS] == [True] * 5


def test_a_board_without_figures_has_no_correlations(record_of: RecordOf, written: Written, tmp_path: Path) -> None:
    render(written(record_of("A")), tmp_path / "site", [DIGITS])
    assert "Rank correlation" not in (tmp_path / "site" / "digits" / "index.html").read_text(encoding="utf-8")


def test_fifths_of_the_energy_have_their_own_accuracies(record_of: RecordOf, tmp_path: Path) -> None:
    record = record_of("A", robust=0.5, energies=-4.0, arrays=tmp_path, n=100)
    found = by_energy(record, tmp_path)
    assert found is not None
    assert found.attack == "AutoAttack"
    assert [part.accuracy.value for part in found.parts] == [1, 1, 1, 1, 0.5]  # the first 90 are correct, by energy
    assert [part.robust.value for part in found.parts] == [1, 1, 0.5, 0, 0]
    assert [part.accuracy.n for part in found.parts] == [20] * 5
    assert (found.parts[0].low, found.parts[-1].high) == (-5, -3)
    assert all(a.high < b.low for a, b in itertools.pairwise(found.parts))
    # Wilson's interval for 10 of 20, by its formula
    z, n = 1.959963984540054, 20
    half = z * math.sqrt(0.25 / n + z * z / 4 / n / n) / (1 + z * z / n)
    middle = found.parts[2].robust
    assert (middle.low, middle.high) == (pytest.approx(0.5 - half, abs=1e-12), pytest.approx(0.5 + half, abs=1e-12))
    # for all or none of 20 it ends at exactly 1 or 0: a page writes no "−0.00"
    assert (found.parts[0].accuracy.low, found.parts[0].accuracy.high) == (pytest.approx(n / (n + z * z), abs=1e-12), 1)
    assert (found.parts[4].robust.low, found.parts[4].robust.high) == (0, pytest.approx(z * z / (n + z * z), abs=1e-12))


def test_without_autoattack_pgd_says_what_is_robust(record_of: RecordOf, tmp_path: Path) -> None:
    found = by_energy(record_of("A", robust=None, energies=-4.0, arrays=tmp_path, n=100), tmp_path)
    assert found is not None
    assert (found.attack, [part.robust.value for part in found.parts]) == ("PGD", [1, 1, 1, 0.5, 0])


def test_arrays_that_are_not_there_give_no_fifths(record_of: RecordOf, tmp_path: Path) -> None:
    assert by_energy(record_of("A", energies=-4.0, arrays=tmp_path / "here"), tmp_path / "elsewhere") is None
    assert by_energy(record_of("A", energies=-4.0), tmp_path) is None
    assert by_energy(record_of("A", energies=-4.0, arrays=tmp_path, n=4), tmp_path) is None


def test_an_entrants_page_shows_fifths_and_distributions(record_of: RecordOf, written: Written, tmp_path: Path) -> None:
    record = record_of("A", robust=0.5, energies=-4.0, smoothness=math.inf, arrays=tmp_path / "arrays")
    render(written(record), tmp_path / "site", [DIGITS])
    page = (tmp_path / "site" / "digits" / "A.html").read_text(encoding="utf-8")
    for words in (
        "Accuracy by fifths of E(x)",
        "Under AutoAttack",
        "APGD-T: ΔE(x)",
        "Quantile <bdi>0.95</bdi>",
        "7.125",
    ):
        assert words in page, words
    assert "the gradient is zero at 9 of 9 points" in page


def test_every_number_has_a_name_in_words() -> None:
    for name in SMOOTHNESS:
        for ending in ("", "_normalised"):
            assert label(f"{name}{ending}.mean").startswith(SMOOTHNESS[name])
    for attack in ATTACKS:
        assert label(f"{attack}.accuracy") == f"{ATTACKS[attack]}: accuracy"
        assert label(f"{attack}.delta_joint_energy.mean") == f"{ATTACKS[attack]}: ΔE(x,y), mean"
    assert label("pgd.accuracy") == "PGD: accuracy"
    assert label("new.thing") == "new.thing"


def test_equal_records_give_equal_correlations(five: list[Record]) -> None:
    assert json.dumps([vars(found) for found in correlations(make_board(five).entries)]) == json.dumps(
        [vars(found) for found in correlations(make_board(list(reversed(five))).entries)]
    )
