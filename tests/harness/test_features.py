"""Features, and scores by them, against torch-fidelity's own calculate_metrics on the same uint8 images."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from harness.data.datasets import digits
from harness.errors import BadInput
from harness.features.digits import DIGITS_WEIGHTS, DigitsFeatures, Recipe, accuracy, as_bytes, train
from harness.features.extractor import (
    INCEPTION,
    INCEPTION_FILE,
    Extractor,
    digits_extractor,
    extractor_for,
    inception,
    register,
)
from harness.features.scores import NAMES, Features, Scores, frechet_distance, nearest
from zoo.entrant import sha256_of_file

CPU = torch.device("cpu")
TRAIN = as_bytes(digits("train").images)
TEST = as_bytes(digits("test").images)


class Pictures(Dataset):
    """Bare uint8 tensors, as torch-fidelity takes its inputs."""

    def __init__(self, images: torch.Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.images[index]


def by_torch_fidelity(images: torch.Tensor, real: torch.Tensor, extractor: str, **options: object) -> dict[str, float]:
    from torch_fidelity import calculate_metrics

    return calculate_metrics(
        input1=Pictures(images),
        input2=Pictures(real),
        cuda=False,
        isc=True,
        fid=True,
        kid=True,
        prc=True,
        feature_extractor=extractor,
        cache=False,
        save_cpu_ram=True,
        verbose=False,
        **options,
    )


def equal(ours: dict[str, float | None], theirs: dict[str, float]) -> None:
    names = {
        "fid": "frechet_inception_distance",
        "kid": "kernel_inception_distance_mean",
        "kid.sd": "kernel_inception_distance_std",
        "inception_score": "inception_score_mean",
        "inception_score.sd": "inception_score_std",
        "precision": "precision",
        "recall": "recall",
    }
    for name, value in ours.items():
        assert value == pytest.approx(theirs[names[name]], rel=1e-6, abs=1e-9), name


def features(extractor: Extractor, images: torch.Tensor) -> Features:
    return Features(*extractor(images, CPU))


# ---------------------------------------------------------------- the digits extractor


def test_the_shipped_digits_extractor_is_what_its_card_says() -> None:
    card = json.loads(DIGITS_WEIGHTS.with_suffix(".json").read_text())
    assert card["sha256"] == sha256_of_file(DIGITS_WEIGHTS) == digits_extractor().sha256
    assert card["fingerprint"] == digits("train").fingerprint
    import safetensors.torch

    network = DigitsFeatures()
    network.load_state_dict(safetensors.torch.load_file(DIGITS_WEIGHTS), strict=True)
    assert round(accuracy(network.eval(), digits("test")), 4) == card["test_accuracy"] >= 0.97


def test_scores_on_digits_equal_those_of_calculate_metrics() -> None:
    extractor = digits_extractor()
    register()
    scores = Scores(kid_subset_size=200)(features(extractor, TEST), features(extractor, TRAIN), extractor.label)
    assert list(scores) == list(NAMES)
    assert all(
        value.method == f"digits-features {extractor.sha256[:8]}" and value.n == 400 for value in scores.values()
    )
    theirs = by_torch_fidelity(
        TEST, TRAIN, "digits-features", feature_extractor_weights_path=str(extractor.weights), kid_subset_size=200
    )
    equal({name: value.value for name, value in scores.items()}, theirs)


def test_real_digits_are_nearer_to_real_digits_than_noise_is() -> None:
    extractor = digits_extractor()
    noise = torch.randint(0, 256, (400, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    real = features(extractor, TRAIN)
    held_out, random = (Scores(kid_subset_size=200)(features(extractor, images), real, "") for images in (TEST, noise))
    assert held_out["fid"].value < random["fid"].value / 10
    assert held_out["kid"].value < random["kid"].value / 10
    assert held_out["precision"].value > 0.8 > random["precision"].value


# ---------------------------------------------------------------- Inception


@pytest.fixture(scope="module")
def random_inception(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Inception's architecture with random weights, in a file as torch-fidelity keeps them."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torch_fidelity.feature_extractor_inceptionv3.torch.load", lambda *_, **__: {})
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        torch.manual_seed(0)
        network = FeatureExtractorInceptionV3(INCEPTION, ["2048"], feature_extractor_weights_path="none")
    path = tmp_path_factory.mktemp("inception") / INCEPTION_FILE
    torch.save(network.state_dict(), path)
    return path


@pytest.mark.slow
def test_scores_by_inception_equal_those_of_calculate_metrics(random_inception: Path) -> None:
    found = inception(random_inception)
    assert found is not None
    assert (found.name, found.features, found.logits) == (INCEPTION, "2048", "logits_unbiased")
    generator = torch.Generator().manual_seed(0)
    images, real = (torch.randint(0, 256, (n, 3, 32, 32), dtype=torch.uint8, generator=generator) for n in (12, 14))
    # the first layer in place of the last: FID by 2048 features takes minutes on a CPU, and the calls are the same
    early = Extractor(found.name, found.weights, found.sha256, "64", "logits_unbiased")
    ours, theirs = features(early, images), features(early, real)
    scores = Scores(isc_splits=3, kid_subsets=5, kid_subset_size=8)
    values = {name: value.value for name, value in scores(ours, theirs, "").items() if name != "fid"}
    layers = {f"feature_layer_{metric}": "64" for metric in ("fid", "kid", "prc")}
    expected = by_torch_fidelity(
        images,
        real,
        INCEPTION,
        feature_extractor_weights_path=str(random_inception),
        isc_splits=3,
        kid_subsets=5,
        kid_subset_size=8,
        **layers,
    )
    equal({**values, "fid": frechet_distance(ours.features, theirs.features)}, expected)
    refused = scores(ours, theirs, "")["fid"]
    assert refused.value is None
    assert refused.reason == "FID needs more images than the 64 features, got 12"


def test_weights_come_from_the_option_or_the_usual_cache(
    random_inception: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert inception(None) is None
    assert extractor_for("cifar10", (3, 32, 32), None) == (
        None,
        "no feature extractor: Inception's weights are not here (--inception-weights)",
    )
    assert extractor_for("mnist", (1, 28, 28), None) == (None, "no feature extractor for images of 1x28x28")
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    (tmp_path / "hub" / "checkpoints" / INCEPTION_FILE).write_bytes(random_inception.read_bytes())
    cached = inception(None)
    named = inception(random_inception)
    assert cached is not None
    assert named is not None
    assert cached.sha256 == named.sha256 == sha256_of_file(random_inception)


class Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('code of the file was run')",)


@pytest.mark.parametrize("kind", ["absent", "text", "code", "other"])
def test_files_that_are_not_inceptions_weights_are_refused_in_one_line(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    if kind == "text":
        path.write_text("<html>quota exceeded</html>")
    elif kind == "code":
        path.write_bytes(pickle.dumps(Harmful()))
    elif kind == "other":
        torch.save({"a": torch.zeros(1)}, path)
    with pytest.raises(BadInput, match=r"^expected Inception's weights in [^\n]*, got [^\n]*; fetch [^\n]*$"):
        inception(path)


# ---------------------------------------------------------------- too few images, and nearest neighbours


def test_too_few_images_give_a_reason_and_no_number() -> None:
    generator = torch.Generator().manual_seed(0)
    many, few, alone = (
        Features(torch.randn(n, 16, generator=generator), torch.randn(n, 5, generator=generator)) for n in (60, 9, 3)
    )
    settings = Scores(kid_subset_size=50)
    found = settings(few, many, "")
    assert {name: value.reason for name, value in found.items() if value.value is None} == {
        "fid": "FID needs more images than the 16 features, got 9",
        "kid": "KID needs at least its subsets' 50 images, got 9",
        "kid.sd": "KID needs at least its subsets' 50 images, got 9",
        "inception_score": "the Inception Score needs at least its 10 splits' images, got 9",
        "inception_score.sd": "the Inception Score needs at least its 10 splits' images, got 9",
    }
    assert settings(alone, many, "")["precision"].reason.endswith("than 3 neighbours, got 3")
    assert all(value.value is not None for value in settings(many, many, "").values())
    none = settings(many.first(0), many, "")
    assert all(value.value is None and value.reason == "no images" for value in none.values())


def test_features_that_are_not_finite_give_no_score() -> None:
    broken = Features(torch.randn(60, 4), torch.randn(60, 5))
    broken.features[7, 1] = torch.nan
    found = Scores(kid_subset_size=50)(broken, Features(torch.randn(60, 4), torch.randn(60, 5)), "")
    assert {value.reason for value in found.values()} == {"1 of 60 images have features that are not finite"}


def test_the_nearest_training_image_is_found_and_a_copy_is_at_distance_0() -> None:
    images = torch.cat([TEST[:50], TRAIN[100:110]]).flatten(1)
    index, distance = nearest(images, TRAIN.flatten(1), chunk=17)
    every = np.linalg.norm(images.numpy()[:, None] / 255.0 - TRAIN.flatten(1).numpy()[None] / 255.0, axis=2)
    assert np.allclose(distance.numpy(), every.min(1), atol=1e-6)
    assert np.allclose(every[np.arange(60), index.numpy()], every.min(1), atol=1e-6)
    assert (distance[50:] == 0).all()


@pytest.mark.slow
def test_the_recipe_of_the_digits_extractor_trains_one_as_good_as_its_card_says() -> None:
    card = json.loads(DIGITS_WEIGHTS.with_suffix(".json").read_text())
    threads = torch.get_num_threads()
    try:
        network = train(digits("train"), Recipe(**card["recipe"]))
    finally:
        torch.set_num_threads(threads)
    assert accuracy(network, digits("test")) == pytest.approx(card["test_accuracy"], abs=0.015)
