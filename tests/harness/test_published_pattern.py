"""The published pattern on a real classifier: which attacks dig into low energy, and which ones raise it.

The ResNet-18 that pyautoattack carries and 64 real images. The margins below are about half of what was measured on a CPU
with these budgets: natural mean E(x) -11.4, its standard deviation 3.44.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness import datasets
from harness.attacks.individual import APGD, Square, TargetedAPGD, TargetedFAB
from harness.attacks.named import MAIN, prefix
from harness.attacks.pgd import PGD
from harness.measures import Energies, Smoothness
from harness.measures.energies import accuracy_value
from harness.measures.measure import Precise
from harness.suites import SUITES
from zoo.pyautoattack import resnet18

DATA = Path(os.environ.get("HARNESS_DATA_DIR", Path(__file__).resolve().parents[2] / "data"))

DEEPENS = {MAIN: PGD(steps=10), "kl-pgd": PGD("kl", steps=10), "apgd-ce": APGD("ce", 10)}
RAISES = {
    "apgd-t": TargetedAPGD(10),
    "apgd-dlr": APGD("dlr", 20),
    "fab-t": TargetedFAB(10),
    "square": Square(200),
}


@pytest.mark.slow
def test_attacks_on_the_cross_entropy_dig_into_low_energy_and_the_others_raise_it() -> None:
    if not (DATA / "cifar10-jpeg").is_dir():
        pytest.skip(
            f"expected JPEG copies of CIFAR-10's test images in {DATA}/cifar10-jpeg, got none;"
            " unpack them there, or set HARNESS_DATA_DIR"
        )
    images = datasets.load("cifar10-jpeg", "test", data_dir=DATA, shape=(3, 32, 32), classes=10, download=False)
    model = Precise(resnet18().requires_grad_(False), "fp32")
    measure = Energies(attacks={**DEEPENS, **RAISES})
    result = measure(model, images.examples(0, 64), SUITES["cifar10"].threat)
    assert result.notes == ()
    summary = measure.summarise(result.arrays, result.notes)
    found = {name: value.value for name, value in summary.values.items()}
    told = {name: round(value, 2) for name, value in found.items() if value is not None and ".sd" not in name}
    print(told)  # noqa: T201  shown by pytest -s, and where the test fails

    assert found["natural_accuracy"] == 0.875
    for name in DEEPENS:
        over_sd = summary.distributions[f"{prefix(name)}delta_marginal_energy_over_sd"]
        assert over_sd.mean.value > 2, name
        assert over_sd.quantiles["0.05"] > 0.5, name
    for name in RAISES:
        over_sd = summary.distributions[f"{prefix(name)}delta_marginal_energy_over_sd"]
        assert over_sd.mean.value < -0.4, name
        assert over_sd.mean.high < 0, name
    # the energy of the true class rises under every attack that breaks the classifier
    for name in (MAIN, "apgd-ce", *RAISES):
        assert found[accuracy_value(name)] <= 0.05, name
        assert found[f"{prefix(name)}delta_joint_energy.mean"] < -2, name
    # APGD-CE goes deeper than PGD, and both put E(x,y) above 0 and E(x) far below
    assert found["apgd-ce.marginal_energy_adv.mean"] < found["marginal_energy_adv.mean"] < -18
    assert found["joint_energy_adv.mean"] > 0


@pytest.mark.slow
def test_a_standard_classifier_is_measured_as_rough() -> None:
    if not (DATA / "cifar10-jpeg").is_dir():
        pytest.skip(
            f"expected JPEG copies of CIFAR-10's test images in {DATA}/cifar10-jpeg, got none; unpack them there"
        )
    images = datasets.load("cifar10-jpeg", "test", data_dir=DATA, shape=(3, 32, 32), classes=10, download=False)
    measure = Smoothness(steps=5, directions=2, gradient_directions=2, attack=PGD(steps=5))
    result = measure(
        Precise(resnet18().requires_grad_(False), "fp32"), images.examples(0, 16), SUITES["cifar10"].threat
    )
    summary = measure.summarise(result.arrays, result.notes)
    found = {name: value.value for name, value in summary.values.items()}
    print({name: value and round(value, 3) for name, value in found.items()})  # noqa: T201
    assert summary.flags == ()
