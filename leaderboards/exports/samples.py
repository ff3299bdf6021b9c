"""The examples of a record, one by one, as Every Eval Ever has them: a row for each example and each result it counts for.

A row tells of an image by its place in the data; neither the image nor the adversarial one is in it. The share of correct rows
is the result's score, exactly; arrays of which that is not true are refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from leaderboards.board.labels import STAGES
from leaderboards.exports.results import Result
from leaderboards.exports.sealed import Sealed
from leaderboards.records.schema import RecordError

Row = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What came of an example: `said` (the classifier's answer, or what was found) by a `method`, and how it counts."""

    said: str
    correct: bool
    method: str
    more: Mapping[str, str]


def samples(sealed: Sealed, results: Sequence[Result], evaluation: str, model: str, version: str) -> list[Row]:
    """Rows of standard accuracy and of AutoAttack, each in the order of the examples; none where the record has no arrays.

    Raises RecordError where the arrays do not give the score.
    """
    rows: list[Row] = []
    labels = _labels(sealed)
    for result in results:
        found = _answers(sealed, result)
        if found is None:
            continue
        share = sum(one.correct for one in found) / max(1, len(found))
        if len(found) != result.of.value.n or abs(share - result.score) > 1e-9:
            raise RecordError(
                f"expected {result.of.value.n} examples that give {result.key} {result.score} in the arrays of {sealed.file},"
                f" got {len(found)} that give {share}; measure again"
            )
        about = {
            "schema_version": version,
            "evaluation_id": evaluation,
            "model_id": model,
            "evaluation_name": f"{evaluation.split('/')[0]}.{result.key}",
            "evaluation_result_id": result.key,
        }
        for example, one in enumerate(found):
            rows.append({**about, **_row(sealed, example, labels[example : example + 1], one)})
    return rows


def _row(sealed: Sealed, example: int, reference: Sequence[str], answer: Answer) -> Row:
    suite = sealed.record.suite
    raw = f"{suite.dataset} {suite.split} example {example} of the images with the sha256 {suite.fingerprint}"
    asked = {"raw": raw, "reference": list(reference)}
    return {
        "sample_id": f"{suite.dataset}/{suite.split}/{example}",
        # as the schema's converters compute it
        "sample_hash": hashlib.sha256(json.dumps(asked, sort_keys=True, separators=(",", ":")).encode()).hexdigest(),
        "interaction_type": "single_turn",
        "input": asked,
        "output": {"raw": [answer.said]},
        "answer_attribution": [
            {
                "turn_idx": 0,
                "source": "output.raw",
                "extracted_value": answer.said,
                "extraction_method": answer.method,
                "is_terminal": True,
            }
        ],
        "evaluation": {"score": float(answer.correct), "is_correct": answer.correct},
        "metadata": dict(answer.more),
    }


def _labels(sealed: Sealed) -> list[str]:
    held = sealed.arrays.get("standard", {}).get("label")
    return [] if held is None or held.ndim != 1 else [str(int(label)) for label in held]


def _answers(sealed: Sealed, result: Result) -> list[Answer] | None:
    """What came of each example; None for a result whose arrays do not tell it."""
    if (result.of.measure, result.of.name) == ("standard", "standard_accuracy"):
        return _standard(sealed.arrays.get("standard", {}))
    if (result.of.measure, result.of.name) == ("autoattack", "autoattack_accuracy") and result.bound != "lower_bound":
        return _autoattack(sealed.arrays.get("autoattack", {}))
    return None


def _standard(arrays: Mapping[str, np.ndarray]) -> list[Answer] | None:
    if "correct" not in arrays:
        return None
    correct = arrays["correct"].astype(bool).ravel()
    given = arrays.get("prediction")
    if given is None or given.shape != correct.shape:
        return [Answer("correct" if right else "misclassified", bool(right), "argmax", {}) for right in correct]
    return [Answer(str(int(said)), bool(right), "argmax", {}) for said, right in zip(given, correct, strict=True)]


def _autoattack(arrays: Mapping[str, np.ndarray]) -> list[Answer] | None:
    if "stage" not in arrays:
        return None
    stage = arrays["stage"].ravel()
    reached = arrays.get("reached", np.full(stage.shape, len(STAGES))).ravel()
    if reached.shape != stage.shape:
        return None
    return [_attacked(int(by), int(through)) for by, through in zip(stage, reached, strict=True)]


def _attacked(by: int, through: int) -> Answer:
    """Of an example: the stage that broke it (-1: none was needed; the number of stages: none did), and how many were run."""
    names = [name for name, _ in STAGES]
    if by < 0:
        return Answer("misclassified without an attack", False, "autoattack", {"broken_by": "natural image"})
    if by < len(names):
        return Answer(f"broken by {names[by]}", False, "autoattack", {"broken_by": names[by]})
    run = names[: max(0, through)]
    return Answer(
        f"correct after {', '.join(run) or 'no stage'}",
        True,
        "autoattack",
        {} if len(run) == len(names) else {"not_run": ", ".join(names[len(run) :])},
    )
