"""What a run judges on: the suite's images, what measures need beside them, and that no record is overwritten."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import zoo
from harness.data import datasets
from harness.data.images import ImageSet, Split
from harness.errors import BadInput
from harness.measures.sources import Sources
from harness.run.findings import seeds_apart, settings_apart, suite_info
from harness.run.merging import of_the_same
from harness.run.plan import Judged, Plan
from harness.run.portable import of_one_place
from harness.suites.suite import Suite
from leaderboards.records.files import file_stem, read_record
from leaderboards.records.schema import RecordError
from zoo.entrant import Transform


def refuse_overwriting(judged: Judged, plan: Plan, out: Path) -> None:
    """An entrant must not take the record of another that has its name, nor mix settings in its own."""
    suite, name = plan.suite, judged.name
    folder, file = out / "results" / file_stem(suite.name), f"{file_stem(name)}.json"
    for path in (folder / file, *folder.glob(f"partial-*/{file}")):
        try:
            record = read_record(path)
        except RecordError:
            continue
        there = record.entrant
        if not of_one_place(there.spec, judged.entrant.spec) and there.weights_sha256 != judged.weights.sha256:
            raise BadInput(
                f"expected a name of its own, got {name!r}, which {there.spec} has on this board;"
                " rename it, or name another --out"
            )
        if record.limit != plan.limit or not of_the_same(record, suite_info(plan, judged), judged.weights.sha256):
            continue
        if seeds := seeds_apart(record, plan):
            mine = ", ".join(map(str, sorted({measure.seed for measure in plan.measures})))
            raise BadInput(
                f"expected the seed of the record of {name!r} ({seeds}), got {mine}; name another --out for each seed"
            )
        if apart := settings_apart(record, plan):
            raise BadInput(
                f"expected the settings that the record of {name!r} has ({apart}), got {plan.precision} on {plan.device} in"
                f" shards of {suite.shard_size}; name another --out, or measure all that it has"
            )


def read_images(
    ready: Sequence[tuple[zoo.Entrant, zoo.Weights]], suite: Suite, *, data_dir: Path, download: bool
) -> list[Judged]:
    """The entrants with the suite's images, read once for each transform that an entrant brings."""
    sets: dict[str, ImageSet] = {}
    judged = []
    for entrant, weights in ready:
        transform = entrant.transform()
        name = " ".join(repr(transform).split()) if transform else ""
        if name not in sets:
            sets[name] = suite_images(suite, data_dir=data_dir, download=download, transform=transform)
        judged.append(Judged(entrant, weights, sets[name], name))
    return judged


def suite_images(suite: Suite, *, data_dir: Path, download: bool, transform: Transform | None = None) -> ImageSet:
    """The suite's test examples, checked against what the suite says of them."""
    images = datasets.load(
        suite.loaded_from,
        "test",
        data_dir=data_dir,
        shape=suite.shape,
        classes=suite.classes,
        download=download,
        transform=transform,
    )
    if len(images.classes) != suite.classes or (transform is None and images.shape != suite.shape):
        raise BadInput(
            f"expected {suite.classes} classes and images of {suite.shape} for {suite.name},"
            f" got {len(images.classes)} and {images.shape} in {images.source}; correct the suite or the data"
        )
    # a suite on other data (its base is set, its name the data's) judges what there is; one by its own name judges all
    if suite.examples and images.size < suite.examples and images.name == suite.dataset and not suite.base:
        raise BadInput(
            f"expected {suite.examples} examples of {suite.dataset} for the suite {suite.name}, got {images.size} in"
            f" {images.source}; complete them, or give them a name of their own with --dataset"
        )
    return images.first(suite.examples)


def sources(suite: Suite, *, data_dir: Path, download: bool, fits: Path, inception_weights: Path | None) -> Sources:
    """What measures may need beside the test examples; nothing is read until one asks for it."""

    def split(which: Split) -> ImageSet:
        found = datasets.load(
            suite.loaded_from, which, data_dir=data_dir, shape=suite.shape, classes=suite.classes, download=download
        )
        if found.shape != suite.shape or len(found.classes) != suite.classes:
            raise BadInput(
                f"expected {suite.classes} classes and images of {suite.shape} for {suite.name}, got"
                f" {len(found.classes)} and {found.shape} in {found.source}; correct the suite or the data"
            )
        return found

    return Sources(partial(split, "train"), partial(split, "test"), fits, inception_weights)
