"""From what a person types to an entrant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from zoo import Card, Domain, EntrantError, entrants, find
from zoo.architectures import build
from zoo.callables import PythonEntrant
from zoo.checkpoints import CheckpointEntrant
from zoo.own_entrants import save_entrant
from zoo.published import published
from zoo.robustbench import RobustBenchEntrant, import_robustbench


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(EntrantError) as error:
        act()
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture
def own(tmp_path: Path, cifar10: Domain) -> Path:
    """A folder with one own entrant of the suite, named as one of RobustBench's."""
    folder = tmp_path / "own"
    model = build("wrn-16-4", 10, (3, 32, 32))
    card = Card(name="Standard", source="zoo", architecture="wrn-16-4")
    save_entrant(folder / cifar10.suite / "Standard", model, card, cifar10)
    return folder


def test_a_name_alone_is_an_own_entrants_before_robustbenchs(tmp_path: Path, cifar10: Domain, own: Path) -> None:
    assert isinstance(find("Standard", cifar10, model_dir=tmp_path), RobustBenchEntrant)
    found = find("Standard", cifar10, model_dir=tmp_path, own_folders=[own])
    assert isinstance(found, CheckpointEntrant)
    assert (found.source, found.spec) == ("zoo", "Standard")
    prefixed = find("robustbench:Standard", cifar10, model_dir=tmp_path, own_folders=[own])
    assert isinstance(prefixed, RobustBenchEntrant)


def test_every_entrants_spec_finds_it_again(tmp_path: Path, cifar10: Domain, own: Path) -> None:
    everyone = entrants(cifar10, model_dir=tmp_path, own_folders=[own])
    for entrant in everyone:
        assert find(entrant.spec, cifar10, model_dir=tmp_path, own_folders=[own]) == entrant
    for spec in ("checkpoint:a/b.pt@resnet-18", "checkpoint:a.safetensors", "python:zoo.pyautoattack:resnet18"):
        assert find(spec, cifar10, model_dir=tmp_path).spec == spec


def test_own_entrants_come_first_then_robustbenchs_in_published_order(
    tmp_path: Path, cifar10: Domain, own: Path
) -> None:
    everyone = entrants(cifar10, model_dir=tmp_path, own_folders=[own])
    assert everyone[0].card.source == "zoo"
    names = [entrant.card.name for entrant in everyone[1:]]
    assert names == [row.name for row in published("cifar10", "Linf") if row.in_zoo]
    assert set(names) == set(import_robustbench()["cifar10", "Linf"])
    assert len(names) == 76


def test_a_data_set_or_norm_that_robustbench_does_not_have_has_no_entries(tmp_path: Path, digits: Domain) -> None:
    assert not [e for e in entrants(digits, model_dir=tmp_path) if isinstance(e, RobustBenchEntrant)]
    l1 = Domain("cifar10-l1", "cifar10", "L1", 10, (3, 32, 32))
    assert entrants(l1, model_dir=tmp_path) == ()
    said = refusal(lambda: find("robustbench:Standard", digits, model_dir=tmp_path))
    assert said == "expected an entry of RobustBench for digits, Linf, got 'Standard'; it has none"


