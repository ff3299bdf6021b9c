"""Cards: beside any checkpoint and beside code, with keys that are known, and with the address of weights elsewhere."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn

from zoo import Domain, EntrantError, find
from zoo.architectures import build
from zoo.callables import PythonEntrant
from zoo.catalogue import called, described, has_download
from zoo.checkpoints import CheckpointEntrant
from zoo.described import Said
from zoo.own_entrants import own_entrants

MINIMAL = {"name": "mine", "suite": "digits", "architecture": "digits-cnn"}
FULL = {**MINIMAL, "title": "Our paper", "link": "https://example.org/paper"}
CODE = "import torch\n\n\ndef robust():\n    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))\n"


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return build("digits-cnn", 10, (1, 8, 8)).eval()


def write(path: Path, card: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(card))
    return path


def saved(path: Path, model: nn.Module) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save = safetensors.torch.save_file if path.suffix == ".safetensors" else torch.save
    save(model.state_dict(), path)
    return path


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(EntrantError) as error:
        act()
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth", ".ckpt"])
def test_a_card_works_beside_any_checkpoint_by_its_path_and_by_its_name(
    tmp_path: Path, digits: Domain, model: nn.Module, suffix: str
) -> None:
    file = saved(tmp_path / "digits" / f"mine{suffix}", model)
    write(file.with_suffix(".json"), FULL)
    by_path = find(f"checkpoint:{file}", digits, model_dir=tmp_path)
    by_name = find("mine", digits, model_dir=tmp_path, own_folders=[tmp_path])
    for entrant in (by_path, by_name):
        assert (entrant.card.name, entrant.card.title, entrant.card.link) == ("mine", "Our paper", FULL["link"])
        assert torch.equal(entrant.load()(torch.ones(1, 1, 8, 8)), model(torch.ones(1, 1, 8, 8)))
    assert by_path.weights() == by_name.weights() == CheckpointEntrant(file, digits, "digits-cnn").weights()
    assert (by_path.spec, by_name.spec) == (f"checkpoint:{file}", "mine")


def test_another_programs_json_beside_a_checkpoint_is_no_card(tmp_path: Path, digits: Domain, model: nn.Module) -> None:
    file = saved(tmp_path / "mine.pt", model)
    write(tmp_path / "mine.json", {"name": "resnet", "lr": 0.1})
    assert CheckpointEntrant(file, digits, "digits-cnn").card.name == "mine"
    assert "got none; add @ and" in refusal(CheckpointEntrant(file, digits).load)


@pytest.mark.parametrize(
    ("key", "hint"),
    [("titel", "did you mean title"), ("paper", "did you mean link?"), ("license", "did you mean licence?")],
)
def test_an_unknown_key_is_refused_with_what_is_meant(
    tmp_path: Path, digits: Domain, model: nn.Module, key: str, hint: str
) -> None:
    file = saved(tmp_path / "mine.pt", model)
    write(tmp_path / "mine.json", {**MINIMAL, key: "x"})
    said = refusal(lambda: CheckpointEntrant(file, digits).card)
    assert f"known keys, got {key!r}; {hint}" in said
    assert "choose among name, suite, architecture, " in said


def test_a_card_that_cannot_be_used_is_no_matter_to_another_entrant(
    tmp_path: Path, digits: Domain, model: nn.Module
) -> None:
    saved(tmp_path / "digits" / "mine.pt", model)
    write(tmp_path / "digits" / "mine.json", MINIMAL)
    write(tmp_path / "digits" / "other.json", {"name": 3})
    assert find("mine", digits, model_dir=tmp_path, own_folders=[tmp_path]).card.name == "mine"
    assert find("sat", digits, model_dir=tmp_path, own_folders=[tmp_path]).card.name == "sat"
    assert "other.json" in refusal(lambda: find("other", digits, model_dir=tmp_path, own_folders=[tmp_path]))
    assert "did you mean mine" in refusal(lambda: find("mime", digits, model_dir=tmp_path, own_folders=[tmp_path]))


def test_one_card_in_two_folders_is_one_entrant_where_the_weights_are_the_same(
    tmp_path: Path, digits: Domain, model: nn.Module
) -> None:
    for folder in ("a", "b"):
        saved(tmp_path / folder / "digits" / "mine.pt", model)
        write(tmp_path / folder / "digits" / "mine.json", MINIMAL)
    folders = [tmp_path / "a", tmp_path / "b"]
    (mine,) = own_entrants(digits, folders, names=["mine"])
    assert mine.path.is_relative_to(tmp_path / "a")
    mine.path.unlink()
    (mine,) = own_entrants(digits, folders, names=["mine"])
    assert mine.path.is_relative_to(tmp_path / "b")
    saved(tmp_path / "a" / "digits" / "mine.pt", build("digits-cnn", 10, (1, 8, 8)))
    assert "rename one, or make them the same" in refusal(lambda: own_entrants(digits, folders, names=["mine"]))


def test_a_shipped_entrants_name_is_refused_for_another_and_said_to_ship(
    tmp_path: Path, digits: Domain, model: nn.Module
) -> None:
    saved(tmp_path / "digits" / "sat.pt", model)
    write(tmp_path / "digits" / "sat.json", {**MINIMAL, "name": "sat"})
    assert "sat.json, which ships with the project, and " in refusal(
        lambda: find("sat", digits, model_dir=tmp_path, own_folders=[tmp_path])
    )


# what a user says where there is no card


def test_a_name_and_a_paper_are_said_of_an_entrant_without_a_card(
    tmp_path: Path, digits: Domain, model: nn.Module
) -> None:
    plain = CheckpointEntrant(saved(tmp_path / "mine.pt", model), digits, "digits-cnn")
    said = described(plain, Said("Ours-2026", "Our paper", "https://example.org/paper"))
    assert (said.card.name, said.card.title, said.card.link) == ("Ours-2026", "Our paper", "https://example.org/paper")
    assert (said.weights(), said.spec) == (plain.weights(), plain.spec)
    assert described(plain) is plain
    assert "expected a name of letters, digits" in refusal(lambda: described(plain, Said(name="a/b")).card)
    assert called(plain, "Ours-2026").card.name == "Ours-2026"


def test_what_is_said_beside_a_card_must_be_what_the_card_says(
    tmp_path: Path, digits: Domain, model: nn.Module
) -> None:
    entrant = CheckpointEntrant(saved(tmp_path / "mine.pt", model), digits, "digits-cnn")
    write(tmp_path / "mine.json", FULL)
    assert described(entrant, Said(title="Our paper")).card.title == "Our paper"
    said = refusal(lambda: described(entrant, Said(title="Another")).card)
    assert "expected --title to say what the card" in said
    assert called(entrant, "other").card.name == "mine", "a record cannot rename an entrant that has a card"
    sat = find("sat", digits, model_dir=tmp_path)
    assert "which has a card of its own" in refusal(lambda: described(sat, Said(name="mine")))


def test_a_card_from_elsewhere_tells_all_that_the_spec_needs(tmp_path: Path, digits: Domain, model: nn.Module) -> None:
    file = saved(tmp_path / "mine.pt", model)
    normalised = {**FULL, "name": "Any-name", "mean": [0.5], "std": [0.25]}
    card = write(tmp_path / "cards" / "one.json", normalised)
    entrant = described(find(f"checkpoint:{file}", digits, model_dir=tmp_path), Said(), card)
    assert entrant.card.name == "Any-name"
    assert entrant.spec == f"checkpoint:{file}@digits-cnn@mean=0.5@std=0.25"
    again = find(entrant.spec, digits, model_dir=tmp_path)
    assert again.weights() == entrant.weights()
    assert torch.equal(again.load()(torch.ones(1, 1, 8, 8)), entrant.load()(torch.ones(1, 1, 8, 8)))
    write(card, {**FULL, "published": "x"})
    plain = find(f"checkpoint:{file}", digits, model_dir=tmp_path)
    assert "beside the entrant, where harness verify finds it" in refusal(lambda: described(plain, Said(), card))
    write(tmp_path / "mine.json", FULL)
    assert "expected one card, got" in refusal(lambda: described(plain, Said(), card))


def test_code_has_a_card_beside_its_module_or_by_its_path(
    tmp_path: Path, digits: Domain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_code_with_card.py").write_text(CODE)
    entrant = PythonEntrant("own_code_with_card", "robust", digits)
    before = entrant.weights()
    assert entrant.card.name == "own_code_with_card.robust"
    card = {"name": "Linear", "title": "T", "architecture": "one linear layer"}
    write(tmp_path / "own_code_with_card.robust.json", card)
    assert (entrant.card.name, entrant.card.architecture) == ("Linear", "one linear layer")
    assert entrant.weights() == before
    for wrong, told in (
        ({"classes": 3}, "expected an entrant for digits (10 classes"),
        ({"weights": {"url": "https://a.org/b.pt", "sha256": "0" * 64}}, "expected no 'weights' in the card of code"),
        ({"nam": "x"}, "known keys, got 'nam'; did you mean name"),
    ):
        write(tmp_path / "own_code_with_card.robust.json", {**card, **wrong})
        assert told in refusal(lambda: entrant.card)
    (tmp_path / "own_code_with_card.robust.json").unlink()
    elsewhere = write(tmp_path / "cards" / "linear.json", card)
    assert described(entrant, Said(), elsewhere).card.name == "Linear"


# weights at an address


@pytest.fixture
def far(tmp_path: Path, digits: Domain, model: nn.Module, file_host: Any) -> Callable[..., CheckpointEntrant]:
    """The entrant of a card in entrants/ whose weights are at an address."""
    held = io.BytesIO()
    torch.save(model.state_dict(), held)
    file_host.gives(held.getvalue())

    def entrant(**changes: str) -> CheckpointEntrant:
        address = {
            "url": f"{file_host.url}/a/mine.pt?download=1",
            "sha256": hashlib.sha256(held.getvalue()).hexdigest(),
        }
        write(tmp_path / "entrants" / "digits" / "mine.json", {**MINIMAL, "weights": {**address, **changes}})
        (found,) = own_entrants(digits, [tmp_path / "entrants"], tmp_path / "models", ["mine"])
        return found

    return entrant


def test_weights_are_fetched_from_the_address_of_the_card_and_nowhere_else(
    tmp_path: Path, model: nn.Module, far: Callable[..., CheckpointEntrant], file_host: Any
) -> None:
    entrant = far()
    assert has_download(entrant)
    assert entrant.missing() == (tmp_path / "models" / "digits" / "mine.pt",)
    assert "--entrants mine --download" in refusal(entrant.weights)
    assert file_host.asked == []
    entrant.fetch()
    assert file_host.asked == ["/a/mine.pt?download=1"]
    assert entrant.missing() == ()
    assert torch.equal(entrant.load()(torch.ones(1, 1, 8, 8)), model(torch.ones(1, 1, 8, 8)))
    (file,) = entrant.weights().files
    assert file.name == "mine.pt"


def test_other_bytes_than_the_card_names_are_refused_on_the_way_and_in_place(
    tmp_path: Path, model: nn.Module, far: Callable[..., CheckpointEntrant]
) -> None:
    entrant = far(sha256="0" * 64)
    assert "got other bytes than its card names (sha256 " in refusal(entrant.fetch)
    assert entrant.missing()
    saved(tmp_path / "entrants" / "digits" / "mine.pt", model)
    entrant = far(sha256="0" * 64)
    assert "expected the weights that mine.json names (sha256 0000000000000000), got others in" in refusal(
        entrant.weights
    )


@pytest.mark.parametrize("changes", [{"url": "ftp://a.org/b.pt"}, {"sha256": "abc"}, {"size": "3"}])
def test_an_address_says_where_and_what(far: Callable[..., CheckpointEntrant], changes: dict[str, str]) -> None:
    assert '\'weights\' to be {"url": "https://...", ' in refusal(lambda: far(**changes))


def test_a_file_beside_its_card_is_not_fetched(
    tmp_path: Path, model: nn.Module, far: Callable[..., CheckpointEntrant], file_host: Any
) -> None:
    file = saved(tmp_path / "entrants" / "digits" / "mine.pt", model)
    card = json.loads(far().card_path.read_text())
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    write(file.with_suffix(".json"), {**card, "weights": {**card["weights"], "sha256": sha256}})
    entrant = far(sha256=sha256)
    entrant.fetch()
    assert (entrant.path, file_host.asked) == (file, [])
    assert entrant.weights().files[0].sha256 == sha256
