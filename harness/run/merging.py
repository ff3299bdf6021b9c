"""A new record and the one that is there: what stays of the old one, and which files no record names any more."""

from __future__ import annotations

from dataclasses import dataclass

from harness.run.best_known import ATTACK, carried
from leaderboards.records.files import read_record, record_files, record_path, write_record
from leaderboards.records.home import Home
from leaderboards.records.schema import Measurement, Record, RecordError, SuiteInfo


def of_the_same(record: Record, suite: SuiteInfo, weights_sha256: str) -> bool:
    """Whether a record is of these weights on these examples, so that other measures of them may join it."""
    return record.suite == suite and record.entrant.weights_sha256 == weights_sha256


@dataclass(frozen=True)
class Merge:
    """Writes records over the ones that are there, keeping their other measures where they are of the same thing."""

    home: Home

    def __call__(self, record: Record) -> Record:
        """The record as it now stands in its file."""
        path = record_path(self.home.results, record)
        old: Record | None = None
        if path.exists():
            try:
                old = read_record(path)
            except RecordError:
                old = None  # what cannot be read cannot be kept
        fresh = record
        if old is not None and of_the_same(old, record.suite, record.entrant.weights_sha256):
            merged = {**old.measurements, **{name: kept(old, found) for name, found in record.measurements.items()}}
            record = record.model_copy(update={"measurements": {name: merged[name] for name in sorted(merged)}})
            record = carried(self.home, old, record)
        write_record(self.home.results, record)
        self._drop_unused(*(one for one in (old, fresh) if one is not None))
        return read_record(path)

    def _drop_unused(self, *candidates: Record) -> None:
        """Remove arrays and witnesses of records that no record names any more. A record that cannot be read stops it."""
        try:
            named = [read_record(path) for path in record_files(self.home.results)]
        except RecordError:
            return
        for folder, of in ((self.home.arrays, _arrays), (self.home.witnesses, _bundles)):
            still = {digest for record in named for digest in of(record)}
            for digest in {digest for record in candidates for digest in of(record)} - still:
                (folder / f"{digest}.safetensors").unlink(missing_ok=True)


def _arrays(record: Record) -> set[str]:
    return {arrays.sha256 for arrays in record.arrays.values()}


def _bundles(record: Record) -> set[str]:
    return {bundle.sha256 for bundle in record.bundles.values()}


def kept(old: Record, found: Measurement) -> Measurement:
    """What stands in a record from now on: a bounded answer does not take the place of a complete one of the same attack, nor
    of any complete one beside which somebody found images: they break what its flags leave, and would be lost with them."""
    held = old.measurements.get(found.measure)
    if held is None or not found.bounded or held.bounded:
        return found
    if found.measure == ATTACK and old.best_known is not None and old.best_known.found:
        return held
    if (held.version, held.seed) != (found.version, found.seed):
        return found
    plain = {key: setting for key, setting in found.settings.items() if key != "bounded"}
    return held if held.settings == plain else found
