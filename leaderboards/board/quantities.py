"""How values are to be read: as their measures declared it. Of records made before measures did so, what a name tells."""

from __future__ import annotations

from collections.abc import Iterable

from leaderboards.board import formats
from leaderboards.board.labels import label
from leaderboards.records.schema import Measurement, Quantity, Record

Name = tuple[str, str]
"""Of a value on a board: its measure, and its name there."""

_DIRECTION = {"higher": " Higher is better.", "lower": " Lower is better.", "neither": ""}


def quantity(measurement: Measurement, name: str) -> Quantity:
    """How one value or distribution of a measurement is to be read."""
    return measurement.quantities.get(name) or assumed(name)


def assumed(name: str) -> Quantity:
    """What the name of a value tells that nobody declared: of a built-in one its words, and whether it is an accuracy."""
    if name.endswith("accuracy") or name.startswith("accuracy_after."):
        return Quantity(title=label(name), unit="fraction", better="higher")
    return Quantity(title=label(name))


def declared(records: Iterable[Record]) -> dict[Name, Quantity]:
    """Every declared value of records, by measure and name. Where two differ, the newest measurement says."""
    found = [(m, record.entrant.name) for record in records for m in record.measurements.values() if m.quantities]
    found.sort(key=lambda one: (one[0].measure, one[0].version, one[0].provenance.measured_at, one[1]))
    return {(m.measure, name): said for m, _ in found for name, said in m.quantities.items() if name in m.values}


def headlines(records: Iterable[Record]) -> dict[Name, Quantity]:
    """The declared values that have a column each, a measure after the other, in its own order."""
    return {name: said for name, said in declared(records).items() if said.kind == "headline"}


def says(said: Quantity, more: str = "") -> str:
    """What a reader is told of a value: what it is, `more` in the same sentence, and which way is better."""
    return f"{plain(said.description or said.title, 400).removesuffix('.')}{more}.{_DIRECTION[said.better]}"


def plain(text: str, length: int) -> str:
    """A text of a record, which anybody may have written, as part of a heading: on one line, without what cannot be seen."""
    return formats.cut("".join(c if c.isprintable() else " " for c in text), length)
