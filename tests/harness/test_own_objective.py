"""A user's own objective: from a recipe file to a card that says what trained it, and what a wrong one says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from harness.data.datasets import digits
from harness.errors import BadInput
from harness.suites.suite import SUITES
from harness.training.entrant import train
from harness.training.objectives import OBJECTIVES, Objective, ce
from harness.training.recipes import Recipe
from zoo.own_entrants import own_entrants

SUITE = SUITES["digits"]

SMOOTHED = """
from torch.nn.functional import cross_entropy

class Mine:
    attack = "ce"
    natural = False

    def __init__(self, smoothing=0.0):
        self.smoothing = smoothing

    def loss(self, logits, logits_adv, y, setting):
        return cross_entropy(logits_adv, y, reduction="none", label_smoothing=self.smoothing)

instance = Mine()
"""


@pytest.fixture
def module(harness_here: object, tmp_path: Path) -> Callable[[str], str]:
    """Write a module into the working directory; gives its name, which no other test's module has."""

    def write(source: str) -> str:
        name = f"own_{tmp_path.name}"
        Path(f"{name}.py").write_text(source)
        return name

    return write


def written(recipe: str, path: str = "recipe.toml") -> str:
    Path(path).write_text(recipe)
    return path


JOB = ("train", "--suite", "digits", "--recipe", "recipe.toml", "--epochs", "1", "--limit", "100", "--name", "mine")


def test_an_own_objective_trains_by_a_recipe_file_and_the_card_says_what_trained_it(harness_here, module) -> None:
    name = module(SMOOTHED)
    written(f'base = "sat"\nobjective = "{name}:Mine"\n[objective_settings]\nsmoothing = 0.1\n')
    result = harness_here(*JOB)
    assert result.returncode == 0, result.stderr
    card = json.loads(Path("entrants/digits/mine.json").read_text())
    assert (card["title"], card["link"]) == (f"{name}:Mine", "")
    training = card["training"]
    assert training["recipe"]["objective"] == f"{name}:Mine"
    assert training["recipe"]["objective_settings"] == {"smoothing": 0.1}
    digest = hashlib.sha256(Path(f"{name}.py").read_bytes()).hexdigest()
    assert training["objective_sources"] == [{"name": f"{name}.py", "sha256": digest}]
    judged = ("run", "--suite", "digits", "--measures", "standard", "--limit", "10", "--workers", "0", "--out", "out")
    assert harness_here(*judged, "--entrants", "mine").returncode == 0


@pytest.mark.parametrize("attribute", ["Mine", "instance"])
def test_sat_written_as_an_own_objective_gives_the_weights_of_sat(module, attribute: str) -> None:
    name = module(SMOOTHED)
    images = digits("train").first(200)
    recipe = Recipe(objective="sat", architecture="digits-cnn", epochs=2)
    own = recipe.changed({"objective": f"{name}:{attribute}"})
    weights = [
        train(SUITE, chosen, images=images, name=label).path.read_bytes()
        for chosen, label in ((recipe, "sat-here"), (own, "own"))
    ]
    assert weights[0] == weights[1]


def test_settings_reach_the_objective_and_can_be_set_on_the_command_line(harness_here, module) -> None:
    name = module(SMOOTHED)
    written(f'base = "sat"\nobjective = "{name}:Mine"\n')
    weights = []
    for smoothing in ("0.0", "0.3"):
        settings = ("--set", f"objective_settings={{smoothing={smoothing}}}", "--out", smoothing)
        assert harness_here(*JOB, *settings).returncode == 0
        weights.append(Path(smoothing, "digits", "mine.safetensors").read_bytes())
    assert weights[0] != weights[1]


def test_a_recipe_file_names_an_own_objective_and_an_own_architecture(harness_here, module) -> None:
    net = """
from torch import nn

def net(classes, shape):
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[1] * shape[2], classes))
"""
    name = module(SMOOTHED + net)
    written(f'base = "sat"\nobjective = "{name}:Mine"\narchitecture = "{name}:net"\n')
    assert harness_here(*JOB).returncode == 0
    card = json.loads(Path("entrants/digits/mine.json").read_text())
    assert card["architecture"] == card["training"]["recipe"]["architecture"] == f"{name}:net"
    for other, part in ((f"{name}:neat", "did you mean net"), (f"{name}:SMOOTHED", "and there is none")):
        result = harness_here("train", "--suite", "cifar10", "--recipe", "sat", "--architecture", other)
        assert result.returncode == 2
        (line,) = result.stderr.splitlines()
        assert part in line


def loss(body: str, attack: str = '"ce"', signature: str = "logits, logits_adv, y, setting") -> str:
    return f"class Mine:\n    attack = {attack}\n    def loss(self, {signature}):\n        {body}\n"


MEAN = "return (logits - logits_adv).square().mean()"


