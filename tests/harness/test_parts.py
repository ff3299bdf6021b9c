"""The first examples of a data set that is not here: used by themselves, held against what is known, recorded as partial."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.data import datasets, parts
from harness.data.images import ImageSet
from harness.data.parts import KnownPart, first_examples
from harness.errors import BadInput
from harness.run.judge import judge
from harness.suites.suite import SUITES
from leaderboards.records.files import read_record
from zoo import Card
from zoo.architectures import build
from zoo.own_entrants import save_entrant

SUITE = SUITES["cifar10"]
N = 12
ENTRANT = "small"


@pytest.fixture(scope="module")
def drawn() -> ImageSet:
    """Ten thousand made pictures that stand for CIFAR-10's test images."""
    generator = np.random.default_rng(0)
    images = torch.from_numpy(generator.integers(0, 256, (10_000, 3, 32, 32), dtype=np.uint8))
    labels = torch.from_numpy(generator.integers(0, 10, 10_000))
    return ImageSet("cifar10", "test", images, labels, tuple(map(str, range(10))), "drawn")


@pytest.fixture(autouse=True)
def known(drawn: ImageSet, monkeypatch: pytest.MonkeyPatch) -> KnownPart:
    """Their first twelve are the part that the harness knows."""
    part = KnownPart("cifar10", "test", N, 10_000, tuple(map(str, range(10))), drawn.content(0, N))
    monkeypatch.setattr(parts, "KNOWN_PARTS", (part,))
    return part


def write(folder: Path, images: ImageSet) -> Path:
    folder.mkdir(parents=True)
    pixels = images.images.permute(0, 2, 3, 1).numpy()
    np.savez(folder / f"{images.split}.npz", image=pixels, label=images.labels.numpy())
    return folder.parent


@pytest.fixture
def part_dir(tmp_path: Path, drawn: ImageSet) -> Path:
    return write(tmp_path / "part" / "cifar10-first12", drawn.first(N))


@pytest.fixture(scope="module")
def whole_dir(tmp_path_factory: pytest.TempPathFactory, drawn: ImageSet) -> Path:
    return write(tmp_path_factory.mktemp("whole") / "cifar10", drawn)


def loaded(data_dir: Path, split: str = "test") -> ImageSet:
    return datasets.load("cifar10", split, data_dir=data_dir, shape=SUITE.shape, classes=10)  # type: ignore[arg-type]


def refusal(data_dir: Path) -> str:
    with pytest.raises(BadInput) as caught:
        loaded(data_dir)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_part_is_used_where_the_data_set_is_not(part_dir: Path, drawn: ImageSet) -> None:
    found = loaded(part_dir)
    assert (found.name, len(found), found.whole, found.size) == ("cifar10", N, 10_000, 10_000)
    assert found.source == "cifar10-first12/test.npz"
    assert torch.equal(found.images, drawn.images[:N])


def test_the_data_set_itself_goes_before_its_part(part_dir: Path, drawn: ImageSet) -> None:
    write(part_dir / "cifar10", drawn.first(20))
    assert (len(loaded(part_dir)), loaded(part_dir).whole) == (20, 0)


def test_the_train_split_has_no_part(part_dir: Path) -> None:
    with pytest.raises(BadInput, match="expected the data set cifar10 under"):
        loaded(part_dir, "train")


@pytest.mark.parametrize("change", ["pixel", "label", "order", "shorter", "longer"])
def test_a_file_that_is_not_the_known_part_is_refused(tmp_path: Path, drawn: ImageSet, change: str) -> None:
    images, labels = drawn.images[:N].clone(), drawn.labels[:N].clone()
    if change == "pixel":
        images[3, 0, 0, 0] ^= 1
    elif change == "label":
        labels[3] = (labels[3] + 1) % 10
    elif change == "order":
        images, labels = images.flip(0), labels.flip(0)
    else:
        n = N - 1 if change == "shorter" else N + 1
        images, labels = drawn.images[:n], drawn.labels[:n]
    folder = tmp_path / "data" / "cifar10-first12"
    got = refusal(write(folder, replace(drawn, images=images, labels=labels)))
    assert got.startswith("expected the first 12 test examples of cifar10 in ")
    assert "got other images or labels" in got


def test_a_part_that_nobody_knows_is_refused(tmp_path: Path, drawn: ImageSet) -> None:
    got = refusal(write(tmp_path / "data" / "cifar10-first11", drawn.first(11)))
    assert got.startswith("expected a part of cifar10 that the harness knows, got ")
    assert got.endswith("with --dataset cifar10-first11")


def test_a_part_is_no_other_data() -> None:
    with pytest.raises(BadInput, match="its first 12 examples; leave --dataset out and give --limit 12"):
        SUITE.on("cifar10-first12")
    assert SUITE.on("cifar10-first13").dataset == "cifar10-first13"


