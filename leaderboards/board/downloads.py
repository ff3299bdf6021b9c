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
from leaderboards.board.columns import COLUMNS, STAGE_COLUMNS, Column, number_of
from leaderboards.board.entry import Entry
from leaderboards.records.schema import Value, is_number

TEXTS = ("title", "authors", "venue", "link")
TEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", '"': "''",
}  # fmt: skip


def rows(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """One mapping an entry, in the given order: every column of the board, of the stages, and the paper's texts."""
    columns = [*COLUMNS, *(column for column in STAGE_COLUMNS if column.bar)]
    return [{**_numbers(entry, columns), **{text: _text(entry.text(text)) for text in TEXTS}} for entry in entries]


def _numbers(entry: Entry, columns: Sequence[Column]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for column in columns:
        content = column.get(entry)
        if not column.numeric:
            row[column.key] = _text(content) if isinstance(content, str) else ""
            continue
        row[column.key] = _finite(number_of(content))
        if isinstance(content, Value) and (content.low is not None or content.high is not None):
            row[f"{column.key}.low"], row[f"{column.key}.high"] = _finite(content.low), _finite(content.high)
    return row


def _finite(number: float | None) -> float | None:
    return number if is_number(number) else None


def _text(text: str) -> str:
    """On one line, without characters that cannot be seen."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def as_csv(entries: Sequence[Entry]) -> str:
    """The rows as CSV with a line of names; empty cells where there is nothing."""
    found = rows(entries)
    # an interval stands beside its number, also where the first entries have none
    names = sorted(dict.fromkeys(name for row in found for name in row), key=_place)
    stream = io.StringIO()
    writer = csv.DictWriter(stream, names, lineterminator="\n", restval="")
    writer.writeheader()
    for row in found:
        writer.writerow({name: _cell(value) for name, value in row.items()})
    return stream.getvalue()


def _place(name: str) -> tuple[int, int]:
    keys = [*(column.key for column in (*COLUMNS, *STAGE_COLUMNS)), *TEXTS]
    base, _, end = name.rpartition(".") if name.endswith((".low", ".high")) else (name, "", "")
    return keys.index(base), ("", "low", "high").index(end)


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(("=", "+", "-", "@")) else value
    return "" if value is None else value


def as_json(suite: Mapping[str, Any], entries: Sequence[Entry]) -> str:
    """The suite and its rows as JSON; what is not ASCII is escaped."""
    return json.dumps({"suite": dict(suite), "entrants": rows(entries)}, indent=1, allow_nan=False) + "\n"


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
