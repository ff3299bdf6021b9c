"""Seeds of one recipe as one line of a board, and recipes compared on the same images."""

from __future__ import annotations

import csv
import io
import json
import math
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from statsmodels.stats.contingency_tables import mcnemar

from leaderboards.board.board import Published, make_board
from leaderboards.board.cells import make_grid
from leaderboards.board.columns import AUTOATTACK, COLUMNS, NOTES, PARAMETERS, RANKED_BY, SECONDS, STANDARD_ACCURACY
from leaderboards.board.downloads import as_csv, as_json, groups_as_csv
from leaderboards.board.entry import Basis
from leaderboards.board.groups import Group, Line, Spread, grouped, groups_among
from leaderboards.board.paired import compared, paired, seed_pair
from leaderboards.records.home import Home
from leaderboards.records.schema import Flag, Record

RecordOf = Callable[..., Record]
SeedOf = Callable[..., Record]


def card(seed: Any, **training: Any) -> dict[str, Any]:
    """What a record says of an entrant that was trained with this seed."""
    recipe = {"objective": "trades", "epochs": 20, "seed": seed, **training.pop("recipe", {})}
    return {"training": {"recipe": recipe, "norm": "Linf", "eps": 0.3, "fingerprint": "c" * 64, **training}}


def three(record_of: RecordOf, recipe: str, *robust: float, **more: Any) -> list[Record]:
    """Records of seeds 1, 2, ... of a recipe, one a robust accuracy."""
    own = {"recipe": {"objective": recipe}}
    return [
        record_of(f"{recipe}-s{seed}", robust=one, entrant=card(seed, **own), **more)
        for seed, one in enumerate(robust, 1)
    ]


def lines_of(*records: Record, published: tuple[Published, ...] = ()) -> tuple[Line, ...]:
    return grouped(make_board(records, published).entries)


def names(lines: tuple[Line, ...]) -> list[str]:
    return [line.name for line in lines]


def groups_in(home: Home, *records: Record) -> tuple[Group, ...]:
    homes = {(record.entrant.name, record.limit): home for record in records}
    return groups_among(grouped(make_board(records, homes=homes).entries))


def test_seeds_of_a_recipe_are_one_line_with_mean_and_standard_deviation(record_of: RecordOf) -> None:
    robust = (0.41, 0.46, 0.42)
    (line,) = lines_of(*three(record_of, "trades", *robust))
    assert isinstance(line, Group)
    assert (line.name, line.seeds, line.rank) == ("trades", (1, 2, 3), 1)
    found = line.content(AUTOATTACK)
    assert isinstance(found, Spread)
    assert found.mean == pytest.approx(0.43)
    # ((-0.02)^2 + 0.03^2 + (-0.01)^2) / (3 - 1)
    assert found.sd == pytest.approx(math.sqrt(0.0014 / 2))
    assert (found.seeds, found.n, found.low, found.high) == (3, 360, None, None)


def test_lines_are_ranked_by_the_mean_of_their_seeds(record_of: RecordOf) -> None:
    records = [
        *three(record_of, "trades", 0.4, 0.6),
        *three(record_of, "mart", 0.45, 0.45),
        record_of("one", robust=0.48),
    ]
    lines = lines_of(*records, published=(Published("theirs", autoattack_accuracy=0.45), Published("none")))
    assert [(line.name, line.rank) for line in lines] == [
        *(("trades", 1), ("one", 2), ("mart", 3), ("theirs", 3), ("none", None)),
    ]


def test_a_board_without_seeds_stays_as_it_is(record_of: RecordOf) -> None:
    board = make_board([record_of("a"), record_of("b", robust=0.3)], [Published("c", autoattack_accuracy=0.4)])
    assert grouped(board.entries) == board.entries


@pytest.mark.parametrize(
    "other",
    [
        {"recipe": {"objective": "mart"}},
        {"recipe": {"epochs": 21}},
        {"norm": "L2"},
        {"eps": 0.2},
        {"fingerprint": "d" * 64},
        {"images": 100},
        {"beta": 7.0},
    ],
)
def test_what_was_trained_otherwise_is_no_seed_of_a_recipe(record_of: RecordOf, other: dict[str, Any]) -> None:
    first = record_of("trades-s1", entrant=card(1))
    assert names(lines_of(first, record_of("trades-s2", entrant=card(2)))) == ["trades"]
    assert names(lines_of(first, record_of("trades-s2", entrant=card(2, **other)))) == ["trades-s1", "trades-s2"]


