"""Suites, built in and from TOML files, and what a wrong one says."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import BadInput
from harness.suites.files import find_suite
from harness.suites.suite import SUITES, parse_eps


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "suite.toml"
    path.write_text(text)
    return path


WHOLE = """
name = "mine"
version = 3
dataset = "my-pictures"
classes = 4
shape = [3, 24, 24]
norm = "L2"
eps = "128/255"
"""


@pytest.mark.parametrize(
    ("name", "norm", "eps", "classes"),
    [
        ("digits", "Linf", 0.15, 10),
        ("mnist", "Linf", 0.3, 10),
        ("cifar10", "Linf", 8 / 255, 10),
        ("cifar10-l2", "L2", 0.5, 10),
        ("cifar100", "Linf", 8 / 255, 100),
        ("svhn", "Linf", 8 / 255, 10),
        ("tiny-imagenet", "Linf", 8 / 255, 200),
        ("imagenet", "Linf", 4 / 255, 1000),
    ],
)
def test_each_built_in_suite_has_its_threat_model(name: str, norm: str, eps: float, classes: int) -> None:
    suite = find_suite(name)
    assert (suite.threat.norm, suite.threat.eps, suite.classes) == (norm, eps, classes)
    assert suite.version >= 1


def test_a_suite_of_ones_own_is_read(tmp_path: Path) -> None:
    suite = find_suite(str(write(tmp_path, WHOLE)))
    assert (suite.name, suite.version, suite.shape) == ("mine", 3, (3, 24, 24))
    assert suite.threat.eps == pytest.approx(128 / 255)


def test_a_suite_may_start_from_a_built_in_one(tmp_path: Path) -> None:
    suite = find_suite(str(write(tmp_path, 'base = "cifar10"\nname = "cifar10-4"\neps = "4/255"\nexamples = 1000')))
    assert (suite.threat.eps, suite.examples, suite.dataset) == (pytest.approx(4 / 255), 1000, "cifar10")
    assert suite.entrants == SUITES["cifar10"].entrants


def test_a_suite_on_other_data_never_has_the_name_of_a_built_in_one() -> None:
    on = SUITES["cifar10"].on("svhn")
    assert (on.name, on.dataset) == ("cifar10-on-svhn", "svhn")
    assert {SUITES["cifar10"].on(name).name for name in ("cifar100", "digits")} == {
        "cifar10-on-cifar100",
        "cifar10-on-digits",
    }


def test_other_data_keep_the_zoo_of_the_suite_that_they_replace(tmp_path: Path) -> None:
    suite = find_suite(str(write(tmp_path, 'base = "cifar10"\nname = "cifar10-jpeg"\ndataset = "cifar10-jpeg"')))
    assert (suite.dataset, suite.domain.dataset) == ("cifar10-jpeg", "cifar10")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", "expected a suite in TOML"),
        (WHOLE + 'epsilon = "8/255"', r"got 'epsilon'; did you mean"),
        (WHOLE.replace('"128/255"', '"-8/255"'), "expected eps >= 0"),
        (WHOLE.replace('"128/255"', "-0.5"), "expected eps >= 0"),
        (WHOLE.replace('"128/255"', '"8/0"'), "expected eps >= 0"),
        (WHOLE.replace('"128/255"', "nan"), "expected eps >= 0"),
        (WHOLE.replace('"L2"', '"L1"'), "expected a norm of Linf or L2"),
        (WHOLE.replace("classes = 4", "classes = 1"), "expected classes to be a whole number of at least 2"),
        (WHOLE.replace("classes = 4", 'classes = "4"'), "expected classes to be a whole number of at least 2"),
        (WHOLE.replace("classes = 4", "classes = 4.0"), "expected classes to be a whole number .*, got 4.0;"),
        (WHOLE.replace("version = 3", "version = true"), "expected version to be a whole number .*, got True;"),
        (WHOLE.replace('"mine"', "3"), "expected name to be a valid string in .*, got 3;"),
        (WHOLE + "flip = 1", "expected flip to be a valid boolean in .*, got 1;"),
        (WHOLE.replace('"128/255"', "true"), "expected eps to be a number or text such as '8/255' in .*, got True;"),
        (WHOLE.replace("classes = 4", "classes = true"), "expected classes to be a whole number of at least 2"),
        (WHOLE.replace("classes = 4", ""), "got no classes"),
        (WHOLE.replace("[3, 24, 24]", "[3, 24]"), r"expected shape to be \[channels, height, width\]"),
        (WHOLE.replace('"mine"', '"cifar10"'), "expected a name of its own"),
        ('base = "cifar"\nname = "mine"', "did you mean cifar10"),
        ('base = "cifar10"\neps = "4/255"', "expected a name of its own"),
        (WHOLE + 'measures = ["standard", 3]', "expected measures to be a list of at least one name"),
        (WHOLE + 'entrants = "standard"', "expected entrants to be a list of names in .*, got 'standard';"),
        (WHOLE + "measures = []", "expected measures to be a list of at least one name"),
        (WHOLE.replace('"128/255"', '"1e400"'), "expected eps >= 0"),
        (WHOLE.replace('"128/255"', '"1e99999999"'), "expected eps >= 0"),
        (WHOLE.replace("[3, 24, 24]", "[3, 24, true]"), r"expected shape to be \[channels, height, width\]"),
        ('base = ["cifar10"]\nname = "mine"', "expected base to be a built-in suite"),
    ],
)
def test_a_wrong_suite_file_is_one_clear_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        find_suite(str(write(tmp_path, text)))
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "suite.toml") in str(caught.value)


def test_an_unknown_suite_names_the_nearest() -> None:
    with pytest.raises(BadInput, match=r"got 'cifar-10'; did you mean cifar10"):
        find_suite("cifar-10")


@pytest.mark.parametrize(
    ("text", "eps"),
    [
        ("8/255", 8 / 255),
        ("0.5", 0.5),
        ("0", 0.0),
        (" 2 / 255 ", 2 / 255),
        ("1e-3", 1e-3),
        (".25", 0.25),
        ("4.", 4.0),
        ("+1.5/255", 1.5 / 255),
        ("1e-05", 1e-5),
    ],
)
def test_a_radius_may_be_a_number_or_a_fraction(text: str, eps: float) -> None:
    assert parse_eps(text) == eps


@pytest.mark.parametrize("grey", range(256))
def test_a_radius_in_grey_levels_is_the_float_that_python_divides_to(grey: int) -> None:
    assert parse_eps(f"{grey}/255") == grey / 255
    assert parse_eps(repr(grey / 255)) == grey / 255


def test_a_radius_is_rounded_once() -> None:
    # 0.7 and 0.1 are no floats: their quotient is 7, which the division of their nearest floats misses
    assert parse_eps("0.7/0.1") == 7.0
    assert 0.7 / 0.1 != 7.0


@pytest.mark.parametrize(
    "text",
    ["", "/", "8/", "/255", "1/0", "1/0.0", "nan", "inf", "-1", "1/-1", "-1/-1", "1e999", "1e400", "1e99999999",
     "1/1e-999", "8/255/1", "8:255", "eight", "1_0", "٨/255", "1" * 5000, "0x1"],
)  # fmt: skip
def test_a_radius_that_is_none_is_one_clear_line(text: str) -> None:
    with pytest.raises(BadInput, match="expected eps >= 0 as a number or a fraction such as 8/255, got") as caught:
        parse_eps(text)
    assert "\n" not in str(caught.value)
