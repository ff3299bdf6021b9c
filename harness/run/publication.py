"""From a run to what a project publishes: records with all that proves them, checked once more on the way.

A record that agrees with the published one within rounding leaves it alone, measure by measure: the last digits of another
processor are no news. What cannot stand for its entrant (an interval in place of a number, a file that is not as it was
written) is refused, and the others are published all the same. Records of the first examples alone are published where their
number is asked for: they lie beside the whole ones, stand on a board of their own, and take the place of none with another
limit.
"""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from filelock import FileLock

from harness.errors import BadInput, one_line
from harness.run.admission import NotAsked, admitted
from harness.run.best_known import ATTACK, known_of
from harness.run.merging import Merge, of_the_same
from harness.run.portable import of_one_place
from leaderboards.board.agreement import agreement_of
from leaderboards.board.generation import MEASURE as GENERATION
from leaderboards.records.files import (
    file_stem,
    line,
    read_record,
    record_files,
    record_path,
    seal_problem,
    write_atomically,
)
from leaderboards.records.home import Home
from leaderboards.records.schema import Bundle, Measurement, Record, RecordError
from leaderboards.records.transfers import publish_transfers
from leaderboards.records.verifications import proved, verification_path
from leaderboards.records.witnesses import read_witnesses

SAME = "it is what is published"
"""Why a record is left alone that was published before."""

Outcome = Literal["published", "replaced", "left alone", "refused"]


@dataclass(frozen=True)
class Change:
    """What became of one record of a run: its file (relative to the results), and why."""

    file: str
    outcome: Outcome
    why: str

    @property
    def stands(self) -> bool:
        """Whether the record is among the published ones now."""
        return self.outcome in ("published", "replaced") or self.why == SAME

    @property
    def line(self) -> str:
        return f"{self.outcome}: {self.file}: {self.why}"