@pytest.mark.parametrize("seed", [3, "2", None, 2.0, True])
def test_a_name_whose_card_has_another_seed_is_no_seed_of_a_recipe(record_of: RecordOf, seed: Any) -> None:
    records = [record_of(f"trades-s{k}", entrant=card(given)) for k, given in ((0, 0), (1, 1), (2, seed))]
    assert names(lines_of(*records)) == ["trades", "trades-s2"]


@pytest.mark.parametrize("name", ["trades-2", "trades-s02", "trades-s", "-s2", "trades-s2x"])
def test_a_name_of_another_form_is_no_seed_of_a_recipe(record_of: RecordOf, name: str) -> None:
    records = [record_of("trades-s1", entrant=card(1)), record_of(name, entrant=card(2))]
    assert not groups_among(lines_of(*records))


def test_one_seed_is_no_group(record_of: RecordOf) -> None:
    (line,) = lines_of(record_of("trades-s1", entrant=card(1)))
    assert (line.name, line.rank) == ("trades-s1", 1)


def test_other_networks_are_no_seeds_of_one_recipe(record_of: RecordOf) -> None:
    records = [record_of(f"a-s{k}", entrant={**card(k), "parameters": 1000 * k}) for k in (1, 2)]
    assert not groups_among(lines_of(*records))


