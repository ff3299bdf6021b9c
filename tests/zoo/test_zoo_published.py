"""The published table is read as it is, and is the package's list of entries."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

import zoo
from zoo.published import PublishedResult, published, published_result
from zoo.robustbench import import_robustbench

BOARDS = [
    ("cifar10", "L2", 21),
    ("cifar10", "Linf", 99),
    ("cifar10", "corruptions", 23),
    ("cifar100", "Linf", 38),
    ("cifar100", "corruptions", 13),
    ("imagenet", "Linf", 30),
    ("imagenet", "corruptions", 12),
]


def everything() -> list[PublishedResult]:
    return [row for dataset, norm, _ in BOARDS for row in published(dataset, norm)]


def test_all_236_rows_are_read_in_the_order_of_the_file() -> None:
    assert Counter((row.dataset, row.norm) for row in everything()) == {(d, n): count for d, n, count in BOARDS}
    assert len(everything()) == 236
    with (Path(zoo.__file__).parent / "published.csv").open(encoding="utf-8", newline="") as handle:
        names = [
            row["name"] for row in csv.DictReader(handle) if (row["dataset"], row["threat"]) == ("cifar10", "Linf")
        ]
    assert [row.name for row in published("cifar10", "Linf")] == names


def test_mnist_has_the_table_of_autoattacks_authors() -> None:
    rows = published("mnist", "Linf")
    accuracies = [row.autoattack_accuracy for row in rows]
    assert len(rows) == 10
    assert accuracies == sorted(accuracies, key=lambda accuracy: -(accuracy or 0))
    trades = published_result("mnist", "Linf", "Zhang2019Theoretically")
    assert trades is not None
    assert (trades.standard_accuracy, trades.autoattack_accuracy, trades.eps) == (0.9948, 0.9281, 0.3)
    assert (trades.in_zoo, trades.additional_data, trades.unreliable) == (False, None, False)


def test_the_loadable_rows_are_exactly_the_packages_entries() -> None:
    package = {(dataset, norm, name) for (dataset, norm), names in import_robustbench().items() for name in names}
    assert len(package) == 206
    assert {(row.dataset, row.norm, row.name) for row in everything() if row.in_zoo} == package


def test_numbers_are_fractions_and_published_ones() -> None:
    row = published_result("cifar10", "Linf", "Wang2023Better_WRN-70-16")
    assert row is not None
    assert (row.standard_accuracy, row.autoattack_accuracy, row.eps) == (0.9325, 0.7069, 8 / 255)
    assert (row.additional_data, row.unreliable, row.architecture) == (False, False, "WideResNet-70-16")
    carmon = published_result("cifar10", "Linf", "Carmon2019Unlabeled")
    assert carmon is not None
    assert (carmon.standard_accuracy, carmon.autoattack_accuracy) == (0.8969, 0.5953)
    assert carmon.additional_data
    mean_corruption_error = [row.corruptions_mce for row in published("imagenet", "corruptions")]
    assert 1.0 in mean_corruption_error  # AlexNet, the baseline
    assert {row.eps for row in published("imagenet", "Linf")} == {4 / 255}


def test_the_board_ranks_by_the_best_known_accuracy_where_an_attack_went_below_autoattack() -> None:
    kang = published_result("cifar10", "Linf", "Kang2021Stable")
    assert kang is not None
    assert kang.unreliable
    assert (kang.autoattack_accuracy, kang.best_known_accuracy, kang.robust_accuracy) == (0.7128, 0.642, 0.642)
    engstrom = published_result("cifar10", "Linf", "Engstrom2019Robustness")
    assert engstrom is not None
    assert (engstrom.best_known_accuracy, engstrom.robust_accuracy) == (None, 0.4925)


def test_every_value_is_in_range_and_no_text_holds_markup() -> None:
    for row in everything():
        accuracies = [row.standard_accuracy, row.autoattack_accuracy, row.best_known_accuracy, row.reported_accuracy]
        accuracies += [row.corruptions_accuracy, row.corruptions_accuracy_3d]
        assert all(0 <= accuracy <= 1 for accuracy in accuracies if accuracy is not None), row.name
        # a few rows of the corruptions boards hold the radius that their entry was trained for
        assert row.norm == "corruptions" or (row.eps is not None and 0 < row.eps <= 0.5), row.name
        assert not any("<" in text for text in (row.architecture, row.title, row.authors, row.venue)), row.name
        if row.best_known_accuracy is not None and row.autoattack_accuracy is not None:
            assert row.best_known_accuracy <= row.autoattack_accuracy, row.name


@pytest.mark.parametrize(("dataset", "norm", "name"), [("cifar10", "Linf", "Nobody"), ("digits", "Linf", "Standard")])
def test_what_is_not_published_is_none(dataset: str, norm: str, name: str) -> None:
    assert published_result(dataset, norm, name) is None
    assert published("digits", "Linf") == ()
