"""An examination: every check on one entrant, in an order in which causes come before what they cause."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

import zoo
from harness.classifier.determinism import deterministic
from harness.classifier.devices import devices
from harness.doctor.accuracy import ACCURACY
from harness.doctor.answers import ANSWERS
from harness.doctor.finding import Diagnosis, Finding
from harness.doctor.form import FORM
from harness.doctor.gradients import GRADIENTS
from harness.doctor.stability import STABILITY
from harness.doctor.subject import Subject, repeatable, subject
from harness.run.inputs import suite_images
from harness.run.judge import Model, entrant_of
from harness.suites.files import find_suite
from harness.suites.suite import Suite

CHECKS = (*FORM, *STABILITY, *ACCURACY, *ANSWERS, *GRADIENTS)
"""All checks, in the order in which they are made."""


def examine(one: Subject) -> tuple[Finding, ...]:
    """All findings of a subject; the same ones each time."""
    found: list[Finding] = []
    for check in CHECKS:
        with repeatable(one.device):
            found += check(one, found)
    return tuple(found)


def doctor(
    model: Model,
    suite: Suite | str = "digits",
    *,
    name: str | None = None,
    device: str = "auto",
    data_dir: Path | str = "data",
    dataset: str | None = None,
    model_dir: Path | str = "models",
    download: bool = False,
    allow_pickle: Sequence[str] = (),
) -> Diagnosis:
    """Examine a classifier on a few images of a suite: seconds, and the same findings each time.

    `model` is what `harness.judge` takes; `dataset` other data of the suite's kind. It runs on one device, on a CPU with the
    threads that torch has here. Raises BadInput and EntrantError for what cannot be read or loaded.
    """
    chosen = find_suite(suite) if isinstance(suite, str) else suite
    chosen = chosen.on(dataset) if dataset else chosen
    entrant = entrant_of(model, name, chosen, Path(model_dir), allow_pickle)
    return diagnose(entrant, chosen, devices(device, 0)[0], data_dir=Path(data_dir), download=download)


def diagnose(
    entrant: zoo.Entrant, suite: Suite, device: torch.device, *, data_dir: Path, download: bool = False
) -> Diagnosis:
    """The same of an entrant, with what it needs fetched where that is asked for."""
    if download and entrant.missing():
        entrant.fetch()
    note = entrant.weights().note  # says what is missing, too
    images = suite_images(suite, data_dir=data_dir, download=download, transform=entrant.transform())
    begun = time.perf_counter()
    with deterministic(device, torch.get_num_threads()):
        one = subject(entrant, suite, images, device)
        found = examine(one)
        shown = one.count if all(f.check != "images" for f in found if f.counts) else min(len(images), 32)
    seconds = round(time.perf_counter() - begun, 1)
    return replace(Diagnosis(one.name, suite.name, shown, found), seconds=seconds, loading=note)