def test_a_checkpoint_is_found_by_its_path_and_architecture(
    tmp_path: Path, cifar10: Domain, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(rest: str) -> tuple[str, str | None]:
        entrant = find(f"checkpoint:{rest}", cifar10, model_dir=tmp_path)
        assert isinstance(entrant, CheckpointEntrant)
        return str(entrant.path), entrant.architecture

    monkeypatch.chdir(tmp_path)
    assert found("runs/a.pt@resnet-18") == ("runs/a.pt", "resnet-18")
    assert found("runs/a.pt") == ("runs/a.pt", None)
    assert found("me@host/a.pt") == ("me@host/a.pt", None)
    assert found("me@host/a.pt@wrn-28-10") == ("me@host/a.pt", "wrn-28-10")
    Path("last@resnet-18").touch()
    assert found("last@resnet-18") == ("last@resnet-18", None)


def test_a_pickle_is_allowed_by_name_spec_or_path_for_that_entrant_only(
    tmp_path: Path, cifar10: Domain, own: Path
) -> None:
    def allowed(spec: str, *names: str) -> bool:
        entrant = find(spec, cifar10, model_dir=tmp_path, own_folders=[own], allow_pickle=names)
        assert isinstance(entrant, CheckpointEntrant | RobustBenchEntrant)
        return entrant.allow_pickle

    assert allowed("robustbench:Wong2020Fast", "Wong2020Fast")
    assert allowed("Wong2020Fast", "robustbench:Wong2020Fast")
    assert allowed("checkpoint:runs/a.pt@resnet-18", "a")
    assert allowed("checkpoint:runs/a.pt@resnet-18", "runs/a.pt")
    assert allowed("checkpoint:runs/a.pt@resnet-18", "checkpoint:runs/a.pt@resnet-18")
    assert allowed("Standard", "Standard")
    assert not allowed("robustbench:Wong2020Fast")
    assert not allowed("robustbench:Wong2020Fast", "Wong2020", "checkpoint")
    assert not allowed("checkpoint:runs/a.pt@resnet-18", "b", "runs")


def test_python_specs_are_taken_apart(tmp_path: Path, cifar10: Domain) -> None:
    assert find("python:my.models:robust", cifar10, model_dir=tmp_path) == PythonEntrant("my.models", "robust", cifar10)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("Carmon2019Unlabelled", "did you mean Carmon2019Unlabeled"),
        ("carmon2019unlabeled", "did you mean Carmon2019Unlabeled"),
        ("Standart", "did you mean Standard"),
        ("robustbench:Carmon2019", "did you mean Carmon2019Unlabeled"),
        ("robust-bench:Standard", "unknown prefix 'robust-bench'; did you mean robustbench?"),
        ("checkpoints:a.pt", "did you mean checkpoint?"),
        ("http://host/a.pt", "unknown prefix 'http';"),
        ("Zhang2019Theoreticaly", "did you mean Zhang2019Theoretically"),
        ("Alayrac2019Labels", "of which RobustBench publishes numbers only"),
        ("robustbench:Alayrac2019Labels", "of which RobustBench publishes numbers only"),
        ("checkpoint:a.pt@resnet18", "did you mean resnet-18"),
        ("checkpoint:a.pt@", "expected an architecture after @, got ''"),
        ("checkpoint:", "expected a path after checkpoint:, got nothing"),
        ("python:module", "expected python:<module>:<callable>, got 'python:module'"),
        ("python:a/b.py:net", "expected python:<module>:<callable>"),
        ("python:a:net:x", "expected python:<module>:<callable>"),
        ("", "expected an entrant of cifar10-linf, got ''"),
    ],
)
def test_a_mistyped_entrant_is_one_line_with_the_nearest(
    tmp_path: Path, cifar10: Domain, spec: str, expected: str
) -> None:
    assert expected in refusal(lambda: find(spec, cifar10, model_dir=tmp_path))


def test_a_mistyped_own_entrant_is_found_among_both_kinds(tmp_path: Path, cifar10: Domain) -> None:
    model = build("wrn-16-4", 10, (3, 32, 32))
    card = Card(name="weat-adv-seed1", source="zoo", architecture="wrn-16-4")
    save_entrant(tmp_path / cifar10.suite / "weat-adv-seed1", model, card, cifar10)
    said = refusal(lambda: find("weat-adv-seed2", cifar10, model_dir=tmp_path, own_folders=[tmp_path]))
    assert "did you mean weat-adv-seed1?" in said


def test_the_name_of_a_file_gets_the_form_for_files(
    tmp_path: Path, cifar10: Domain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({}, "mine.pt")
    assert "write checkpoint:mine.pt@<architecture>" in refusal(lambda: find("mine.pt", cifar10, model_dir=tmp_path))
