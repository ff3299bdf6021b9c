"""Own entrants: saved and found by name, any state dict by its path, and one line for each that cannot be used."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn
from torch.nn import functional as F

from zoo import Card, Domain, EntrantError, find
from zoo.architectures import build
from zoo.checkpoints import SHIPPED, CheckpointEntrant
from zoo.own_entrants import own_entrants, save_entrant

CARD = Card(
    name="trades-1",
    source="zoo",
    architecture="digits-cnn",
    title="Théorie & <b>pratique</b>",
    authors="A. Author",
    licence="MIT",
    additional_data=False,
    training={"objective": "TRADES", "beta": 6.0, "epochs": 20},
)


@pytest.fixture
def model(digits: Domain) -> nn.Module:
    return build("digits-cnn", digits.classes, digits.shape).eval()


def logits(model: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model(torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0)))


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(EntrantError) as error:
        act()
    assert "\n" not in str(error.value)
    assert "\x1b" not in str(error.value)
    return str(error.value)


# saved and found


def test_a_saved_entrant_is_found_by_its_name_and_is_the_same(tmp_path: Path, digits: Domain, model: nn.Module) -> None:
    save_entrant(tmp_path / "digits" / "trades-1", model.train(), CARD, digits)
    assert sorted(os.listdir(tmp_path / "digits")) == ["trades-1.json", "trades-1.safetensors"]
    entrant = next(found for found in own_entrants(digits, [tmp_path]) if found.card.name == "trades-1")
    assert entrant.card.dynamics == entrant.path.with_name(f"{CARD.name}.dynamics.jsonl")
    assert replace(entrant.card, dynamics=None) == CARD
    assert entrant.spec == "trades-1"
    assert entrant.missing() == ()
    torch.manual_seed(0)
    before = torch.get_rng_state()
    loaded = entrant.load()
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(logits(loaded), logits(model))
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_the_same_model_and_card_give_the_same_bytes(tmp_path: Path, digits: Domain, model: nn.Module) -> None:
    for folder in ("a", "b"):
        save_entrant(tmp_path / folder / "trades-1", model, CARD, digits)
    for file in ("trades-1.json", "trades-1.safetensors"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    with safetensors.safe_open(tmp_path / "a" / "trades-1.safetensors", "pt") as file:
        assert not file.metadata()


def test_a_save_that_fails_leaves_the_old_entrant_whole(
    tmp_path: Path, digits: Domain, model: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    entrant = save_entrant(tmp_path / "trades-1", model, CARD, digits)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        save_entrant(tmp_path / "trades-1", build("digits-cnn", 10, (1, 8, 8)), CARD, digits)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert torch.equal(logits(entrant.load()), logits(model))


def test_a_model_that_is_not_the_cards_architecture_is_not_saved(tmp_path: Path, digits: Domain) -> None:
    other = build("wrn-16-4", digits.classes, digits.shape)
    said = refusal(lambda: save_entrant(tmp_path / "trades-1", other, CARD, digits))
    assert said.startswith("expected a model of digits-cnn for 10 classes, got missing ")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"name": "../trades"}, "expected a name of letters, digits"),
        ({"name": "other"}, "expected files named 'other' as the card is, got 'trades-1'"),
        ({"architecture": "digits-cn"}, "did you mean digits-cnn"),
        ({"training": {"when": object()}}, "expected a card that JSON can hold, got Object of type object"),
        ({"training": {"lr": float("nan")}}, "expected a card that JSON can hold, got Out of range float"),
    ],
)
def test_a_card_that_cannot_be_read_back_is_not_written(
    tmp_path: Path, digits: Domain, model: nn.Module, change: dict[str, Any], expected: str
) -> None:
    card = Card(**{**{name: getattr(CARD, name) for name in CARD.__dataclass_fields__}, **change})
    assert expected in refusal(lambda: save_entrant(tmp_path / "trades-1", model, card, digits))
    assert os.listdir(tmp_path) == []


def test_only_cards_of_the_suite_are_found(tmp_path: Path, digits: Domain, model: nn.Module) -> None:
    other = Domain("digits-l2", "digits", "L2", 10, (1, 8, 8))
    save_entrant(tmp_path / "digits" / "trades-1", model, CARD, other)
    assert not [entrant for entrant in own_entrants(digits, [tmp_path]) if entrant.card.name == "trades-1"]


def test_one_name_in_two_folders_is_refused(tmp_path: Path, digits: Domain, model: nn.Module) -> None:
    for folder in ("a", "b"):
        save_entrant(tmp_path / folder / "digits" / "trades-1", model, replace(CARD, title=folder), digits)
    folders = [tmp_path / "a", tmp_path / "b"]
    assert "expected one entrant named 'trades-1', got " in refusal(lambda: own_entrants(digits, folders))
    again = [tmp_path / "a", tmp_path / "b" / ".." / "a"]
    assert [entrant.card.name for entrant in own_entrants(digits, again)].count("trades-1") == 1


def test_a_card_without_its_weights_is_an_entrant_with_a_missing_file(
    tmp_path: Path, digits: Domain, model: nn.Module
) -> None:
    path = save_entrant(tmp_path / "digits" / "trades-1", model, CARD, digits).path
    path.unlink()
    entrant = next(found for found in own_entrants(digits, [tmp_path]) if found.card.name == "trades-1")
    assert [file.name for file in entrant.missing()] == ["trades-1.safetensors"]
    assert "it has no download" in refusal(entrant.fetch)
    assert "got no file" in refusal(entrant.load)


def test_an_entrants_weights_may_be_a_pickle_of_tensors(tmp_path: Path, digits: Domain, model: nn.Module) -> None:
    path = save_entrant(tmp_path / "digits" / "trades-1", model, CARD, digits).path
    torch.save(model.state_dict(), path.with_suffix(".pt"))
    got = refusal(lambda: own_entrants(digits, [tmp_path]))
    assert got == f"expected one file of weights beside {path.with_suffix('.json')}, got trades-1.safetensors and" + (
        " trades-1.pt; remove one"
    )
    path.unlink()
    entrant = next(found for found in own_entrants(digits, [tmp_path]) if found.card.name == "trades-1")
    assert (entrant.card.architecture, entrant.spec) == ("digits-cnn", "trades-1")
    assert [file.name for file in entrant.weights().files] == ["trades-1.pt"]
    assert torch.equal(logits(entrant.load()), logits(model))
    assert "expected no other weights of 'trades-1', got" in refusal(
        lambda: save_entrant(tmp_path / "digits" / "trades-1", model, CARD, digits)
    )


def test_a_pickle_that_holds_code_is_refused_beside_a_card_too(
    tmp_path: Path, digits: Domain, model: nn.Module, hostile: object, marker: Path
) -> None:
    path = save_entrant(tmp_path / "digits" / "trades-1", model, CARD, digits).path
    path.unlink()
    torch.save(hostile, path.with_suffix(".pt"))
    entrant = next(found for found in own_entrants(digits, [tmp_path]) if found.card.name == "trades-1")
    assert "expected plain tensors in " in refusal(entrant.load)
    assert not marker.exists()


# cards


def test_a_card_names_the_published_row_of_its_weights(tmp_path: Path) -> None:
    domain = Domain("mnist", "mnist", "Linf", 10, (1, 28, 28))
    model = build("digits-cnn", domain.classes, domain.shape)
    named = replace(CARD, published="Zhang2019Theoretically")
    entrant = save_entrant(tmp_path / "mnist" / "trades-1", model, named, domain)
    assert entrant.card.published == "Zhang2019Theoretically"
    assert entrant.load() is not None
    entrant.card_path.write_text(entrant.card_path.read_text().replace("Zhang2019Theo", "Zhang2019Theo-"))
    for use in (entrant.load, entrant.weights, lambda: own_entrants(domain, [tmp_path])):
        got = refusal(use)
        assert got.startswith("expected 'published' to name a published row of mnist, got 'Zhang2019Theo-retically'")
        assert "did you mean Zhang2019Theoretically" in got


def test_a_card_with_a_published_row_is_an_entrant_of_a_suite_that_varies_its_own(tmp_path: Path) -> None:
    domain = Domain("mnist", "mnist", "Linf", 10, (1, 28, 28))
    model = build("digits-cnn", domain.classes, domain.shape)
    save_entrant(tmp_path / "mnist" / "trades-1", model, replace(CARD, published="Zhang2019Theoretically"), domain)
    # as `base = "mnist"` with norm = "L2": nobody publishes numbers of it
    varied = replace(domain, norm="L2", varied=True)
    found = {entrant.card.name: entrant for entrant in own_entrants(varied, [tmp_path])}
    assert found["trades-1"].load() is not None
    with pytest.raises(EntrantError, match="published row"):
        own_entrants(replace(varied, varied=False), [tmp_path])


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("not JSON", "expected a card in JSON in "),
        ("[1, 2]", "a JSON object, got a list"),
        ({"architecture": None}, "'architecture' to be a valid string, got None"),
        ({"architecture": "resnet-19"}, "did you mean resnet-18"),
        ({"classes": "10"}, "'classes' to be a valid integer, got '10'"),
        ({"classes": True}, "'classes' to be a valid integer, got True"),
        ({"shape": [8, 8]}, "'shape' to be [channels, height, width], got [8, 8]"),
        ({"shape": [1, 8, "8"]}, "'shape' to be [channels, height, width]"),
        ({"name": "other"}, "the name 'trades-1', which its files have, got 'other'"),
        ({"name": "a/b"}, "expected a name of letters, digits"),
        ({"training": "SAT"}, "'training' to be a valid dictionary, got 'SAT'"),
        ({"additional_data": "no"}, "'additional_data' to be a valid boolean, got 'no'"),
        ({"title": 3}, "'title' to be a valid string, got 3"),
        (
            {"classes": 11},
            "expected an entrant for digits (10 classes, images 1x8x8), got trades-1.json for digits (11",
        ),
        ({"shape": [3, 8, 8]}, "got trades-1.json for digits (10 classes, images 3x8x8)"),
    ],
)
def test_a_card_that_cannot_be_used_is_one_line(
    tmp_path: Path, digits: Domain, model: nn.Module, change: str | dict[str, Any], expected: str
) -> None:
    entrant = save_entrant(tmp_path / "digits" / "trades-1", model, CARD, digits)
    path = entrant.card_path
    content = change if isinstance(change, str) else json.dumps({**json.loads(path.read_text()), **change})
    path.write_text(content)
    assert expected in refusal(entrant.load)
    assert expected in refusal(entrant.weights)
    assert expected in refusal(lambda: own_entrants(digits, [tmp_path]))


@pytest.mark.parametrize("key", ["name", "suite", "architecture"])
def test_a_card_that_lacks_a_key_is_one_line(tmp_path: Path, digits: Domain, model: nn.Module, key: str) -> None:
    entrant = save_entrant(tmp_path / "trades-1", model, CARD, digits)
    content = json.loads(entrant.card_path.read_text())
    del content[key]
    entrant.card_path.write_text(json.dumps(content))
    assert f"the key {key!r}, got " in refusal(entrant.load)


def test_a_card_with_names_alone_is_enough(tmp_path: Path, digits: Domain, model: nn.Module) -> None:
    entrant = save_entrant(tmp_path / "trades-1", model, CARD, digits)
    content = json.loads(entrant.card_path.read_text())
    kept = {key: content[key] for key in ("name", "suite", "architecture")}
    entrant.card_path.write_text(json.dumps(kept))
    assert replace(entrant.card, dynamics=None) == Card(name="trades-1", source="zoo", architecture="digits-cnn")
    assert torch.equal(logits(entrant.load()), logits(model))


# by path


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt", ".bin", ".safetensors"])
def test_a_state_dict_loads_by_its_path(tmp_path: Path, digits: Domain, model: nn.Module, suffix: str) -> None:
    path = tmp_path / f"mine{suffix}"
    save = safetensors.torch.save_file if suffix == ".safetensors" else torch.save
    save(model.state_dict(), path)
    entrant = CheckpointEntrant(path, digits, "digits-cnn")
    assert torch.equal(logits(entrant.load()), logits(model))
    assert (entrant.card.name, entrant.card.source) == ("mine", "checkpoint")
    assert entrant.spec == f"checkpoint:{path}@digits-cnn"


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "epoch": 3, "optimizer": {"param_groups": []}},
        lambda state: {"model": state, "best": np.float64(0.5)},
        lambda state: {"model_state_dict": state},
        lambda state: {"state_dict": {"model": state}},
        lambda state: {f"module.{key}": value for key, value in state.items()},
        lambda state: {"state_dict": {f"module.model.{key}": value for key, value in state.items()}},
        lambda state: {f"_orig_mod.module.{key}": value for key, value in state.items()},
    ],
)
def test_containers_and_prefixes_of_training_code_are_taken_off(
    tmp_path: Path, digits: Domain, model: nn.Module, wrap: Any
) -> None:
    torch.save(wrap(model.state_dict()), tmp_path / "mine.pt")
    assert torch.equal(logits(CheckpointEntrant(tmp_path / "mine.pt", digits, "digits-cnn").load()), logits(model))


def test_a_checkpoint_in_half_precision_gives_a_float32_model(tmp_path: Path, digits: Domain, model: nn.Module) -> None:
    torch.save(model.half().state_dict(), tmp_path / "mine.pt")
    loaded = CheckpointEntrant(tmp_path / "mine.pt", digits, "digits-cnn").load()
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}


def test_no_architecture_known_lists_them(tmp_path: Path, digits: Domain, model: nn.Module) -> None:
    torch.save(model.state_dict(), tmp_path / "mine.pt")
    said = refusal(CheckpointEntrant(tmp_path / "mine.pt", digits).load)
    assert said.startswith(
        f"expected an architecture for {tmp_path / 'mine.pt'}, got none; add @ and one of digits-cnn,"
    )


def test_a_checkpoint_of_another_architecture_names_keys_and_counts(
    tmp_path: Path, digits: Domain, model: nn.Module
) -> None:
    torch.save(model.state_dict(), tmp_path / "mine.pt")
    said = refusal(CheckpointEntrant(tmp_path / "mine.pt", digits, "resnet-18").load)
    assert 'got a checkpoint with missing "conv1.weight" (102 keys), unexpected "0.weight" (8 keys);' in said
    torch.save(build("digits-cnn", 100, (1, 8, 8)).state_dict(), tmp_path / "mine.pt")
    said = refusal(CheckpointEntrant(tmp_path / "mine.pt", digits, "digits-cnn").load)
    assert "got a checkpoint with shape [100, 64] where [10, 64] is needed of '7.weight' (2 keys);" in said


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "got no file"),
        (b"", "got an empty file"),
        (b"<!DOCTYPE html><html>quota</html>", "got a web page"),
        (b"PK\x03\x04" + bytes(100), "got a zip archive that breaks off"),
        (b"\x80\x02}q\x00X", "the file is damaged or of another kind"),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "the file is damaged or of another kind"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_one_line(
    tmp_path: Path, digits: Domain, content: bytes | None, expected: str
) -> None:
    path = tmp_path / "mine.pt"
    if content is not None:
        path.write_bytes(content)
    entrant = CheckpointEntrant(path, digits, "digits-cnn")
    assert expected in refusal(entrant.load)
    assert (content is None) == (entrant.missing() == (path,))


@pytest.mark.parametrize("size", [40, 2000])
def test_a_safetensors_file_that_breaks_off_is_one_line(
    tmp_path: Path, digits: Domain, model: nn.Module, size: int
) -> None:
    entrant = save_entrant(tmp_path / "trades-1", model, CARD, digits)
    entrant.path.write_bytes(entrant.path.read_bytes()[:size])
    assert str(entrant.path) in refusal(entrant.load)


@pytest.mark.parametrize("held", [3, [1, 2], {}, {"epoch": 3}, {"state_dict": {"a": 1}}, {"state_dict": {}}])
def test_a_file_without_a_state_dict_is_one_line(tmp_path: Path, digits: Domain, held: Any) -> None:
    torch.save(held, tmp_path / "mine.pt")
    said = refusal(CheckpointEntrant(tmp_path / "mine.pt", digits, "digits-cnn").load)
    assert said.startswith(f"expected a state dict in {tmp_path / 'mine.pt'}, got ")


def test_a_hostile_pickle_does_not_run(
    tmp_path: Path, digits: Domain, model: nn.Module, hostile: object, marker: Path
) -> None:
    path = tmp_path / "mine.pt"
    torch.save({"state_dict": model.state_dict(), "hook": hostile}, path)
    said = refusal(CheckpointEntrant(path, digits, "digits-cnn").load)
    assert said == (
        f"expected plain tensors in {path}, got a pickle that holds code (posix.system);"
        " pass --allow-pickle mine only if you trust its author"
    )
    CheckpointEntrant(path, digits, "digits-cnn").weights()
    assert not marker.exists()
    allowed = CheckpointEntrant(path, digits, "digits-cnn", allow_pickle=True)
    assert torch.equal(logits(allowed.load()), logits(model))
    assert marker.exists()


def test_a_hostile_pickle_under_another_name_does_not_run(
    tmp_path: Path, digits: Domain, hostile: object, marker: Path
) -> None:
    path = tmp_path / "mine.safetensors"
    torch.save(hostile, path)
    assert str(path) in refusal(CheckpointEntrant(path, digits, "digits-cnn").load)
    assert not marker.exists()


def test_a_whole_pickled_model_is_refused_by_its_class_and_loads_when_allowed(
    tmp_path: Path, digits: Domain, model: nn.Module
) -> None:
    path = tmp_path / "mine.pt"
    torch.save(model, path)
    assert "torch.nn.modules.container.Sequential" in refusal(CheckpointEntrant(path, digits, "digits-cnn").load)
    loaded = CheckpointEntrant(path, digits, "digits-cnn", allow_pickle=True).load()
    assert torch.equal(logits(loaded), logits(model))


# what results depend on


def test_the_weights_hash_changes_with_the_bytes_and_the_architecture_only(
    tmp_path: Path, digits: Domain, model: nn.Module
) -> None:
    entrant = save_entrant(tmp_path / "trades-1", model, CARD, digits)
    first = entrant.weights()
    assert [file.name for file in first.files] == ["trades-1.safetensors"]
    moved = tmp_path / "other" / "renamed.safetensors"
    moved.parent.mkdir()
    moved.write_bytes(entrant.path.read_bytes())
    assert CheckpointEntrant(moved, digits, "digits-cnn").weights().sha256 == first.sha256
    assert CheckpointEntrant(moved, digits, "resnet-18").weights().sha256 != first.sha256
    with torch.no_grad():
        model[0].weight[0, 0, 0, 0] += 1
    assert save_entrant(tmp_path / "trades-1", model, CARD, digits).weights().sha256 != first.sha256


# shipped


TRADES_MNIST = "5b99888064f692047d5592b38df2dde126aa1b991a26c6aad683ce709634bea0"


@pytest.fixture
def mnist() -> Domain:
    return Domain("mnist", "mnist", "Linf", 10, (1, 28, 28))


def test_trades_network_for_mnist_ships_byte_for_byte_with_its_licence(mnist: Domain) -> None:
    entrant = find("Zhang2019Theoretically", mnist, model_dir=Path("models"))
    assert [(file.name, file.sha256) for file in entrant.weights().files] == [
        ("Zhang2019Theoretically.pt", TRADES_MNIST)
    ]
    assert entrant.weights().sha256 == "e7ea636da9940ae1a1ec270cef97cc3536aa561cb897c80882eb626c5693d99a"
    assert (entrant.card.licence, entrant.card.published) == ("MIT", "Zhang2019Theoretically")
    notice = (SHIPPED / "mnist" / "LICENSE.trades").read_text()
    assert notice.startswith("MIT License\n\nCopyright (c) 2019 Hongyang Zhang, Yaodong Yu, ")
    assert "this permission notice shall be included" in notice


def test_trades_network_for_mnist_gives_the_logits_of_its_layers(mnist: Domain) -> None:
    held = torch.load(SHIPPED / "mnist" / "Zhang2019Theoretically.pt", weights_only=True, map_location="cpu")
    x = torch.cat([torch.zeros(1, 1, 28, 28), torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))])
    h = x
    for k in (1, 2, 3, 4):
        h = F.relu(F.conv2d(h, held[f"feature_extractor.conv{k}.weight"], held[f"feature_extractor.conv{k}.bias"]))
        h = F.max_pool2d(h, 2) if k in (2, 4) else h
    h = h.flatten(1)
    for k in (1, 2, 3):
        h = F.linear(h, held[f"classifier.fc{k}.weight"], held[f"classifier.fc{k}.bias"])
        h = F.relu(h) if k < 3 else h
    model = find("Zhang2019Theoretically", mnist, model_dir=Path("models")).load()
    torch.testing.assert_close(model(x), h)


def test_every_shipped_entrant_loads_and_says_what_it_may_be_used_for(digits: Domain) -> None:
    shipped = own_entrants(digits)
    for entrant in shipped:
        assert entrant.card.licence, entrant.card.name
        assert entrant.card.training, entrant.card.name
        assert len({tuple(row) for row in logits(entrant.load()).tolist()}) == 4, "the same logits for every image"
    assert len({entrant.weights().sha256 for entrant in shipped}) == len(shipped)
