"""The parts of the trainer, each against what it must be: perturbed weights, folding, removal, batches, schedules, probes."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from harness.attacks.pgd import PGD
from harness.classifier.folding import folded
from harness.data.datasets import digits
from harness.data.images import ImageSet
from harness.data.npz import npz_file
from harness.errors import BadInput
from harness.suites.suite import SUITES
from harness.threat import ThreatModel
from harness.training.batches import Batches, held_out
from harness.training.dynamics import phases_of, probe, probed, robust_overfitting, write_dynamics
from harness.training.optimisation import schedule, sgd
from harness.training.perturbation import weights_perturbed
from harness.training.recipes import Drop, Recipe, built_in, find_recipe
from harness.training.removal import Removed, counted, kept
from harness.training.starts import attack_start
from harness.training.step import Step
from harness.training.trainer import Interrupted, Run, train
from zoo.architectures import ARCHITECTURES, build

SUITE, CIFAR = SUITES["digits"], SUITES["cifar10"]
CPU = torch.device("cpu")


def recipe(name: str, **changes: object) -> Recipe:
    return find_recipe(name, SUITE).changed(changes, "in this test")


def numbered(n: int, name: str = "made", first: int = 0) -> ImageSet:
    """Images that hold their own number."""
    images = torch.arange(first, first + n, dtype=torch.uint8).view(n, 1, 1, 1).expand(n, 1, 8, 8).contiguous()
    return ImageSet(name, "train", images, torch.zeros(n, dtype=torch.int64), tuple("0123456789"), name)


# ---------------------------------------------------------------- adversarial weight perturbation


def test_perturbed_weights_are_a_step_up_the_loss_of_relative_length_gamma_and_come_back() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(108, 5)).train()
    x, y = torch.rand(16, 1, 8, 8), torch.randint(0, 5, (16,))

    def loss() -> torch.Tensor:
        return nn.functional.cross_entropy(model(x), y)

    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    weights = {name: p for name, p in model.named_parameters() if p.dim() > 1}
    gradients = dict(zip(weights, torch.autograd.grad(loss(), list(weights.values())), strict=True))
    model.load_state_dict(before)
    low = loss().item()
    model.load_state_dict(before)
    with weights_perturbed(model, loss, 0.01):
        for name, p in model.named_parameters():
            moved = p.detach() - before[name]
            if name in weights:
                g = gradients[name]
                torch.testing.assert_close(moved, 0.01 * before[name].norm() * g / g.norm(), rtol=1e-3, atol=1e-6)
            else:
                assert not moved.any()
            assert p.grad is None
        for name, buffer in model.named_buffers():
            assert torch.equal(buffer, before[name])  # the first pass leaves no trace in BatchNorm's statistics
        assert loss().item() > low
    for name, p in model.named_parameters():
        assert torch.equal(p, before[name])


def test_the_gradient_of_a_step_is_taken_at_the_perturbed_weights() -> None:
    batch = digits("train").examples(0, 32)

    def gradient(**changes: object) -> torch.Tensor:
        torch.manual_seed(0)
        model = build("digits-cnn", 10, (1, 8, 8)).train()
        Step(model, SUITE.threat, recipe("sat", **changes), CPU)(batch.x, batch.y, torch.Generator().manual_seed(0))
        return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    plain = gradient()
    assert not torch.equal(gradient(awp=0.05), plain)
    torch.testing.assert_close(gradient(awp=1e-7), plain, rtol=1e-3, atol=1e-5)


# ---------------------------------------------------------------- an eps that grows


def test_an_attack_without_reach_is_none_and_half_the_reach_is_half_the_eps() -> None:
    batch = digits("train").examples(0, 32)

    def gradient(name: str, threat: ThreatModel, reach: float) -> torch.Tensor:
        torch.manual_seed(0)
        model = build("digits-cnn", 10, (1, 8, 8)).train()
        step = Step(model, threat, recipe(name), CPU)
        step(batch.x, batch.y, torch.Generator().manual_seed(0), reach=reach)
        return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    whole, half = SUITE.threat, ThreatModel("Linf", SUITE.threat.eps / 2)
    torch.testing.assert_close(gradient("sat", whole, 0.0), gradient("standard", whole, 1.0))
    assert torch.equal(gradient("sat", whole, 0.5), gradient("sat", half, 1.0))
    assert not torch.equal(gradient("sat", whole, 0.5), gradient("sat", whole, 1.0))


def test_eps_grows_evenly_over_its_share_of_the_epochs_and_stays() -> None:
    run = Run(SUITE, recipe("sat", epochs=4, eps_warm_up=0.5, validation=0.0, batch_size=100), numbered(200), CPU)
    assert run.batches.steps == 2
    reached = []
    for run.epoch in (1, 2, 3, 4):
        for run.step in (0, 1):
            reached.append(run.reach)
    assert reached == [0.0, 0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0]
    run.recipe = recipe("sat", epochs=4)
    assert run.reach == 1.0


# ---------------------------------------------------------------- folding


@pytest.mark.parametrize(
    "architecture", [name for name in ARCHITECTURES if not name.startswith("wrn-") or name == "wrn-16-4"]
)
def test_folded_networks_are_the_same_function_and_follow_their_weights(architecture: str) -> None:
    torch.manual_seed(0)
    model = build(architecture, 10, (3, 32, 32)).train()
    x = torch.rand(4, 3, 32, 32)
    with torch.no_grad():
        model(x)  # statistics other than 0 and 1
    made = folded(model)
    if architecture in ("digits-cnn", "mnist-cnn", "small-cnn"):
        assert made is None  # they have no BatchNorm
        return
    assert made is not None
    assert len(made) >= 6
    for change in (1.0, 1.3):
        with torch.no_grad():
            for p in model.parameters():
                p.mul_(change)
        made.refresh()
        with torch.no_grad():
            torch.testing.assert_close(made.eval()(x), model.eval()(x), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_a_convolution_with_or_without_bias_is_folded_into_norms_with_or_without_weights(
    bias: bool, affine: bool
) -> None:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(4, affine=affine)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, bias=bias), norm, nn.ReLU(), nn.Flatten())  # a module after the pair
    x = torch.rand(2, 3, 5, 5)
    with torch.no_grad():
        network.train()(x)
    made = folded(network.eval())
    assert made is not None
    made.refresh()
    with torch.no_grad():
        torch.testing.assert_close(made.eval()(x), network(x), rtol=1e-5, atol=1e-6)


def test_a_forward_that_depends_on_values_is_not_folded() -> None:
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution, self.norm = nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.norm(self.convolution(x)) if x.sum() > 0 else x

    assert folded(Branching()) is None


def test_a_convolution_that_feeds_others_too_stays_as_it_is() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution, self.norm = nn.Conv2d(1, 2, 3, bias=True), nn.BatchNorm2d(2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.convolution(x)
            return x + self.norm(x)

    assert folded(Shared()) is None


# ---------------------------------------------------------------- sample removal


def test_removal_takes_the_samples_that_it_names() -> None:
    energies = torch.tensor([5.0, 1.0, 4.0, 2.0, 3.0, 6.0])
    right = torch.tensor([True, True, False, True, True, False])
    logits = torch.stack([-energies, -energies - 50], 1)
    y = torch.where(right, 0, 1)
    generator = torch.Generator().manual_seed(0)
    assert kept(logits, y, "high-energy", 0.34, generator).tolist() == [1, 2, 3, 5]  # 0 and 4 are right and highest
    assert kept(logits, y, "misclassified", 0.5, generator).tolist() == [0, 1, 3, 4]  # there are only two
    assert len(kept(logits, y, "random", 0.5, generator)) == 3
    assert len(kept(logits, y, "random", 0.99, generator)) == 2
    assert kept(logits, y, "none", 0.0, generator).tolist() == list(range(6))
    drawn = {tuple(kept(logits, y, "random", 0.5, generator).tolist()) for _ in range(50)}
    assert len(drawn) > 5


@pytest.mark.parametrize("count", [1, 7, 20])
def test_low_energy_removes_what_a_loop_over_samples_would_remove(count: int) -> None:
    generator = torch.Generator().manual_seed(3)
    logits, y = 20 * torch.randn(32, 5, generator=generator), torch.randint(0, 5, (32,), generator=generator)
    energy = [-math.log(sum(math.exp(v) for v in row)) for row in logits.double().tolist()]
    right = [i for i, row in enumerate(logits.tolist()) if row.index(max(row)) == y[i]]
    named = sorted(right, key=lambda i: energy[i])[:count]
    stay = kept(logits, y, "low-energy", 0.0, generator, count)
    gone = sorted(set(range(32)) - set(stay.tolist()))
    assert len(gone) == count
    assert set(named) <= set(gone), "those that the arm names go first"
    assert counted(logits, y, "low-energy", stay) == Removed(len(named), count - len(named), 32)
    assert 1 < len(right) < 20  # so that the largest count has to fill up
    share = kept(logits, y, "low-energy", 1 / 32, generator)
    assert sorted(set(range(32)) - set(share.tolist())) == named[:1]


@pytest.mark.parametrize("how", ["high-energy", "low-energy", "misclassified", "random"])
def test_training_without_removed_samples_has_other_weights(how: str) -> None:
    images = digits("train").first(128)

    def weights(**changes: object) -> torch.Tensor:
        short = recipe("trades", epochs=2, **changes)
        model = train(SUITE, short, images, CPU, lambda epoch: None).model
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    assert not torch.equal(weights(drop=how, drop_fraction=0.3), weights())


def test_a_count_removes_as_many_in_every_arm_and_fills_up_with_random_others() -> None:
    energies = torch.tensor([5.0, 1.0, 4.0, 2.0, 3.0, 6.0])
    right = torch.tensor([True, True, False, True, True, False])
    logits, y = torch.stack([-energies, -energies - 50], 1), torch.where(right, 0, 1)
    generator = torch.Generator().manual_seed(0)
    arms: list[tuple[Drop, int, Removed]] = [
        ("high-energy", 2, Removed(2, 0, 6)),
        ("misclassified", 2, Removed(2, 0, 6)),
        ("misclassified", 4, Removed(2, 2, 6)),
        ("random", 4, Removed(4, 0, 6)),
        ("high-energy", 9, Removed(4, 0, 6)),
        ("low-energy", 2, Removed(2, 0, 6)),
    ]
    for how, count, expected in arms:
        stay = kept(logits, y, how, 0.0, generator, count)
        assert counted(logits, y, how, stay) == expected
    assert kept(logits, y, "high-energy", 0.0, generator, 2).tolist() == [1, 2, 3, 5]
    filled = {tuple(kept(logits, y, "misclassified", 0.0, generator, 3).tolist()) for _ in range(60)}
    assert len(filled) == 4, "each of the four right ones fills up in turn"
    assert not any(2 in stay or 5 in stay for stay in filled)
    lower = logits + 100  # energies below -90: what fills up stays behind all that are named
    assert kept(lower, y, "high-energy", 0.0, generator, 4).tolist() == [2, 5]


def test_rows_and_card_say_how_many_were_removed_and_arms_remove_as_many(harness_here, tmp_path: Path) -> None:
    totals = {}
    for how in ("high-energy", "misclassified", "random"):
        job = ("train", "--suite", "digits", "--recipe", "standard", "--epochs", "3", "--limit", "300", "--name", how)
        result = harness_here(*job, "--drop", how, "--drop-count", "10", "--out", str(tmp_path))
        assert result.returncode == 0, result.stderr
        rows = [json.loads(line) for line in (tmp_path / "digits" / f"{how}.dynamics.jsonl").read_text().splitlines()]
        counts = [row["removed"] for row in rows]
        assert all(row["named"] + row["filled"] == 20 and row["of"] == 256 for row in counts)
        told = json.loads((tmp_path / "digits" / f"{how}.json").read_text())["training"]["removed"]
        assert told == {key: sum(row[key] for row in counts) for key in ("named", "filled", "of")}
        totals[how] = told["named"] + told["filled"]
    assert set(totals.values()) == {60}
    assert (
        "removed" not in train(SUITE, recipe("sat", epochs=1), digits("train").first(100), CPU, lambda e: None).rows[0]
    )


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"drop": "random", "drop_fraction": 0.1, "drop_count": 3}, "drop_fraction or drop_count, got 0.1 and 3"),
        ({"drop_count": 3}, "drop and drop_count, got 'none'"),
        ({"drop": "random", "drop_count": 127}, "leave two samples of a batch of 128, got 127"),
    ],
)
def test_a_count_that_does_not_fit_is_refused(changes: dict[str, object], part: str) -> None:
    with pytest.raises(BadInput, match=part):
        recipe("sat", **changes)


# ---------------------------------------------------------------- data


def test_held_out_images_are_no_training_images_and_do_not_depend_on_the_seed() -> None:
    images = numbered(200)
    kept_, out = held_out(images, 0.1)
    assert out is not None
    mine, theirs = (set(part.images[:, 0, 0, 0].tolist()) for part in (kept_, out))
    assert (len(mine), len(theirs)) == (180, 20)
    assert not mine & theirs
    assert held_out(images, 0.0) == (images, None)
    first, second = (Run(SUITE, recipe("sat", seed=seed), digits("train"), CPU) for seed in (1, 2))
    assert first.probes[1] is not None
    assert second.probes[1] is not None
    assert torch.equal(first.probes[1].x, second.probes[1].x)


def test_an_epoch_sees_each_real_image_once_and_synthetic_ones_at_their_fraction() -> None:
    images, synthetic = numbered(100), numbered(30, "synthetic", first=200)
    made = {}
    for fraction in (0.0, 0.3, 1.0):
        batches = Batches(
            images, synthetic if fraction else None, recipe("sat", batch_size=20, synthetic_fraction=fraction),
            flip=False, device=CPU, generator=torch.Generator().manual_seed(0),
        )  # fmt: skip
        batches.shuffle()
        assert batches.steps == 5
        made[fraction] = torch.stack([(255 * batches(step)[0][:, 0, 0, 0]).round() for step in range(5)])
    assert sorted(made[0.0].flatten().tolist()) == list(range(100))
    assert (made[0.3] >= 200).sum(1).tolist() == [6] * 5
    real = made[0.3][made[0.3] < 200].tolist()
    assert len(real) == len(set(real)) == 70
    assert (made[1.0] >= 200).all()


def synthetic_file(path: Path, **changes: object) -> Path:
    arrays = {
        "image": np.random.default_rng(0).integers(0, 256, (50, 8, 8, 1), dtype=np.uint8),
        "label": np.arange(50) % 10,
    }
    np.savez(path, **{key: value for key, value in (arrays | changes).items() if value is not None})  # type: ignore[arg-type]
    return path


def test_synthetic_images_are_trained_on_and_named_in_the_card(harness_here, tmp_path: Path) -> None:
    path = synthetic_file(tmp_path / "extra.npz")
    job = (
        "train",
        "--suite",
        "digits",
        "--recipe",
        "standard",
        "--epochs",
        "1",
        "--name",
        "mine",
        "--out",
        str(tmp_path),
    )
    result = harness_here(*job, "--synthetic", str(path), "--synthetic-fraction", "0.25")
    assert result.returncode == 0, result.stderr
    card = json.loads((tmp_path / "digits" / "mine.json").read_text())
    assert card["additional_data"] is True
    assert card["training"]["recipe"]["synthetic_fraction"] == 0.25
    assert card["training"]["synthetic"] == {
        "file": "extra.npz",
        "fingerprint": npz_file(path, (1, 8, 8), 10).fingerprint,
        "images": 50,
    }


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"image": None}, "the arrays image and label"),
        ({"image": np.zeros((50, 1, 8, 8), np.uint8)}, "images of 1x8x8"),
        ({"image": np.zeros((50, 32, 32, 3), np.uint8)}, "got 3x32x32"),
        ({"image": np.zeros((50, 8, 8), np.uint8)}, "image (N, H, W, C)"),
        ({"label": np.arange(50)}, "labels from 0 to 9"),
        ({"label": np.zeros(49, np.int64)}, "as many labels as images"),
    ],
)
def test_a_synthetic_file_of_another_form_is_one_line(
    harness_here, tmp_path: Path, changes: dict[str, object], part: str
) -> None:
    path = synthetic_file(tmp_path / "extra.npz", **changes)
    job = ("train", "--suite", "digits", "--recipe", "sat", "--name", "mine")
    result = harness_here(*job, "--synthetic", str(path))
    assert result.returncode == 2, result.stderr
    (line,) = result.stderr.splitlines()
    assert part in line


# ---------------------------------------------------------------- schedules, averages, selection


def test_schedules_are_what_they_are_called() -> None:
    def rates(name: str) -> list[float]:
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
        chosen = schedule(optimizer, recipe("sat", lr=0.1, schedule=name), 100)
        found = []
        for _ in range(100):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            chosen.step()
        return found

    piecewise, cycle = rates("piecewise"), rates("one-cycle")
    assert piecewise == pytest.approx([0.1] * 50 + [0.01] * 25 + [0.001] * 25)
    assert max(cycle) == pytest.approx(0.1)
    assert cycle.index(max(cycle)) == 24
    assert cycle[-1] < 1e-5


def test_averaged_weights_are_the_average_written_out() -> None:
    run = Run(SUITE, recipe("sat", ema=0.5, epochs=1), digits("train").first(400), CPU)
    run.batches.shuffle()
    expected = None
    for count in range(4):
        run.model.train()
        run.take_step()
        now = torch.cat([p.detach().flatten() for p in run.model.parameters()])
        decay = min(0.5, (1 + count) / (10 + count))
        expected = now if expected is None else decay * expected + (1 - decay) * now
        run.step = 0
    found = torch.cat([p.detach().flatten() for p in run.entrant.parameters()])
    torch.testing.assert_close(found, expected)


def test_the_best_epoch_on_held_out_images_is_kept_and_so_is_the_last(harness_here, tmp_path: Path) -> None:
    job = ("train", "--suite", "digits", "--recipe", "standard", "--name", "mine", "--out", str(tmp_path))
    settings = ("--epochs", "8", "--set", "select=best", "--set", "validation=0.2")
    result = harness_here(*job, *settings)
    assert result.returncode == 0, result.stderr
    place = tmp_path / "digits"
    rows = [json.loads(line) for line in (place / "mine.dynamics.jsonl").read_text().splitlines()]
    accuracies = [row["validation"]["pgd_accuracy"] for row in rows]
    best = max(range(8), key=lambda i: (accuracies[i], i)) + 1
    training = json.loads((place / "mine.json").read_text())["training"]
    assert (training["selected_epoch"], training["best_epoch"]) == (best, best)
    assert training["best_pgd_accuracy"] == max(accuracies)
    assert training["last_pgd_accuracy"] == accuracies[-1]
    assert best < 8, "standard training loses robustness: the best epoch is an early one"
    assert f"checkpoint:{place / 'mine.last.safetensors'}@digits-cnn" in result.stdout
    suite_run = ("run", "--suite", "digits", "--measures", "standard", "--limit", "10", "--out", str(tmp_path / "out"))
    spec = f"checkpoint:{place / 'mine.last.safetensors'}@digits-cnn"
    assert harness_here(*suite_run, "--workers", "0", "--entrants", spec).returncode == 0


# ---------------------------------------------------------------- dynamics


def test_a_probe_is_what_its_names_say_on_a_linear_network() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).double().float().eval()
    examples, none = probed(digits("train").first(300), None, CPU)
    assert none is None
    found = probe(model, examples, SUITE.threat, recipe("sat"))
    logits = model(examples.x).detach().double()
    energy = -logits.logsumexp(1)
    assert found.n == 300
    assert found.marginal_energy == pytest.approx(energy.mean().item(), rel=1e-5)
    assert found.joint_energy == pytest.approx(-logits[range(300), examples.y].mean().item(), abs=1e-5)
    assert found.standard_accuracy == (logits.argmax(1) == examples.y).double().mean().item()
    assert found.mean_weight == pytest.approx((1 / torch.log1p(energy.abs().exp())).mean().item(), rel=1e-5)
    assert found.pgd_accuracy <= found.standard_accuracy
    assert found.delta_joint_energy < 0  # the attack raises the energy of the label
    assert found == probe(model, examples, SUITE.threat, recipe("sat"))


@pytest.mark.parametrize("name", ["standard", "sat", "weat-adv"])
def test_every_epoch_leaves_a_row_and_probing_changes_no_weight(name: str, tmp_path: Path) -> None:
    path, images = tmp_path / "rows.jsonl", digits("train").first(200)
    trained = train(SUITE, recipe(name, epochs=3), images, CPU, lambda epoch: None, dynamics=path)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert rows == list(trained.rows)
    assert [row["number"] for row in rows] == [1, 2, 3]
    assert rows[0]["train"].keys() == rows[0]["validation"].keys()
    assert (rows[0]["train"]["n"], rows[0]["validation"]["n"]) == (20, 20)


def test_robust_overfitting_needs_falling_energies_and_falling_robust_accuracy(tmp_path: Path) -> None:
    def rows(falls: float, end: float, best: int = 50) -> list[dict[str, object]]:
        noise = np.random.default_rng(0).normal(0, 0.002, 100)
        delta = [-0.1 - max(0, epoch - 60) * falls + noise[epoch] for epoch in range(100)]
        robust = [0.5 if epoch < best else end for epoch in range(100)]
        return [
            {"train": {"delta_marginal_energy": d}, "validation": {"pgd_accuracy": r, "n": 1000}}
            for d, r in zip(delta, robust, strict=True)
        ]

    both, stays, flat = rows(0.02, 0.4), rows(0.02, 0.49), rows(0.0, 0.4)
    found = robust_overfitting(both, phases_of(both))
    assert found is not None
    assert 57 <= found <= 63
    assert robust_overfitting(stays, phases_of(stays)) is None
    assert robust_overfitting(flat, phases_of(flat)) is None
    assert phases_of(both[:5]) is None
    assert robust_overfitting(both, phases_of(both), attacked=False) is None
    late = rows(0.02, 0.4, best=75)
    assert robust_overfitting(late, phases_of(late)) == 75, "not before the best held-out epoch"
    write_dynamics(tmp_path / "rows", both)
    assert len((tmp_path / "rows").read_text().splitlines()) == 100


# ---------------------------------------------------------------- recipes


def test_recipes_are_listed_with_every_field(harness_here) -> None:
    rows = {row["name"]: row for row in json.loads(harness_here("list", "recipes", "--json").stdout)}
    assert rows.keys() == built_in().keys()
    paper, overfitting = rows["weat-adv-paper"], rows["sat-overfitting"]
    assert (paper["epochs"], paper["schedule"], paper["architecture"], paper["beta"]) == (
        100,
        "one-cycle",
        "resnet-18",
        7,
    )
    assert (paper["lr"], paper["momentum"], paper["weight_decay"], paper["batch_size"]) == (0.1, 0.9, 5e-4, 128)
    assert (overfitting["epochs"], overfitting["schedule"]) == (200, "piecewise")
    assert rows["trades-short"]["epochs"] == 30
    assert find_recipe("sat", CIFAR) == built_in()["sat-paper"]
    assert find_recipe("sat", SUITE) == built_in()["sat-digits"]
    assert find_recipe("sat", SUITES["mnist"]) == built_in()["sat-mnist"]
    assert "weat-adv-paper" in harness_here("list", "recipes").stdout


def test_a_recipe_is_read_from_a_file_and_changed_by_options(harness_here, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('base = "weat-adv"\nepochs = 2\nweighting = "normalised"\nlr = 1\n')
    place = ("--suite", "digits", "--out", str(tmp_path / "zoo"))
    result = harness_here(
        "train", "--recipe", str(path), *place, "--set", "lr=0.02", "--set", "beta=3.5", "--seed", "4"
    )
    assert result.returncode == 0, result.stderr
    made = json.loads((tmp_path / "zoo" / "digits" / "mine.json").read_text())["training"]
    changed = {"epochs": 2, "weighting": "normalised", "lr": 0.02, "beta": 3.5, "seed": 4}
    assert {field: made["recipe"][field] for field in changed} == changed
    assert made["beta"] == 3.5
    for text, part in (
        ("epochs = 2", "expected objective, architecture"),
        ('base = "nowhere"', "expected a recipe, got 'nowhere'"),
        ('base = "sat"\nlearning = 1', "a recipe's field in"),
        ('base = "sat"\nlr = "high"', "lr to be float in .*mine.toml, got 'high'"),
        ('base = "sat"\nepochs = 0', "epochs of at least 1 in .*mine.toml, got 0"),
        ('base = "sat"\nlr = nan', "lr above 0 in .*mine.toml, got nan"),
        ('base = "sat"\nbeta = -1', "beta of at least 0 in .*mine.toml, got -1"),
        ('base = "sat"\nseed = 1.0', "seed to be int in .*mine.toml, got 1.0"),
        ('base = "sat"\nnesterov = 1', "nesterov to be bool in .*mine.toml, got 1"),
        ("base =", "a recipe in TOML"),
    ):
        path.write_text(text)
        with pytest.raises(BadInput, match=part):
            find_recipe(str(path), SUITE)


def test_the_training_attack_can_be_given_its_start_and_natural_logits() -> None:
    torch.manual_seed(0)
    model, batch = build("digits-cnn", 10, (1, 8, 8)).eval(), digits("train").examples(0, 16)
    for attack in (PGD("kl", 3), PGD("ce", 3)):
        generator = torch.Generator().manual_seed(0)
        start = attack.start(batch.x, SUITE.threat, generator)
        natural = model(batch.x).detach()
        given = attack.perturb(model, batch.x, batch.y, SUITE.threat, generator, start=start, natural=natural)
        drawn = attack.perturb(model, batch.x, batch.y, SUITE.threat, torch.Generator().manual_seed(0))
        assert torch.equal(given, drawn)


# ---------------------------------------------------------------- what the papers' own code does


def test_the_momentum_of_one_cycle_is_torchs_default_where_it_cycles_and_held_elsewhere() -> None:
    def momenta(chosen: Recipe) -> list[float]:
        optimizer = sgd(nn.Linear(1, 1), chosen)
        following, found = schedule(optimizer, chosen, 100), []
        for _ in range(100):
            found.append(optimizer.param_groups[0]["momentum"])
            optimizer.step()
            following.step()
        return found

    paper = built_in()["weat-adv-paper"]
    published = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1, momentum=0.9)
    cycle, expected = torch.optim.lr_scheduler.OneCycleLR(published, 0.1, total_steps=100, pct_start=0.25), []
    for _ in range(100):
        expected.append(published.param_groups[0]["momentum"])
        published.step()
        cycle.step()
    found = momenta(paper)
    assert found == pytest.approx(expected)
    assert (found[0], found[24], found[-1]) == pytest.approx((0.95, 0.85, 0.95), abs=1e-3)
    assert set(momenta(paper.changed({"cycle_momentum": False}))) == {0.9}
    assert set(momenta(recipe("sat"))) == {0.9}
    with pytest.raises(BadInput, match="expected cycle_momentum with schedule one-cycle, got piecewise"):
        paper.changed({"schedule": "piecewise"})


def test_a_run_whose_momentum_cycles_is_resumed_to_the_same_weights(tmp_path: Path) -> None:
    images, cycling = digits("train").first(128), recipe("sat", epochs=3, batch_size=32, cycle_momentum=True)

    def weights(**options: object) -> torch.Tensor:
        model = train(SUITE, cycling, images, CPU, lambda epoch: None, **options).model  # type: ignore[arg-type]
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    asked = iter([False] * 4)
    with pytest.raises(Interrupted):
        weights(checkpoint=tmp_path / "c", asked_to_stop=lambda: next(asked, True))
    assert torch.equal(weights(checkpoint=tmp_path / "c"), weights())
    held = train(SUITE, recipe("sat", epochs=3, batch_size=32), images, CPU, lambda epoch: None).model
    assert not torch.equal(torch.cat([p.detach().flatten() for p in held.parameters()]), weights())


def test_only_the_recipes_of_the_paper_do_what_the_published_code_does() -> None:
    for name, found in built_in().items():
        paper = name.endswith("-paper")
        assert (found.cycle_momentum, found.clamp_start) == (paper, not paper), name
        assert found.attack_start == ("noise" if name == "mart-paper" else "by-loss"), name
        assert found.warm_up == (75 / 120 if name == "mail-trades-paper" else 0.75), name


@pytest.mark.parametrize("loss", ["ce", "kl"])
def test_the_training_attack_starts_where_the_recipe_says(loss: str) -> None:
    x, attack = digits("train").examples(0, 64).x, PGD(loss, 3)  # type: ignore[arg-type]

    def start(**changes: object) -> torch.Tensor:
        return attack_start(recipe("sat", **changes), attack, x, SUITE.threat, torch.Generator().manual_seed(0))

    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    by_loss = attack.start(x, SUITE.threat, torch.Generator().manual_seed(0))
    assert torch.equal(start(), by_loss)
    assert torch.equal(
        start(attack_start="uniform"), PGD("ce").start(x, SUITE.threat, torch.Generator().manual_seed(0))
    )
    assert torch.equal(start(attack_start="noise"), (x + 0.001 * noise).clamp(0, 1))
    published = start(attack_start="noise", clamp_start=False)
    assert torch.equal(published, x + 0.001 * noise)
    assert published.min() < 0
    lost = (start(attack_start="noise") == x).float().mean().item()
    at_the_edge = ((x == 0) | (x == 1)).float().mean().item()
    assert lost == pytest.approx(at_the_edge / 2, abs=0.02)  # there, half of the noise leads out of [0,1]
    moved = attack.perturb(build("digits-cnn", 10, (1, 8, 8)).eval(), x, torch.zeros(64, dtype=torch.int64), SUITE.threat,
                           torch.Generator(), start=published)  # fmt: skip
    assert SUITE.threat.verify(x, moved).legal.all()


def test_the_start_of_the_attack_decides_the_weights() -> None:
    images = digits("train").first(128)

    def weights(name: str, **changes: object) -> torch.Tensor:
        model = train(SUITE, recipe(name, epochs=1, **changes), images, CPU, lambda epoch: None).model
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    assert not torch.equal(weights("mart"), weights("mart", attack_start="noise"))
    assert not torch.equal(weights("trades"), weights("trades", clamp_start=False))
