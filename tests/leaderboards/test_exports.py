"""Exports: what the schemas of others ask for, the numbers of the record and no others, and nothing outside the folder."""

from __future__ import annotations

import hashlib
import json
import math
import re
import shutil
import uuid
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from leaderboards.exports.export import WRITERS, Exported, export
from leaderboards.exports.names import FORMATS
from leaderboards.records.arrays import measured_arrays, write_arrays
from leaderboards.records.files import read_record, record_files, seal_problem, write_record
from leaderboards.records.home import Home
from leaderboards.records.schema import BestKnown, Bundle, Counterexamples, Flag, Record, RecordError, Value, is_number

PUBLISHED = Home(Path(__file__).resolve().parents[2] / "leaderboards")
SCHEMAS = Path(__file__).parent / "schemas" / "every-eval-ever-0.3.0"

BOUNDED = Value(value=None, low=0.55, high=0.6, level=0.95, method="hypergeometric, one-sided", n=20, reason="bounded")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The committed records of digits, sealed."""
    home = Home(tmp_path_factory.mktemp("published"))
    for path in record_files(PUBLISHED.results):
        if path.parent.name == "digits":
            write_record(home.results, read_record(path))
    shutil.copytree(PUBLISHED.arrays, home.arrays)
    return home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def small(record_of: Callable[..., Record]) -> Callable[..., Record]:
    """Makes records of 20 examples that agree with themselves: standard accuracy 0.95, AutoAttack 0.5, without its stages."""

    def make(**more: Any) -> Record:
        more = {"suite": {}, **more}
        record = record_of(**{**more, "suite": {"examples": 20, **more["suite"]}})
        if "autoattack" not in record.measurements:
            return record
        found = record.measurements["autoattack"]
        values = {"autoattack_accuracy": found.values["autoattack_accuracy"]}
        return with_autoattack(record, values=values)

    return make


def with_autoattack(record: Record, **changed: Any) -> Record:
    found = record.measurements["autoattack"].model_copy(update=changed)
    return record.model_copy(update={"measurements": {**record.measurements, "autoattack": found}})


def loaded(done: Exported, suffix: str = ".json") -> list[Any]:
    return [json.loads(path.read_text()) for path in done.written if path.suffix == suffix]


def rows(done: Exported) -> list[Any]:
    (path,) = (path for path in done.written if path.suffix == ".jsonl")
    return [json.loads(text) for text in path.read_text().splitlines()]


def plain(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@cache
def validator(name: str) -> jsonschema.Draft7Validator:
    return jsonschema.Draft7Validator(plain(SCHEMAS / name))


def faults(to: Path) -> list[str]:
    """What the schemas, and the data store's rules about paths and companions, find wrong in an export."""
    wrong: list[str] = []
    component = re.compile(
        r'(?!(?:data|con|prn|aux|nul|com\d|lpt\d)(?:\.|$))[^<>:"\\|?*\x00-\x1f]*[^. ]', re.IGNORECASE
    )
    files = {path.relative_to(to).as_posix(): path for path in to.rglob("*") if path.is_file()}
    for name, path in files.items():
        data, *between, file = name.split("/")
        known = data == "data" and len(between) == 3 and all(component.fullmatch(part) for part in between)
        stem = file.removesuffix(".json").removesuffix("_samples.jsonl")
        if not known or str(uuid.UUID(stem)) != stem or uuid.UUID(stem).version != 4:
            wrong.append(f"{name}: not a path of the store")
        if not name.endswith(".json"):
            continue
        aggregate = plain(path)
        wrong += [error.message for error in validator("eval.schema.json").iter_errors(aggregate)]
        if aggregate["model_info"]["id"].split("/") != between[1:]:
            wrong.append(f"{name}: lies in the folder of another model")
        for result in aggregate["evaluation_results"]:
            ends = [
                float(
                    result["metric_config"][end].replace("Infinity", "inf")
                    if isinstance(result["metric_config"][end], str)
                    else result["metric_config"][end]
                )
                for end in ("min_score", "max_score")
            ]
            if not ends[0] <= result["score_details"]["score"] <= ends[1]:
                wrong.append(f"{name}: a score outside its scale")
        companion = name.replace(".json", "_samples.jsonl")
        said = aggregate.get("detailed_evaluation_results")
        if (said is not None) != (companion in files):
            wrong.append(f"{name}: examples without a mention, or a mention without them")
        if said is None:
            continue
        content = files[companion].read_bytes()
        found = [json.loads(text) for text in content.decode().splitlines()]
        if said["file_path"] != companion or said["checksum"] != hashlib.sha256(content).hexdigest():
            wrong.append(f"{name}: other examples than it says")
        if said["total_rows"] != len(found) or {row["evaluation_id"] for row in found} != {aggregate["evaluation_id"]}:
            wrong.append(f"{name}: rows of another evaluation, or another number of them")
        keys = {result["evaluation_result_id"] for result in aggregate["evaluation_results"]}
        for row in found:
            wrong += [error.message for error in validator("instance_level_eval.schema.json").iter_errors(row)]
            if row["evaluation_result_id"] not in keys or row["model_id"] != aggregate["model_info"]["id"]:
                wrong.append(f"{name}: a row of no result")
    return wrong


