"""What pages offer to be copied: commands that measure, prove, load and train again. That they work is shown by
tests/harness/test_copied_commands.py, which runs them."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from leaderboards.pages.commands import measured_again as commands
from leaderboards.pages.commands import of_board, of_record
from leaderboards.records.home import Home
from leaderboards.records.schema import Record

RecordOf = Callable[..., Record]
HERE = Home(Path("anywhere/else/runs"))


def test_the_command_measures_the_same_again(record_of: RecordOf) -> None:
    assert commands(record_of("A", energies=-1.0, entrant={"spec": "./my runs/a.safetensors"}, limit=64)) == (
        "harness run --suite digits --entrants './my runs/a.safetensors' --measures standard,autoattack,energies"
        " --limit 64 --device cuda --precision fp32",
    )


def test_a_command_of_a_hostile_entrant_is_one_word(record_of: RecordOf) -> None:
    spec = "x; rm -rf ~ $(id) `id` 'quoted'"
    (command,) = commands(record_of("A", entrant={"spec": spec}))
    assert shlex.split(command)[5] == spec


@pytest.mark.parametrize("spec", ["a\nrm -rf ~", "a\u202eb", "a\x1b[2J"])
def test_no_command_holds_what_cannot_be_seen(record_of: RecordOf, spec: str) -> None:
    assert commands(record_of("A", entrant={"spec": spec})) == ()


def attacked(record: Record, **settings: object) -> Record:
    """The record, with its AutoAttack run by these settings on a CPU."""
    found = record.measurements["autoattack"]
    made = found.provenance.model_copy(update={"device": "cpu"})
    changed = found.model_copy(update={"settings": {**found.settings, **settings}, "provenance": made})
    return record.model_copy(update={"measurements": {**record.measurements, "autoattack": changed}})


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"engine": "harness 1", "search": "bf16"}, "--search bf16"),
        ({"engine": "harness 1", "search": "fp32"}, ""),  # what a CPU does by itself
        ({"engine": "pyautoattack"}, "--engine pyautoattack"),
    ],
)
def test_the_command_names_the_engine_and_its_search_where_they_are_not_the_usual(
    record_of: RecordOf, settings: dict[str, str], words: str
) -> None:
    (command,) = [line for line in commands(attacked(record_of("A"), **settings)) if "autoattack" in line]
    assert words in command
    assert ("--search" in command or "--engine" in command) == bool(words)


def test_a_record_is_proved_from_the_folder_that_holds_its_own(record_of: RecordOf) -> None:
    found = {command.title: command for command in of_record(record_of("A", limit=64), HERE)}
    (proof,) = (shlex.split(command.text) for title, command in found.items() if title == "Prove it")
    assert proof == ["harness", "verify", "runs/results/digits/partial-64/A.json"]
    assert "anywhere" not in " ".join(command.says + command.text for command in found.values())


def test_the_lines_of_python_load_the_entrant_whatever_its_name_holds(record_of: RecordOf) -> None:
    spec = 'checkpoint:a"b\\c.pt@resnet-18'
    (lines,) = (c.text for c in of_record(record_of("A", entrant={"spec": spec}), HERE) if "Python" in c.title)
    asked: dict[str, object] = {}
    called = type("harness", (), {"load": lambda name, suite: asked.update(name=name, suite=suite)})
    exec(lines.replace("import harness\n", ""), {"harness": called})
    assert asked == {"name": spec, "suite": "digits"}


def test_training_again_is_offered_where_a_card_has_the_recipe(record_of: RecordOf) -> None:
    titles = [command.title for command in of_record(record_of("A"), HERE)]
    assert "Train it again" not in titles
    trained = record_of("A", entrant={"training": {"recipe": {"objective": "sat"}}, "spec": "A"})
    (command,) = (one.text for one in of_record(trained, HERE) if one.title == "Train it again")
    assert command == "harness train --suite digits --recipe-of A --name A-again"


def test_rows_of_a_board_that_were_measured_alike_share_a_command(record_of: RecordOf) -> None:
    alike = [(record_of(name, entrant={"spec": name}), HERE) for name in ("A", "B")]
    other = (record_of("C", entrant={"spec": "C"}, energies=-1.0), HERE)
    memory = (record_of("D", entrant={"source": "memory"}), HERE)
    again, proof = of_board([*alike, other, memory])
    assert [shlex.split(line)[5] for line in again.text.splitlines()] == ["A,B", "C"]
    assert proof.text == "harness verify runs/results/digits"
    assert of_board([memory]) == ()