def test_a_limit_within_the_part_gives_the_part_of_the_whole(drawn: ImageSet, part_dir: Path) -> None:
    part = loaded(part_dir)
    for limit in (1, N):
        held = first_examples(drawn, limit)
        assert (held.fingerprint, len(held), held.size) == (part.fingerprint, N, 10_000)
        assert held.calibration.content(0, 6) == part.calibration.content(0, 6)
    assert first_examples(drawn, None) is drawn
    assert first_examples(drawn, N + 1) is drawn
    assert first_examples(part, None) is part
    other = replace(drawn, labels=drawn.labels.roll(1))
    assert first_examples(other, N) is other, "other images in that place are no part"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with an entrant of the suite."""
    root = tmp_path / "here"
    torch.manual_seed(0)
    card = Card(name=ENTRANT, source="zoo", architecture="digits-cnn")
    save_entrant(root / "zoo" / "cifar10" / ENTRANT, build("digits-cnn", 10, (3, 32, 32)), card, SUITE.domain)
    monkeypatch.chdir(root)
    return root


MEASURES = ("standard", "energies")


@pytest.mark.parametrize("limit", [None, 5])
def test_a_run_on_the_part_is_the_run_with_that_limit_on_the_whole(
    place: Path, part_dir: Path, whole_dir: Path, limit: int | None
) -> None:
    given = {"suite": "cifar10", "device": "cpu"}
    part = judge(ENTRANT, measures=MEASURES, limit=limit, data_dir=part_dir, **given).record  # type: ignore[arg-type]
    whole = judge(ENTRANT, measures=MEASURES, limit=limit or N, data_dir=whole_dir, **given).record  # type: ignore[arg-type]
    assert part.findings() == whole.findings()
    assert (part.limit, part.suite.examples, part.suite.name) == (limit or N, 10_000, "cifar10")


def test_the_command_says_what_is_here_and_the_same_shards_serve_the_whole(
    place: Path, part_dir: Path, whole_dir: Path, harness_here
) -> None:
    run = ("run", "--suite", "cifar10", "--entrants", ENTRANT, "--measures", "standard", "--workers", "0")
    dry = harness_here(*run, "--data-dir", str(part_dir), "--dry-run", cwd=place)
    assert (dry.returncode, dry.stderr.count("only the first 12 of the 10000 test examples of cifar10 are here")) == (
        0,
        1,
    )
    done = harness_here(*run, "--data-dir", str(part_dir), cwd=place)
    assert done.returncode == 0, done.stderr
    assert "(cifar10-first12/test.npz): judged as with --limit 12 on all of it" in done.stderr
    record = read_record(place / "runs" / "results" / "cifar10" / "partial-12" / f"{ENTRANT}.json")
    assert (record.limit, record.suite.examples, record.suite_words) == (N, 10_000, ())
    again = harness_here(*run, "--data-dir", str(whole_dir), "--limit", "12", cwd=place)
    assert (again.returncode, "0 of 1 shards" in again.stderr, "only the first" in again.stderr) == (0, True, False)
    file = str(place / "runs" / "results" / "cifar10" / "partial-12" / f"{ENTRANT}.json")
    for data_dir in (part_dir, whole_dir):
        verified = harness_here("verify", file, "--data-dir", str(data_dir), "--device", "cpu", cwd=place)
        assert verified.returncode == 0, verified.stdout + verified.stderr


def test_a_larger_limit_than_the_part_is_one_line(place: Path, part_dir: Path, harness_here) -> None:
    for verb in (("run",), ("run", "--dry-run")):
        found = harness_here(
            *verb, "--suite", "cifar10", "--entrants", ENTRANT, "--measures", "standard", "--limit", "13",
            "--data-dir", str(part_dir), "--workers", "0", cwd=place,
        )  # fmt: skip
        assert found.returncode == 2
        assert "expected at most 12 examples, got --limit 13: of the 10000 of cifar10 only the first 12 are here" in (
            found.stderr
        )
        assert "Traceback" not in found.stderr
    assert not list(place.glob("runs/results/**/*.json"))


def test_a_record_of_more_examples_than_are_here_cannot_be_verified(
    place: Path, part_dir: Path, whole_dir: Path, harness_here
) -> None:
    run = ("run", "--suite", "cifar10", "--entrants", ENTRANT, "--measures", "standard", "--workers", "0")
    assert harness_here(*run, "--limit", "20", "--data-dir", str(whole_dir), cwd=place).returncode == 0
    file = str(place / "runs" / "results" / "cifar10" / "partial-20" / f"{ENTRANT}.json")
    found = harness_here("verify", file, "--data-dir", str(part_dir), "--device", "cpu", "--json", cwd=place)
    assert found.returncode == 3
    assert "expected 20 examples of cifar10, got its first 12" in json.dumps(json.loads(found.stdout))


def test_check_and_challenge_work_on_the_part(
    place: Path, part_dir: Path, whole_dir: Path, drawn: ImageSet, harness_here
) -> None:
    given = ("--suite", "cifar10", "--data-dir", str(part_dir))
    measures = "standard,autoattack"
    done = harness_here("run", *given, "--entrants", ENTRANT, "--measures", measures, "--workers", "0", cwd=place)
    assert done.returncode == 0, done.stderr
    assert (
        harness_here("baseline", "--suite", "cifar10", "--entrant", ENTRANT, "--limit", "12", cwd=place).returncode == 0
    )
    file = "baselines/cifar10/small.safetensors"
    for data_dir in (part_dir, whole_dir):
        checked = harness_here(
            "check", "--suite", "cifar10", "--entrant", ENTRANT, "--baseline", file, "--data-dir", str(data_dir),
            "--margin", "0.9", "--workers", "0", "--cache", str(place / "cache"), cwd=place,
        )  # fmt: skip
        assert checked.returncode == 0, checked.stdout + checked.stderr
    np.savez(place / "found.npz", image=drawn.images[:1].permute(0, 2, 3, 1).numpy(), index=np.zeros(1, int))
    challenged = harness_here(
        "challenge", *given, "--entrant", ENTRANT, "found.npz", "--who", "somebody", "--how", "nothing", cwd=place
    )
    assert challenged.returncode == 0, challenged.stderr