def by_their_validator(to: Path) -> list[str]:
    """What the package's own validator finds wrong; it needs Python 3.12. Nothing where it is not installed."""
    try:
        from every_eval_ever.validator.validate import main
    except ImportError:
        return []
    found = [str(path) for path in sorted(to.rglob("*")) if path.is_file()]
    return [] if main(["--format", "json", *found]) == 0 else ["every_eval_ever validate fails"]


def bounded(record: Record, arrays: Path) -> Record:
    """A record of 20 examples as AutoAttack leaves it with FAB-T and Square on a tenth: 12 survivors, 2 run to the end."""
    stage = np.array([-1] * 2 + [0] * 5 + [1] + [4] * 12, np.int8)
    reached = np.array([0] * 7 + [1] + [4] * 2 + [2] * 10, np.int8)
    kept = write_arrays(arrays, {"stage": stage, "reached": reached})
    return with_autoattack(record, values={"autoattack_accuracy": BOUNDED}, arrays=kept, settings={"bounded": 0.1})


# every-eval-ever


@pytest.mark.parametrize(
    "file", [path.relative_to(PUBLISHED.root) for path in record_files(PUBLISHED.results)], ids=str
)
def test_a_published_record_is_valid_by_the_schema_that_it_names(tmp_path: Path, file: Path) -> None:
    done = export(PUBLISHED.root / file, "every-eval-ever", tmp_path)
    assert done.refused == ()
    assert faults(tmp_path) == by_their_validator(tmp_path) == []
    (aggregate,) = loaded(done)
    assert aggregate["schema_version"] == plain(SCHEMAS / "eval.schema.json")["version"]


def test_every_record_of_a_place_is_exported(published: Home, tmp_path: Path) -> None:
    done = export(published.root, "every-eval-ever", tmp_path)
    names = {read_record(path).entrant.name for path in record_files(published.results)}
    assert {aggregate["model_info"]["name"] for aggregate in loaded(done)} == names
    assert len(done.written) == 2 * len(names)


def test_a_row_that_is_changed_is_a_fault(published: Home, tmp_path: Path) -> None:
    done = export(published.root, "every-eval-ever", tmp_path, ["sat"])
    path = next(path for path in done.written if path.suffix == ".jsonl")
    path.write_text(path.read_text().replace('"is_correct": true', '"is_correct": 1', 1))
    assert len(faults(tmp_path)) == 2, "the schema sees the type, the checksum the change"


def test_scores_and_intervals_are_the_records_to_the_last_digit(published: Home, tmp_path: Path) -> None:
    record = read_record(published.results / "digits" / "sat.json")
    (aggregate,) = loaded(export(published.root, "every-eval-ever", tmp_path, ["sat"]))
    found = {result["evaluation_result_id"]: result for result in aggregate["evaluation_results"]}
    expected = {
        f"{measure}.{name}": m.values[name]
        for measure, m in record.measurements.items()
        for name, said in m.quantities.items()
        if said.kind == "headline" and name in m.values
    }
    assert found.keys() == expected.keys()
    assert {"standard.standard_accuracy", "autoattack.autoattack_accuracy", "generation.fid"} <= found.keys()
    for key, value in expected.items():
        said = found[key]["score_details"]
        assert said["score"] == value.value
        assert said["uncertainty"]["num_samples"] == value.n
        interval = said["uncertainty"].get("confidence_interval")
        assert (interval is not None) == is_number(value.low)
        if interval:
            assert (interval["lower"], interval["upper"], interval["confidence_level"]) == (
                value.low,
                value.high,
                value.level,
            )
    better = {key: result["metric_config"]["lower_is_better"] for key, result in found.items()}
    assert better["generation.fid"]
    assert not better["autoattack.autoattack_accuracy"]


