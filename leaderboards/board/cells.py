"""What stands in the cells of a table: entries and columns turned into texts, sort keys and interval bars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from leaderboards.board import formats
from leaderboards.board.columns import Column, Content, number_of
from leaderboards.board.entry import Entry
from leaderboards.records.schema import Value, is_number


@dataclass(frozen=True)
class Scale:
    """The range that the bars of a group of columns share, so that they can be compared. Fractions."""

    low: float
    high: float

    @staticmethod
    def over(values: Sequence[Value]) -> Scale | None:
        """The smallest scale of whole twentieths that holds every interval; None where there is none to hold."""
        ends = [end for value in values for end in (value.low, value.value, value.high) if is_number(end)]
        if not ends:
            return None
        low, high = math.floor(min(ends) * 20 + 1e-9) / 20, math.ceil(max(ends) * 20 - 1e-9) / 20
        return Scale(low, high) if high > low else Scale(low - 0.05, high + 0.05)

    def place(self, fraction: float) -> float:
        """Where a fraction lies on the scale: 0 at its low end, 100 at its high end."""
        return round(100 * (fraction - self.low) / (self.high - self.low), 2)


@dataclass(frozen=True)
class Bar:
    """An interval and its value on a scale, in percent of the scale's length; a bounded one has no value."""

    start: float
    width: float
    at: float | None


@dataclass(frozen=True)
class Cell:
    """One cell: its text (empty where there is nothing), the interval below it, what it sorts by, and words of its own."""

    text: str
    order: str
    interval: str = ""
    bar: Bar | None = None
    says: str = ""


@dataclass(frozen=True)
class Row:
    entry: Entry
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Heading:
    """A cell of the upper heading row: a group over `span` columns, or one column over both rows."""

    text: str
    span: int
    column: Column | None = None
    index: int = -1


@dataclass(frozen=True)
class Grid:
    """A table ready to be written: its columns, their scales, and a row an entry."""

    columns: tuple[Column, ...]
    scales: tuple[Scale | None, ...]
    rows: tuple[Row, ...]

    @property
    def headings(self) -> tuple[Heading, ...]:
        """The upper heading row; columns of a group stand in the lower one."""
        found: list[Heading] = []
        for index, column in enumerate(self.columns):
            if not column.group:
                found.append(Heading(column.heading, 1, column, index))
            elif found and found[-1].column is None and found[-1].text == column.group:
                found[-1] = Heading(column.group, found[-1].span + 1)
            else:
                found.append(Heading(column.group, 1))
        return tuple(found)

    @property
    def grouped(self) -> tuple[tuple[int, Column], ...]:
        """The lower heading row: columns that stand under a group, with their places."""
        return tuple((index, column) for index, column in enumerate(self.columns) if column.group)


def make_grid(entries: Sequence[Entry], columns: Sequence[Column]) -> Grid:
    """A table of entries. Columns in which no entry has anything are left out, unless they are essential."""
    contents = [[column.get(entry) for column in columns] for entry in entries]
    kept = [
        place
        for place, column in enumerate(columns)
        if column.essential or any(_something(row[place]) for row in contents)
    ]
    drawn: dict[str, list[Value]] = {}
    for place in kept:
        if columns[place].bar:
            values = [content for row in contents if isinstance(content := row[place], Value)]
            drawn.setdefault(columns[place].group, []).extend(values)
    shared = {group: Scale.over(values) for group, values in drawn.items()}
    scales = {place: shared[columns[place].group] if columns[place].bar else None for place in kept}
    return Grid(
        columns=tuple(columns[place] for place in kept),
        scales=tuple(scales[place] for place in kept),
        rows=tuple(
            Row(entry, tuple(_placed(entry, columns[place], row[place], scales[place]) for place in kept))
            for entry, row in zip(entries, contents, strict=True)
        ),
    )


def _placed(entry: Entry, column: Column, content: Content, scale: Scale | None) -> Cell:
    """The cell of an entry in a column, sorted by what the column says."""
    made, by = cell(column, content, scale), column.order(entry) if column.order else None
    return made if by is None else replace(made, order=formats.order(by))


def _something(content: Value | float | str | None) -> bool:
    if isinstance(content, Value):
        return content.value is not None or content.bounded
    return content not in (None, "")


def cell(column: Column, content: Value | float | str | None, scale: Scale | None) -> Cell:
    """The cell of one content. Numbers sort by their value; where there is no finite one the cell sorts last. A bounded value
    is its interval, and sorts by the low end."""
    if isinstance(content, str):
        return Cell(content, content)
    if isinstance(content, Value) and content.bounded:
        text = formats.between(content, column.write)
        return Cell(text, formats.order(content.low), "bounded", bar(content, scale), formats.BOUNDED)
    number = number_of(content)
    if number is None:
        return Cell("", "")
    if not isinstance(content, Value):
        return Cell(column.write(number, None), formats.order(number))
    return Cell(
        text=column.write(number, content.n),
        order=formats.order(number),
        interval=formats.interval(content, column.write),
        bar=bar(content, scale),
    )


def bar(value: Value, scale: Scale | None) -> Bar | None:
    """The bar of a value; None where it has no interval to draw."""
    if scale is None or not (is_number(value.low) and is_number(value.high)):
        return None
    if not (is_number(value.value) or value.bounded):
        return None
    start, end = scale.place(value.low), scale.place(value.high)
    return Bar(start, round(end - start, 2), scale.place(value.value) if is_number(value.value) else None)
