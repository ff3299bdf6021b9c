"""Starts, objectives and samplers against other implementations and closed forms."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import nn

from harness.data.datasets import digits
from harness.data.images import ImageSet
from harness.energy import joint_energy, marginal_energy
from harness.errors import BadInput
from harness.sampling.class_pca import fit_class_pca
from harness.sampling.descent import Descend, marks_of
from harness.sampling.fits import Fits
from harness.sampling.noise import STEP, normal, philox, uniform
from harness.sampling.objectives import (
    CrossEntropy,
    EnergyDifference,
    EnergyDistance,
    JointEnergy,
    Mahalanobis,
    MarginalEnergy,
    Reference,
    reference,
)
from harness.sampling.samplers import SGLD, Heun, NormalisedGradient
from harness.sampling.starts import (
    BlendStart,
    ClassMeanStart,
    GaussianStart,
    MixStart,
    NoisedRealStart,
    PCAStart,
    Start,
    UniformStart,
)
from harness.sampling.training_images import TrainingImages
from harness.suites.suite import SUITES
from zoo.own_entrants import own_entrants

TRAIN = TrainingImages(digits("train"))
STARTS: tuple[Start, ...] = (
    PCAStart(),
    PCAStart(tau=None, sigma=0.01),
    GaussianStart(),
    MixStart(),
    BlendStart(),
    UniformStart(),
    NoisedRealStart(),
    ClassMeanStart(),
)


def entrant(name: str = "trades") -> nn.Module:
    return next(one for one in own_entrants(SUITES["digits"].domain) if one.card.name == name).load()


class Quadratic(nn.Module):
    """f(x)[k] = -a/2 ||x - c_k||^2, so that E(x,k) = a/2 ||x - c_k||^2: gradients and paths are known exactly."""

    def __init__(self, a: float = 2.0, classes: int = 3, size: int = 4) -> None:
        super().__init__()
        self.a = a
        self.centres = torch.linspace(0.2, 0.8, classes, dtype=torch.float64).view(-1, 1).expand(-1, size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return -self.a / 2 * ((x.flatten(1).unsqueeze(1) - self.centres.to(x.dtype)) ** 2).sum(2)


def points(n: int = 5) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    x = torch.rand(n, 1, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return x, torch.arange(n) % 3, torch.arange(n)


# ---------------------------------------------------------------- random numbers


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_words_that_its_authors_publish(
    counter: tuple[int, ...], key: tuple[int, int], expected: tuple[int, ...]
) -> None:
    words = philox(tuple(torch.tensor([word]) for word in counter), key)  # type: ignore[arg-type]
    assert tuple(int(word) for word in words) == expected


def test_normal_and_uniform_numbers_have_their_distributions() -> None:
    from scipy import stats

    draws = torch.arange(200)
    assert stats.kstest(normal(3, draws, 0, 250).flatten().numpy(), "norm").pvalue > 0.01
    assert stats.kstest(uniform(3, draws, 0, 250).flatten().numpy(), "uniform").pvalue > 0.01
    assert np.abs(np.corrcoef(normal(3, draws, 0, 250).numpy()) - np.eye(200)).max() < 0.35


def test_a_draw_has_its_own_numbers_in_whatever_batch_and_others_for_another_seed_stream_or_step() -> None:
    whole = normal(7, torch.arange(10), 0, 9)
    assert torch.equal(whole[[8, 2]], normal(7, torch.tensor([8, 2]), 0, 9))
    assert torch.equal(whole[:, :5], normal(7, torch.arange(10), 0, 5))
    others = [
        normal(8, torch.arange(10), 0, 9),
        normal(7, torch.arange(10), 1, 9),
        normal(7, torch.arange(10), 0, 9, 1),
    ]
    assert all(not torch.isclose(whole, other).any() for other in others)


# ---------------------------------------------------------------- class-wise PCA


@pytest.mark.parametrize("variance", [0.5, 0.9, 0.95, 0.99])
@pytest.mark.parametrize("n", [40, 139])  # fewer images than the 64 pixels, and more
def test_class_pca_equals_that_of_scikit_learn(variance: float, n: int) -> None:
    images = TRAIN.of(3)[:n].flatten(1)
    ours = fit_class_pca(images, variance)
    theirs = PCA(n_components=variance, svd_solver="full").fit(images.double().numpy())
    assert len(ours.deviations) == theirs.n_components_
    assert np.allclose(ours.mean, theirs.mean_, atol=1e-12)
    assert np.allclose(ours.deviations**2, theirs.explained_variance_, rtol=1e-9)
    signs = np.sign((ours.components.numpy() * theirs.components_).sum(1, keepdims=True))
    assert np.allclose(ours.components.numpy(), signs * theirs.components_, atol=1e-7)


def test_the_components_kept_are_the_first_that_reach_the_share() -> None:
    # variances 4, 3, 2, 1 along the axes: 0.7 is reached by exactly two components, by the definition of reaching
    images = torch.cat([torch.diag(torch.tensor([2.0, 3**0.5, 2**0.5, 1.0])) * sign for sign in (1, -1)])
    assert [len(fit_class_pca(images, share).deviations) for share in (0.39, 0.69, 0.71, 0.89, 0.91, 1.0)] == [
        *(1, 2, 3, 3, 4, 4)
    ]


def test_constant_images_have_no_component_and_start_at_their_mean() -> None:
    pca = fit_class_pca(torch.full((5, 3), 0.25), 0.95)
    assert pca.components.shape == (0, 3)
    assert torch.equal(pca(torch.zeros(2, 0), 1.0), torch.full((2, 3), 0.25, dtype=torch.float64))


def test_tau_1_reproduces_the_class_covariance_within_sampling_error() -> None:
    images = TRAIN.of(0).flatten(1).double()
    n = 40_000
    drawn = GaussianStart()(TRAIN, torch.zeros(n, dtype=torch.int64), torch.arange(n), 5).flatten(1).double()
    expected, found = images.T.cov(), drawn.T.cov()
    # the standard error of a covariance of Gaussian numbers: sqrt((c_ij^2 + c_ii c_jj) / n)
    variances = expected.diagonal()
    error = ((expected**2 + variances[:, None] * variances[None, :]) / n).sqrt()
    deviations = ((found - expected).abs() / error.clamp_min(1e-12))[error > 1e-9]
    assert deviations.max() < 6
    assert (found - expected).norm() / expected.norm() < 0.02
    assert torch.allclose(drawn.mean(0), images.mean(0), atol=6 * float(variances.max() / n) ** 0.5)


def test_sigma_is_tau_over_the_root_of_n_less_1() -> None:
    y, draws = torch.full((4,), 3), torch.arange(4)
    n = len(TRAIN.of(3))
    by_tau = PCAStart(tau=0.01 * (n - 1) ** 0.5)(TRAIN, y, draws, 0)
    assert torch.allclose(by_tau, PCAStart(tau=None, sigma=0.01)(TRAIN, y, draws, 0), atol=1e-7)
    assert fit_class_pca(torch.rand(5_000, 2), 0.5).tau(0.005) == pytest.approx(0.354, abs=5e-4)


# ---------------------------------------------------------------- starts


@pytest.mark.parametrize("start", STARTS, ids=lambda start: f"{start.name}")
def test_a_start_depends_on_its_draw_and_class_and_not_on_its_batch(start: Start) -> None:
    draws = torch.arange(30)
    whole = start(TRAIN, draws % 10, draws, 1)
    assert whole.shape == (30, 1, 8, 8)
    assert whole.isfinite().all()
    chosen = torch.tensor([17, 4, 25])
    assert torch.equal(whole[chosen], start(TRAIN, chosen % 10, chosen, 1))
    if start.name != "class-mean":
        assert not torch.allclose(whole[0], whole[10])
        assert not torch.allclose(whole, start(TRAIN, draws % 10, draws, 2))


def test_starts_are_where_their_definitions_put_them() -> None:
    n = 2_000
    y, draws = torch.full((n,), 7), torch.arange(n)
    mean = TRAIN.of(7).double().mean(0).float()
    assert torch.allclose(ClassMeanStart()(TRAIN, y, draws, 0), mean.expand(n, -1, -1, -1), atol=1e-6)
    for start in (PCAStart(), GaussianStart(), MixStart(), BlendStart()):
        assert (start(TRAIN, y, draws, 0).mean(0) - mean).abs().max() < 0.05
    noised = NoisedRealStart(noise=0.01)(TRAIN, y[:50], draws[:50], 0).flatten(1)
    nearest = torch.cdist(noised, TRAIN.of(7).flatten(1)).min(1)
    assert nearest.values.mean() == pytest.approx(0.01 * 8, rel=0.05)  # the length of 64 numbers of sd 0.01
    assert len(nearest.indices.unique()) > 20
    half = BlendStart(weight=0.5)(TRAIN, y, draws, 0)
    assert torch.allclose(half, (GaussianStart()(TRAIN, y, draws, 0) + PCAStart()(TRAIN, y, draws, 0)) / 2, atol=1e-6)


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.5, 1.0])
def test_a_mix_picks_one_start_a_draw_and_a_blend_adds_both_so_that_their_variances_differ(weight: float) -> None:
    n = 20_000
    y, draws = torch.full((n,), 7), torch.arange(n)
    images = TRAIN.of(7).flatten(1).double()
    gaussian, pca = GaussianStart()(TRAIN, y, draws, 3), PCAStart()(TRAIN, y, draws, 3)
    mix, blend = MixStart(weight)(TRAIN, y, draws, 3), BlendStart(weight)(TRAIN, y, draws, 3)

    of_gaussian = (mix == gaussian).flatten(1).all(1)
    assert torch.equal(mix[~of_gaussian], pca[~of_gaussian]), "each draw is one of the two"
    error = (weight * (1 - weight) / n) ** 0.5
    assert abs(float(of_gaussian.float().mean()) - weight) <= 4 * error

    whole = float(images.var(0).sum())
    kept = float((fit_class_pca(images, 0.95).deviations ** 2).sum()) * 0.354**2
    for found, expected in (
        (mix, weight * whole + (1 - weight) * kept),
        (blend, weight**2 * whole + (1 - weight) ** 2 * kept),
    ):
        points = found.flatten(1).double()
        assert float(points.var(0).sum()) == pytest.approx(expected, rel=0.03)
        assert float((points.mean(0) - images.mean(0)).norm()) < 4 * (expected / n) ** 0.5


@pytest.mark.parametrize(
    "make",
    [
        lambda: PCAStart(tau=0.3, sigma=0.1),
        lambda: PCAStart(tau=None),
        lambda: PCAStart(tau=-1.0),
        lambda: NoisedRealStart(0.0),
        lambda: MixStart(2.0),
        lambda: BlendStart(-0.1),
        lambda: SGLD(0.0, 5),
        lambda: SGLD(0.1, 5, momentum=1.0),
        lambda: Heun(0.1, -1),
        lambda: NormalisedGradient(0.1, 1, noise=-1.0),
    ],
)
def test_settings_out_of_range_are_refused_in_one_line(make) -> None:
    with pytest.raises(BadInput, match=r"^expected [^\n]*, got [^\n]*$"):
        make()


def test_a_class_with_too_few_images_is_named() -> None:
    images = digits("train")
    without = images.labels != 3
    with pytest.raises(BadInput, match="got 0 of '3'"):
        TrainingImages(replace(images, images=images.images[without], labels=images.labels[without]))


def test_fits_are_made_once_and_read_from_disk_afterwards(tmp_path: Path) -> None:
    made = []

    def compute() -> dict[str, torch.Tensor]:
        made.append(1)
        return {"a": torch.tensor([1.5])}

    first = Fits(tmp_path)({"x": 1}, compute)
    again = Fits(tmp_path)({"x": 1}, compute)
    assert torch.equal(first["a"], again["a"])
    assert len(made) == 1
    Fits(tmp_path)({"x": 2}, compute)
    (damaged, _) = sorted(tmp_path.glob("*.safetensors"))
    damaged.write_bytes(b"half")
    for x in (1, 2):
        Fits(tmp_path)({"x": x}, compute)
    assert len(made) == 3


def test_a_class_is_fitted_once_for_a_data_set_and_kept_under_its_fingerprint(tmp_path: Path) -> None:
    kept = TrainingImages(TRAIN.images, Fits(tmp_path))
    first = kept.pca(1, 0.9)
    changed = replace(TRAIN.images, images=(TRAIN.images.images * 255).to(torch.uint8))
    assert len(TrainingImages(TRAIN.images, Fits(tmp_path)).pca(1, 0.9).deviations) == len(first.deviations)
    assert len(list(tmp_path.glob("*.safetensors"))) == 1
    TrainingImages(changed, Fits(tmp_path)).pca(1, 0.9)
    assert len(list(tmp_path.glob("*.safetensors"))) == 2


# ---------------------------------------------------------------- objectives


def test_the_objectives_are_their_formulas() -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(6, 10, generator=generator, dtype=torch.float64)
    y = torch.arange(6)
    own, whole = joint_energy(logits, y), marginal_energy(logits)
    assert torch.allclose(JointEnergy()(logits, y, None), -logits[torch.arange(6), y])
    assert torch.allclose(MarginalEnergy()(logits, y, None), -logits.exp().sum(1).log())
    assert torch.allclose(CrossEntropy()(logits, y, None), -logits.softmax(1)[torch.arange(6), y].log())
    assert torch.allclose(CrossEntropy()(logits, y, None), EnergyDifference()(logits, y, None)), "CE = E(x,y) - E(x)"
    assert torch.allclose(EnergyDifference(0.3)(logits, y, None), own - 0.3 * whole)
    assert torch.allclose(EnergyDifference(0.0)(logits, y, None), own)


def test_objectives_against_real_images_are_distances_to_them() -> None:
    model = entrant()
    real = reference(model, TRAIN, 50, torch.device("cpu"))
    x, y = TRAIN.of(4)[:50], torch.full((50,), 4)
    with torch.no_grad():
        logits = model(x)
    energy = -logits[:, 4]
    assert real.energies[4] == pytest.approx(float(energy.mean()), abs=1e-4)
    assert torch.allclose(EnergyDistance()(logits, y, real), (energy - energy.mean()) ** 2, atol=1e-4)
    with torch.no_grad():
        within = torch.cat(
            [model(TRAIN.of(k)[:50]).double() - model(TRAIN.of(k)[:50]).double().mean(0) for k in range(10)]
        )
    inverse = np.linalg.inv(within.T.numpy() @ within.numpy() / (500 - 10))
    difference = (logits - logits.mean(0)).double().numpy()
    expected = np.einsum("ni,ij,nj->n", difference, inverse, difference)
    assert np.allclose(Mahalanobis()(logits, y, real).numpy(), expected, rtol=1e-2)


# ---------------------------------------------------------------- samplers


def by_hand(
    x: torch.Tensor, y: torch.Tensor, draws: torch.Tensor, sampler: SGLD, model: Quadratic, seed: int
) -> np.ndarray:
    """SGLD in NumPy, float64, one sample and one step at a time, with the gradient a (x - c_y) of the quadratic."""
    ended = []
    for number in range(len(x)):
        position, velocity = x[number].flatten().numpy().copy(), np.zeros(4)
        for step in range(sampler.steps):
            gradient = model.a * (position - model.centres[y[number]].numpy())
            velocity = sampler.momentum * velocity - sampler.eta / 2 * gradient
            noise = normal(seed, draws[number : number + 1], STEP, 4, step)[0].numpy().astype(np.float64)
            position = np.clip(position + velocity + sampler.noise * noise, 0, 1)
        ended.append(position)
    return np.stack(ended)


@pytest.mark.parametrize(
    "sampler", [SGLD(0.3, 25, momentum=0.8, noise=0.05), SGLD(0.025, 40, momentum=0.8), SGLD(1.0, 5)]
)
def test_the_path_of_sgld_equals_a_loop_written_by_hand_in_float64(sampler: SGLD) -> None:
    model, (x, y, draws) = Quadratic(), points()
    found = Descend(JointEnergy(), sampler)(model, x, y, draws, 9)
    assert np.allclose(found.x.flatten(1).numpy(), by_hand(x, y, draws, sampler, model, 9), atol=1e-12)
    assert found.steps.tolist() == [sampler.steps] * 5
    assert found.finite.all()


def test_without_momentum_and_noise_it_is_plain_gradient_descent() -> None:
    model, (x, y, draws) = Quadratic(a=2.0), points()
    found = Descend(JointEnergy(), SGLD(0.2, 7, momentum=0.0, noise=0.0))(model, x, y, draws, 0)
    centres = model.centres[y].view_as(x)
    # each step multiplies the distance to the centre by 1 - a eta / 2
    assert torch.allclose(found.x, centres + (x - centres) * (1 - 2.0 * 0.1) ** 7, atol=1e-12)


def test_heun_lowers_the_energy_of_a_quadratic_by_its_known_factor() -> None:
    model, (x, y, draws) = Quadratic(a=2.0), points()
    found = Descend(JointEnergy(), Heun(0.2, 6, noise=0.0))(model, x, y, draws, 0)
    centres, h = model.centres[y].view_as(x), 2.0 * 0.1
    assert torch.allclose(found.x, centres + (x - centres) * (1 - h + h * h / 2) ** 6, atol=1e-12)
    assert (found.joint.diff(dim=1) < 0).all()
    assert torch.allclose(found.joint[:, 0], ((x - centres) ** 2).flatten(1).sum(1))


def test_a_normalised_step_has_the_length_eta_whatever_the_scale_of_the_logits() -> None:
    x, y, draws = points()
    ends = [
        Descend(JointEnergy(), NormalisedGradient(0.05, 1, noise=0.0))(Quadratic(a), x, y, draws, 0).x
        for a in (0.01, 50.0)
    ]
    assert torch.allclose(ends[0], ends[1])
    assert torch.allclose((ends[0] - x).flatten(1).norm(dim=1), torch.full((5,), 0.05, dtype=torch.float64))
    resting = Quadratic().centres[y].view_as(x)
    assert torch.equal(
        Descend(JointEnergy(), NormalisedGradient(0.05, 3, noise=0.0))(Quadratic(), resting, y, draws, 0).x, resting
    )


@pytest.mark.parametrize(
    "sampler", [SGLD(0.5, 12, momentum=0.5, noise=0.01), Heun(0.5, 12, noise=0.01), NormalisedGradient(0.05, 12)]
)
def test_draws_do_not_depend_on_their_batch(sampler: SGLD | Heun | NormalisedGradient) -> None:
    model, descend = entrant(), Descend(JointEnergy(), sampler)
    draws = torch.arange(24)
    x, y = PCAStart()(TRAIN, draws % 10, draws, 0), draws % 10
    whole = descend(model, x, y, draws, 0)
    parts = [descend(model, x[part], y[part], draws[part], 0) for part in (slice(0, 5), slice(5, 24))]
    assert torch.allclose(whole.x, torch.cat([part.x for part in parts]), atol=1e-4)
    assert torch.allclose(whole.joint, torch.cat([part.joint for part in parts]), atol=1e-2)


def test_a_sample_rests_once_its_energy_has_come_down_to_its_class() -> None:
    model, (x, y, draws) = Quadratic(), points(30)
    real = Reference(torch.full((3,), 0.25), torch.zeros(3, 3), torch.eye(3))
    found = Descend(JointEnergy(), SGLD(0.1, 200, noise=0.0), tolerance=0.01)(model, x, y, draws, 0, real)
    whole = Descend(JointEnergy(), SGLD(0.1, 200, noise=0.0))(model, x, y, draws, 0)
    at_once = whole.joint[:, 0] <= 0.26
    assert at_once.any()
    assert not at_once.all()
    assert torch.equal(found.x[at_once], x[at_once])
    assert (found.steps[at_once] == 0).all()
    assert (found.steps[~at_once] > 0).all()
    # E falls by (1 - a eta / 2)^2 a step: the first one at or below 0.26 is where each rests
    expected = torch.ceil((0.26 / whole.joint[:, 0]).log() / (2 * torch.tensor(0.9).log())).clamp_min(0).long()
    assert torch.equal(found.steps, expected)
    assert (found.joint[:, -1] <= 0.26).all()


class Poisoned(nn.Module):
    """A linear model whose logits are not a number once the first pixel is above a half."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        flat = x.flatten(1)
        return torch.where(flat[:, :1] > 0.5, flat.new_tensor(torch.nan), flat[:, :3])


