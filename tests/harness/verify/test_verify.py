"""Proving a record again: what is as it was is proved, and each edit of it is found with one line."""

from __future__ import annotations

import http.server
import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from junitparser import JUnitXml
from safetensors.numpy import load_file, save_file

import harness
from harness.data.datasets import digits
from harness.errors import BadInput
from harness.verify.chosen import chosen
from harness.verify.verdict import Outcome
from leaderboards.records.arrays import read_arrays, write_arrays
from leaderboards.records.verifications import read_verification
from leaderboards.records.witnesses import packed, read_witnesses, write_witnesses


def one_fault(verdict: Any, *words: str) -> None:
    """It differs, and one line says what."""
    assert verdict.outcome is Outcome.DIFFERS, verdict
    assert len(verdict.faults) == 1, verdict.faults
    assert "\n" not in verdict.line
    for word in words:
        assert word in verdict.line, verdict.line


def test_a_record_is_proved_as_far_as_its_witnesses_go(place) -> None:
    verdict, record = place.verdict(), place.record
    stage = read_arrays(place.home.arrays, record.measurements["autoattack"].arrays)["stage"]
    broken, wrong = int(((stage >= 0) & (stage < 4)).sum()), int((stage == -1).sum())
    assert broken, "the fixture's record proves nothing"
    assert verdict.outcome is Outcome.PROVED, verdict
    assert (verdict.witnesses, verdict.misclassified, verdict.examples) == (broken, wrong, 12)
    robust = record.measurements["autoattack"].values["autoattack_accuracy"].value
    assert f"at most {100 * robust:.1f} % robust" in verdict.line
    assert verdict.details == ()


def test_a_record_of_all_measures_is_proved(whole_place) -> None:
    verdict = whole_place.verdict()
    assert verdict.outcome is Outcome.PROVED, verdict


def test_a_record_without_autoattack_is_verified_as_far_as_it_goes(place) -> None:
    place.edit(lambda plain: plain["measurements"].pop("autoattack"))
    verdict = place.verdict()
    assert verdict.outcome is Outcome.PROVED, verdict
    assert "% accurate: " in verdict.line
    assert verdict.witnesses == 0


def test_an_edited_value_is_found_by_the_seal(place) -> None:
    def better(plain: dict[str, Any]) -> None:
        plain["suite_title"] = "Digits, but better"

    place.edit(better, sealed=False)
    one_fault(place.verdict(), "its seal is not that of what it holds")


def test_an_edited_value_is_found_where_it_is_sealed_again(place) -> None:
    def better(plain: dict[str, Any]) -> None:
        plain["measurements"]["standard"]["values"]["standard_accuracy"]["low"] += 0.001

    place.edit(better)
    verdict = place.verdict()
    assert verdict.outcome is Outcome.DIFFERS
    assert "standard_accuracy has another interval" in verdict.line


def test_an_edited_number_of_energies_is_one_line(whole_place) -> None:
    def smoother(plain: dict[str, Any]) -> None:
        plain["measurements"]["energies"]["values"]["marginal_energy.sd"]["value"] *= 1.001

    whole_place.edit(smoother)
    one_fault(whole_place.verdict(), "energies: marginal_energy.sd: the record says")


def _with_arrays(place, measure: str, change) -> None:
    """Arrays edited, written under their new sha256, named by the record, sealed again."""
    record = place.record
    arrays = {k: v.copy() for k, v in read_arrays(place.home.arrays, record.measurements[measure].arrays).items()}
    change(arrays)
    written = write_arrays(place.home.arrays, arrays)
    place.edit(lambda plain: plain["measurements"][measure].update(arrays=written.model_dump(mode="json")))


