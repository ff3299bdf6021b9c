"""The board: records and published rows of one suite, ranked into a table.

Only records that judged the same images under the same threat model stand in one ranking: those of all images on one
board, those of the first N on a board of their own for each N. A rank rests on robust accuracies that are upper bounds; entries
whose intervals overlap are ordered by their values all the same. A bounded entry, of which an interval alone is known, stands
below every number that its interval holds.

What others publish is of all images. On a board of the first N such a number stands in its place by its value, and has no rank.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import groupby

import pandas as pd

from leaderboards.board.columns import COLUMNS, STAGE_COLUMNS, Column, number_of
from leaderboards.board.entry import Basis, Entry, Published
from leaderboards.board.formats import THIN, percent
from leaderboards.board.measures import shown
from leaderboards.board.partial import partial_columns
from leaderboards.records.home import Home
from leaderboards.records.schema import Record, SuiteInfo, Value, is_number
from leaderboards.records.standing import Standing

__all__ = ["Basis", "Board", "Entry", "Incomparable", "Published", "apart", "limits", "make_board", "table"]


@dataclass(frozen=True)
class Incomparable:
    """An entry that cannot stand on the board, and why."""

    entry: Entry
    reason: str


@dataclass(frozen=True)
class Board:
    """What stands on one board of a suite: that of all its examples, or with `limit` that of the first ones alone.

    `suite` is what all its records were measured on; None without records.
    """

    suite: SuiteInfo | None
    entries: tuple[Entry, ...]
    incomparable: tuple[Incomparable, ...]
    limit: int | None = None

    @property
    def measured(self) -> tuple[Entry, ...]:
        """The entries with a record, in their order on the board."""
        return tuple(entry for entry in self.entries if entry.record)

    @property
    def table(self) -> pd.DataFrame:
        """One row an entrant, best first."""
        return table(self.entries, shown(self.columns, self.entries))

    @property
    def columns(self) -> tuple[Column, ...]:
        """Of the main table; that of the first examples says of how many each number is."""
        return COLUMNS if self.limit is None else partial_columns(self.suite.examples if self.suite else None)

    @property
    def stages(self) -> pd.DataFrame:
        """Accuracy after each stage of AutoAttack; measured entrants only."""
        return table(self.measured, STAGE_COLUMNS)


def limits(records: Iterable[Record]) -> tuple[int, ...]:
    """Of how many first examples there are partial records, the most first: each number has a board."""
    return tuple(sorted({record.limit for record in records if record.limit is not None}, reverse=True))


def make_board(
    records: Iterable[Record],
    published: Iterable[Published] = (),
    notes: Mapping[tuple[str, int | None], Sequence[str]] | None = None,
    homes: Mapping[tuple[str, int | None], Home] | None = None,
    standings: Mapping[tuple[str, int | None], Standing] | None = None,
    limit: int | None = None,
) -> Board:
    """The board of one suite: of its whole records, or with `limit` of those of the first `limit` examples. Other records that
    are given stand on other boards.

    A record of source 'robustbench' and the published row of its name share one entry. `notes` holds words to set
    beside a record, by its entrant's name and limit, `homes` where it lives, `standings` whether it can be taken at its word.
    Raises ValueError where one name stands twice: one would hide the other.
    """
    records = tuple(record for record in records if record.limit == limit)
    rows = _by_name(published)
    suite = _newest_suite(records)
    kept = [record for record in records if record.suite == suite]
    beside = notes or {}
    usual = _usual(kept)

    def entry(record: Record) -> Entry:
        key = (record.entrant.name, record.limit)
        row = rows.get(record.entrant.name) if record.entrant.source == "robustbench" else None
        stands = (standings or {}).get(key)
        said = (*beside.get(key, ()), *(stands.notes if stands else ()), *_notes(record, row, usual))
        return Entry(record, row, notes=said, home=(homes or {}).get(key), standing=stands)

    measured = [entry(record) for record in kept]
    names = [e.name for e in measured]
    if len(set(names)) < len(names):
        raise ValueError(f"expected one record an entrant, got {max(names, key=names.count)!r} twice")
    taken = {e.published.name for e in measured if e.published}
    only = [Entry(published=row, notes=_notes(None, row, {})) for name, row in rows.items() if name not in taken]
    other = [Incomparable(entry(r), apart(r.suite, suite)) for r in records if suite and r.suite != suite]
    return Board(
        suite=suite,
        entries=_ranked([*measured, *only], _counts if limit is None else _measured),
        incomparable=tuple(sorted(other, key=lambda i: (i.entry.name.casefold(), i.entry.name))),
        limit=limit,
    )


def table(entries: Sequence[Entry], columns: Sequence[Column]) -> pd.DataFrame:
    """Entries as a DataFrame: a column for each of `columns`, and `.low` and `.high` beside those with intervals."""
    data: dict[str, list[float | str | None]] = {}
    for column in columns:
        contents = [column.get(entry) for entry in entries]
        if column.numeric:
            data[column.key] = [number_of(content) for content in contents]
        else:
            data[column.key] = [content if isinstance(content, str) else "" for content in contents]
        if column.bar:
            values = [content if isinstance(content, Value) else None for content in contents]
            data[f"{column.key}.low"] = [value.low if value else None for value in values]
            data[f"{column.key}.high"] = [value.high if value else None for value in values]
    frame = pd.DataFrame(data)
    numbers = [key for key in data if all(not isinstance(item, str) for item in data[key])]
    return frame.astype(dict.fromkeys(numbers, "float64")).astype({"rank": "Int64"} if "rank" in data else {})


def apart(theirs: SuiteInfo, ours: SuiteInfo | None) -> str:
    """Why what was measured on one suite does not stand beside what was measured on another."""
    if ours is None or theirs.name != ours.name:
        return f"measured on the suite {theirs.name}"
    if theirs.version != ours.version:
        return f"measured on version {theirs.version} of the suite; the board shows version {ours.version}"
    if theirs.fingerprint != ours.fingerprint:
        short = (theirs.fingerprint[:8], ours.fingerprint[:8])
        return f"measured on other images or labels (fingerprint {short[0]}; the board's is {short[1]})"
    mine, its = ours.model_dump(), theirs.model_dump()
    different = [f"{key} {its[key]} instead of {mine[key]}" for key in mine if its[key] != mine[key]]
    return f"measured with {', '.join(different)} under the same version of the suite"


def _by_name(published: Iterable[Published]) -> dict[str, Published]:
    rows: dict[str, Published] = {}
    for row in published:
        if row.name in rows:
            raise ValueError(f"expected one published row an entrant, got {row.name!r} twice")
        rows[row.name] = row
    return rows


def _newest_suite(records: Sequence[Record]) -> SuiteInfo | None:
    """What most records of the newest version were measured on; where two are level, the later measured one."""

    def weight(suite: SuiteInfo) -> tuple[int, int, datetime, str]:
        of_it = [record for record in records if record.suite == suite]
        times = [Entry(record).measured_at or datetime.min.replace(tzinfo=UTC) for record in of_it]
        return suite.version, len(of_it), max(times), suite.model_dump_json()

    return max({record.suite for record in records}, key=weight, default=None)


def _usual(records: Iterable[Record]) -> dict[str, tuple[int, int]]:
    """By measure: the newest version of its code, and the most examples that it was taken on."""
    usual: dict[str, tuple[int, int]] = {}
    for record in records:
        for name, measurement in record.measurements.items():
            version, n = usual.get(name, (0, 0))
            usual[name] = max(version, measurement.version), max(n, measurement.n)
    return usual


def _notes(record: Record | None, row: Published | None, usual: Mapping[str, tuple[int, int]]) -> tuple[str, ...]:
    """Words for an entry: flags, then what sets its run apart from the others, then what others doubt."""
    notes: list[str] = []
    for name, measurement in record.measurements.items() if record else ():
        notes += [f"{name}: {flag.message or flag.code.replace('-', ' ')}" for flag in measurement.flags]
        version, n = usual.get(name, (measurement.version, measurement.n))
        if measurement.version < version:
            notes.append(f"{name}: by version {measurement.version} of the measure, others by version {version}")
        if measurement.n < n:
            notes.append(f"{name}: on {measurement.n} examples, others on {n}")
        if measurement.provenance.precision != "fp32":
            notes.append(f"{name}: in {measurement.provenance.precision}")
    best = record.best_known if record else None
    notes += [f"best known: {flag.message or flag.code.replace('-', ' ')}" for flag in best.flags] if best else []
    notes += _seeds(record) if record else ()
    entry = Entry(record, row)
    measured = entry.measured("autoattack", "autoattack_accuracy")
    if entry.ranking is None:
        notes.append(f"not ranked: no robust accuracy{f' ({measured.reason})' if measured and measured.reason else ''}")
    elif record and record.partial and not _measured(entry):
        notes.append("not ranked: no robust accuracy of these images")
    if row and row.unreliable:
        notes.append("its publisher calls the published AutoAttack accuracy unreliable: it is too high")
    if row and measured and is_number(row.best_known_accuracy) and is_number(measured.value):
        lowest = measured.low if is_number(measured.low) else measured.value
        if row.best_known_accuracy < lowest:
            notes.append(f"a published attack goes lower: {percent(row.best_known_accuracy)}{THIN}%")
    return tuple(dict.fromkeys(notes))


def _seeds(record: Record) -> list[str]:
    """The seed of a record's numbers where it is not 0, the usual one; by measure where they differ."""
    seeds = {name: measurement.seed for name, measurement in record.measurements.items()}
    if len(set(seeds.values())) == 1:
        return [f"seed {seed}" for seed in set(seeds.values()) if seed]
    return [f"{name}: seed {seed}" for name, seed in seeds.items() if seed]