def test_a_sample_without_a_gradient_stays_where_it_was_and_is_marked() -> None:
    x, y, draws = points(8)
    x[:4, 0, 0, 0], x[4:, 0, 0, 0] = 0.9, 0.1
    y = torch.full((8,), 1)
    found = Descend(JointEnergy(), SGLD(0.1, 3, noise=0.0))(Poisoned(), x, y, draws, 0)
    assert found.finite.tolist() == [False] * 4 + [True] * 4
    assert torch.equal(found.x[:4], x[:4])
    assert found.steps.tolist() == [0] * 4 + [3] * 4
    assert found.x.isfinite().all()


def test_energies_are_noted_at_the_start_the_end_and_between() -> None:
    assert marks_of(100) == (0, 20, 40, 60, 80, 100)
    assert marks_of(0) == (0,)
    model, (x, y, draws) = Quadratic(), points()
    found = Descend(JointEnergy(), SGLD(0.1, 0))(model, x, y, draws, 0)
    assert torch.equal(found.x, x)
    assert torch.allclose(found.joint[:, 0], joint_energy(model(x), y))
    assert torch.allclose(found.marginal[:, 0], marginal_energy(model(x)))


def test_image_sets_of_bytes_and_of_floats_give_the_same_starts() -> None:
    whole = (digits("train").images * 255).round().to(torch.uint8)
    labels = digits("train").labels
    names = tuple("0123456789")
    as_bytes = TrainingImages(ImageSet("a", "train", whole, labels, names, "test"))
    as_floats = TrainingImages(ImageSet("a", "train", whole.float() / 255, labels, names, "test"))
    y, draws = torch.arange(10), torch.arange(10)
    assert torch.equal(PCAStart()(as_bytes, y, draws, 0), PCAStart()(as_floats, y, draws, 0))