def test_a_flipped_flag_is_found_though_its_file_and_the_seal_fit(place) -> None:
    def one_more_robust(arrays: dict[str, np.ndarray]) -> None:
        row = np.flatnonzero((arrays["stage"] >= 0) & (arrays["stage"] < 4))[0]
        arrays["stage"][row], arrays["reached"][row] = 4, 4

    _with_arrays(place, "autoattack", one_more_robust)
    verdict = place.verdict()
    assert verdict.outcome is Outcome.DIFFERS
    assert any("autoattack_accuracy" in fault for fault in verdict.faults)
    assert any("is no broken one, and has a witness" in fault for fault in verdict.faults)


def test_a_flipped_byte_of_an_array_is_one_line(place) -> None:
    path = place.home.arrays / place.record.measurements["standard"].arrays.file
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    one_fault(place.verdict(), "standard: expected", "to have the sha256 of its name")


def test_a_natural_flag_is_held_against_the_classifier(place) -> None:
    """The record agrees with itself: another classifier was measured, or the arrays were made up."""

    def all_wrong(arrays: dict[str, np.ndarray]) -> None:
        arrays["prediction"][3] = (arrays["label"][3] + 1) % 10
        arrays["correct"][3] = False

    _with_arrays(place, "standard", all_wrong)
    found = place.verdict().faults
    assert any("natural images differ here in right or wrong, the first is example 3" in fault for fault in found)


def test_a_swapped_weight_file_is_one_line(place) -> None:
    weights = load_file(place.weights)
    name = sorted(weights)[0]
    save_file({**weights, name: weights[name] * np.float32(1.01)}, place.weights)
    one_fault(place.verdict(), "entrant: its weights have the sha256", "other weights")


def test_a_record_that_takes_a_published_row_for_its_own_is_one_line(place) -> None:
    place.edit(lambda plain: plain["entrant"].update(published="Zhang2019Theoretically"))
    one_fault(place.verdict(), "entrant: its published is Zhang2019Theoretically in the record, and empty here")


def test_a_changed_eps_is_one_line(place) -> None:
    place.edit(lambda plain: plain["suite"].update(eps=0.2))
    one_fault(place.verdict(), "suite: its eps is 0.2 in the record, and 0.15 here")


def _with_witnesses(place, change) -> None:
    """Witnesses edited, written under their new sha256, named by the record, sealed again."""
    bundle = place.record.measurements["autoattack"].witnesses
    found = read_witnesses(place.home.witnesses, bundle)
    x = digits("test").examples(0, 200).x.numpy()[found.examples]
    x_adv = found.images(x).copy()
    change(x, x_adv)
    written = write_witnesses(place.home.witnesses, packed(found.examples, x, x_adv))
    place.edit(lambda plain: plain["measurements"]["autoattack"].update(witnesses=written.model_dump(mode="json")))


def test_a_witness_outside_the_ball_is_one_line(place) -> None:
    def further(x: np.ndarray, x_adv: np.ndarray) -> None:
        x_adv[0, 0, 0, 0] = 1.0 if x[0, 0, 0, 0] < 0.5 else 0.0

    _with_witnesses(place, further)
    one_fault(place.verdict(), "1 witness does not count (outside the ball)")


def test_a_witness_that_fools_nobody_is_one_line(place) -> None:
    def natural(x: np.ndarray, x_adv: np.ndarray) -> None:
        x_adv[0] = x[0]

    _with_witnesses(place, natural)
    one_fault(place.verdict(), "1 witness is classified correctly here")


def test_a_truncated_bundle_is_one_line(place) -> None:
    path = place.home.witnesses / place.record.measurements["autoattack"].witnesses.file
    path.write_bytes(path.read_bytes()[:-7])
    one_fault(place.verdict(), "autoattack: expected", "to have the sha256 of its name")


def test_what_is_missing_is_named_with_how_to_get_it(place) -> None:
    bundle = place.home.witnesses / place.record.measurements["autoattack"].witnesses.file
    content = bundle.read_bytes()
    bundle.unlink()
    assert place.verdict().outcome is Outcome.CANNOT
    bundle.write_bytes(content)
    place.weights.unlink()
    verdict = place.verdict()
    assert verdict.outcome is Outcome.CANNOT
    assert "its classifier is not here" in verdict.line


