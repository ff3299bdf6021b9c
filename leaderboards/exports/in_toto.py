"""Records as in-toto attestations, Statement v1 with the predicate Test Result v0.1; unsigned, for others to sign.

https://github.com/in-toto/attestation, spec/v1 and spec/predicates/test-result.md: of the predicates that in-toto has
vetted, the one for results of tests of any kind. A draft of one for evaluations of models (eval-result v0.1) wants a threshold
for each number, and hides the model; a record has neither a threshold nor a secret.

A measure is a test: passed where it ran to the end on every example with nothing to warn of, warned where it has flags, was
bounded or saw part of the examples, failed where a headline of it is no number. So PASSED says that all was measured, not that
the numbers are good: these stand beside the record's digest, for a policy to hold against its own limits.
"""

from __future__ import annotations

import json
from typing import Any

from leaderboards.exports.names import HEX, PROJECT
from leaderboards.exports.results import Headline, headlines
from leaderboards.exports.sealed import Sealed
from leaderboards.records.schema import Bundle, Measurement, Record, RecordError, is_number

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"

WEIGHTS, DATA = "harnessWeights", "harnessData"
"""Digests that are of no file, lowercase hex: `weights_sha256` and `fingerprint` of the record."""

Descriptor = dict[str, Any]


def in_toto(sealed: Sealed, organisation: str = PROJECT) -> dict[str, bytes]:
    """A record's statement by its path: suite/entrant.intoto.json. `organisation` stands beside the record's digest.

    Raises RecordError where the record names a digest that is none.
    """
    record = sealed.record
    tests = {name: _outcome(record, found) for name, found in record.measurements.items()}
    result = next((one for one in ("FAILED", "WARNED") if one in tests.values()), "PASSED" if tests else "WARNED")
    statement: dict[str, Any] = {
        "_type": STATEMENT,
        "subject": _subjects(record),
        "predicateType": PREDICATE,
        "predicate": {
            "result": result,
            "configuration": [_record(sealed, organisation), _data(record), *_evidence(record)],
            "passedTests": [name for name, one in tests.items() if one == "PASSED"],
            "warnedTests": [name for name, one in tests.items() if one == "WARNED"],
            "failedTests": [name for name, one in tests.items() if one == "FAILED"],
        },
    }
    for descriptor in (*statement["subject"], *statement["predicate"]["configuration"]):
        for digest in descriptor["digest"].values():
            if not HEX.fullmatch(digest):
                raise RecordError(f"expected a sha256 in {sealed.file}, got {digest!r}; measure again")
    path = f"in-toto/{sealed.file.removesuffix('.json')}.intoto.json"
    return {path: (json.dumps(statement, indent=2, allow_nan=False) + "\n").encode()}


def _outcome(record: Record, found: Measurement) -> str:
    values = [one.value for one in headlines(record) if one.measure == found.measure]
    if any(not is_number(value.value) and not value.bounded for value in values):
        return "FAILED"
    return "WARNED" if found.flags or found.bounded or record.partial else "PASSED"


def _subjects(record: Record) -> list[Descriptor]:
    """The files that were judged; of an entrant that has none, its weights by a digest that is no file's."""
    entrant = record.entrant
    files = [{"name": file.name, "digest": {"sha256": file.sha256}} for file in entrant.files]
    return files or [{"name": entrant.name, "digest": {WEIGHTS: entrant.weights_sha256}}]


def _record(sealed: Sealed, organisation: str) -> Descriptor:
    record = sealed.record
    return {
        "name": f"results/{sealed.file}",
        "digest": {"sha256": sealed.sha256},
        "mediaType": "application/json",
        "annotations": {
            "suite": record.suite.name,
            "suiteVersion": record.suite.version,
            "norm": record.suite.norm,
            "eps": _number(record.suite.eps),
            "entrant": record.entrant.name,
            "weightsSha256": record.entrant.weights_sha256,
            "measuredBy": organisation,
            **({"measuredAt": sealed.measured_at.isoformat()} if sealed.measured_at else {}),
            "examples": record.suite.examples,
            "judged": record.limit or record.suite.examples,
            "partial": record.partial,
            "values": [_value(one) for one in headlines(record)],
            "flags": [
                {"measure": name, "code": flag.code, "message": flag.message}
                for name, found in record.measurements.items()
                for flag in found.flags
            ],
        },
    }


def _value(headline: Headline) -> dict[str, Any]:
    """A headline; `bounded` and without a `value` where all that is known is the interval from `low` to `high`."""
    value = headline.value
    numbers = {key: getattr(value, key) for key in ("value", "low", "high", "level")}
    known = {key: number for key, number in numbers.items() if is_number(number)}
    words = {key: text for key in ("method", "reason") if (text := getattr(value, key))}
    about = {"measure": headline.measure, "name": headline.name}
    return {**about, **known, **words, "n": value.n, "bounded": value.bounded}


def _number(value: float) -> float | str:
    return value if is_number(value) else str(value)


def _data(record: Record) -> Descriptor:
    suite = record.suite
    return {"name": f"{suite.dataset} {suite.split}", "digest": {DATA: suite.fingerprint}}


def _evidence(record: Record) -> list[Descriptor]:
    """The arrays and the bundles of witnesses that the record names."""
    arrays = [
        {
            "name": f"arrays/{held.file}",
            "digest": {"sha256": held.sha256},
            "annotations": {"of": name, "names": list(held.names)},
        }
        for name, held in record.arrays.items()
    ]
    return arrays + [_bundle(name, bundle) for name, bundle in record.bundles.items()]


def _bundle(name: str, bundle: Bundle) -> Descriptor:
    address = {"downloadLocation": bundle.address} if bundle.address.startswith(("https://", "http://")) else {}
    return {
        "name": f"witnesses/{bundle.file}",
        "digest": {"sha256": bundle.sha256},
        **address,
        "annotations": {"of": name, "witnesses": bundle.n, "bytes": bundle.size},
    }
