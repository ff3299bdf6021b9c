"""What a board can be narrowed to: entries of one source, architecture family, kind of data, or venue."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from leaderboards.board.entry import Entry


@dataclass(frozen=True)
class Filter:
    """One way to narrow a board. `get` gives the group that an entry belongs to, empty where nobody has said."""

    key: str
    heading: str
    get: Callable[[Entry], str]


@dataclass(frozen=True)
class Choice:
    """A filter with the groups that there are, each with its number of entries."""

    filter: Filter
    groups: tuple[tuple[str, int], ...]


def family(architecture: str) -> str:
    """The architecture without its size: 'WideResNet' of 'WideResNet-34-10'."""
    return re.split(r"-(?=[A-Z]?\d|[A-Z]$)", " ".join(architecture.split()), maxsplit=1)[0]


def _source(entry: Entry) -> str:
    if entry.record is None:
        return "published only"
    return "measured and published" if entry.published else "measured"


FILTERS: tuple[Filter, ...] = (
    Filter("source", "Source", _source),
    Filter("family", "Architecture", lambda entry: family(entry.text("architecture"))),
    Filter("data", "Extra data", lambda entry: {True: "yes", False: "no", None: ""}[entry.additional_data]),
    Filter("venue", "Venue", lambda entry: " ".join(entry.text("venue").split())),
)


def choices(entries: Sequence[Entry]) -> tuple[Choice, ...]:
    """The filters by which the entries differ, with their groups in order."""
    found = []
    for one in FILTERS:
        groups = Counter(one.get(entry) for entry in entries)
        if len(groups) > 1:
            known = sorted(
                ((name, count) for name, count in groups.items() if name), key=lambda g: (g[0].casefold(), g[0])
            )
            found.append(Choice(one, tuple(known)))
    return tuple(found)


def groups_of(entry: Entry) -> tuple[tuple[str, str], ...]:
    """What an entry's row carries for the filters."""
    return tuple((one.key, one.get(entry)) for one in FILTERS)