@pytest.mark.parametrize(
    ("source", "attribute", "settings", "part"),
    [
        (None, "Mine", "", "expected a module, got"),
        ("import nothing_like_it\n", "Mine", "", "No module named 'nothing_like_it'"),
        (SMOOTHED, "Nine", "", "did you mean Mine?"),
        (SMOOTHED, "Mine", "sharpness = 1", "to take objective_settings (sharpness=1), got TypeError"),
        (SMOOTHED, "Mine", "smoothing = 2020-01-01", "of text, numbers, lists and tables"),
        (SMOOTHED, "instance", "smoothing = 0.1", "expected a class with objective_settings"),
        ("Mine = 3\n", "Mine", "", "to have attack, 'ce', 'kl' or None, got none"),
        ('class Mine:\n    attack = "ce"\n', "Mine", "", "to have loss, a function of"),
        (loss(MEAN, attack='"pgd"'), "Mine", "", "to have attack, 'ce', 'kl' or None, got 'pgd'"),
        (loss(MEAN) + "    beta = -1\n", "Mine", "", "to have beta, a number of at least 0, got -1"),
        (loss(MEAN, attack="None") + "    natural = False\n", "Mine", "", "natural True where attack is None"),
        (loss(MEAN, signature="logits, y"), "Mine", "", "a loss of (logits, logits_adv, y, setting), got TypeError"),
        (loss("return unknown"), "Mine", "", "got NameError"),
        (loss(MEAN), "Mine", "", "a tensor of shape (4,), got shape ()"),
        (loss("return 1.0"), "Mine", "", "got a float"),
        (loss("return logits.detach().sum(1)"), "Mine", "", "without a gradient"),
    ],
)
def test_a_wrong_own_objective_is_one_line_before_data_are_read(
    harness_here, module, source: str | None, attribute: str, settings: str, part: str
) -> None:
    name = module(source) if source is not None else "nowhere_at_all"
    written(f'base = "sat-short"\nobjective = "{name}:{attribute}"\n[objective_settings]\n{settings}\n')
    # there are no images of cifar10 here: who reads them first says so
    result = harness_here("train", "--suite", "cifar10", "--recipe", "recipe.toml")
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert part in line
    assert not Path("entrants").exists()


@pytest.mark.parametrize(
    ("recipe", "part"),
    [
        ('objective = "mine:"', "expected module:callable"),
        ('objective = "mine"', "or your own as my_module:Mine"),
        ("[objective_settings]\nsmoothing = 0.1", "expected objective_settings with an objective of your own"),
        ("objective_settings = 3", "expected objective_settings to be a table in recipe.toml"),
    ],
)
def test_a_recipe_that_names_no_objective_is_one_line(harness_here, recipe: str, part: str) -> None:
    written(f'base = "sat"\n{recipe}\n')
    result = harness_here(*JOB)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert part in line


def test_an_objective_without_title_and_link_trains_and_ends_well(
    harness_here, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Objective("plain", None, True, lambda nat, adv, y, to: ce(nat, y))
    monkeypatch.setitem(OBJECTIVES, "plain", plain)
    result = harness_here("train", "--suite", "digits", "--recipe", "plain", "--epochs", "1", "--limit", "100")
    assert result.returncode == 0, result.stderr
    card = json.loads(Path("entrants/digits/plain.json").read_text())
    assert (card["title"], card["link"]) == ("plain", "")


def test_a_run_of_an_objective_that_was_changed_since_is_not_gone_on_from(module) -> None:
    images = digits("train").first(100)

    def go(name: str) -> None:
        recipe = Recipe(objective=f"{name}:Mine", architecture="digits-cnn", epochs=2)
        train(SUITE, recipe, images=images, name="mine", moved=stop)

    class Stop(Exception):
        pass

    epochs = []

    def stop(step: int, steps: int) -> None:
        epochs.append(step)
        if len(epochs) > steps:
            raise Stop

    name = module(SMOOTHED)
    with pytest.raises(Stop):
        go(name)
    Path(f"{name}.py").write_text(SMOOTHED + "# another\n")
    from harness.training import own_objective

    own_objective._own.cache_clear()  # a new process
    with pytest.raises(BadInput, match="expected a checkpoint with objective_sources"):
        go(name)


# ---------------------------------------------------------------- from Python


def test_training_from_python_is_silent_and_gives_what_the_command_gives(harness_here, capfd) -> None:
    assert harness_here(*JOB[:4], "weat-adv", *JOB[5:], "--out", "by-command").returncode == 0
    capfd.readouterr()
    threads, epochs, steps = torch.get_num_threads(), [], []
    made = train(
        "digits", "weat-adv", name="mine", epochs=1, limit=100,
        report=epochs.append, moved=lambda step, of: steps.append((step, of)),
    )  # fmt: skip
    assert capfd.readouterr() == ("", "")
    assert torch.get_num_threads() == threads
    assert made.path == Path("entrants/digits/mine.safetensors").resolve()
    assert made.path.read_bytes() == Path("by-command/digits/mine.safetensors").read_bytes()
    assert (made.spec, made.card.name, made.card.training["best_epoch"]) == ("mine", "mine", 1)
    assert [json.loads(line) for line in made.dynamics.read_text().splitlines()] == list(made.rows)
    assert hashlib.sha256(made.dynamics.read_bytes()).hexdigest() == made.card.training["dynamics"]["sha256"]
    assert ([epoch.number for epoch in epochs], epochs[0].epochs) == ([1], 1)
    assert steps == [(1, 1)]
    (found,) = [entrant for entrant in own_entrants(SUITE.domain, [Path("entrants")]) if entrant.card.name == "mine"]
    x = digits("test").examples(0, 10).x
    torch.testing.assert_close(found.load()(x), made.model(x))
    elsewhere = train("digits", "standard", epochs=1, limit=100, out="elsewhere")
    assert elsewhere.spec == "checkpoint:elsewhere/digits/standard.safetensors"


def test_images_that_do_not_fit_the_suite_are_refused_from_python(harness_here) -> None:
    with pytest.raises(BadInput, match="expected images 3x32x32 of 10 classes for cifar10, got 1x8x8 of 10"):
        train("cifar10", "sat", images=digits("train").first(100))
