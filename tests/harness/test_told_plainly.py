"""What a mistyped command is told, and what the signs under a table mean."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.data.place import is_data_set, require_parent
from harness.errors import BadInput
from leaderboards.board import formats
from zoo.architectures import ARCHITECTURES, build


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("rnu", "expected a verb after harness, got 'rnu'; did you mean run"),
        ("list suties", "expected a verb after harness list, got 'suties'; did you mean suites"),
        ("experiment seed", "expected a verb after harness experiment, got 'seed'; did you mean seeds"),
        ("run --siute digits", "expected an option of harness run, got '--siute'; did you mean --suite"),
        ("list entrants --suite digit", "expected a suite, got 'digit'; did you mean digits"),
    ],
)
def test_the_nearest_name_is_told(harness_here, typed: str, told: str) -> None:
    done = harness_here(*typed.split())
    assert done.returncode == 2
    assert done.stderr.startswith(f"harness: error: {told}")
    assert len(done.stderr.splitlines()) == 1


def test_help_says_exit_statuses_and_debug_and_cuts_no_line(harness_here) -> None:
    for verb, status in (
        ("", "3 a gate is undecided"),
        ("check", "3 undecided"),
        ("run", "1 a task failed"),
        ("experiment", "1 a"),
    ):
        shown = " ".join(harness_here(*verb.split(), "--help").stdout.split())
        assert "Exit status: 0" in shown, verb
        assert status in shown, verb
        assert "--debug" in shown, verb
        assert "..." not in shown.partition("Commands:")[2], verb


def test_debug_shows_where_an_error_came_from(harness_here) -> None:
    for words in (
        ("list", "entrants", "--suite", "digit", "--debug"),
        ("--debug", "list", "entrants", "--suite", "digit"),
    ):
        assert "Traceback" in harness_here(*words).stderr
    assert "Traceback" not in harness_here(*words[1:]).stderr


def test_a_data_set_given_as_data_dir_is_told_with_the_words_that_are_meant(harness_here, tmp_path: Path) -> None:
    for folder in ("cat", "dog"):
        (tmp_path / "data" / "cifar10-jpeg" / "test" / folder).mkdir(parents=True)
    done = harness_here(
        "run",
        "--suite",
        "cifar10",
        "--entrants",
        "sat-compact",
        "--data-dir",
        str(tmp_path / "data/cifar10-jpeg"),
        "--out",
        "o",
    )
    assert done.returncode == 2
    assert f"do: --data-dir {tmp_path / 'data'} --dataset cifar10-jpeg" in done.stderr


def test_what_a_data_dir_is(tmp_path: Path) -> None:
    (tmp_path / "svhn" / "test").mkdir(parents=True)
    (tmp_path / "npz").mkdir()
    (tmp_path / "npz" / "test.npz").touch()
    (tmp_path / "mixed" / "test").mkdir(parents=True)
    (tmp_path / "mixed" / "cifar-10-batches-py").mkdir()
    assert [is_data_set(tmp_path / name) for name in ("svhn", "npz", "mixed", "absent", "")] == [
        True, True, False, False, False,
    ]  # fmt: skip
    with pytest.raises(BadInput, match=r"do: --data-dir \S+$"):
        require_parent(tmp_path / "svhn", "svhn")
    require_parent(tmp_path, "svhn")


def test_render_refuses_a_folder_without_records_and_does_not_make_it(harness_here, tmp_path: Path) -> None:
    (tmp_path / "here" / "runs" / "results" / "digits").mkdir(parents=True)
    (tmp_path / "here" / "runs" / "results" / "digits" / "a.json").write_text("{}")
    done = harness_here("render", "--out", "rnus", cwd=tmp_path / "here")
    assert done.returncode == 2
    assert "got rnus; did you mean runs?" in done.stderr
    empty = tmp_path / "empty"
    empty.mkdir()
    for words in (("--out", "absent"), ()):
        done = harness_here("render", *words, cwd=empty)
        assert done.returncode == 2
        assert "expected a folder with records in results/, got" in done.stderr
    assert not list(empty.iterdir())


@pytest.mark.parametrize(
    ("number", "text"),
    [(946.12345, "946.1"), (20.14028, "20.14"), (5.0, "5.000"), (0.0034121, "0.003412"), (1439.209, "1439"), (0.0, "0"),
     (-0.00012345, "−0.000123"), (2.5e8, "2.50e8"), (float("nan"), "NaN")],
)  # fmt: skip
def test_a_distance_has_digits_that_say_something(number: float, text: str) -> None:
    assert formats.score(number) == text


def test_results_end_with_what_their_signs_mean(harness_here) -> None:
    done = harness_here(
        "run",
        "--suite",
        "digits",
        "--entrants",
        "trades",
        "--measures",
        "standard",
        "--limit",
        "4",
        "--workers",
        "0",
        "--out",
        "o",
    )
    below = done.stdout.partition("└")[2].splitlines()
    assert below[1] == "n: examples measured. [a, b]: 95 % interval. ↑: more is better."


def test_architectures_are_listed_with_their_parameters(harness_here) -> None:
    rows = {row["name"]: row for row in json.loads(harness_here("list", "architectures", "--json").stdout)}
    assert rows.keys() == ARCHITECTURES.keys()
    network = build("digits-cnn", 10, (1, 8, 8))
    assert rows["digits-cnn"]["parameters_1x8x8"] == sum(parameter.numel() for parameter in network.parameters())
    assert rows["small-cnn"]["parameters_1x8x8"] is None, "it needs 16x16 pixels"
    assert rows["small-cnn"]["parameters_1x28x28"] == 312_202
    assert "module:callable" in harness_here("list", "architectures").stdout
