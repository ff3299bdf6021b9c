"""Training: a shipped entrant is made again, a seed gives one result, augmentation does what it says."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from harness.attacks.pgd import PGD
from harness.data.datasets import digits
from harness.data.images import ImageSet
from harness.errors import BadInput
from harness.suites.suite import SUITES
from harness.training.batches import augmented
from harness.training.checkpoint import load, save
from harness.training.dynamics import Epoch
from harness.training.objectives import OBJECTIVES
from harness.training.recipes import Recipe, find_recipe
from harness.training.state import Run
from harness.training.step import Step
from harness.training.trainer import Interrupted, train
from zoo.architectures import ARCHITECTURES, build
from zoo.checkpoints import SHIPPED
from zoo.own_entrants import own_entrants

SUITE = SUITES["digits"]


def recipe(name: str, **changes: object) -> Recipe:
    return find_recipe(name, SUITE).changed(changes, "in this test")


def weights_of(images: ImageSet, chosen: Recipe, **options: Any) -> torch.Tensor:
    options = {"report": lambda epoch: None, **options}
    model = train(SUITE, chosen, images, torch.device("cpu"), **options).model
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def accuracies(model: torch.nn.Module) -> tuple[float, float]:
    examples = digits("test").examples(0, 400)
    x_adv = PGD().perturb(model, examples.x, examples.y, SUITE.threat, torch.Generator().manual_seed(0))
    with torch.no_grad():
        return tuple((model(x).argmax(1) == examples.y).float().mean().item() for x in (examples.x, x_adv))  # type: ignore[return-value]


def retrained(harness_here, tmp_path: Path, name: str) -> Path:
    result = harness_here(
        "train", "--suite", "digits", "--recipe", name, "--name", f"again-{name}", "--out", str(tmp_path / "zoo")
    )
    assert result.returncode == 0, result.stderr
    path = tmp_path / "zoo" / "digits" / f"again-{name}.safetensors"
    assert str(path) in result.stdout
    return path


@pytest.mark.parametrize("name", list(OBJECTIVES))
def test_training_a_shipped_entrant_again_begins_as_it_began(name: str, tmp_path: Path) -> None:
    """The same start, data, order, learning rate, attack and objective: the first epoch, and what follows it, are the same."""
    begun: list[Epoch] = []
    with pytest.raises(Interrupted):
        weights_of(digits("train"), recipe(name), asked_to_stop=lambda: bool(begun), report=begun.append)
    rows = (SHIPPED / "digits" / f"{name}.dynamics.jsonl").read_text().splitlines()
    now, then = begun[0].row(), json.loads(rows[0])
    for row in (now, then):
        for images in ("train", "validation"):
            row |= {f"{images}.{key}": value for key, value in row.pop(images).items()}
    # rounding is another on another machine; an image more or less may be right then
    shares = {key for key in then if key.endswith("accuracy")}
    assert {key: now[key] for key in shares} == pytest.approx({key: then[key] for key in shares}, abs=0.03)
    assert {key: now[key] for key in then.keys() - shares} == pytest.approx(
        {key: then[key] for key in then.keys() - shares}, rel=0.01, abs=1e-4
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["standard", "sat"])
def test_a_shipped_entrant_is_made_again_within_tolerance(harness_here, tmp_path: Path, name: str) -> None:
    path = retrained(harness_here, tmp_path, name)
    again = build("digits-cnn", 10, (1, 8, 8)).eval()
    again.load_state_dict(load_file(path))
    shipped = {entrant.card.name: entrant for entrant in own_entrants(SUITE.domain)}[name]
    # the recipe is deterministic on one machine; on another, rounding may lead training elsewhere
    assert accuracies(again) == pytest.approx(accuracies(shipped.load()), abs=0.06)
    card, before = (json.loads(p.read_text()) for p in (path.with_suffix(".json"), SHIPPED / "digits" / f"{name}.json"))
    then, now = before["training"]["recipe"], card["training"]["recipe"]
    assert {field: now[field] for field in then} == then  # a field that is new since then has its neutral default
    assert card["training"]["fingerprint"] == before["training"]["fingerprint"] == digits("train").fingerprint


def test_a_trained_entrant_is_judged_by_its_name_and_by_its_path(
    harness_here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for place, seed in ((there, "2"), (here, "1")):
        place.mkdir()
        monkeypatch.chdir(place)
        recipe_of_one_epoch = ("--recipe", "standard", "--epochs", "1", "--seed", seed, "--name", "mine")
        trained = harness_here("train", "--suite", "digits", *recipe_of_one_epoch)
        assert trained.returncode == 0, trained.stderr
    settings = ("--measures", "standard", "--limit", "20", "--workers", "0", "--out", "out")
    run = ("run", "--suite", "digits", *settings, "--entrants")
    path = "entrants/digits/mine.safetensors"
    assert "mine" in harness_here(*run, "mine").stdout
    assert harness_here(*run, f"checkpoint:{path}").returncode == 0
    other = harness_here(*run, f"checkpoint:{there / path}")
    assert other.returncode == 2
    assert "expected a name of its own, got 'mine'" in other.stderr


@pytest.mark.parametrize("name", list(OBJECTIVES))
def test_a_seed_gives_one_result_and_another_seed_another(name: str) -> None:
    images = digits("train").first(256)

    first, again, other = (weights_of(images, recipe(name, epochs=1, seed=seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("name", list(OBJECTIVES))
def test_the_gradient_of_a_training_step_is_the_objectives_alone(name: str) -> None:
    """The inner attack leaves no gradient in the parameters, and runs in eval mode."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.BatchNorm1d(64), torch.nn.Linear(64, 10)).train()
    batch = digits("train").examples(0, 32)
    seen: list[tuple[bool, bool]] = []
    grads: list[bool] = []
    model.register_forward_hook(lambda m, i, o: seen.append((m.training, m[2].weight.requires_grad)))
    step = Step(model, SUITE.threat, recipe(name), torch.device("cpu"))
    step.terms.register_forward_pre_hook(lambda m, i: grads.append(all(p.grad is None for p in model.parameters())))
    step(batch.x, batch.y, torch.Generator().manual_seed(0))
    assert grads == [True]
    outer = [entry for entry in seen if entry[0]]
    inner = [entry for entry in seen if not entry[0]]
    objective = OBJECTIVES[name]
    assert len(outer) == int(objective.natural) + int(objective.attack is not None)
    assert all(gradients for _, gradients in outer)
    # natural probabilities once a batch, not once a step
    assert len(inner) == {None: 0, "ce": 10, "kl": 11}[objective.attack]
    assert not any(gradients for _, gradients in inner)
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_mail_is_trades_until_its_warm_up_is_over() -> None:
    images = digits("train").first(128)

    def weights(name: str, warm_up: float) -> torch.Tensor:
        return weights_of(images, recipe(name, epochs=2, warm_up=warm_up))

    trades = weights("trades", 0.0)
    assert torch.equal(weights("mail-trades", 1.0), trades)
    halves = [weights("mail-trades", 0.5), weights("mail-trades", 0.0)]
    assert not torch.equal(halves[0], trades)
    assert not torch.equal(halves[0], halves[1])