def test_a_record_without_witnesses_cannot_be_proved(place) -> None:
    place.edit(lambda plain: plain["measurements"]["autoattack"].pop("witnesses"))
    verdict = place.verdict()
    assert verdict.outcome is Outcome.CANNOT
    assert "no witnesses; do: harness run --suite digits --entrants mine" in verdict.line


def test_a_bundle_is_fetched_from_its_address_and_checked(place) -> None:
    bundle = place.home.witnesses / place.record.measurements["autoattack"].witnesses.file
    content = bundle.read_bytes()
    bundle.unlink()
    given = {"/good": content, "/other": content[:-1] + b"x"}

    class Served(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(given[self.path])

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Served) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for path, outcome in (("/other", Outcome.CANNOT), ("/good", Outcome.PROVED)):
            address = f"http://127.0.0.1:{server.server_port}{path}"
            place.edit(lambda plain, a=address: plain["measurements"]["autoattack"]["witnesses"].update(address=a))
            verifying = place.verifying()
            assert verifying(place.file).outcome is Outcome.CANNOT, "nothing is fetched unasked"
            object.__setattr__(verifying.claims, "download", True)
            assert verifying(place.file).outcome is outcome
        server.shutdown()
    assert bundle.read_bytes() == content


def test_an_address_that_is_no_web_address_is_not_opened(place) -> None:
    bundle = place.home.witnesses / place.record.measurements["autoattack"].witnesses.file
    elsewhere = place.root / "elsewhere"
    bundle.rename(elsewhere)
    address = elsewhere.as_uri()
    place.edit(lambda plain: plain["measurements"]["autoattack"]["witnesses"].update(address=address))
    verifying = place.verifying()
    object.__setattr__(verifying.claims, "download", True)
    verdict = verifying(place.file)
    assert verdict.outcome is Outcome.CANNOT
    assert "expected an address with http or https" in verdict.line


def test_code_that_a_record_names_is_not_run_unasked(place) -> None:
    (place.root / "trap.py").write_text("raise SystemExit('it ran')\n")
    place.edit(lambda plain: plain["entrant"].update(spec="python:trap:model"))
    assert "it runs code by the name that the record gives" in "".join(place.verdict().missing)

    place.edit(lambda plain: plain["entrant"].update(spec="checkpoint:mine.pt@trap:Model"))
    assert "it runs code by the name that the record gives" in "".join(place.verdict().missing)
    place.edit(lambda plain: plain["entrant"].update(spec="mine"))
    (place.root / "trap.toml").write_text('base = "digits"\nname = "digits-trap"\ndataset = "trap:data"\n')
    for words in (["--suite", "digits", "--dataset", "trap:data"], ["--suite", "trap.toml"]):
        place.edit(lambda plain, said=words: plain.update(suite_words=said))
        assert "it runs code by the name that the record gives" in "".join(place.verdict().missing)


def test_a_card_that_names_code_as_the_architecture_runs_none(place) -> None:
    """A folder of somebody else's brings its own zoo/: a record that names its entrant by name alone is enough."""
    (place.root / "trapped.py").write_text("raise SystemExit('it ran')\n")
    card = place.weights.with_suffix(".json")
    card.write_text(json.dumps({**json.loads(card.read_text()), "architecture": "trapped:net"}))
    for spec in ("mine", f"checkpoint:{place.weights.relative_to(place.root)}"):
        place.edit(lambda plain, said=spec: plain["entrant"].update(spec=said, architecture="trapped:net"))
        verdict = place.verdict()
        assert "it runs code by the name that the record gives (trapped:net)" in verdict.line
    claims = replace(place.verifying().claims, own=("mine",))
    assert "it ran" in replace(place.verifying(), claims=claims)(place.file).line