def test_the_examples_are_those_of_the_arrays(published: Home, tmp_path: Path) -> None:
    record = read_record(published.results / "digits" / "sat.json")
    standard, autoattack = (
        measured_arrays(published.arrays, record.measurements[m]) for m in ("standard", "autoattack")
    )
    found = rows(export(published.root, "every-eval-ever", tmp_path, ["sat"]))
    n = record.suite.examples
    assert len(found) == 2 * n
    natural = [row for row in found if row["evaluation_result_id"] == "standard.standard_accuracy"]
    attacked = [row for row in found if row["evaluation_result_id"] == "autoattack.autoattack_accuracy"]
    assert [row["evaluation"]["is_correct"] for row in natural] == standard["correct"].tolist()
    assert [int(row["output"]["raw"][0]) for row in natural] == standard["prediction"].tolist()
    assert [int(row["input"]["reference"][0]) for row in natural] == standard["label"].tolist()
    assert [row["evaluation"]["is_correct"] for row in attacked] == (autoattack["stage"] == 4).tolist()
    stages = ["natural image", "apgd-ce", "apgd-t", "fab-t", "square", None]
    assert [row["metadata"].get("broken_by") for row in attacked] == [stages[k + 1] for k in autoattack["stage"]]
    assert [row["sample_hash"] for row in natural] == [row["sample_hash"] for row in attacked], "the same images"
    assert len({row["sample_hash"] for row in natural}) == n


def test_two_entrants_have_the_same_hashes_of_the_same_images(published: Home, tmp_path: Path) -> None:
    one, other = (rows(export(published.root, "every-eval-ever", tmp_path / e, [e])) for e in ("sat", "trades"))
    assert [row["sample_hash"] for row in one] == [row["sample_hash"] for row in other]
    assert one[0]["model_id"] != other[0]["model_id"]


@pytest.mark.parametrize("form", FORMATS)
def test_the_same_records_give_the_same_bytes(published: Home, tmp_path: Path, form: str) -> None:
    shutil.copytree(published.root, tmp_path / "elsewhere")
    one = export(published.root, form, tmp_path / "one")
    other = export(tmp_path / "elsewhere", form, tmp_path / "other")
    assert [p.relative_to(tmp_path / "one") for p in one.written] == [
        p.relative_to(tmp_path / "other") for p in other.written
    ]
    assert [p.read_bytes() for p in one.written] == [p.read_bytes() for p in other.written]


def test_a_record_that_finds_something_else_has_a_file_of_its_own(
    small: Callable[..., Record], home: Home, tmp_path: Path
) -> None:
    names = set()
    for robust in (0.5, 0.25):
        write_record(home.results, small(robust=robust))
        names |= {path.name for path in export(home.root, "every-eval-ever", tmp_path / "out").written}
    assert len(names) == 2


def test_a_bounded_accuracy_is_exported_as_its_ends_and_never_as_a_number(
    small: Callable[..., Record], home: Home, tmp_path: Path
) -> None:
    record = bounded(small(), home.arrays)
    write_record(home.results, record)
    done = export(home.root, "every-eval-ever", tmp_path / "out")
    assert done.refused == ()
    assert faults(tmp_path / "out") == by_their_validator(tmp_path / "out") == []
    (aggregate,) = loaded(done)
    found = {result["evaluation_result_id"]: result for result in aggregate["evaluation_results"]}
    assert set(found) == {
        "standard.standard_accuracy",
        "autoattack.autoattack_accuracy.lower_bound",
        "autoattack.autoattack_accuracy.upper_bound",
    }
    for end, score in (("lower", 0.55), ("upper", 0.6)):
        result = found[f"autoattack.autoattack_accuracy.{end}_bound"]
        assert result["score_details"]["score"] == score
        assert f"{end} bound" in result["metric_config"]["metric_name"]
        assert result["metric_config"]["metric_id"].endswith(f"{end}_bound")
        assert "was not computed" in result["metric_config"]["evaluation_description"]
        assert result["score_details"]["details"]["whole"].startswith("no")
    examples = rows(done)
    assert {row["evaluation_result_id"] for row in examples} == {"autoattack.autoattack_accuracy.upper_bound"}
    assert [row["metadata"].get("not_run") for row in examples] == [None] * 10 + ["fab-t, square"] * 10
    assert sum(row["evaluation"]["is_correct"] for row in examples) == 12