@dataclass(frozen=True)
class Publication:
    """Records of a run, all or those of one suite and of entrants by name, that are to be published: whole ones, or those of
    the first `limit` examples.

    `every`: also those that agree with what is published. `witnesses_at`: an address (http or https) under which the bundles
    of witnesses can be fetched by their file names; they are then not copied.
    """

    run: Home
    to: Home
    suite: str | None = None
    entrants: tuple[str, ...] = ()
    every: bool = False
    witnesses_at: str = ""
    limit: int | None = None

    def __call__(self) -> tuple[Change, ...]:
        """Publish them, one after the other. Raises BadInput where there is nothing to publish."""
        if self.run.root.resolve() == self.to.root.resolve():
            raise BadInput(
                f"expected two folders, a run and where to publish it, got {self.run.root} twice; name another --to"
            )
        if self.witnesses_at and not self.witnesses_at.startswith(("http://", "https://")):
            raise BadInput(f"expected an address with http or https as --witnesses-at, got {self.witnesses_at!r}")
        files = self._files()
        with ExitStack() as stack:
            # in one order everywhere: two that publish to each other would wait for ever
            for root in sorted(home.root.resolve() for home in (self.run, self.to)):
                stack.enter_context(FileLock(root / ".lock"))
            changes = tuple(self._published(path) for path in files)
            publish_transfers(self.run, self.to)
            return changes

    def _files(self) -> list[Path]:
        """The files of the records that were asked for. Raises BadInput for a name that none has."""
        there = list(record_files(self.run.results))
        if self.suite is not None:
            there = [path for path in there if self._folder(path) == file_stem(self.suite)]
        if self.limit is not None:
            there = [path for path in there if path.parent.name == f"partial-{self.limit}"]
        found = [path for path in there if not self.entrants or path.stem in map(file_stem, self.entrants)]
        lost = [name for name in self.entrants if file_stem(name) not in {path.stem for path in found}]
        if lost or not found:
            where = f"{self.run.results}/{file_stem(self.suite)}" if self.suite is not None else str(self.run.results)
            what = f"the record of {', '.join(lost)}" if lost else "records"
            what += f" of the first {self.limit} examples" if self.limit is not None else ""
            raise BadInput(f"expected {what} in {where}, got none; do: harness run")
        return found

    def _folder(self, path: Path) -> str:
        return path.relative_to(self.run.results).parts[0]

    def _published(self, path: Path) -> Change:
        file = path.relative_to(self.run.results).as_posix()
        try:
            record, content = admitted(self.run, path, self.limit)
            before = self._there(record)
            new = self._new(record, before)
            return self._placed(file, content, new, before)
        except NotAsked as error:  # runs hold such records beside the others: who names none does not ask for them
            return Change(line(file), "refused" if self.entrants else "left alone", one_line(error))
        except (RecordError, BadInput) as error:
            return Change(line(file), "refused", one_line(error))

    def _there(self, record: Record) -> Record | None:
        """The published record of the name; None where there is none that can be read."""
        path = record_path(self.to.results, record)
        try:
            return read_record(path) if path.exists() else None
        except RecordError:
            return None

    def _new(self, record: Record, before: Record | None) -> Record:
        """The record with those of its measurements alone that take the place of published ones, or join them.

        Raises BadInput where it cannot: the name is another's, or the published record would hold two kinds of measurement.
        """
        record = self._addressed(record)
        if before is None:
            return record
        there, mine = before.entrant, record.entrant
        if not of_one_place(there.spec, mine.spec) and there.weights_sha256 != mine.weights_sha256:
            raise BadInput(f"expected a name of its own, got {mine.name!r}, which {there.spec} has; rename it")
        if not of_the_same(before, record.suite, mine.weights_sha256):
            return record
        news = record.measurements
        if not self.every and not self._damaged(before):
            agrees = {one.measure for one in agreement_of(record, self.run, before, self.to).measures if one.within}
            news = {
                name: m for name, m in news.items() if name not in agrees or self._more(m, before.measurements[name])
            }
        kept = [found for name, found in before.measurements.items() if name not in news]
        if (
            apart := sorted({_made(found) for found in kept} - {_made(found) for found in news.values()})
            if news
            else []
        ):
            raise BadInput(
                f"expected the conditions that the published record has ({apart[0]}), got others; publish with --all what has"
                " every measure of it, or publish it elsewhere"
            )
        if ATTACK in news and before.best_known and news[ATTACK].arrays != before.measurements[ATTACK].arrays:
            for one in before.best_known.found:  # one that lies at its address alone could not be carried on
                read_witnesses(self.to.witnesses, one.witnesses)
        known = record.best_known if ATTACK in news or self._breaks_more(record, before) else None
        return record.model_copy(update={"measurements": news, "best_known": known})

    def _breaks_more(self, mine: Record, before: Record) -> bool:
        """Whether more is known to be broken than is published, of the same flags of AutoAttack; or more is suspected."""
        if mine.best_known is None or before.best_known is None:
            return mine.best_known is not None
        if {flag.code for flag in mine.best_known.flags} - {flag.code for flag in before.best_known.flags}:
            return True
        try:
            left, there = known_of(self.run, mine).left, known_of(self.to, before).left
        except RecordError:  # one lies at an address alone
            return float(mine.best_known.value) < float(before.best_known.value)
        return bool((there & ~left).any())

    def _damaged(self, before: Record) -> bool:
        """Whether the published file is not as it was written."""
        return bool(seal_problem(record_path(self.to.results, before).read_bytes()))

    def _more(self, mine: Measurement, theirs: Measurement) -> bool:
        """Whether a measurement that agrees with the published one proves more: that has no witnesses, or has lost them."""
        if mine.witnesses is None:
            return False
        held = theirs.witnesses
        return held is None or not (held.address or (self.to.witnesses / held.file).exists())

    def _addressed(self, record: Record) -> Record:
        """The record with the address of its bundles, where one is given."""
        if not self.witnesses_at:
            return record

        def at(bundle: Bundle) -> Bundle:
            return bundle.model_copy(update={"address": f"{self.witnesses_at.rstrip('/')}/{bundle.file}"})

        measurements = {
            name: found.model_copy(update={"witnesses": at(found.witnesses)}) if found.witnesses else found
            for name, found in record.measurements.items()
        }
        best = record.best_known
        if best is not None:
            found = tuple(one.model_copy(update={"witnesses": at(one.witnesses)}) for one in best.found)
            best = best.model_copy(update={"found": found})
        return record.model_copy(update={"measurements": measurements, "best_known": best})

    def _placed(self, file: str, content: bytes, new: Record, before: Record | None) -> Change:
        """Copy what the record names, write it, and remove what no record names any more."""
        path = record_path(self.to.results, new)
        held = path.read_bytes() if path.exists() else b""
        for arrays in new.arrays.values():
            _copy(self.run.arrays / arrays.file, self.to.arrays / arrays.file)
        for bundle in new.bundles.values():
            _copy(self.run.witnesses / bundle.file, self.to.witnesses / bundle.file)
        stands = Merge(self.to)(new)
        if seal_problem(
            path.read_bytes()
        ):  # it found the same as the file that was there, which is not as it was written
            write_atomically(path, stands.to_json().encode())
        self._drop_addressed(stands)
        if GENERATION in new.measurements:
            self._copy_samples(new)
        if path.read_bytes() == content and proved(self.run, new, content) is not None:
            _copy(verification_path(self.run, new), verification_path(self.to, new))
        if path.read_bytes() == held:
            same = new.measurements or held == content
            why = SAME if same else "it agrees with the published record within rounding"
            return Change(file, "left alone", why)
        names = ", ".join(new.measurements) or "its card, or what is best known of it"
        partial = (
            f"; partial, for the board of the first {new.limit} of {new.suite.examples} examples" if new.limit else ""
        )
        return Change(file, "replaced" if before else "published", f"{names}{partial}")

    def _drop_addressed(self, record: Record) -> None:
        """Remove bundles that can be fetched from an address, but those that another record has here."""
        addressed = {bundle.file for bundle in record.bundles.values() if bundle.address}
        try:
            records = [read_record(path) for path in record_files(self.to.results)] if addressed else []
        except RecordError:
            return
        here = {bundle.file for one in records for bundle in one.bundles.values() if not bundle.address}
        for file in addressed - here:
            (self.to.witnesses / file).unlink(missing_ok=True)

    def _copy_samples(self, record: Record) -> None:
        """Pictures take the place of those of the measurement before. Links are left out: they may lead anywhere."""
        source, target = (record_path(home.samples, record).with_suffix("") for home in (self.run, self.to))
        if source.is_dir():
            shutil.rmtree(target, ignore_errors=True)
            links = {path.name for path in source.rglob("*") if path.is_symlink()}
            shutil.copytree(source, target, ignore=lambda _, names: links & set(names))


def _made(found: Measurement) -> str:
    """How a measurement was made: a record holds one precision, one kind of device, one shard size, one seed."""
    made = found.provenance
    return f"{made.precision} on {made.device} in shards of {found.settings.get('shard_size')}, seed {found.seed}"


def _copy(source: Path, target: Path) -> None:
    """One file, in one step, unless it is there; nothing where there is no source."""
    if source.is_file():
        content = source.read_bytes()
        if not target.is_file() or target.read_bytes() != content:
            write_atomically(target, content)