JOB = ("train", "--suite", "digits", "--recipe", "trades", "--epochs", "6", "--name", "mine", "--out")


@pytest.mark.parametrize("after", [1, 3, 7])
def test_a_run_that_gets_sigterm_saves_and_goes_on_to_the_same_weights_bit_for_bit(
    harness_here, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """In the middle of an epoch of four steps, at the end of its steps, and in the next epoch."""
    small = (*JOB[:-1], "--limit", "250", "--set", "batch_size=56", "--set", "attack_steps=2", "--epochs", "3")
    assert harness_here(*small, "--out", "whole").returncode == 0
    steps: list[int] = []
    take_step = Run.take_step

    def and_then_the_signal(run: Run) -> None:
        take_step(run)
        steps.append(run.step)
        if len(steps) == after:
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "take_step", and_then_the_signal)
        stopped = harness_here(*small, "--out", "broken")
    place = Path("broken/digits")
    assert stopped.returncode == 143
    assert "saved; run the same command again to go on" in stopped.stderr
    # at the end of an epoch's steps it is evaluated first
    assert len(steps) == after
    assert sorted(path.suffix for path in place.iterdir()) == [".checkpoint"] + [".jsonl"] * (after > 3)
    resumed = harness_here(*small, "--out", "broken")
    assert resumed.returncode == 0, resumed.stderr
    assert "going on from" in resumed.stderr
    assert not (place / ".mine.checkpoint").exists()
    assert Path("whole/digits/mine.safetensors").read_bytes() == (place / "mine.safetensors").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_an_interrupted_run_goes_on_to_the_same_weights_bit_for_bit(
    harness_here, start, tmp_path: Path, how: signal.Signals
) -> None:
    assert harness_here(*JOB, str(tmp_path / "whole")).returncode == 0
    place = tmp_path / "broken" / "digits"
    for moment in (0.05, 0.4):
        process = start(*JOB, str(tmp_path / "broken"))
        seen = (place / ".mine.checkpoint").stat().st_mtime_ns if (place / ".mine.checkpoint").exists() else None
        while not (place / ".mine.checkpoint").exists() or (place / ".mine.checkpoint").stat().st_mtime_ns == seen:
            assert process.poll() is None, "training ended before it could be interrupted"
            time.sleep(0.01)
        time.sleep(moment)
        process.send_signal(how)
        assert process.wait(timeout=60) == (-signal.SIGKILL if how == signal.SIGKILL else 143)
    resumed = harness_here(*JOB, str(tmp_path / "broken"))
    assert resumed.returncode == 0, resumed.stderr
    assert "going on from" in resumed.stderr
    assert "epoch 1/6" not in resumed.stderr
    assert not (place / ".mine.checkpoint").exists()
    whole, broken = (root / "digits" / "mine.safetensors" for root in (tmp_path / "whole", tmp_path / "broken"))
    assert whole.read_bytes() == broken.read_bytes()