def test_a_bound_that_its_examples_do_not_give_is_refused(
    small: Callable[..., Record], home: Home, tmp_path: Path
) -> None:
    values = {"autoattack_accuracy": BOUNDED.model_copy(update={"high": 0.65})}
    write_record(home.results, with_autoattack(bounded(small(), home.arrays), values=values))
    done = export(home.root, "every-eval-ever", tmp_path / "out")
    assert done.written == ()
    assert "examples that give autoattack.autoattack_accuracy.upper_bound 0.65" in done.refused[0]


def test_a_partial_record_says_so_and_lies_in_a_collection_of_its_own(
    small: Callable[..., Record], home: Home, tmp_path: Path
) -> None:
    for limit in (None, 10):
        write_record(home.results, small(limit=limit))
    done = export(home.root, "every-eval-ever", tmp_path / "out")
    assert faults(tmp_path / "out") == by_their_validator(tmp_path / "out") == []
    by_collection = {path.parts[-4]: plain(path) for path in done.written}
    assert set(by_collection) == {"robust-energy-harness-digits", "robust-energy-harness-digits-partial-10"}
    names = [{r["evaluation_name"] for r in aggregate["evaluation_results"]} for aggregate in by_collection.values()]
    assert not names[0] & names[1]
    partial = by_collection["robust-energy-harness-digits-partial-10"]
    assert (
        partial["source_metadata"]["additional_details"]["whole"] == "no: only the first 10 of 20 examples were judged"
    )
    assert partial["evaluation_results"][0]["source_data"]["additional_details"]["judged"] == "the first 10 examples"
    whole = by_collection["robust-energy-harness-digits"]
    assert whole["source_metadata"]["additional_details"]["whole"] == "yes"


def test_a_value_without_a_number_is_named_and_has_no_score(
    small: Callable[..., Record], home: Home, tmp_path: Path
) -> None:
    none = Value(value=None, n=20, reason="no gradient")
    write_record(home.results, with_autoattack(small(), values={"autoattack_accuracy": none}))
    done = export(home.root, "every-eval-ever", tmp_path / "out")
    assert faults(tmp_path / "out") == by_their_validator(tmp_path / "out") == []
    (aggregate,) = loaded(done)
    assert [found["evaluation_result_id"] for found in aggregate["evaluation_results"]] == [
        "standard.standard_accuracy"
    ]
    said = json.loads(aggregate["source_metadata"]["additional_details"]["values_without_a_number"])
    assert said == {"autoattack.autoattack_accuracy": "no gradient"}
    (statement,) = loaded(export(home.root, "in-toto", tmp_path / "statement"))
    assert statement["predicate"]["result"] == "FAILED"
    assert statement["predicate"]["failedTests"] == ["autoattack"]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 0.6, 1.5])
def test_a_number_that_cannot_be_is_refused_though_the_seal_is_whole(
    small: Callable[..., Record], home: Home, tmp_path: Path, number: float, form: str
) -> None:
    record = small(arrays=home.arrays)
    better = record.measurements["autoattack"].values["autoattack_accuracy"].model_copy(update={"value": number})
    path, _ = write_record(home.results, with_autoattack(record, values={"autoattack_accuracy": better}))
    assert not seal_problem(path.read_bytes())
    done = export(home.root, form, tmp_path / "out")
    assert done.written == ()
    assert "expected digits/Small.json to agree with itself, got autoattack" in done.refused[0]


def test_a_record_without_any_number_is_refused(small: Callable[..., Record], home: Home, tmp_path: Path) -> None:
    record = small(robust=None)
    none = Value(value=None, n=0, reason="no images")
    found = record.measurements["standard"].model_copy(update={"values": {"standard_accuracy": none}})
    write_record(home.results, record.model_copy(update={"measurements": {"standard": found}}))
    done = export(home.root, "every-eval-ever", tmp_path / "out")
    assert done.written == ()
    assert "expected a headline value that is a number in digits/Small.json" in done.refused[0]


