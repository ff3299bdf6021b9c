"""What stands in the cells of a table: entries, groups of them and columns turned into texts, sort keys and interval bars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from leaderboards.board import formats
from leaderboards.board.columns import Column, Content, number_of
from leaderboards.board.entry import Entry
from leaderboards.board.groups import Group, Line, Spread
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
    """One cell: its text (empty where there is nothing), the standard deviation over seeds after it, the interval below it,
    what it sorts by, and words of its own."""

    text: str
    order: str
    interval: str = ""
    bar: Bar | None = None
    says: str = ""
    sd: str = ""


@dataclass(frozen=True)
class Row:
    """A line of a board; below a group the rows of its seeds, which have no rank of their own."""

    line: Line
    cells: tuple[Cell, ...]
    seeds: tuple[Row, ...] = ()

    @property
    def group(self) -> Group | None:
        return self.line if isinstance(self.line, Group) else None

    @property
    def entry(self) -> Entry:
        """The entry; of a group that of its first seed, which has the paper and the architecture of all."""
        return self.line.members[0] if isinstance(self.line, Group) else self.line


@dataclass(frozen=True)
class Heading:
    """A cell of the upper heading row: a group over `span` columns, or one column over both rows."""

    text: str
    span: int
    column: Column | None = None
    index: int = -1


@dataclass(frozen=True)
class Grid:
    """A table ready to be written: its columns, their scales, and a row an entry or group."""

    columns: tuple[Column, ...]
    scales: tuple[Scale | None, ...]
    rows: tuple[Row, ...]

    @property
    def entrants(self) -> tuple[Row, ...]:
        """The rows of single entries alone: of a group those of its seeds."""
        return tuple(single for row in self.rows for single in (row.seeds or (row,)))

    @property
    def groups(self) -> tuple[Row, ...]:
        """The rows of groups alone."""
        return tuple(row for row in self.rows if row.seeds)

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


def make_grid(lines: Sequence[Line], columns: Sequence[Column]) -> Grid:
    """A table of the lines of a board. Columns in which none of them has anything are left out, unless they are essential."""
    found = [_drawn(line, columns) for line in lines]
    every = [row for one in found for row in (one, *one.seeds)]
    kept = [
        place
        for place, column in enumerate(columns)
        if column.essential or any(_something(row.contents[place]) for row in every)
    ]
    barred: dict[str, list[Value]] = {}
    for place in kept:
        if columns[place].bar:
            values = [value for row in every if (value := _value(row.contents[place])) is not None]
            barred.setdefault(columns[place].group, []).extend(values)
    shared = {group: Scale.over(values) for group, values in barred.items()}
    scales = {place: shared[columns[place].group] if columns[place].bar else None for place in kept}

    def row(one: _Drawn) -> Row:
        cells = tuple(
            _placed(cell(columns[place], one.contents[place], scales[place]), one.line, columns[place])
            for place in kept
        )
        return Row(one.line, cells, tuple(row(seed) for seed in one.seeds))

    return Grid(
        columns=tuple(columns[place] for place in kept),
        scales=tuple(scales[place] for place in kept),
        rows=tuple(row(one) for one in found),
    )


def _placed(made: Cell, line: Line, column: Column) -> Cell:
    """The cell of a line in a column, sorted by what the column says; a group by its place."""
    if column.order is None:
        return made
    by = line.place if isinstance(line, Group) else column.order(line)
    return made if by is None else replace(made, order=formats.order(by))


@dataclass(frozen=True)
class _Drawn:
    """What stands in the columns of a line, and of the seeds below it."""

    line: Line
    contents: tuple[Content | Spread, ...]
    seeds: tuple[_Drawn, ...] = ()


def _drawn(line: Line, columns: Sequence[Column]) -> _Drawn:
    if not isinstance(line, Group):
        return _Drawn(line, tuple(column.get(line) for column in columns))
    seeds = tuple(
        _Drawn(member, tuple(None if column.kind == "rank" else column.get(member) for column in columns))
        for member in line.members
    )
    return _Drawn(line, tuple(line.content(column) for column in columns), seeds)


def _value(content: Content | Spread) -> Value | None:
    return content if isinstance(content, Value) else content.value if isinstance(content, Spread) else None


def _something(content: Content | Spread) -> bool:
    if isinstance(content, Value):
        return content.value is not None or content.bounded
    return content not in (None, "")


def cell(column: Column, content: Content | Spread, scale: Scale | None) -> Cell:
    """The cell of one content. Numbers sort by their value; where there is no finite one the cell sorts last. A bounded value
    is its interval, and sorts by the low end."""
    if isinstance(content, str):
        return Cell(content, content)
    if isinstance(content, Spread):
        return _spread(column, content, scale)
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


def _spread(column: Column, content: Spread, scale: Scale | None) -> Cell:
    says = f"Mean over {content.seeds} seeds \N{PLUS-MINUS SIGN} their standard deviation, which is the spread of training."
    if content.low is not None:
        says += " The interval takes both the seeds and the test images as drawn at random."
    return Cell(
        text=column.write(content.mean, content.n),
        order=formats.order(content.mean),
        interval=formats.interval(content.value, column.write),
        bar=bar(content.value, scale),
        says=says,
        sd=f"\N{PLUS-MINUS SIGN}{formats.THIN}{column.write(content.sd, content.n)}",
    )


def bar(value: Value, scale: Scale | None) -> Bar | None:
    """The bar of a value; None where it has no interval to draw."""
    if scale is None or not (is_number(value.low) and is_number(value.high)):
        return None
    if not (is_number(value.value) or value.bounded):
        return None
    start, end = scale.place(value.low), scale.place(value.high)
    return Bar(start, round(end - start, 2), scale.place(value.value) if is_number(value.value) else None)
