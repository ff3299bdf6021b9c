"""harness publish: what a run hands over to the published records, what it leaves alone, and what it refuses."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.cli.publish import command
from harness.errors import BadInput
from harness.measures import MEASURES
from harness.run.best_known import known_of, with_found
from harness.run.publication import Change, Publication
from leaderboards.records.arrays import measured_arrays, unsound_arrays, write_arrays
from leaderboards.records.files import read_record, record_path, seal_problem, write_atomically
from leaderboards.records.home import Home
from leaderboards.records.schema import Counterexamples, Measurement, Record, Value
from leaderboards.records.transfers import Pair, Transfers, key_of, read_transfers, write_transfers
from leaderboards.records.verifications import (
    Verification,
    read_verification,
    verification_path,
    write_verification,
)
from leaderboards.records.witnesses import packed, read_witnesses, write_witnesses

SHIPPED = Home(Path(__file__).resolve().parents[2] / "leaderboards")


def beside(home: Home, examples: np.ndarray) -> Any:
    """A bundle of images that stand for witnesses of these examples: publishing shows them to no classifier."""
    x = np.zeros((len(examples), 1, 8, 8), np.float32)
    return write_witnesses(home.witnesses, packed(examples, x, x + np.float32(0.1)))


def write(home: Home, record: Record) -> Path:
    path = record_path(home.results, record)
    write_atomically(path, record.to_json().encode())
    return path


def measured(home: Home, name: str) -> Record:
    """A shipped record as a run would have made it: sealed, with its arrays and a bundle of witnesses beside it."""
    record = read_record(SHIPPED.results / "digits" / f"{name}.json").model_copy(update={"best_known": None})
    home.arrays.mkdir(parents=True, exist_ok=True)
    for one in record.arrays.values():
        shutil.copy(SHIPPED.arrays / one.file, home.arrays)
    stage = measured_arrays(home.arrays, record.measurements["autoattack"])["stage"]
    bundle = beside(home, np.flatnonzero((stage >= 0) & (stage < 4)))
    record = changed(record, "autoattack", witnesses=bundle)
    write(home, record)
    return record


def changed(record: Record, measure: str, **update: Any) -> Record:
    there: dict[str, Measurement] = dict(record.measurements)
    there[measure] = there[measure].model_copy(update=update)
    return record.model_copy(update={"measurements": there})


def rounded(home: Home, record: Record, measure: str, by: float) -> Record:
    """The record with the arrays of one measure as another processor finds them."""
    held = measured_arrays(home.arrays, record.measurements[measure])
    other = {name: array * np.float32(1 + by) if array.dtype.kind == "f" else array for name, array in held.items()}
    return changed(record, measure, arrays=write_arrays(home.arrays, other))


@dataclass(frozen=True)
class Places:
    run: Home
    to: Home

    def publish(self, **options: Any) -> dict[str, Change]:
        return {Path(change.file).stem: change for change in Publication(self.run, self.to, **options)()}

    def files(self) -> dict[str, bytes]:
        """What is published, by its place."""
        found = (path for path in self.to.root.rglob("*") if path.is_file() and path.name != ".lock")
        return {path.relative_to(self.to.root).as_posix(): path.read_bytes() for path in found}

    def record(self, name: str) -> Record:
        return read_record(self.to.results / "digits" / f"{name}.json")


@pytest.fixture
def places(tmp_path: Path) -> Places:
    found = Places(Home(tmp_path / "runs"), Home(tmp_path / "published"))
    found.to.root.mkdir()
    measured(found.run, "sat")
    return found


def test_a_record_goes_with_all_that_proves_it(places: Places) -> None:
    record = read_record(places.run.results / "digits" / "sat.json")
    picture = record_path(places.run.samples, record).with_suffix("") / "class-000.png"
    picture.parent.mkdir(parents=True)
    picture.write_bytes(b"a picture")
    content = (places.run.results / "digits" / "sat.json").read_bytes()
    of = {"record_sha256": hashlib.sha256(content).hexdigest(), "verified_at": "2026-11-21T00:00:00+00:00"}
    write_verification(places.run, record, Verification(**of, verdict="proved", statement="all of it"))
    assert {name: change.outcome for name, change in places.publish().items()} == {"sat": "published"}
    assert (places.to.results / "digits" / "sat.json").read_bytes() == content
    assert unsound_arrays(places.to.arrays, record) == {}
    bundle = record.measurements["autoattack"].witnesses
    assert bundle is not None
    assert len(read_witnesses(places.to.witnesses, bundle)) == bundle.n
    assert record_path(places.to.samples, record).with_suffix("").joinpath("class-000.png").read_bytes() == b"a picture"
    assert read_verification(places.to, record) is not None
    before = places.files()
    assert places.publish()["sat"].outcome == "left alone"
    assert places.files() == before


def test_a_record_that_agrees_within_rounding_changes_nothing_unless_all_is_asked_for(places: Places) -> None:
    places.publish()
    before, there = places.files(), places.record("sat")
    mine = rounded(places.run, there, "energies", 3e-7)
    write(places.run, mine)
    change = places.publish()["sat"]
    assert change.line == "left alone: digits/sat.json: it agrees with the published record within rounding"
    assert places.files() == before
    assert places.publish(every=True)["sat"].outcome == "replaced"
    assert places.record("sat") == mine
    old, new = (record.measurements["energies"].arrays for record in (there, mine))
    assert old is not None
    assert new is not None
    assert (places.to.arrays / new.file).is_file()
    assert not (places.to.arrays / old.file).exists(), "no record names it any more"


def test_only_the_measures_that_differ_take_the_place_of_published_ones(places: Places) -> None:
    places.publish()
    there = places.record("sat")
    mine = rounded(places.run, rounded(places.run, there, "energies", 1e-3), "smoothness", 3e-7)
    write(places.run, mine)
    assert places.publish()["sat"].line == "replaced: digits/sat.json: energies"
    now = places.record("sat").measurements
    assert now["energies"] == mine.measurements["energies"]
    assert {name: now[name] for name in now if name != "energies"} == {
        name: there.measurements[name] for name in now if name != "energies"
    }


def test_measures_that_the_run_did_not_take_stay_published(places: Places) -> None:
    places.publish()
    there = places.record("sat")
    values = there.measurements["standard"].values
    other = values["standard_accuracy"].model_copy(update={"level": 0.9})
    only = changed(there, "standard", values={"standard_accuracy": other})
    write(places.run, only.model_copy(update={"measurements": {"standard": only.measurements["standard"]}}))
    places.publish(every=True)
    assert set(places.record("sat").measurements) == set(there.measurements)


def test_a_run_under_other_conditions_does_not_mix_with_what_stays(places: Places) -> None:
    places.publish()
    there, before = places.record("sat"), places.files()
    made = there.measurements["standard"].provenance.model_copy(update={"precision": "bf16"})
    only = changed(there, "standard", provenance=made)
    write(places.run, only.model_copy(update={"measurements": {"standard": only.measurements["standard"]}}))
    change = places.publish()["sat"]
    assert change.outcome == "refused"
    assert "expected the conditions that the published record has (fp32 on cpu in shards of 100, seed 0)" in change.why
    assert places.files() == before


def partial(home: Home, record: Record) -> Record:
    return record.model_copy(update={"limit": 8})


def bounded(home: Home, record: Record) -> Record:
    values = {**record.measurements["autoattack"].values}
    values["autoattack_accuracy"] = Value(value=None, low=0.7, high=0.8, n=200, reason="bounded")
    return changed(record, "autoattack", values=values)


def lost_arrays(home: Home, record: Record) -> Record:
    arrays = record.measurements["smoothness"].arrays
    assert arrays is not None
    (home.arrays / arrays.file).unlink()
    return record


def cut_bundle(home: Home, record: Record) -> Record:
    bundle = record.measurements["autoattack"].witnesses
    assert bundle is not None
    path = home.witnesses / bundle.file
    path.write_bytes(path.read_bytes()[:-1])
    return record


def better(home: Home, record: Record) -> Record:
    values = {**record.measurements["autoattack"].values}
    values["autoattack_accuracy"] = values["autoattack_accuracy"].model_copy(update={"value": 0.9})
    return changed(record, "autoattack", values=values)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (partial, "it is partial: the first 8 of 200 examples; publish it with --limit 8"),
        (bounded, "autoattack is bounded: an interval, not a number"),
        (lost_arrays, "expected arrays in arrays/"),
        (cut_bundle, "to have the sha256 of its name"),
        (better, "it contradicts itself"),
    ],
    ids=lambda given: getattr(given, "__name__", ""),
)
def test_what_cannot_be_published_is_refused_and_the_others_are_published(
    places: Places, spoil: Callable[[Home, Record], Record], words: str
) -> None:
    good = measured(places.run, "mart")
    path = record_path(places.run.results, good)
    record = spoil(places.run, good)
    path.unlink()
    write(places.run, record)
    found = places.publish()
    assert found["mart"].outcome == ("left alone" if spoil in (partial, bounded) else "refused")
    assert words in found["mart"].why
    assert places.publish(entrants=("mart",))["mart"].outcome == "refused", "who names it asks for it"
    assert found["sat"].outcome == "published"
    assert not list(places.to.results.rglob("mart.json"))


def first_eight(record: Record) -> Record:
    """The record as a run with --limit 8 would have made it, of standard accuracy alone."""
    found = record.measurements["standard"]
    values = {"standard_accuracy": Value(value=1.0, low=0.63, high=1.0, level=0.95, method="clopper-pearson", n=8)}
    only = found.model_copy(update={"n": 8, "arrays": None, "values": values})
    return record.model_copy(update={"limit": 8, "measurements": {"standard": only}})


def test_records_of_the_first_examples_are_published_where_their_number_is_asked_for(places: Places) -> None:
    whole = read_record(places.run.results / "digits" / "sat.json")
    part = first_eight(whole)
    write(places.run, part)
    mine = first_eight(measured(places.run, "mart"))
    (places.run.results / "digits" / "mart.json").unlink()
    write(places.run, mine)
    assert {one.file: one.outcome for one in Publication(places.run, places.to)()} == {
        "digits/sat.json": "published",
        **{f"digits/partial-8/{name}.json": "left alone" for name in ("mart", "sat")},
    }
    before = places.files()
    found = {one.file: one for one in Publication(places.run, places.to, limit=8)()}
    assert list(found) == [f"digits/partial-8/{name}.json" for name in ("mart", "sat")]
    assert {one.outcome for one in found.values()} == {"published"}
    why = found["digits/partial-8/sat.json"].why
    assert why == "standard; partial, for the board of the first 8 of 200 examples"
    assert before.items() <= places.files().items(), "no whole record is touched"
    assert places.record("sat") == whole
    assert read_record(places.to.results / "digits" / "partial-8" / "sat.json") == part
    again = Publication(places.run, places.to, entrants=("sat",), limit=8)()
    assert [(one.file, one.outcome) for one in again] == [("digits/partial-8/sat.json", "left alone")]
    with pytest.raises(BadInput, match="expected records of the first 9 examples in"):
        places.publish(limit=9)


def test_a_record_edited_by_hand_is_refused_for_its_seal(places: Places) -> None:
    path = places.run.results / "digits" / "sat.json"
    path.write_text(path.read_text().replace('"value": 0.8,', '"value": 0.81,', 1))
    assert "its seal is not that of what it holds" in places.publish()["sat"].why
    path.write_text("{")
    assert "expected a record in digits/sat.json" in places.publish()["sat"].why
    assert places.files() == {}


def test_a_published_record_that_was_edited_is_replaced_though_it_agrees(places: Places) -> None:
    places.publish()
    path = places.to.results / "digits" / "sat.json"
    path.write_text(path.read_text().replace('"suite_title"', '"suite_title" ', 1))
    assert seal_problem(path.read_bytes())
    assert places.publish()["sat"].outcome == "replaced"
    assert seal_problem(path.read_bytes()) == ""


def test_bundles_at_an_address_are_named_and_not_copied(places: Places) -> None:
    places.publish()
    assert len(list(places.to.witnesses.iterdir())) == 1
    found = places.publish(witnesses_at="https://example.org/w/", every=True)
    assert found["sat"].outcome == "replaced"
    bundle = places.record("sat").measurements["autoattack"].witnesses
    assert bundle is not None
    assert bundle.address == f"https://example.org/w/{bundle.file}"
    assert not list(places.to.witnesses.iterdir())
    with pytest.raises(BadInput, match="http or https"):
        places.publish(witnesses_at="here")


def test_witnesses_that_the_published_record_lacks_are_published_though_all_agrees(places: Places) -> None:
    places.publish()
    there = places.record("sat")
    write(places.to, changed(there, "autoattack", witnesses=None))
    assert places.publish()["sat"].line == "replaced: digits/sat.json: autoattack"
    assert places.record("sat") == there


def counterexample(home: Home, record: Record, example: int) -> Record:
    """What `harness challenge` adds: an image that breaks one more example."""
    bundle = beside(home, np.array([example]))
    known = known_of(home, record).without(np.array([example]))
    more = Counterexamples(
        source="challenge", who=f"A{example}", how="by hand", found_at="2026-11-21", witnesses=bundle
    )
    return with_found(record, known, [more])


def test_what_is_best_known_here_and_there_is_joined(places: Places) -> None:
    places.publish()
    record = places.record("sat")
    left = np.flatnonzero(known_of(places.to, record).left)[:3]
    write(places.to, counterexample(places.to, counterexample(places.to, record, left[0]), left[1]))
    mine = counterexample(places.run, counterexample(places.run, record, left[1]), left[2])
    write(places.run, mine)
    assert places.publish()["sat"].outcome == "replaced"
    now = places.record("sat")
    assert now.best_known is not None
    assert sorted(one.who for one in now.best_known.found) == [f"A{example}" for example in sorted(left)]
    robust = record.measurements["autoattack"].values["autoattack_accuracy"].value
    assert robust is not None
    assert now.best_known.value.value == pytest.approx(robust - 3 / 200)
    named = {bundle.file for bundle in now.bundles.values()}
    assert {path.name for path in places.to.witnesses.iterdir()} == named


def test_other_images_that_break_the_same_examples_are_no_news(places: Places) -> None:
    places.publish()
    record = places.record("sat")
    left = np.flatnonzero(known_of(places.to, record).left)[:2]
    write(places.to, counterexample(places.to, counterexample(places.to, record, left[0]), left[1]))
    before = places.files()
    write(places.run, counterexample(places.run, record, left[1]))
    assert places.publish()["sat"].outcome == "left alone"
    assert places.files() == before


def test_transfers_are_published_where_both_records_are_as_they_were_tried(places: Places) -> None:
    records = {name: measured(places.run, name) for name in ("sat", "mart", "trades")}

    def pair(target: str, source: str) -> Pair:
        key, bundle = key_of(records[target]), records[source].measurements["autoattack"].witnesses
        assert key is not None
        assert bundle is not None
        of = dict(zip(("target", "weights_sha256", "flags_sha256"), key, strict=True))
        return Pair(**of, source=source, bundle_sha256=bundle.sha256, tried=9, broken=1)

    kept, of_a_stranger = pair("sat", "mart"), pair("sat", "trades")
    of_other_images = pair("mart", "sat").model_copy(update={"bundle_sha256": "0" * 64})
    pairs = (kept, of_a_stranger, of_other_images)
    write_transfers(places.run.transfers, Transfers(suite="digits").with_pairs(pairs))
    places.publish(entrants=("sat", "mart"))
    assert read_transfers(places.to.transfers, "digits").pairs == (kept,)
    places.publish(entrants=("trades",))
    assert read_transfers(places.to.transfers, "digits").pairs == (kept, of_a_stranger)


def test_a_damaged_file_of_transfers_takes_nothing_from_the_records(places: Places) -> None:
    places.run.transfers.mkdir()
    (places.run.transfers / "digits.json").write_text("{")
    assert places.publish()["sat"].outcome == "published"
    (places.run.transfers / "digits.json").unlink()
    places.to.transfers.mkdir()
    (places.to.transfers / "digits.json").write_text("{")
    assert places.publish()["sat"].outcome == "left alone"


def test_what_somebody_found_and_lies_at_an_address_is_not_dropped_for_other_flags(places: Places) -> None:
    places.publish()
    record = places.record("sat")
    left = np.flatnonzero(known_of(places.to, record).left)
    known = counterexample(places.to, record, left[0])
    write(places.to, known)
    assert known.best_known is not None
    bundle = known.best_known.found[0].witnesses
    away = (places.to.witnesses / bundle.file).rename(places.to.root / "away")
    stage = measured_arrays(places.run.arrays, record.measurements["autoattack"])
    stage["stage"] = stage["stage"].copy()
    stage["stage"][left[1]] = stage["reached"][left[1]] = 3
    attack = record.measurements["autoattack"]
    values = MEASURES["autoattack"].summarise(stage, ()).values
    broken = np.flatnonzero((stage["stage"] >= 0) & (stage["stage"] < 4))
    mine = changed(record, "autoattack", arrays=write_arrays(places.run.arrays, stage), values=dict(values))
    mine = changed(mine, "autoattack", witnesses=beside(places.run, broken))
    assert attack.arrays != mine.measurements["autoattack"].arrays
    write(places.run, mine)
    before = places.files()
    assert "expected witnesses in witnesses/" in places.publish()["sat"].line
    assert places.files() == before
    away.rename(places.to.witnesses / bundle.file)
    assert places.publish()["sat"].outcome == "replaced"
    now = places.record("sat").best_known
    assert now is not None
    assert [one.who for one in now.found] == [f"A{left[0]}"]


def test_a_bundle_that_another_record_has_here_stays_where_one_is_published_at_an_address(places: Places) -> None:
    places.publish()
    twin = places.record("sat")
    twin = twin.model_copy(update={"entrant": twin.entrant.model_copy(update={"name": "twin", "spec": "twin"})})
    write(places.to, twin)
    bundle = twin.measurements["autoattack"].witnesses
    assert bundle is not None
    places.publish(witnesses_at="https://example.org/w", every=True)
    assert len(read_witnesses(places.to.witnesses, bundle)) == bundle.n


def test_a_mark_of_other_bytes_and_a_link_among_pictures_are_not_published(places: Places, tmp_path: Path) -> None:
    path = places.run.results / "digits" / "sat.json"
    record = read_record(path)
    (secret := tmp_path / "secret").write_text("mine")
    mark = verification_path(places.run, record)
    mark.parent.mkdir(parents=True)
    mark.symlink_to(secret)
    pictures = record_path(places.run.samples, record).with_suffix("")
    pictures.mkdir(parents=True)
    (pictures / "class-000.png").write_bytes(b"a picture")
    (pictures / "class-001.png").symlink_to(secret)
    places.publish()
    assert b"mine" not in places.files().values()
    assert b"a picture" in places.files().values()


def test_another_entrant_does_not_take_a_published_name(places: Places) -> None:
    places.publish()
    record = places.record("sat")
    other = {"spec": "checkpoint:elsewhere/sat.pt@resnet-18", "weights_sha256": "9" * 64}
    write(places.run, record.model_copy(update={"entrant": record.entrant.model_copy(update=other)}))
    assert "expected a name of its own, got 'sat'" in places.publish()["sat"].why
    assert places.record("sat") == record


def test_what_is_not_there_is_asked_for_in_one_line(places: Places) -> None:
    for options in ({"entrants": ("sat", "nobody")}, {"suite": "cifar10"}):
        with pytest.raises(BadInput, match="got none; do: harness run"):
            places.publish(**options)
    with pytest.raises(BadInput, match="name another --to"):
        Publication(places.run, places.run)()
    measured(places.run, "mart")
    assert set(places.publish(entrants=("mart",), suite="digits")) == {"mart"}


def test_the_verb_says_what_changed_and_how_to_see_it(places: Places, harness_here) -> None:
    assert command.name == "publish"
    words = ("publish", str(places.run.root), "--to", str(places.to.root))
    done = harness_here(*words)
    assert done.returncode == 0, done.stderr
    published, prove, see = done.stdout.splitlines()
    assert prove == f"prove it: harness verify {places.to.root}"
    assert published.startswith("published: digits/sat.json: ")
    assert see == f"see it: harness render --out {places.to.root}"
    write(places.run, partial(places.run, places.record("sat")))
    again = harness_here(*words)
    assert again.returncode == 0
    unnamed, same = again.stdout.splitlines()
    assert unnamed.startswith("left alone: digits/partial-8/sat.json: it is partial")
    assert same == "left alone: digits/sat.json: it is what is published"
    named = harness_here(*words, "--entrants", "sat")
    assert named.returncode == 1
    assert "refused: digits/partial-8/sat.json: it is partial" in named.stderr
    nothing = harness_here("publish", str(places.to.root / "nowhere"))
    assert (nothing.returncode, nothing.stderr.count("\n")) == (2, 1)
    assert "do: harness run" in nothing.stderr