def test_what_is_best_known_is_exported_beside_autoattack(
    small: Callable[..., Record], home: Home, tmp_path: Path
) -> None:
    bundle = Bundle(sha256="c" * 64, n=2, size=100, address="https://example.org/c.safetensors")
    other = Counterexamples(
        source="challenge", who="A", how="by hand", found_at="2026-11-21T00:00:00", witnesses=bundle
    )
    value = small(robust=0.4).measurements["autoattack"].values["autoattack_accuracy"]
    known = BestKnown(value=value, found=(other,))
    record = small(arrays=home.arrays).model_copy(update={"best_known": known})
    write_record(home.results, record)
    (aggregate,) = loaded(export(home.root, "every-eval-ever", tmp_path / "out"))
    assert faults(tmp_path / "out") == []
    scores = {r["evaluation_result_id"]: r["score_details"]["score"] for r in aggregate["evaluation_results"]}
    assert scores["best_known.best_known_accuracy"] == 0.4
    assert scores["autoattack.autoattack_accuracy"] == 0.5
    (statement,) = loaded(export(home.root, "in-toto", tmp_path / "statement"))
    assert statement["predicate"]["configuration"][-1] == {
        "name": f"witnesses/{'c' * 64}.safetensors",
        "digest": {"sha256": "c" * 64},
        "downloadLocation": "https://example.org/c.safetensors",
        "annotations": {"of": "found 1", "witnesses": 2, "bytes": 100},
    }


@pytest.mark.parametrize("form", FORMATS)
def test_arrays_that_are_missing_changed_or_of_other_flags_are_refused(
    small: Callable[..., Record], home: Home, tmp_path: Path, form: str
) -> None:
    record = small(arrays=home.arrays)
    wrong = write_arrays(home.arrays, {"stage": np.full(20, 4, np.int8)})
    other = with_autoattack(record, arrays=wrong)
    other = other.model_copy(update={"entrant": record.entrant.model_copy(update={"name": "Other"})})
    for one in (record, other):
        write_record(home.results, one)
    done = export(home.root, form, tmp_path / "out")
    assert done.written
    assert "expected digits/Other.json to agree with itself, got autoattack" in done.refused[0]
    held = record.measurements["autoattack"].arrays
    assert held is not None
    content = bytearray((home.arrays / held.file).read_bytes())
    content[-1] ^= 1
    (home.arrays / held.file).write_bytes(content)
    (home.arrays / wrong.file).unlink()
    done = export(home.root, form, tmp_path / "out")
    assert done.written == ()
    assert ["to have the sha256 of its name" in done.refused[1], "got nothing" in done.refused[0]] == [True, True]


# in-toto

RESOURCE = {"name", "uri", "digest", "content", "downloadLocation", "mediaType", "annotations"}
"""The fields of a ResourceDescriptor of in-toto v1."""


def check_statement(statement: dict[str, Any]) -> None:
    """Hold a statement against in-toto's Statement v1 and Test Result v0.1, by the names of their fields."""
    assert set(statement) == {"_type", "subject", "predicateType", "predicate"}
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    predicate = statement["predicate"]
    lists = {"passedTests", "warnedTests", "failedTests"}
    assert {"result", "configuration"} <= set(predicate) <= {"result", "configuration", "url", *lists}
    assert predicate["result"] in {"PASSED", "WARNED", "FAILED"}
    assert statement["subject"]
    for descriptor in (*statement["subject"], *predicate["configuration"]):
        assert set(descriptor) <= RESOURCE
        assert descriptor["digest"]
        for algorithm, digest in descriptor["digest"].items():
            assert re.fullmatch("[0-9a-f]{64}", digest), algorithm
    tests = [name for kind in lists for name in predicate[kind]]
    assert all(isinstance(name, str) for name in tests)
    assert len(tests) == len(set(tests))
    worst = "FAILED" if predicate["failedTests"] else "WARNED" if predicate["warnedTests"] else "PASSED"
    assert predicate["result"] == worst


