"""A card is data: what it names to train an entrant again runs no code but the user's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.errors import BadInput
from harness.suites.suite import SUITES
from harness.training.again import trained_as
from zoo.checkpoints import SHIPPED


def card(folder: Path, recipe: dict[str, object], **training: object) -> str:
    """Of an entrant `theirs` of the project in `folder`."""
    held = json.loads((SHIPPED / "digits" / "weat-adv.json").read_text())
    held["name"] = "theirs"
    held["training"] = {**held["training"], "recipe": {**held["training"]["recipe"], **recipe}, **training}
    path = folder / "entrants" / "digits" / "theirs.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(held))
    return "theirs"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("module", ["os", "importlib.util", "subprocess", "builtins", "torch.hub"])
def test_a_card_calls_no_function_of_an_installed_package(project: Path, module: str) -> None:
    made = project / "made"
    name = card(project, {"objective": f"{module}:system", "objective_settings": {"command": f"mkdir {made}"}})
    with pytest.raises(BadInput, match=f"expected {module}:system, which the card of theirs names, in a module of"):
        trained_as(name, SUITES["digits"])
    name = card(project, {"architecture": f"{module}:system"})
    with pytest.raises(BadInput, match=f"expected {module}:system, which the card of theirs names, in a module of"):
        trained_as(name, SUITES["digits"])
    assert not made.exists()


def test_a_card_names_an_objective_of_the_users_own(project: Path) -> None:
    (project / "objective_of_mine.py").write_text(
        "class Mine:\n    attack = 'ce'\n    def loss(self, logits, logits_adv, y, setting):\n        return logits[:, 0]\n"
    )
    name = card(project, {"objective": "objective_of_mine:Mine"})
    assert trained_as(name, SUITES["digits"]).recipe.objective == "objective_of_mine:Mine"


def test_a_number_of_images_that_cannot_be_is_none(project: Path) -> None:
    assert trained_as(card(project, {}, images=-5), SUITES["digits"]).images is None
