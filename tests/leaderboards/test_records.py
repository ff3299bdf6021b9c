"""Records survive the disk, and a bad one is named."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from leaderboards.pages.pages import render
from leaderboards.records.arrays import read_arrays, unsound_arrays, write_arrays
from leaderboards.records.files import (
    file_stem,
    parse_record,
    read_record,
    record_files,
    record_path,
    seal_problem,
    write_atomically,
    write_record,
)
from leaderboards.records.home import Home
from leaderboards.records.schema import SCHEMA_VERSION, Arrays, Histogram, Record, RecordError, Value

RecordOf = Callable[..., Record]


def with_value(record: Record, **value: Any) -> Record:
    plain = json.loads(record.to_json())
    plain["measurements"]["standard"]["values"]["standard_accuracy"] = {"n": 3, **value}
    return Record.model_validate(plain)


def test_a_record_comes_back_from_disk_byte_for_byte(tmp_path: Path, record_of: RecordOf) -> None:
    record = record_of("Small", energies=-4.2, arrays=tmp_path / "arrays")
    path, changed = write_record(tmp_path, record)
    assert changed
    assert read_record(path) == record
    assert read_record(path).to_json().encode() == path.read_bytes() == record.to_json().encode()
    assert path.read_bytes().endswith(b"}\n")


def test_a_record_from_before_there_were_distributions_is_still_one(tmp_path: Path, record_of: RecordOf) -> None:
    plain = json.loads(record_of("Old", energies=-4.2).to_json())
    for measurement in plain["measurements"].values():
        del measurement["distributions"]
    old = parse_record(json.dumps(plain).encode(), "old.json")
    assert old.measurements["energies"].distributions == {}
    path, _ = write_record(tmp_path, old)
    assert not write_record(tmp_path, old)[1]
    assert read_record(path) == old


@pytest.mark.parametrize("wrong", [{"counts": (1,)}, {"edges": (0.0, 0.0, 1.0)}, {"unit": 0.0}, {"below": -1}])
def test_a_histogram_has_bins_between_rising_edges(wrong: dict[str, Any]) -> None:
    right: dict[str, Any] = {
        "edges": (-1.0, 0.0, 2.0), "counts": (3, 4), "below": 1, "above": 0, "centre": 0.0, "unit": 1.0
    }  # fmt: skip
    assert Histogram(**right).counts == (3, 4)
    with pytest.raises(ValidationError):
        Histogram(**{**right, **wrong})


def test_a_record_is_sealed_and_a_file_that_was_edited_is_told_from_one_that_was_not(
    tmp_path: Path, record_of: RecordOf
) -> None:
    path, _ = write_record(tmp_path, record_of())
    written = path.read_bytes()
    assert seal_problem(written) == ""
    plain = json.loads(written)
    edited = json.loads(written)
    edited["measurements"]["standard"]["provenance"]["device_name"] = "a faster one"
    unsealed = {key: held for key, held in plain.items() if key != "seal"}
    for content, problem in [
        (json.dumps(edited, indent=1), "changed after it was written"),
        (json.dumps(unsealed, indent=1), "has no seal"),
        (json.dumps(plain), "text is not as it was written"),
    ]:
        assert problem in seal_problem(content.encode())
    assert read_record(path).to_json().encode() == written


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_has_no_word_for_survive(tmp_path: Path, record_of: RecordOf, number: float) -> None:
    path, _ = write_record(tmp_path, with_value(record_of(), value=number, low=-math.inf, high=math.inf))
    json.loads(path.read_bytes(), parse_constant=pytest.fail)
    value = read_record(path).measurements["standard"].values["standard_accuracy"]
    assert value.value == number or (math.isnan(number) and value.value is not None and math.isnan(value.value))
    assert (value.low, value.high) == (-math.inf, math.inf)


def test_a_record_with_nan_is_not_written_again_and_again(tmp_path: Path, record_of: RecordOf) -> None:
    record = with_value(record_of(), value=math.nan)
    assert write_record(tmp_path, record)[1]
    assert not write_record(tmp_path, record)[1]


def test_settings_with_infinity_can_be_written_and_read(tmp_path: Path, record_of: RecordOf) -> None:
    plain = json.loads(record_of().to_json())
    plain["measurements"]["standard"]["settings"] = {"norm": math.inf, "steps": [1, 2]}
    path, _ = write_record(tmp_path, Record.model_validate(plain))
    assert read_record(path).measurements["standard"].settings == {"norm": "Infinity", "steps": [1, 2]}


def test_finding_the_same_again_leaves_the_file_alone(tmp_path: Path, record_of: RecordOf) -> None:
    path, _ = write_record(tmp_path, record_of())
    before = path.read_bytes()
    again = record_of(provenance={"device_name": "another", "measured_at": "2030-01-01T00:00:00+00:00"})
    assert write_record(tmp_path, again) == (path, False)
    assert path.read_bytes() == before
    assert write_record(tmp_path, record_of(robust=0.4)) == (path, True)


@pytest.mark.parametrize("version", [0, 2, "1", True, 1.0, None, [1]])
def test_another_schema_version_is_refused(tmp_path: Path, record_of: RecordOf, version: object) -> None:
    path = tmp_path / "record.json"
    path.write_text(json.dumps(json.loads(record_of().to_json()) | {"schema_version": version}))
    with pytest.raises(
        RecordError, match=f"expected a record of schema version {SCHEMA_VERSION} in .*record.json, got"
    ):
        read_record(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\xfd",
        b"[]",
        b"null",
        b"[" * 100_000,
        b"1" * 5000,
        b'{"schema_version": 1}',
        pytest.param(b'{"schema_version": 1, "a": "' + b"x" * 100_000 + b'"}', id="long"),
    ],
    ids=lambda content: repr(content[:12]),
)
def test_a_file_that_is_no_record_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(content)
    with pytest.raises(RecordError, match=r"record\.json") as error:
        read_record(path)
    assert len(str(error.value).splitlines()) == 1
    assert len(str(error.value)) < 600


def test_a_missing_record_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"none\.json"):
        read_record(tmp_path / "none.json")


@pytest.mark.parametrize("place", [(), ("entrant",), ("measurements", "standard"), ("suite",)])
def test_fields_that_the_schema_does_not_know_are_refused(record_of: RecordOf, place: tuple[str, ...]) -> None:
    plain = json.loads(record_of().to_json())
    part = plain
    for key in place:
        part = part[key]
    part["surprise"] = 1
    with pytest.raises(RecordError, match=r"surprise: Extra inputs are not permitted"):
        parse_record(json.dumps(plain).encode(), "r.json")


def test_half_a_surrogate_pair_is_refused_wherever_it_stands(record_of: RecordOf) -> None:
    for old, new in ((b'"Small"', b'"\\ud800"'), (b'"batch_size"', b'"\\udfff"')):
        with pytest.raises(RecordError, match="measure again"):
            parse_record(record_of().to_json().encode().replace(old, new), "r.json")


def test_a_measurement_stands_under_its_own_name(record_of: RecordOf) -> None:
    plain = json.loads(record_of().to_json())
    plain["measurements"]["smoothness"] = plain["measurements"].pop("standard")
    with pytest.raises(ValidationError, match="'smoothness' says that it is of the measure 'standard'"):
        Record.model_validate(plain)


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_is_at_least_one(record_of: RecordOf, limit: int) -> None:
    with pytest.raises(ValidationError, match="limit"):
        Record.model_validate(json.loads(record_of().to_json()) | {"limit": limit})


def test_a_failure_in_the_middle_of_writing_keeps_the_old_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "record.json"
    write_atomically(path, b"old")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    for step in ("fsync", "rename", "replace"):
        with monkeypatch.context() as patched:
            patched.setattr(os, step, fail)
            if step == "rename":
                patched.setattr(Path, "replace", fail)
            if step != "replace":
                with pytest.raises(OSError, match="disk full"):
                    write_atomically(path, b"new and longer")
        assert path.read_bytes() == b"old"
        assert list(tmp_path.iterdir()) == [path]


def test_a_written_file_has_the_mode_of_any_new_file(tmp_path: Path) -> None:
    write_atomically(tmp_path / "ours", b"")
    (tmp_path / "plain").touch()
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize(
    "name",
    ["Wang2023Better_WRN-70-16", "Huang2022Revisiting_WRN-A4", "digits.v2", "_own", "a" * 120, "Index2"],
)
def test_plain_names_stay_plain(name: str) -> None:
    assert file_stem(name) == name


HOSTILE = [
    "",
    ".",
    "..",
    "../../etc/passwd",
    "/etc/passwd",
    "C:\\windows",
    ".hidden",
    "-rf",
    "a/b",
    "a b",
    "a\nb",
    "a\0b",
    "ends.",
    "CON",
    "nul.txt",
    "index",
    "INDEX",
    "x" * 121,
    "é",
    "e\u0301",
    "שלום",
    "\ud800",
    "partial-5/x",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_cannot_leave_the_results_folder(tmp_path: Path, record_of: RecordOf, name: str) -> None:
    stem = file_stem(name)
    assert 0 < len(stem) <= 120
    assert stem.isascii()
    assert not stem.startswith((".", "-"))
    assert not {"/", "\\", "\0", "\n", ":"} & set(stem)
    if name.isprintable():
        record = record_of(name, suite={"name": name})
        path, _ = write_record(tmp_path, record)
        assert path.parent.parent == tmp_path
        assert path.resolve().is_relative_to(tmp_path.resolve())
        assert read_record(path) == record
        assert list(record_files(tmp_path)) == [path]


def test_no_two_names_share_a_file() -> None:
    names = [*HOSTILE, "a-b", "a_b", "a:b", "unnamed", "ends", "con", "x" * 120, *map(file_stem, HOSTILE)]
    names = list(dict.fromkeys(names))
    stems = [file_stem(name) for name in names]
    assert len({stem.lower() for stem in stems}) == len(names)


def test_the_safe_spelling_of_one_name_is_not_the_name_of_another(tmp_path: Path, record_of: RecordOf) -> None:
    first = write_record(tmp_path, record_of("a/b"))[0]
    second = write_record(tmp_path, record_of(first.stem))[0]
    assert first != second
    assert {read_record(path).entrant.name for path in record_files(tmp_path)} == {"a/b", first.stem}


def test_a_file_of_another_entrant_is_not_overwritten(tmp_path: Path, record_of: RecordOf) -> None:
    """As on a file system that does not tell capitals from small letters."""
    path = record_path(tmp_path, record_of("resnet"))
    write_atomically(path, record_of("ResNet").to_json().encode())
    with pytest.raises(RecordError, match="rename one entrant"):
        write_record(tmp_path, record_of("resnet"))
    assert read_record(path).entrant.name == "ResNet"


def test_partial_records_live_apart_from_whole_ones(tmp_path: Path, record_of: RecordOf) -> None:
    paths = [write_record(tmp_path, record_of("A", limit=limit))[0] for limit in (None, 8, 64)]
    assert len(set(paths)) == 3
    assert set(record_files(tmp_path)) == set(paths)


def test_arrays_come_back_with_their_shapes_and_types(tmp_path: Path) -> None:
    arrays = {
        "b": np.arange(6, dtype=np.int64).reshape(2, 3).T,
        "a": np.array([1.5, np.nan, -np.inf], dtype=np.float32),
        "scalar": np.array(2.5),
        "empty": np.zeros((0, 3), dtype=np.uint8),
        "right": np.array([True, False]),
    }
    stored = write_arrays(tmp_path, arrays)
    back = read_arrays(tmp_path, stored)
    assert stored.names == tuple(sorted(arrays))
    assert set(back) == set(arrays)
    for name, array in arrays.items():
        assert back[name].shape == array.shape
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)


def test_equal_arrays_are_one_file(tmp_path: Path) -> None:
    one = write_arrays(tmp_path, {"x": np.arange(3), "y": np.ones(2)})
    two = write_arrays(tmp_path, {"y": np.ones(2), "x": np.arange(3)})
    assert one == two
    assert [path.name for path in tmp_path.iterdir()] == [one.file]


def test_missing_arrays_are_named(tmp_path: Path) -> None:
    stored = write_arrays(tmp_path, {"x": np.arange(3)})
    (tmp_path / stored.file).unlink()
    with pytest.raises(RecordError, match=f"{stored.file}, got nothing"):
        read_arrays(tmp_path, stored)


def test_changed_arrays_are_named_and_mended_by_measuring_again(tmp_path: Path) -> None:
    stored = write_arrays(tmp_path, {"x": np.arange(3)})
    path = tmp_path / stored.file
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(RecordError, match=f"{stored.file} to have the sha256 of its name"):
        read_arrays(tmp_path, stored)
    write_arrays(tmp_path, {"x": np.arange(3)})
    np.testing.assert_array_equal(read_arrays(tmp_path, stored)["x"], np.arange(3))


def test_an_array_that_the_record_names_and_the_file_lacks_is_named(tmp_path: Path) -> None:
    stored = write_arrays(tmp_path, {"x": np.arange(3)})
    with pytest.raises(RecordError, match="expected array 'y'"):
        read_arrays(tmp_path, Arrays(sha256=stored.sha256, names=("x", "y")))


@pytest.mark.parametrize("digest", ["../" * 21 + "x", "A" * 64, "a" * 63, "a" * 64 + "\n"])
def test_an_arrays_file_is_named_by_a_sha256_and_nothing_else(digest: str) -> None:
    with pytest.raises(ValidationError):
        Arrays(sha256=digest, names=())


def test_unsound_arrays_are_told_by_measure(tmp_path: Path, record_of: RecordOf) -> None:
    record = record_of(arrays=tmp_path)
    assert unsound_arrays(tmp_path, record) == {}
    wrong = unsound_arrays(tmp_path / "elsewhere", record)
    assert set(wrong) == {"autoattack"}
    assert str(tmp_path) not in wrong["autoattack"]


def test_a_value_knows_no_words_but_its_own() -> None:
    with pytest.raises(ValidationError):
        Value(value="high", n=1)  # type: ignore[arg-type]
    with pytest.raises(ValidationError):
        Value(value=1.0, n=-1)


def test_a_record_in_another_encoding_is_a_problem_and_the_others_are_rendered(
    tmp_path: Path, record_of: RecordOf
) -> None:
    for name in ("Good", "Wide", "Marked"):
        write_record(tmp_path / "results", record_of(name))
    folder = tmp_path / "results" / record_of("Good").suite.name
    (folder / "Wide.json").write_bytes((folder / "Wide.json").read_text("utf-8").encode("utf-16"))
    (folder / "Marked.json").write_bytes(b"\xef\xbb\xbf" + (folder / "Marked.json").read_bytes())
    rendered = render(Home(tmp_path), tmp_path / "site", [])
    (problem,) = rendered.problems
    assert problem.file == f"{folder.name}/Wide.json"
    assert "got no JSON ('utf-8' codec can't decode" in problem.message
    assert {"Good.html", "Marked.html"} <= {path.name for path in rendered.written}


def test_files_with_names_that_no_terminal_should_print_are_problems_of_one_plain_line(tmp_path: Path) -> None:
    folder = tmp_path / "results" / "digits"
    folder.mkdir(parents=True)
    (folder / "\x1b[31m\u202ered\nline.json").write_text('{"schema_version": "\\u001b[2J\\u009b"}')
    (folder / os.fsdecode(b"\xff.json")).write_text("{}")
    problems = render(Home(tmp_path), tmp_path / "site", []).problems
    assert len(problems) == 2
    assert all(f"{problem.file}{problem.message}".isprintable() for problem in problems)


def test_a_record_and_arrays_of_holes_are_not_read(tmp_path: Path, record_of: RecordOf) -> None:
    path, _ = write_record(tmp_path / "results", record_of("Small", arrays=tmp_path / "arrays"))
    record = read_record(path)
    for holes in (path, *(tmp_path / "arrays").iterdir()):
        with holes.open("wb") as file:
            file.truncate(40 * 2**30)
    with pytest.raises(RecordError, match=r"expected at most 32 MB in \S+, got 42949672960 bytes"):
        read_record(path)
    found = unsound_arrays(tmp_path / "arrays", record)
    assert found
    assert all(text.startswith("expected at most 1024 MB in arrays/") for text in found.values())


def test_arrays_with_a_header_of_very_many_keys_are_not_read(tmp_path: Path) -> None:
    content = (17 * 2**20).to_bytes(8, "little") + b"{" + bytes(17 * 2**20)
    digest = hashlib.sha256(content).hexdigest()
    (tmp_path / f"{digest}.safetensors").write_bytes(content)
    with pytest.raises(RecordError, match="expected a header of at most 16 MB"):
        read_arrays(tmp_path, Arrays(sha256=digest, names=()))