def test_a_statement_is_about_the_weights_and_names_the_record_and_what_proves_it(
    published: Home, tmp_path: Path
) -> None:
    done = export(published.root, "in-toto", tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in done.written] == [
        f"in-toto/digits/{path.stem}.intoto.json" for path in record_files(published.results)
    ]
    for path, statement in zip(record_files(published.results), loaded(done), strict=True):
        check_statement(statement)
        record = read_record(path)
        assert [(s["name"], s["digest"]) for s in statement["subject"]] == [
            (file.name, {"sha256": file.sha256}) for file in record.entrant.files
        ]
        files = {one["name"]: one["digest"].get("sha256") for one in statement["predicate"]["configuration"]}
        assert files[f"results/digits/{path.name}"] == hashlib.sha256(path.read_bytes()).hexdigest()
        for held in record.arrays.values():
            there = published.root / f"arrays/{held.file}"
            assert files[f"arrays/{held.file}"] == hashlib.sha256(there.read_bytes()).hexdigest()
        values = statement["predicate"]["configuration"][0]["annotations"]["values"]
        found = {(value["measure"], value["name"]): value["value"] for value in values}
        for measure, name in (("standard", "standard_accuracy"), ("autoattack", "autoattack_accuracy")):
            assert found[measure, name] == record.measurements[measure].values[name].value


def test_the_messages_of_in_toto_parse_every_statement(published: Home, tmp_path: Path) -> None:
    pytest.importorskip("in_toto_attestation")
    from google.protobuf import json_format
    from in_toto_attestation.predicates.test_result.v0 import test_result_pb2
    from in_toto_attestation.v1 import statement_pb2
    from in_toto_attestation.v1.statement import Statement

    for statement in loaded(export(published.root, "in-toto", tmp_path)):
        Statement.copy_from_pb(json_format.ParseDict(statement, statement_pb2.Statement())).validate()
        # fields that the message does not have are errors
        result = json_format.ParseDict(statement["predicate"], test_result_pb2.TestResult())
        assert json_format.MessageToDict(result)["configuration"] == statement["predicate"]["configuration"]


@pytest.mark.parametrize(
    ("more", "result", "warned"),
    [
        ({}, "PASSED", []),
        ({"limit": 10}, "WARNED", ["standard", "autoattack"]),
        ({"flags": (Flag(code="zero-gradients", message="of 3"),)}, "WARNED", ["autoattack"]),
    ],
)
def test_what_was_not_measured_in_full_is_warned_of(
    small: Callable[..., Record], home: Home, tmp_path: Path, more: dict[str, Any], result: str, warned: list[str]
) -> None:
    write_record(home.results, small(**more))
    (statement,) = loaded(export(home.root, "in-toto", tmp_path / "out"))
    check_statement(statement)
    assert statement["predicate"]["result"] == result
    assert statement["predicate"]["warnedTests"] == warned
    about = statement["predicate"]["configuration"][0]["annotations"]
    assert (about["partial"], about["judged"]) == ("limit" in more, more.get("limit", 20))


def test_a_statement_of_a_bounded_accuracy_has_its_interval_and_no_value(
    small: Callable[..., Record], home: Home, tmp_path: Path
) -> None:
    write_record(home.results, bounded(small(), home.arrays))
    (statement,) = loaded(export(home.root, "in-toto", tmp_path / "out"))
    check_statement(statement)
    assert statement["predicate"]["warnedTests"] == ["autoattack"]
    values = statement["predicate"]["configuration"][0]["annotations"]["values"]
    (value,) = (value for value in values if value["measure"] == "autoattack")
    assert "value" not in value
    assert (value["low"], value["high"], value["bounded"]) == (0.55, 0.6, True)


def test_an_entrant_without_files_is_named_by_its_weights_and_by_no_sha256_of_a_file(
    small: Callable[..., Record], home: Home, tmp_path: Path
) -> None:
    write_record(home.results, small(entrant={"source": "python"}))
    (statement,) = loaded(export(home.root, "in-toto", tmp_path / "out"))
    check_statement(statement)
    assert statement["subject"] == [{"name": "Small", "digest": {"harnessWeights": "a" * 64}}]


@pytest.mark.parametrize("where", ["files", "weights_sha256", "fingerprint"])
def test_a_digest_that_is_none_is_in_no_statement(
    small: Callable[..., Record], home: Home, tmp_path: Path, where: str
) -> None:
    wrong = "../sha256"
    entrant = {"files": {"files": [{"name": "a.pt", "sha256": wrong}]}, "weights_sha256": {"weights_sha256": wrong}}
    suite = {"fingerprint": wrong} if where == "fingerprint" else {}
    write_record(home.results, small(entrant=entrant.get(where), suite=suite))
    done = export(home.root, "in-toto", tmp_path / "out")
    assert done.written == ()
    assert "expected a sha256 in digits/Small.json, got '../sha256'" in done.refused[0]
    assert len(export(home.root, "every-eval-ever", tmp_path / "out").written) == 1, "there it is a detail"


