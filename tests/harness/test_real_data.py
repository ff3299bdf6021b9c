"""What the harness finds on the data sets themselves, where they lie beside the checkout; it is told where they do not."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import torch

from harness.data import datasets
from harness.data.parts import KNOWN_PARTS, first_examples
from harness.doctor.examination import doctor
from harness.doctor.hypotheses import NORMALISATIONS
from harness.run.judge import judge, load
from harness.suites.suite import SUITES
from leaderboards.records.files import read_record
from zoo.checkpoints import SHIPPED
from zoo.published import published_result

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data"
CIFAR10_ENTRANTS = sorted(path.stem for path in (SHIPPED / "cifar10").glob("*.json"))

pytestmark = pytest.mark.slow


def shared(*parts: str) -> Path:
    """A file or folder of the data beside the checkout; the test is skipped where it is not there."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"needs ../shared/data/{'/'.join(parts)} beside the checkout, which is not there")
    return path


@pytest.fixture(scope="module")
def mnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of data with MNIST's files, unpacked."""
    packed = shared("mnist", "MNIST", "raw")
    data_dir = tmp_path_factory.mktemp("data")
    raw = data_dir / "mnist" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for path in packed.glob("*.gz"):
        (raw / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    return data_dir


@pytest.fixture(scope="module")
def cifar10() -> Path:
    """The folder of data that holds CIFAR-10's first 1,017 test images."""
    return shared("cifar10-first1017", "test.npz").parents[1]


def test_trades_network_is_as_accurate_as_published_on_all_of_mnist(mnist: Path) -> None:
    found = judge("Zhang2019Theoretically", "mnist", ["standard"], data_dir=mnist, device="cpu")
    accuracy, row = found.value("standard_accuracy"), published_result("mnist", "Linf", "Zhang2019Theoretically")
    assert row is not None
    assert (accuracy.n, accuracy.value) == (10_000, row.standard_accuracy)
    assert (found.record.limit, found.record.entrant.published) == (None, "Zhang2019Theoretically")


def test_the_first_1017_images_of_cifar10_are_those_that_the_harness_knows(cifar10: Path) -> None:
    images = datasets.load("cifar10", "test", data_dir=cifar10, shape=(3, 32, 32), classes=10)
    assert (len(images), images.whole) == (1_017, 10_000)
    assert images.fingerprint == KNOWN_PARTS[0].content
    assert [images.classes[k] for k in images.labels[:6].tolist()] == [
        "cat",
        "ship",
        "ship",
        "airplane",
        "frog",
        "frog",
    ]
    assert first_examples(images, 1_000) is images


@pytest.mark.parametrize("name", CIFAR10_ENTRANTS)
def test_a_shipped_entrant_has_the_standard_accuracy_of_its_record(name: str, cifar10: Path) -> None:
    found = judge(name, "cifar10", ["standard"], data_dir=cifar10, device="cpu").record
    committed = ROOT / "leaderboards" / "results" / SUITES["cifar10"].name / "partial-1017" / f"{name}.json"
    assert (found.limit, found.suite.examples) == (1_017, 10_000)
    accuracy = found.measurements["standard"].values["standard_accuracy"]
    if not committed.exists():
        assert accuracy.value is not None
        assert accuracy.value > 0.5
        return
    record = read_record(committed)
    assert (found.suite, found.entrant.weights_sha256) == (record.suite, record.entrant.weights_sha256)
    assert accuracy == record.measurements["standard"].values["standard_accuracy"]


MNIST_ENTRANTS = sorted(path.stem for path in (SHIPPED / "mnist").glob("*.json"))


@pytest.mark.parametrize("name", MNIST_ENTRANTS)
def test_the_doctor_finds_nothing_in_an_entrant_of_mnist(name: str, mnist: Path) -> None:
    found = doctor(name, "mnist", data_dir=mnist, device="cpu")
    assert (found.faults, found.warnings) == ((), ()), str(found)


@pytest.mark.parametrize("name", [*CIFAR10_ENTRANTS, "python:zoo.pyautoattack:resnet18"])
def test_the_doctor_finds_nothing_in_an_entrant_of_cifar10(name: str, cifar10: Path) -> None:
    found = doctor(name, "cifar10", data_dir=cifar10, device="cpu")
    assert (found.faults, found.warnings) == ((), ()), str(found)


def test_the_doctor_sees_that_a_network_of_cifar10_expects_normalised_images_or_another_order(cifar10: Path) -> None:
    network = load("sat-compact", "cifar10")
    mean, std = (torch.tensor(NORMALISATIONS["cifar10"][part]).view(1, 3, 1, 1) for part in (0, 1))
    for change, expected in ((lambda x: x * std + mean, "normalisation"), (lambda x: x.transpose(2, 3), "image-order")):
        (found,) = doctor(lambda x, change=change: network(change(x)), "cifar10", data_dir=cifar10, device="cpu").faults
        assert found.check == expected
    assert "CIFAR-10's mean" in doctor(lambda x: network(x * std + mean), "cifar10", data_dir=cifar10).faults[0].seen
