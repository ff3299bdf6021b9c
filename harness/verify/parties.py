"""Who meets whom: the entrants that have witnesses, and those of a run that can be shown them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.errors import BadInput, one_line
from harness.run.best_known import robust_flags
from harness.run.findings import suite_info
from harness.run.plan import Plan
from leaderboards.records.files import file_stem, read_record
from leaderboards.records.home import Home
from leaderboards.records.schema import Bundle, Record, RecordError
from leaderboards.records.transfers import ATTACK, Pair, key_of


@dataclass(frozen=True)
class Source:
    """An entrant whose witnesses are shown to others: its bundle, and the folder that it lies in."""

    record: Record
    bundle: Bundle
    folder: Path

    @property
    def name(self) -> str:
        return self.record.entrant.name


@dataclass(frozen=True)
class Target:
    """An entrant of a plan, by its number there, with its record and what AutoAttack left of it, (n,) bool."""

    number: int
    record: Record
    robust: np.ndarray

    @property
    def name(self) -> str:
        return self.record.entrant.name

    def pair(self, source: Source, tried: int, broken: int) -> Pair:
        key = key_of(self.record)
        assert key is not None
        name, weights, flags = key
        return Pair(
            target=name,
            weights_sha256=weights,
            flags_sha256=flags,
            source=source.name,
            bundle_sha256=source.bundle.sha256,
            tried=tried,
            broken=broken,
        )


def records_of(plan: Plan, home: Home) -> Iterator[Record]:
    """The whole records of a plan's suite in a home, of the images and the threat model of the plan."""
    infos = {suite_info(plan, judged) for judged in plan.judged}
    for path in sorted((home.results / file_stem(plan.suite.name)).glob("*.json")):
        try:
            record = read_record(path)
        except RecordError:
            continue  # its page says what is wrong with it
        if record.suite in infos and not record.partial:
            yield record


def sources_of(plan: Plan, homes: Sequence[Home]) -> list[Source]:
    """The entrants that have witnesses, by name; of two with one name the one of the earlier home."""
    found: dict[str, Source] = {}
    for home in homes:
        for record in records_of(plan, home):
            measured = record.measurements.get(ATTACK)
            bundle = measured.witnesses if measured else None
            if bundle is not None and (home.witnesses / bundle.file).is_file():
                found.setdefault(record.entrant.name, Source(record, bundle, home.witnesses))
    return [found[name] for name in sorted(found)]


def targets_of(plan: Plan, home: Home, held: Mapping[str, Record], problems: dict[str, str]) -> list[Target]:
    """The entrants of the plan that have a record with AutoAttack's flags; what is wrong with others goes to `problems`."""
    targets = []
    for number, judged in enumerate(plan.judged):
        record = held.get(judged.name)
        if record is None or record.entrant.weights_sha256 != judged.weights.sha256 or key_of(record) is None:
            continue
        try:
            targets.append(Target(number, record, robust_flags(home, record)))
        except (BadInput, RecordError) as error:
            problems[judged.name] = one_line(error)
    return targets