# both


def test_every_format_has_what_writes_it() -> None:
    assert set(WRITERS) == set(FORMATS)


HOSTILE = (
    *("../../../escaped", "/etc/passwd", "..", ".", "data", "con", "NUL.txt", "a/b\\c", "a\u2028b\nc", "\x1b[31mred"),
    *("x" * 300, "ünï", " ", "unknown", "trailing.", "C:\\x", "a?*<>|b"),
)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_stays_inside_the_folder(
    small: Callable[..., Record], home: Home, tmp_path: Path, name: str, form: str
) -> None:
    about = {"name": name, "source": name, "title": name, "files": [{"name": name, "sha256": "a" * 64}]}
    suite = {"name": name, "dataset": name, "split": name, "norm": name}
    record = small(suite=suite, entrant=about, arrays=home.arrays)
    write_record(home.results, record)
    before = set(tmp_path.rglob("*"))
    done = export(home.root, form, tmp_path / "deep" / "er" / "out")
    assert done.refused == ()
    assert done.written
    new = {path for path in set(tmp_path.rglob("*")) - before if path.is_file()}
    assert new == set(done.written)
    assert all(path.resolve().is_relative_to(tmp_path / "deep" / "er" / "out") for path in new)
    if form == "every-eval-ever":
        assert faults(tmp_path / "deep" / "er" / "out") == []
        assert by_their_validator(tmp_path / "deep" / "er" / "out") == []


def test_a_record_that_was_changed_is_refused_and_the_others_are_written(published: Home, tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    shutil.copytree(published.root, home.root)
    path = home.results / "digits" / "sat.json"
    path.write_text(path.read_text().replace('"value": 0.8,', '"value": 0.9,', 1))
    (home.results / "digits" / "mart.json").write_text("{")
    shutil.copy(home.results / "digits" / "trades.json", home.results / "digits" / "copy.json")
    for form in FORMATS:
        done = export(home.root, form, tmp_path / form)
        assert len(done.refused) == 3
        assert len(loaded(done)) == len(list(record_files(published.results))) - 2
        told = "\n".join(done.refused)
        for reason in (
            "digits/sat.json with an intact seal",
            "digits/mart.json, got no JSON",
            "record of digits/copy.json",
        ):
            assert reason in told
        assert all("\n" not in reason for reason in done.refused)


@pytest.mark.parametrize("place", [".", "results", "results/digits", "results/digits/sat.json"])
def test_a_place_is_a_home_or_its_results_or_a_suite_or_a_record(published: Home, tmp_path: Path, place: str) -> None:
    done = export(published.root / place, "every-eval-ever", tmp_path, ["sat"])
    assert len(done.written) == 2
    assert faults(tmp_path) == []


def test_the_folder_of_a_suite_has_its_whole_and_its_partial_records(
    small: Callable[..., Record], home: Home, tmp_path: Path
) -> None:
    for limit in (None, 10):
        write_record(home.results, small(limit=limit))
    for place in (home.root, home.results, home.results / "digits"):
        assert len(export(place, "in-toto", tmp_path / "out").written) == 2
    assert len(export(home.results / "digits" / "partial-10" / "Small.json", "in-toto", tmp_path / "out").written) == 1


def test_a_record_by_itself_is_exported_with_the_arrays_beside_it(
    small: Callable[..., Record], home: Home, tmp_path: Path
) -> None:
    record = small(arrays=tmp_path / "arrays")
    path, _ = write_record(home.results, record)
    shutil.copy(path, tmp_path / "mine.json")
    done = export(tmp_path / "mine.json", "every-eval-ever", tmp_path / "out")
    assert done.refused == ()
    assert len(rows(done)) == 20


def test_an_entrant_that_is_not_there_is_named_and_nothing_is_written(published: Home, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"expected entrants among .*sat.*, got nobody; name others"):
        export(published.root, "in-toto", tmp_path / "out", ["sat", "nobody"])
    with pytest.raises(RecordError, match="expected records in"):
        export(tmp_path, "in-toto", tmp_path / "out")
    assert not (tmp_path / "out").exists()