def test_code_that_the_user_names_is_run(place) -> None:
    (place.root / "mine_own.py").write_text(
        "import torch\n\n\ndef model():\n    torch.manual_seed(0)\n"
        "    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))\n"
    )
    spec = "python:mine_own:model"
    harness.judge(spec, "digits", ["standard"], limit=5, out=place.root / "own", device="cpu")
    (verdict,) = harness.verify(place.root / "own", device="cpu")
    assert verdict.outcome is Outcome.CANNOT
    assert "--entrants mine_own.model" in verdict.line
    (verdict,) = harness.verify(place.root / "own", entrants=(spec,), device="cpu")
    assert verdict.outcome is Outcome.PROVED, verdict


def test_a_record_in_the_place_of_another_is_found_and_leaves_the_marks_alone(place) -> None:
    other = place.file.with_name("yours.json")
    place.file.rename(other)
    verdict = place.verifying(mark=True)(other)
    assert "belong in results/digits/partial-12/mine.json" in verdict.line
    assert not place.home.verified.exists()


def test_what_was_found_is_kept_and_a_second_time_changes_no_byte(place) -> None:
    place.verdict(mark=True)
    (path,) = place.home.verified.rglob("*.json")
    first = path.read_bytes()
    found = read_verification(place.home, place.record)
    assert found is not None
    assert found.of(place.file.read_bytes())
    place.verdict(mark=True)
    assert path.read_bytes() == first
    place.edit(lambda plain: plain["suite"].update(eps=0.2))
    place.verdict(mark=True)
    assert read_verification(place.home, place.record).verdict == "differs"


def test_the_command_gives_a_line_an_entrant_json_junit_and_its_exit_status(place, harness_here, tmp_path) -> None:
    done = harness_here("verify", "runs", "--junit", str(tmp_path / "junit.xml"), cwd=place.root)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("mine on digits (first 12): proved: at most ")
    assert JUnitXml.fromfile(str(tmp_path / "junit.xml")).failures == 0
    place.edit(lambda plain: plain["suite"].update(eps=0.2))
    done = harness_here("verify", str(place.file), "--json", "--junit", str(tmp_path / "junit.xml"), cwd=place.root)
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert (found["differs"], found["proved"], found["cannot"]) == (1, 0, 0)
    assert found["verdicts"][0]["faults"] == ["suite: its eps is 0.2 in the record, and 0.15 here"]
    assert JUnitXml.fromfile(str(tmp_path / "junit.xml")).failures == 1
    place.edit(lambda plain: plain["suite"].update(eps=0.15))
    place.weights.unlink()
    assert harness_here("verify", "runs", cwd=place.root).returncode == 3
    assert harness_here("verify", "nowhere", cwd=place.root).returncode == 2
    assert harness_here("verify", "runs", "--entrants", "yours", cwd=place.root).returncode == 2


def test_the_same_from_python(place) -> None:
    (verdict,) = harness.verify(place.home.root, device="cpu", mark=False)
    assert verdict.line == place.verdict().line
    assert harness.verify(place.file, entrants=("mine",), device="cpu", mark=False)[0].line == verdict.line


def test_records_are_chosen_by_file_by_home_by_results_and_by_suite(place) -> None:
    for where in (place.file, place.home.root, place.home.results, place.file.parents[1]):
        assert chosen([where]) == [place.file]
    assert chosen([place.home.root, place.file], ["mine"]) == [place.file]
    with pytest.raises(BadInput, match="expected a record"):
        chosen([place.root / "zoo"])
    with pytest.raises(BadInput, match="did you mean mine"):
        chosen([place.home.root], ["mime"])


def test_other_numbers_of_threads_and_random_states_change_no_verdict(place) -> None:
    torch.manual_seed(5)
    state = torch.get_rng_state()
    assert place.verdict().outcome is Outcome.PROVED
    assert torch.equal(torch.get_rng_state(), state), "the caller's random numbers go on as they were"


def test_a_file_that_is_no_record_differs_in_one_line(place, tmp_path: Path) -> None:
    place.file.write_text("{}")
    one_fault(place.verdict(), "expected a record of schema version 1")
