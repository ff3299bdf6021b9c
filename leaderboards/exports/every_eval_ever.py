"""Records in the schema of Every Eval Ever, version 0.3.0 (PyPI every-eval-ever; Batzner et al. 2026, arXiv 2606.14516).

One aggregate JSON file a record, with every headline value; beside it the examples (see samples). The schema asks each result
for a score. A value of which only an interval is known has none: its two ends are given as results of their own, named as
bounds. A value that is no number is left out, and named in the source's details with the reason.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from leaderboards.exports.names import HEX, PROJECT
from leaderboards.exports.results import Result, exported_results
from leaderboards.exports.samples import samples
from leaderboards.exports.sealed import Sealed
from leaderboards.records.schema import Measurement, Record, RecordError, Value, is_number

VERSION = "0.3.0"
"""Of the schema: what is written is valid by it."""

Texts = dict[str, str]


def every_eval_ever(sealed: Sealed, organisation: str = PROJECT) -> dict[str, bytes]:
    """A record's files by their path in the data store. `organisation` is who provides the data.

    Raises RecordError where there is no number to export, or where the arrays do not give it.
    """
    record, identity = sealed.record, _identity(sealed)
    results, without = exported_results(record)
    if not results:
        raise RecordError(f"expected a headline value that is a number in {sealed.file}, got none; measure it first")
    aggregate: dict[str, Any] = {
        "schema_version": VERSION,
        "evaluation_id": identity.evaluation,
        **({"evaluation_timestamp": sealed.measured_at.isoformat()} if sealed.measured_at else {}),
        "retrieved_timestamp": identity.time,
        "source_metadata": {
            "source_name": PROJECT,
            "source_type": "evaluation_run",
            "source_organization_name": organisation,
            "evaluator_relationship": _relationship(record),
            "additional_details": texts(
                record_seal=sealed.seal,
                record_sha256=sealed.sha256,
                record_file=sealed.file,
                whole=_whole(record),
                values_without_a_number=without,
                witness_bundles={name: bundle.sha256 for name, bundle in record.bundles.items()},
            ),
        },
        "eval_library": _library(record),
        "model_info": _model(record, identity),
        "evaluation_results": [_result(record, result, identity) for result in results],
    }
    files: dict[str, bytes] = {}
    if rows := samples(sealed, results, identity.evaluation, identity.model, VERSION):
        content = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
        files[f"{identity.path}_samples.jsonl"] = content
        aggregate["detailed_evaluation_results"] = {
            "format": "jsonl",
            "file_path": f"{identity.path}_samples.jsonl",
            "hash_algorithm": "sha256",
            "checksum": hashlib.sha256(content).hexdigest(),
            "total_rows": len(rows),
        }
    files[f"{identity.path}.json"] = (json.dumps(aggregate, indent=2, allow_nan=False) + "\n").encode()
    return files


@dataclass(frozen=True)
class _Identity:
    """What the data store knows a record by. All of it follows from the record: equal records give equal files."""

    model: str
    evaluation: str
    time: str
    path: str


def _relationship(record: Record) -> str:
    if record.entrant.published:
        return "third_party"
    return {"zoo": "first_party", "robustbench": "third_party"}.get(record.entrant.source, "other")


def _identity(sealed: Sealed) -> _Identity:
    """Weights that differ are models that differ, so their sha256 is in the name; a suite is a collection of the store."""
    entrant = sealed.record.entrant
    by_others = "published" if entrant.published else PROJECT  # the zoo ships networks of others too
    developer = {"zoo": by_others, "robustbench": "robustbench"}.get(entrant.source, "local")
    stem = sealed.file.rsplit("/", 1)[-1].removesuffix(".json")
    weights = entrant.weights_sha256
    if not HEX.fullmatch(weights):  # the record's schema asks for no form
        weights = hashlib.sha256(weights.encode()).hexdigest()
    model = f"{stem}-{weights[:8]}"
    collection = f"{PROJECT}-{sealed.scope}"
    # the store names files by a UUID of version 4: the seal's bits in that form
    name = uuid.UUID(bytes=hashlib.sha256(sealed.seal.encode()).digest()[:16], version=4)
    time = str(int(sealed.measured_at.timestamp())) if sealed.measured_at else "0"
    return _Identity(
        model=f"{developer}/{model}",
        evaluation=f"{collection}/{developer}/{model}/{time}",
        time=time,
        path=f"data/{collection}/{developer}/{model}/{name}",
    )


def _result(record: Record, result: Result, identity: _Identity) -> dict[str, Any]:
    measurement = record.measurements.get(result.of.measure)
    said, value = result.of.said, result.of.value
    share = said.unit == "fraction" and 0 <= result.score <= 1
    found: dict[str, Any] = {
        "evaluation_result_id": result.key,
        "evaluation_name": f"{identity.path.split('/')[1]}.{result.key}",
        "source_data": _data(record),
        "metric_config": {
            "evaluation_description": " ".join(part for part in (said.description, result.words) if part)
            or f"{result.of.name} of the measure {result.of.measure}",
            "metric_id": "accuracy" if result.key == "standard.standard_accuracy" else f"{PROJECT}.{result.key}",
            "metric_name": f"{said.title}, {result.bound.replace('_', ' ')}" if result.bound else said.title,
            "metric_kind": "accuracy" if said.unit == "fraction" else said.unit or "score",
            "metric_unit": {"fraction": "proportion", "": "score"}.get(said.unit, said.unit),
            "metric_parameters": {
                "norm": record.suite.norm,
                "eps": record.suite.eps if is_number(record.suite.eps) else str(record.suite.eps),
                "suite_version": record.suite.version,
                **({"measure_version": measurement.version, "seed": measurement.seed} if measurement else {}),
            },
            "lower_is_better": said.better == "lower",
            "score_type": "continuous",
            "min_score": 0 if share or said.unit in ("count", "seconds") else "-Infinity",
            "max_score": 1 if share else "Infinity",
            "additional_details": texts(better=said.better),
        },
        "score_details": {
            "score": result.score,
            "details": texts(
                n=value.n,
                whole=_whole(record, result.of.measure),
                bounded=result.words,
                reason=value.reason,
                flags=[flag.model_dump() for flag in measurement.flags] if measurement else [],
            ),
            "uncertainty": _uncertainty(value),
        },
    }
    if measurement:
        found["evaluation_timestamp"] = measurement.provenance.measured_at
        found["generation_config"] = {"additional_details": _how(measurement)}
    return found


def _uncertainty(value: Value) -> dict[str, Any]:
    found: dict[str, Any] = {"num_samples": value.n}
    if is_number(value.low) and is_number(value.high):
        level = {"confidence_level": value.level} if is_number(value.level) and 0 <= value.level <= 1 else {}
        method = {"method": value.method} if value.method else {}
        found["confidence_interval"] = {"lower": value.low, "upper": value.high, **level, **method}
    return found


def _whole(record: Record, measure: str | None = None) -> str:
    """Whether all of a suite's examples were judged, to the end ('yes'), by one measure or by all; else what was left out."""
    missing = (
        [f"only the first {record.limit} of {record.suite.examples} examples were judged"] if record.partial else []
    )
    missing += [
        f"{name} was not run to the end on every example"
        for name, found in record.measurements.items()
        if found.bounded and measure in (None, name)
    ]
    return f"no: {'; '.join(missing)}" if missing else "yes"


