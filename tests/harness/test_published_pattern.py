"""The published pattern on a real classifier: which attacks dig into low energy, and which ones raise it.

The ResNet-18 that pyautoattack carries and 64 real images. The margins below are about half of what was measured on a CPU
with these budgets. Natural images have a mean E(x) of -11.4 with a standard deviation of 3.44.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.attacks.individual import APGD, Square, TargetedAPGD, TargetedFAB
from harness.attacks.named import MAIN, prefix
from harness.attacks.pgd import PGD
from harness.classifier.precision import Precise
from harness.data import datasets
from harness.data.images import ImageSet
from harness.measures import Energies, Smoothness
from harness.measures.energies import accuracy_value
from harness.suites.suite import SUITES
from zoo.pyautoattack import resnet18

DATA = Path(os.environ.get("HARNESS_DATA_DIR", Path(__file__).resolve().parents[2] / "data"))

DEEPENS = {MAIN: PGD(steps=10), "kl-pgd": PGD("kl", steps=10), "apgd-ce": APGD("ce", 10)}
RAISES = {
    "apgd-t": TargetedAPGD(10),
    "apgd-dlr": APGD("dlr", 20),
    "fab-t": TargetedFAB(10),
    "square": Square(200),
}


@pytest.fixture(scope="module")
def images() -> ImageSet:
    if not (DATA / "cifar10-jpeg").is_dir():
        pytest.skip(
            f"expected JPEG copies of CIFAR-10's test images in {DATA}/cifar10-jpeg, got none;"
            " unpack them there, or set HARNESS_DATA_DIR"
        )
    return datasets.load("cifar10-jpeg", "test", data_dir=DATA, shape=(3, 32, 32), classes=10, download=False)


@pytest.fixture(scope="module")
def model() -> Precise:
    return Precise(resnet18().requires_grad_(False), "fp32").eval()


@pytest.mark.slow
def test_attacks_on_the_cross_entropy_dig_into_low_energy_and_the_others_raise_it(
    model: Precise, images: ImageSet
) -> None:
    """Measured mean E(x): PGD -25.0, KL-PGD -27.0, APGD-CE -23.7, APGD-T -7.1, APGD-DLR -8.2, FAB -8.0, Square -7.6."""
    measure = Energies(attacks={**DEEPENS, **RAISES})
    result = measure(model, images.examples(0, 64), SUITES["cifar10"].threat)
    assert result.notes == ()
    summary = measure.summarise(result.arrays, result.notes)
    found = {name: value.value for name, value in summary.values.items()}

    assert found["standard_accuracy"] == 0.875
    assert found["marginal_energy.mean"] == pytest.approx(-11.4, abs=0.1)
    for name in DEEPENS:
        over_sd = summary.distributions[f"{prefix(name)}delta_marginal_energy_over_sd"]
        assert over_sd.mean.value > 2, name
        assert over_sd.quantiles["0.05"] > 0.5, name
    for name in RAISES:
        over_sd = summary.distributions[f"{prefix(name)}delta_marginal_energy_over_sd"]
        assert over_sd.mean.value < -0.4, name
        assert over_sd.mean.high < 0, name
    # the energy of the true class rises under all that break the classifier: they leave 0 %, Square with few queries 14 %
    for name in (MAIN, "apgd-ce", *RAISES):
        assert found[accuracy_value(name)] <= (0.3 if name == "square" else 0.05), name
        assert found[f"{prefix(name)}delta_joint_energy.mean"] < -2, name
    for name in (MAIN, "apgd-ce"):  # E(x,y) rises above 0 while E(x) falls: measured 5.9 and 5.8
        assert found[f"{prefix(name)}joint_energy_adv.mean"] > 2


@pytest.mark.slow
def test_a_standard_classifier_is_rough(model: Precise, images: ImageSet) -> None:
    """Measured: Lipschitz of E / sd 96, linearity gap / sd 7.1, 1 - cos 0.50, range of E on PGD's way / sd 3.2."""
    measure = Smoothness(steps=5, directions=2, gradient_directions=2, attack=PGD(steps=5))
    result = measure(model, images.examples(0, 16), SUITES["cifar10"].threat)
    summary = measure.summarise(result.arrays, result.notes)
    found = {name: value.value for name, value in summary.values.items()}
    assert summary.flags == ()
    assert found["lipschitz_energy_normalised.mean"] > 50
    assert found["linearity_gap_normalised.mean"] > 3
    assert found["gradient_misalignment.mean"] > 0.3
    assert found["path_range_normalised.mean"] > 1.5