def test_a_name_that_stands_for_two_trainings_groups_nothing(record_of: RecordOf) -> None:
    records = [record_of(f"a-s{k}", entrant=card(k, eps=0.1 * (1 + k // 3))) for k in (1, 2, 3, 4)]
    assert not groups_among(lines_of(*records))
    assert names(lines_of(*records[:3])) == ["a", "a-s3"]


def test_a_group_takes_no_name_of_another_entrant(record_of: RecordOf) -> None:
    records = [record_of("trades", robust=0.9), *three(record_of, "trades", 0.4, 0.5)]
    assert names(lines_of(*records)) == ["trades", "trades-s*"]


def test_a_mean_is_of_all_seeds_or_is_not_there(record_of: RecordOf) -> None:
    first, second = three(record_of, "trades", 0.4, 0.5)
    without = second.model_copy(update={"measurements": {"standard": second.measurements["standard"]}})
    (group,) = groups_among(lines_of(first, without))
    assert group.content(AUTOATTACK) is None
    assert (group.ranking, group.rank, group.content(RANKED_BY)) == (None, None, "not ranked")
    assert isinstance(group.content(STANDARD_ACCURACY), Spread)


def test_a_number_that_describes_all_seeds_alike_stands_as_it_is(record_of: RecordOf) -> None:
    (group,) = groups_among(lines_of(*three(record_of, "trades", 0.4, 0.5)))
    assert group.content(PARAMETERS) == 31_402
    assert group.content(SECONDS) == pytest.approx(5402.5)
    same = group.content(STANDARD_ACCURACY)
    assert isinstance(same, Spread)  # of a measured number that seeds agree on, the agreement is a result
    assert same.sd == 0


def test_notes_say_whose_they_are_unless_all_seeds_say_them(record_of: RecordOf) -> None:
    first, second = three(record_of, "trades", 0.4, 0.5, provenance={"precision": "bf16"})
    odd = second.measurements["autoattack"].model_copy(update={"flags": (Flag(code="x", message="odd"),)})
    second = second.model_copy(update={"measurements": {**second.measurements, "autoattack": odd}})
    (group,) = groups_among(lines_of(first, second))
    assert group.content(NOTES) == "standard: in bf16; autoattack: in bf16; trades-s2: autoattack: odd"


def test_every_column_of_a_board_has_a_content_of_a_group(record_of: RecordOf) -> None:
    (group,) = groups_among(lines_of(*three(record_of, "trades", 0.4, 0.5, energies=-2.0, smoothness=1.0)))
    found = {column.key: group.content(column) for column in COLUMNS}
    assert found["entrant"] == "trades"
    assert found["ranked_by"] == str(Basis.MEASURED)
    assert found["architecture"] == "CNN"
    assert found["measured_at"] == "2026-11-20"
    assert found["published_autoattack_accuracy"] is None


def test_an_accuracy_of_a_group_has_an_interval_over_seeds_and_images(seed_of: SeedOf, tmp_path: Path) -> None:
    home, rng = Home(tmp_path), np.random.default_rng(0)
    table = rng.random((3, 200)) < 0.8
    (group,) = groups_in(home, *(seed_of(home, "trades", k, row) for k, row in enumerate(table, 1)))
    found = group.content(AUTOATTACK)
    assert isinstance(found, Spread)
    assert found.sd == pytest.approx(statistics.stdev(table.mean(1).tolist()))
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.mean < found.high


def test_without_the_arrays_of_one_seed_a_group_has_no_interval(seed_of: SeedOf, tmp_path: Path) -> None:
    home = Home(tmp_path)
    rows = np.random.default_rng(0).random((2, 50)) < 0.5
    records = [seed_of(home, "trades", k, row) for k, row in enumerate(rows, 1)]
    arrays = records[0].measurements["autoattack"].arrays
    assert arrays is not None
    (home.arrays / arrays.file).unlink()
    (group,) = groups_in(home, *records)
    found = group.content(AUTOATTACK)
    assert isinstance(found, Spread)
    assert (found.low, found.high) == (None, None)


def test_a_pair_of_seeds_is_tested_as_mcnemar_does() -> None:
    rng = np.random.default_rng(3)
    mine, theirs = rng.random((2, 300)) < [[0.7], [0.62]]
    found = seed_pair(1, mine, theirs)
    counts = [[int((a & b).sum()) for b in (theirs, ~theirs)] for a in (mine, ~mine)]
    assert found.p == pytest.approx(mcnemar(counts, exact=True).pvalue)
    assert found.difference == pytest.approx(mine.mean() - theirs.mean())
    assert seed_pair(1, mine, mine).p == 1


def board_of_two(seed_of: SeedOf, home: Home, mine: np.ndarray, theirs: np.ndarray) -> tuple[Group, ...]:
    records = [seed_of(home, "weat", k, row) for k, row in enumerate(mine, 1)]
    return groups_in(home, *records, *(seed_of(home, "trades", k, row) for k, row in enumerate(theirs, 1)))


def test_recipes_are_compared_in_plain_words(seed_of: SeedOf, tmp_path: Path) -> None:
    place = np.arange(1000)
    theirs = np.stack([place < 900, place < 902, place < 904])
    mine = theirs | (place >= 990)
    (found,) = compared(board_of_two(seed_of, Home(tmp_path), mine, theirs))
    assert found.difference is not None
    assert found.difference.mean == pytest.approx(0.01)
    assert [(pair.gained, pair.lost) for pair in found.pairs] == [(10, 0)] * 3
    assert found.verdict == "above"
    assert (
        found.sentence
        == "weat against trades: +1.00 points, 95\u202f% interval +0.38 to +1.62 (3 seeds, 1,000 images): above."
    )
    assert found.details.startswith(
        "Points seed by seed, with McNemar's exact test: seed 1: +1.00 (p = 0.002), seed 2: +1.00"
    )


def test_the_other_way_round_the_verdict_is_below(seed_of: SeedOf, tmp_path: Path) -> None:
    place = np.arange(1000)
    theirs = np.stack([place < 900, place < 902, place < 904])
    weat, trades = board_of_two(seed_of, Home(tmp_path), theirs | (place >= 990), theirs)
    there, back = paired(weat, trades), paired(trades, weat)
    assert (there.verdict, back.verdict) == ("above", "below")
    assert there.difference is not None
    assert back.difference is not None
    assert (back.difference.low, back.difference.high) == pytest.approx((-there.difference.high, -there.difference.low))


def test_seeds_that_disagree_leave_it_undecided_though_each_pair_is_significant(
    seed_of: SeedOf, tmp_path: Path
) -> None:
    place = np.arange(1000)
    theirs = np.stack([place < 900] * 3)
    mine = np.stack([place < 960, place < 850, place < 930])
    (found,) = compared(board_of_two(seed_of, Home(tmp_path), mine, theirs))
    assert max(pair.p for pair in found.pairs) < 1e-6
    assert found.verdict == "undecided"


def test_one_recipe_is_compared_with_nothing(record_of: RecordOf) -> None:
    assert compared(groups_among(lines_of(*three(record_of, "trades", 0.4, 0.5)))) == ()


def test_without_trades_the_best_recipe_is_the_reference(record_of: RecordOf) -> None:
    records = [
        *three(record_of, "sat", 0.4, 0.5),
        *three(record_of, "mart", 0.6, 0.7),
        *three(record_of, "mail", 0.2, 0.3),
    ]
    assert [(one.name, one.reference) for one in compared(groups_among(lines_of(*records)))] == [
        ("sat", "mart"),
        ("mail", "mart"),
    ]


def test_what_does_not_compare_says_why(seed_of: SeedOf, tmp_path: Path) -> None:
    home, flags = Home(tmp_path), np.arange(40) % 3 > 0
    trades = [seed_of(home, "trades", k, flags) for k in (1, 2)]
    other = [seed_of(home, "mart", k, flags) for k in (2, 3)]
    (found,) = compared(groups_in(home, *trades, *other))
    assert found.sentence == "mart and trades are not compared: they have fewer than 2 seeds in common."
    assert (found.verdict, found.details) == ("undecided", "")
    mart = [seed_of(home, "mart", k, flags) for k in (1, 2)]
    changed = [
        record.model_copy(
            update={
                "measurements": {
                    **record.measurements,
                    "autoattack": record.measurements["autoattack"].model_copy(
                        update={"settings": {"version": "rand"}}
                    ),
                }
            }
        )
        for record in mart
    ]
    (found,) = compared(groups_in(home, *trades, *changed))
    assert "they were attacked with other settings" in found.sentence
    (found,) = compared(groups_among(lines_of(*trades, *mart)))
    assert "not every seed has the results of AutoAttack image by image" in found.sentence


def test_recipes_that_keep_the_same_images_are_level(seed_of: SeedOf, tmp_path: Path) -> None:
    flags = np.stack([np.arange(100) < 50 + k for k in range(3)])
    (found,) = compared(board_of_two(seed_of, Home(tmp_path), flags, flags))
    assert found.sentence.startswith(
        "weat against trades: 0.0 points, 95\u202f% interval \u22123.6 to +3.6 (3 seeds, 100 images)"
    )
    assert found.verdict == "undecided"


def test_every_seed_is_downloaded_with_its_group_and_the_groups_beside(seed_of: SeedOf, tmp_path: Path) -> None:
    home, rng = Home(tmp_path), np.random.default_rng(0)
    records = [seed_of(home, "trades", k, rng.random(100) < 0.6) for k in (1, 2)]
    homes = {(record.entrant.name, record.limit): home for record in records}
    lines = grouped(make_board(records, [Published("theirs", autoattack_accuracy=0.1)], homes=homes).entries)
    table = list(csv.DictReader(io.StringIO(as_csv(lines))))
    assert [(row["entrant"], row["group"], row["rank"]) for row in table] == [
        *(("trades-s1", "trades", ""), ("trades-s2", "trades", ""), ("theirs", "", "2")),
    ]
    (row,) = csv.DictReader(io.StringIO(groups_as_csv(lines)))
    robust = [float(one["autoattack_accuracy"]) for one in table[:2]]
    assert (row["group"], row["seeds"], row["rank"], row["ranked_by"]) == ("trades", "1 2", "1", "measured")
    assert float(row["autoattack_accuracy"]) == pytest.approx(statistics.fmean(robust))
    assert float(row["autoattack_accuracy.sd"]) == pytest.approx(statistics.stdev(robust))
    assert float(row["autoattack_accuracy.low"]) < statistics.fmean(robust) < float(row["autoattack_accuracy.high"])
    plain = json.loads(as_json({}, lines))
    assert len(plain["entrants"]) == 3
    assert plain["groups"][0]["autoattack_accuracy.sd"] == pytest.approx(statistics.stdev(robust))


def test_without_groups_a_download_says_nothing_of_them(record_of: RecordOf) -> None:
    lines = lines_of(record_of("a"))
    assert "group" not in as_csv(lines).splitlines()[0].split(",")
    assert "groups" not in json.loads(as_json({}, lines))


def test_a_grid_has_a_row_a_recipe_and_its_seeds_below(record_of: RecordOf) -> None:
    grid = make_grid(lines_of(*three(record_of, "trades", 0.4, 0.5), record_of("one", robust=0.6)), COLUMNS)
    assert [row.line.name for row in grid.rows] == ["one", "trades"]
    assert [row.line.name for row in grid.entrants] == ["one", "trades-s1", "trades-s2"]
    (row,) = grid.groups
    cells = {column.key: cell for column, cell in zip(grid.columns, row.cells, strict=True)}
    assert (cells["rank"].text, cells["rank"].order) == ("2", "2.0")
    robust = cells["autoattack_accuracy"]
    assert (robust.text, robust.sd, robust.order) == ("45.0", "\u00b1\u202f7.1", "0.45")
    assert (robust.interval, robust.bar) == ("", None)
    seeds = [dict(zip((column.key for column in grid.columns), seed.cells, strict=True)) for seed in row.seeds]
    assert [(seed["rank"].text, seed["autoattack_accuracy"].text) for seed in seeds] == [("", "40.0"), ("", "50.0")]
    assert all(seed["autoattack_accuracy"].bar for seed in seeds)


def test_on_a_board_of_the_first_examples_groups_are_ranked_among_the_measured(record_of: RecordOf) -> None:
    records = [*three(record_of, "trades", 0.4, 0.5, limit=64), record_of("one", robust=0.3, limit=64)]
    board = make_board(records, [Published("theirs", autoattack_accuracy=0.7)], limit=64)
    assert [(line.name, line.rank, line.place) for line in grouped(board.entries)] == [
        *(("theirs", None, 1), ("trades", 1, 2), ("one", 2, 3)),
    ]