def _data(record: Record) -> dict[str, Any]:
    suite = record.suite
    return {
        "dataset_name": suite.dataset,
        "source_type": "other",
        "additional_details": texts(
            suite=suite.name,
            suite_version=suite.version,
            split=suite.split,
            examples=suite.examples,
            judged=f"the first {record.limit} examples" if record.partial else "all examples",
            sha256_of_images_and_labels=suite.fingerprint,
            norm=suite.norm,
            eps=suite.eps,
            description=record.suite_description,
        ),
    }


def _how(measurement: Measurement) -> Texts:
    made = measurement.provenance
    return texts(
        settings=measurement.settings,
        seed=measurement.seed,
        device=made.device,
        device_name=made.device_name,
        precision=made.precision,
        threads=made.threads,
        seconds=measurement.seconds,
        commit=made.commit,
        dirty=made.dirty,
        versions=made.versions,
    )


def _versions(record: Record, library: str) -> str:
    """The versions of a library that measured, without repetition."""
    named = (m.provenance.versions.get(library, "") for m in record.measurements.values())
    return ", ".join(sorted({version for version in named if version})) or "unknown"


def _library(record: Record) -> dict[str, Any]:
    commits = sorted({m.provenance.commit for m in record.measurements.values() if m.provenance.commit})
    return {"name": PROJECT, "version": _versions(record, "harness"), "additional_details": texts(commits=commits)}


def _model(record: Record, identity: _Identity) -> dict[str, Any]:
    entrant = record.entrant
    return {
        "name": entrant.name,
        "id": identity.model,
        "developer": identity.model.split("/")[0],
        "inference_engine": {"name": "torch", "version": _versions(record, "torch")},
        "additional_details": {
            "deployment_type": "self_deployed",
            "model_availability": "open_weights" if entrant.source in ("zoo", "robustbench") else "unknown",
            **texts(
                architecture=entrant.architecture,
                parameters=entrant.parameters,
                title=entrant.title,
                authors=entrant.authors,
                venue=entrant.venue,
                link=entrant.link,
                licence=entrant.licence,
                additional_data=entrant.additional_data,
                weights_sha256=entrant.weights_sha256,
                files={file.name: file.sha256 for file in entrant.files},
            ),
        },
    }


def texts(**details: object) -> Texts:
    """Details as the schema has them, each a text; what is empty or unknown is left out."""
    empty: tuple[Any, ...] = (None, "", {}, [])
    return {
        name: detail if isinstance(detail, str) else json.dumps(detail, sort_keys=isinstance(detail, Mapping))
        for name, detail in details.items()
        if not any(type(detail) is type(none) and detail == none for none in empty)
    }