class Stop:
    """Asks to stop at the step with this number, counted over the whole run."""

    def __init__(self, after: int) -> None:
        self.left = after

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


@pytest.mark.parametrize("name", ["sat", "weat-adv"])
def test_a_run_stopped_at_each_step_in_turn_has_the_weights_and_rows_of_a_whole_one(name: str, tmp_path: Path) -> None:
    images, cpu = digits("train").first(80), torch.device("cpu")
    every_option = {"weighting": "normalised", "ema": 0.9, "awp": 0.01, "drop": "random", "drop_fraction": 0.2}
    short = recipe(name, epochs=2, batch_size=32, attack_steps=2, crop=1, select="best", **every_option)
    whole = train(SUITE, short, images, cpu, lambda epoch: None)
    stops = 0
    while True:
        try:
            parts = train(
                SUITE, short, images, cpu, lambda e: None, checkpoint=tmp_path / "c", asked_to_stop=Stop(stops % 2)
            )
            break
        except Interrupted:
            stops += 1
    assert stops >= 4
    assert parts.rows == whole.rows
    for mine, theirs in zip(parts.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_a_checkpoint_of_another_run_or_of_nothing_is_refused(tmp_path: Path) -> None:
    images, path = digits("train").first(128), tmp_path / "state"

    def go(name: str = "standard", seed: int = 1) -> None:
        weights_of(images, recipe(name, epochs=1, seed=seed), checkpoint=path)

    go()
    for changed, field in (({"name": "sat"}, "objective"), ({"seed": 2}, "seed")):
        with pytest.raises(BadInput, match=f"expected a checkpoint with {field} "):
            go(**changed)  # type: ignore[arg-type]
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(BadInput, match="expected a checkpoint in"):
        go()


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state"
    save(path, {"identity": {}, "epoch": 1})

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save(path, {"identity": {}, "epoch": 2})
    state = load(path, {})
    assert state is not None
    assert state["epoch"] == 1
    assert list(tmp_path.iterdir()) == [path]


def test_crops_are_windows_of_the_padded_image_and_flips_are_mirrors() -> None:
    x = torch.arange(1.0, 1 + 40 * 2 * 5 * 6).reshape(40, 2, 5, 6)
    padded = torch.nn.functional.pad(x, (2,) * 4)
    cropped = augmented(x, crop=2, flip=True, generator=torch.Generator().manual_seed(0))
    shifts = set()
    for i in range(40):
        windows = {
            (top, left, flip): (padded[i].flip(2) if flip else padded[i])[:, top : top + 5, left : left + 6]
            for top in range(5)
            for left in range(5)
            for flip in (False, True)
        }
        (found,) = [key for key, window in windows.items() if torch.equal(window, cropped[i])]
        shifts.add(found)
    assert len(shifts) > 20
    assert {flip for _, _, flip in shifts} == {False, True}
    assert torch.equal(augmented(x, crop=0, flip=False, generator=torch.Generator()), x)


def test_training_reports_every_epoch_and_learns() -> None:
    epochs: list[Epoch] = []
    train(SUITE, recipe("standard", epochs=12), digits("train"), torch.device("cpu"), epochs.append)
    assert [epoch.number for epoch in epochs] == list(range(1, 13))
    assert epochs[-1].loss < epochs[0].loss / 2
    assert epochs[-1].accuracy > 0.8


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (("--recipe", "weat"), "did you mean weat-"),
        (("--recipe", "sat", "--epochs", "0"), "epochs of at least 1"),
        (("--recipe", "sat", "--set", "learning_rate=0.1"), "the fields are objective, architecture, epochs"),
        (("--recipe", "sat", "--set", "lr=fast"), "lr to be float"),
        (("--recipe", "sat", "--set", "lr"), "--set FIELD=VALUE"),
        (("--recipe", "sat", "--set", "epochs=true"), "epochs to be int"),
        (("--recipe", "sat", "--precision", "fp16"), "precision to be fp32 or bf16"),
        (("--recipe", "sat", "--drop", "random"), "drop and drop_fraction together"),
        (("--recipe", "sat", "--drop", "random", "--fraction", "1.5"), "drop_fraction from 0 to below 1"),
        (("--recipe", "sat", "--drop", "hard", "--fraction", "0.1"), "drop to be none or high-energy"),
        (("--recipe", "sat", "--set", "synthetic_fraction=1.5"), "synthetic_fraction from 0 to 1"),
        (("--recipe", "sat", "--set", "synthetic_fraction=0.5"), "synthetic images and synthetic_fraction"),
        (("--recipe", "sat", "--set", "select=best", "--set", "validation=0"), "validation share above 0"),
        (("--recipe", "sat", "--set", "validation=0.0001"), "at least one image to hold out"),
        (("--recipe", "nowhere.toml"), "a recipe in TOML in nowhere.toml"),
        (("--recipe", "sat", "--synthetic", "nowhere.npz"), "an .npz of plain arrays in nowhere.npz"),
        (("--recipe", "sat", "--architecture", "resnet18"), "did you mean resnet-18"),
        (("--recipe", "sat", "--name", "../escape"), "name"),
        (("--recipe", "standard", "--epochs", "1", "--out", "/proc/nowhere"), "--out"),
        (("--recipe", "sat", "--dataset", "nowhere"), "put it there"),
    ],
)
def test_bad_input_is_one_line(harness_here, options: tuple[str, ...], part: str) -> None:
    result = harness_here("train", "--suite", "digits", "--name", "mine", *options)
    assert result.returncode == 2, result.stderr
    (line,) = [line for line in result.stderr.splitlines() if "error:" in line]
    assert part in line
    assert "Traceback" not in result.stderr


def test_an_architecture_that_does_not_fit_the_images_is_one_line(
    harness_here, monkeypatch: pytest.MonkeyPatch
) -> None:
    def only_cifar(classes: int, shape: tuple[int, int, int]) -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3072, classes))

    monkeypatch.setitem(ARCHITECTURES, "only-cifar", only_cifar)
    job = ("train", "--suite", "digits", "--recipe", "sat", "--name", "mine")
    result = harness_here(*job, "--architecture", "only-cifar")
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert "an architecture for images of 1x8x8, got only-cifar" in line