def _counts(entry: Entry) -> bool:
    """Whether an entry of the board of all examples has a rank: where any number of it is known."""
    return entry.ranking is not None


def _measured(entry: Entry) -> bool:
    """Whether an entry of the board of the first examples has a rank: where it is by a number of these examples."""
    return entry.ranking is not None and entry.ranking[1] not in (Basis.PUBLISHED, Basis.BEST_KNOWN)


def _ranked(entries: Sequence[Entry], counts: Callable[[Entry], bool]) -> tuple[Entry, ...]:
    """Best first; equal accuracies share a place, the next is skipped (1, 2, 2, 4); entries without one come last.

    Entries that count have a rank, in the same way, among themselves. A bounded entry comes after a complete one that is level
    with its low end.
    """

    def level(entry: Entry) -> tuple[float, bool]:
        # rounded: a fraction and a percentage over 100 that mean the same may differ in the last bit
        return (-round(entry.ranking[0], 9), entry.ranking[1] is Basis.BOUNDED) if entry.ranking else (1.0, False)

    ordered = sorted(entries, key=lambda e: (level(e), e.name.casefold(), e.name, e.record is None))
    placed: list[Entry] = []
    better = 0  # entries above that have a rank
    for (less, _), group in groupby(ordered, key=level):
        place, among = len(placed) + 1 if less <= 0 else None, list(group)
        placed += [replace(entry, place=place, rank=better + 1 if counts(entry) else None) for entry in among]
        better += sum(map(counts, among))
    return tuple(placed)
