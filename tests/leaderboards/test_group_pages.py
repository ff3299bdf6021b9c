"""A row a recipe on the pages, its seeds beside it, and what is said of two recipes."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from leaderboards.pages.pages import SuitePage, render
from leaderboards.records.files import write_record
from leaderboards.records.home import Home
from leaderboards.records.schema import Record

SeedOf = Callable[..., Record]
RecordOf = Callable[..., Record]
DIGITS = SuitePage("digits", "Digits", "Small images.", "digits", "Linf", "0.1")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, seed_of: SeedOf, record_of: RecordOf) -> Home:
    """Two recipes of three seeds each and an entrant between them, rendered."""
    home, place = Home(tmp_path_factory.mktemp("leaderboards")), np.arange(200)
    for seed in (1, 2, 3):
        for recipe, robust in (("trades", 120), ("sat", 80)):
            write_record(home.results, seed_of(home, recipe, seed, place < robust + 2 * seed))
    write_record(home.results, record_of("alone", robust=0.5, suite={"examples": 200}))
    render(home, home.site, [DIGITS])
    return home


def page_of(home: Home, name: str) -> str:
    return (home.site / name).read_text(encoding="utf-8")


def rows_of(page: str, table: str) -> list[str]:
    return re.findall(
        r"<tr.*?</tr>", re.search(rf'<table id="{table}".*?</table>', page, re.S)[0].split("<tbody>")[1], re.S
    )  # type: ignore[index]


def words(markup: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", markup).split())


def test_the_board_has_a_row_a_recipe_and_one_an_entrant_that_is_alone(home: Home) -> None:
    rows = rows_of(page_of(home, "digits/index.html"), "board")
    assert [re.search(r"(trades|alone|sat) ", words(row))[1] for row in rows] == ["trades", "alone", "sat"]  # type: ignore[index]
    assert "62.0 ± 1.0" in words(rows[0]).replace("\N{NARROW NO-BREAK SPACE}", " ")
    assert "3 seeds not verified" in words(rows[0])
    assert "trades-s2" not in words(rows[0])
    assert 'data-search="trades trades-s1 trades-s2 trades-s3"' in rows[0]


def test_what_a_button_opens_is_on_the_page(home: Home) -> None:
    page = page_of(home, "digits/index.html")
    opened = [name for names in re.findall(r'aria-controls="([^"]*)"', page) for name in names.split()]
    assert len(opened) == 12  # of the board, and of the stages of AutoAttack
    assert sorted(opened) == sorted(re.findall(r'<tr class="measured seed" id="([^"]*)"', page))
    assert page.count('aria-expanded="false"') == 4


def test_recipes_are_compared_below_the_board(home: Home) -> None:
    page = words(page_of(home, "digits/index.html"))
    assert "Recipes compared on the same images" in page
    assert re.search(r"sat against trades: −20\.0 points, 95.% interval .* \(3 seeds, 200 images\): below\.", page)


def test_a_board_without_groups_says_nothing_of_them(tmp_path: Path, record_of: RecordOf) -> None:
    home = Home(tmp_path)
    for name in ("a", "b"):
        write_record(home.results, record_of(name))
    render(home, home.site, [DIGITS])
    page = page_of(home, "digits/index.html")
    assert not re.search('class="expand"|Recipes compared|several seeds|share a row', page)
    assert not (home.site / "digits" / "board-groups.csv").exists()


def test_the_page_of_a_seed_gives_the_rank_of_its_recipe(home: Home) -> None:
    assert "Rank 1 of 3 by the mean over 3 seeds of trades" in words(page_of(home, "digits/trades-s1.html"))
    assert "Rank 2 of 3 measured" in words(page_of(home, "digits/alone.html"))


def test_the_index_gives_the_mean_of_the_best_recipe_and_not_its_best_seed(home: Home) -> None:
    page = words(page_of(home, "index.html")).replace("\N{NARROW NO-BREAK SPACE}", " ")
    assert re.search(r"Best robust accuracy 62\.0 % ± 1\.0 \S+ trades \(3 seeds\)", page)


def test_the_page_that_compares_entrants_offers_every_seed(home: Home) -> None:
    page = page_of(home, "digits/compare.html")
    assert all(f"trades-s{seed}" in page for seed in (1, 2, 3))


def test_the_file_of_groups_goes_with_the_last_group(tmp_path: Path, seed_of: SeedOf) -> None:
    home, flags = Home(tmp_path), np.arange(50) < 30
    records = [seed_of(home, "trades", seed, flags) for seed in (1, 2)]
    for record in records:
        write_record(home.results, record)
    render(home, home.site, [DIGITS])
    kept = home.site / "digits" / "board-groups.csv"
    assert kept.exists()
    (home.results / "digits" / "trades-s2.json").unlink()
    assert kept in render(home, home.site, [DIGITS]).removed
    assert not kept.exists()
