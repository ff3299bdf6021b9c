"""A board as files to take away: CSV and JSON of its numbers, and BibTeX of its papers.

Accuracies are fractions, as in the records. Texts come from cards: a spreadsheet would run one that begins like a formula, so
in CSV such a text gets an apostrophe before it; what BibTeX or TeX would read as a command is escaped.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from leaderboards.board import formats
from leaderboards.board.columns import COLUMNS, STAGE_COLUMNS, Column, Source, number_of
from leaderboards.board.entry import Entry
from leaderboards.board.groups import Group, Line, Spread, groups_among, members_of
from leaderboards.board.measures import described, shown
from leaderboards.records.schema import Value, is_number

TEXTS = ("title", "authors", "venue", "link")
TEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", '"': "''",
}  # fmt: skip


def columns_of(entries: Sequence[Entry], main: Sequence[Column]) -> tuple[Column, ...]:
    """Every column of a board whose main table has these, and of the stages."""
    stages = described([column for column in STAGE_COLUMNS if column.bar], entries)
    return (*shown(main, entries), *stages)


def rows(lines: Sequence[Line], columns: Sequence[Column]) -> list[dict[str, Any]]:
    """One mapping an entry, in the given order: every column, and the paper's texts. Where there are groups, a seed names its
    group and has no rank of its own."""
    grouped = any(isinstance(line, Group) for line in lines)
    found = []
    for line in lines:
        for entry in members_of(line):
            row = _numbers(entry, columns)
            if isinstance(line, Group):
                row["rank"] = None
            if grouped:
                row["group"] = _text(line.name) if isinstance(line, Group) else ""
            found.append({**row, **{text: _text(entry.text(text)) for text in TEXTS}})
    return found


def group_rows(groups: Sequence[Group], columns: Sequence[Column]) -> list[dict[str, Any]]:
    """One mapping a group: its name, its seeds, and every column: of numbers the mean, `.sd` over the seeds (n - 1), and
    `.low` and `.high` of the interval over seeds and images where there is one."""
    found = []
    for group in groups:
        row: dict[str, Any] = {"group": _text(group.name), "seeds": " ".join(map(str, group.seeds))}
        for column in columns:
            content = group.content(column)
            if column.kind == "entrant":
                continue
            if isinstance(content, Spread):
                row |= {column.key: _finite(content.mean), f"{column.key}.sd": _finite(content.sd)}
                row |= _ends(column, content.value)
            elif column.numeric:
                row[column.key] = _finite(number_of(content))
            else:
                row[column.key] = _text(content) if isinstance(content, str) else ""
        found.append(row)
    return found


def _numbers(entry: Entry, columns: Sequence[Column]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for column in columns:
        content = column.get(entry)
        if not column.numeric:
            row[column.key] = _text(content) if isinstance(content, str) else ""
            continue
        row[column.key] = _finite(number_of(content))
        if isinstance(content, Value):
            row |= _ends(column, content)
    return row


def _ends(column: Column, value: Value) -> dict[str, float | None]:
    if value.low is None and value.high is None:
        return {}
    return {f"{column.key}.low": _finite(value.low), f"{column.key}.high": _finite(value.high)}


def _finite(number: float | None) -> float | None:
    return number if is_number(number) else None


def _text(text: str) -> str:
    """On one line, without characters that cannot be seen."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def as_csv(lines: Sequence[Line], main: Sequence[Column] = COLUMNS) -> str:
    """The entries of a board, whose main table has these columns, as CSV with a line of names; empty cells for nothing."""
    columns = columns_of(_entries(lines), main)
    return _csv(rows(lines, columns), columns)


def groups_as_csv(lines: Sequence[Line], main: Sequence[Column] = COLUMNS) -> str:
    """The groups of a board as CSV: see `group_rows`."""
    columns = columns_of(_entries(lines), main)
    return _csv(group_rows(groups_among(lines), columns), columns)


def _entries(lines: Sequence[Line]) -> list[Entry]:
    return [entry for line in lines for entry in members_of(line)]


def _csv(found: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> str:
    # an interval stands beside its number, also where the first entries have none
    ends = ("", ".sd", ".low", ".high")
    places = ["group", "seeds", *(f"{column.key}{end}" for column in columns for end in ends), *TEXTS]
    used = {name for row in found for name in row}
    names = [name for name in places if name in used]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, names, lineterminator="\n", restval="")
    writer.writerow({name: _cell(_text(name)) for name in names})
    for row in found:
        writer.writerow({name: _cell(value) for name, value in row.items()})
    return stream.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(("=", "+", "-", "@")) else value
    return "" if value is None else value


def as_json(suite: Mapping[str, Any], lines: Sequence[Line], main: Sequence[Column] = COLUMNS) -> str:
    """The suite, how to read each column of measured values, the entries, and where there are some the groups as JSON; what is
    not ASCII is escaped."""
    entries, groups = _entries(lines), groups_among(lines)
    columns = columns_of(entries, main)
    read = {
        c.key: _reading(c.source) for c in columns if c.source and any(c.get(entry) is not None for entry in entries)
    }
    board = {"suite": dict(suite), "columns": read, "entrants": rows(lines, columns)}
    if groups:
        board["groups"] = group_rows(groups, columns)
    return json.dumps(board, indent=1, allow_nan=False) + "\n"


def _reading(source: Source) -> dict[str, str]:
    said = source.quantity
    where = {"measure": source.measure, "value": source.value}
    return {**where, "title": _text(said.title), "unit": said.unit, "better": said.better}


def as_bibtex(entries: Sequence[Entry]) -> str:
    """Every paper once, under the name of its first entrant."""
    seen: dict[str, str] = {}
    for entry in entries:
        written = bibtex(entry)
        if written:
            seen.setdefault(written.split("\n", 1)[1], written)
    return "\n".join(seen.values())


def bibtex(entry: Entry) -> str:
    """The paper of an entry for a bibliography; empty where its title is not known."""
    title, venue = _text(entry.text("title"))[:500], _text(entry.text("venue"))[:200]
    if not title:
        return ""
    year = re.search(r"\b(?:19|20)\d\d\b", venue)
    place = re.sub(r",? *(?:[A-Z][a-z]{2}\.? )?(?:19|20)\d\d\b", "", venue).strip(" ,")
    names = [name.strip() for name in _text(entry.text("authors"))[:2000].replace(" and ", ",").split(",")]
    loose = place.casefold() in ("", "arxiv", "openreview", "github", "n/a")
    link = formats.safe_link(entry.text("link"))
    fields = {
        "title": f"{{{_tex(title)}}}",
        "author": " and ".join(_tex(name) for name in names if name),
        ("howpublished" if loose else "booktitle"): _tex(place) if place.casefold() != "n/a" else "",
        "year": year[0] if year else "",
        "url": re.sub(r"[{}\\%]", lambda found: f"%{ord(found[0]):02X}" if found[0] != "%" else "%", link),
    }
    key = re.sub(r"[^A-Za-z0-9_-]+", "", entry.name)[:60] or "entrant"
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join([f"@{'misc' if loose else 'inproceedings'}{{{key},", *lines, "}", ""])


def _tex(text: str) -> str:
    return "".join(TEX.get(character, character) for character in text)
