"""The columns of a board as its records say that they are to be read, with those of measures that the board does not know."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from leaderboards.board.columns import COLUMNS, Column, measured
from leaderboards.board.correlations import comparable
from leaderboards.board.entry import Entry
from leaderboards.board.generation import MEASURE, with_generation
from leaderboards.board.labels import CALIBRATED
from leaderboards.board.quantities import declared, headlines, plain
from leaderboards.records.schema import Record

KNOWN = frozenset({MEASURE, *(column.source.measure for column in COLUMNS if column.source)})
"""Measures of which the board has chosen its columns. Of any other, every headline has one."""


def shown(columns: Sequence[Column], entries: Sequence[Entry]) -> tuple[Column, ...]:
    """The columns of a table of these entries: those given, and before what describes the model those that the entries'
    records bring: headlines of other measures, a group a measure, then scores of generated images."""
    columns = _at_one_scale(columns, entries)
    place = next((i for i, column in enumerate(columns) if column.key == "architecture"), len(columns))
    said = described(columns, entries)
    return with_generation((*said[:place], *_others(said, _records(entries)), *said[place:]), entries)


def _at_one_scale(columns: Sequence[Column], entries: Sequence[Entry]) -> tuple[Column, ...]:
    """The columns without figures that stand there at the calibrated scale of the logits, where an entry has those."""
    instead = {f"{before}.mean" for before in CALIBRATED}
    return tuple(
        column
        for column in columns
        if not (source := column.source)
        or source.value not in instead
        or comparable(entries, source.measure, source.value) == source.value
    )


def described(columns: Sequence[Column], entries: Sequence[Entry]) -> tuple[Column, ...]:
    """The columns with the words, the unit and the direction that the entries' records declare."""
    said = declared(_records(entries))

    def one(column: Column) -> Column:
        source = column.source
        if source is None or (source.measure, source.value) not in said:
            return column
        quantity = said[source.measure, source.value]
        return measured(
            source.measure,
            source.value,
            column.group,
            quantity,
            key=column.key,
            heading=source.heading,
            bar=column.bar,
        )

    return tuple(one(column) for column in columns)


def _others(columns: Sequence[Column], records: Iterable[Record]) -> Iterable[Column]:
    """A column for each headline of measures that the board does not know, by <measure>.<value>, as gates name it."""
    taken = {f"{column.key}{end}" for column in columns for end in ("", ".low", ".high")}
    for (measure, value), quantity in headlines(records).items():
        if measure in KNOWN:
            continue
        key = f"{measure}.{value}"
        while key in taken:  # whatever a measure is called, it hides no other number
            key += "_"
        taken |= {f"{key}{end}" for end in ("", ".low", ".high")}
        column = measured(measure, value, plain(measure, 40), quantity, key=key, bar=True)
        yield replace(column, heading=f"{column.heading}, %") if quantity.unit == "fraction" else column


def _records(entries: Sequence[Entry]) -> list[Record]:
    return [entry.record for entry in entries if entry.record is not None]
