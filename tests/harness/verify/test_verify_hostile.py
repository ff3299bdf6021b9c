"""A folder of somebody else's is verified without waiting, without filling the memory, and without writing elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

import harness
from harness.verify.evidence import fetched
from harness.verify.natural import Natural, held_against
from harness.verify.verdict import Findings, Outcome
from leaderboards.records.arrays import read_arrays, write_arrays
from leaderboards.records.collection import collect
from leaderboards.records.schema import Bundle, RecordError
from leaderboards.records.verifications import read_verification, verification_path
from leaderboards.records.witnesses import read_witnesses


@pytest.mark.parametrize("kind", ["a device without end", "a pipe"])
def test_a_record_that_is_no_file_is_refused_and_not_read(place, kind: str) -> None:
    """/dev/zero has a size of 0 and never ends; a pipe is waited for."""
    other = place.file.with_name("other.json")
    other.symlink_to("/dev/zero") if kind == "a device without end" else os.mkfifo(other)
    found = harness.verify(place.home.root, entrants=("other",), device="cpu", mark=False)
    assert "got a folder, a pipe or a device" in found[0].line
    assert any("a pipe or a device" in problem.message for problem in collect(place.home)[1])


def test_the_suite_of_a_record_that_is_a_pipe_is_not_waited_for(place) -> None:
    os.mkfifo(place.root / "mine.toml")
    place.edit(lambda plain: plain.update(suite_words=["--suite", "mine.toml"]))
    verdict = place.verdict()
    assert verdict.outcome is Outcome.CANNOT
    assert "expected a suite by name or the path of a .toml file, got mine.toml" in verdict.line


def test_what_was_found_is_not_written_through_a_link_out_of_the_folder(place, tmp_path: Path) -> None:
    (elsewhere := tmp_path / "elsewhere").mkdir()
    place.home.verified.symlink_to(elsewhere)
    assert place.verdict(mark=True).outcome is Outcome.PROVED
    assert list(elsewhere.iterdir()) == []


def test_a_bundle_that_says_it_has_terabytes_is_not_fetched(tmp_path: Path) -> None:
    bundle = Bundle(sha256="0" * 64, n=1, size=2**40, address="http://localhost:9/it")
    with pytest.raises(RecordError, match="at most 1024 MB, got 1099511627776 bytes"):
        fetched(bundle, tmp_path / "it")


def test_a_bundle_that_a_record_names_a_hundred_times_is_read_once(place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred copies of a large one would fill the memory of whoever renders or verifies."""
    read: list[str] = []
    for module in ("harness.verify.evidence", "leaderboards.records.standing"):
        monkeypatch.setattr(
            f"{module}.read_witnesses", lambda folder, one: read.append(one.sha256) or read_witnesses(folder, one)
        )
    attack = place.plain()["measurements"]["autoattack"]
    one = {"source": "challenge", "who": "a", "how": "b", "found_at": "c", "witnesses": attack["witnesses"]}
    known = {"value": attack["values"]["autoattack_accuracy"], "found": [one] * 100}
    place.edit(lambda plain: plain.update(best_known=known))
    assert "found 1: its bundle is that of autoattack" in place.verdict().faults
    collect(place.home)
    assert len(read) == 2


def test_a_mark_stays_where_the_weights_are_not_here_and_goes_where_they_are_others(place) -> None:
    place.verdict(mark=True)
    first = verification_path(place.home, place.record).read_bytes()
    weights = place.weights.read_bytes()
    place.weights.unlink()
    assert place.verdict(mark=True).outcome is Outcome.CANNOT
    assert verification_path(place.home, place.record).read_bytes() == first
    place.weights.write_bytes(weights[:-4] + b"\0\0\0\1")
    assert place.verdict(mark=True).outcome is Outcome.DIFFERS
    assert read_verification(place.home, place.record).verdict == "differs"


def test_a_precision_that_no_network_is_judged_in_is_not_proved(place) -> None:
    place.edit(lambda plain: [m["provenance"].update(precision="int4") for m in plain["measurements"].values()])
    verdict = place.verdict()
    assert verdict.outcome is Outcome.CANNOT
    assert "expected a precision of fp32, bf16, got int4" in verdict.line


@pytest.mark.parametrize("many", [1, 2, 12])
def test_ties_excuse_few_natural_images_and_not_all(place, many: int) -> None:
    """A network whose two largest logits always tie could otherwise be called right on every image."""
    from harness.verify.evidence import gathered

    evidence = gathered(place.file, Findings())
    labels = torch.from_numpy(evidence.arrays["standard"]["label"]).long()
    logits = torch.zeros(len(labels), 10).scatter(1, labels[:, None], 1.0)
    evidence.arrays["standard"]["correct"][:] = True
    evidence.arrays["standard"]["prediction"][:] = labels
    evidence.arrays["autoattack"]["stage"][:] = 4
    other = (labels + 1) % 10
    logits[range(many), other[:many]] = 1 + 1e-6
    assert held(logits, labels, evidence) == (many > 1)


def held(logits: torch.Tensor, labels: torch.Tensor, evidence: object) -> bool:
    findings = Findings()
    held_against(Natural(logits, labels, "fp32"), evidence, findings)
    assert bool(findings.faults) != bool(findings.notes)
    return bool(findings.faults)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda stage: np.full(len(stage), np.inf),
        lambda stage: np.full(len(stage), np.nan),
        lambda stage: np.stack([stage, stage], axis=1),
        lambda stage: stage.astype(np.float32),
    ],
    ids=["infinite", "no numbers", "two an example", "floats"],
)
@pytest.mark.parametrize(("measure", "name"), [("standard", "correct"), ("autoattack", "stage")])
def test_flags_of_another_form_contradict_the_record_and_crash_nothing(place, measure, name, spoil) -> None:
    attacked = place.record.measurements[measure]
    arrays = read_arrays(place.home.arrays, attacked.arrays)
    held = write_arrays(place.home.arrays, {**arrays, name: spoil(arrays[name])})
    place.edit(lambda plain: plain["measurements"][measure].update(arrays=held.model_dump(mode="json")))
    verdict = place.verdict()
    assert verdict.outcome is Outcome.DIFFERS
    assert f"{measure}: its array {name} is no whole number an example" in " ".join(verdict.faults)
    ((item,), _) = collect(place.home)
    assert item.standing.contradictions


def test_a_whole_number_beyond_64_bits_is_no_record(place) -> None:
    """Arithmetic with floats would fail of it, and every page with that."""
    place.edit(
        lambda plain: plain["measurements"]["standard"]["values"]["standard_accuracy"].update(n=10**400), sealed=False
    )
    verdict = place.verdict()
    assert "got no JSON (a whole number of 401 digits)" in verdict.line
    assert len(collect(place.home)[1]) == 1


def test_a_record_whose_files_together_would_fill_the_memory_is_refused_before_one_is_read(
    place, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = [path.stat().st_size for folder in (place.home.arrays, place.home.witnesses) for path in folder.iterdir()]
    monkeypatch.setattr("leaderboards.records.home.MOST_BESIDE", sum(sizes))
    assert place.verdict(mark=False).outcome is Outcome.PROVED
    os.truncate(next(place.home.witnesses.iterdir()), sum(sizes) + 1)  # a file of holes
    for module in ("harness.verify.evidence.read_witnesses", "leaderboards.records.arrays.load_arrays"):
        monkeypatch.setattr(module, pytest.fail)
    assert "of arrays and witnesses of one record" in place.verdict(mark=False).line
    assert "of arrays and witnesses of one record" in collect(place.home)[1][0].message
