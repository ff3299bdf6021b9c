"""Seeds of one recipe, as one line of a board.

Entrants named <recipe>-s<seed> that were trained alike but for their seed form a group. It shows the mean over its seeds and
their sample standard deviation (n - 1), which is the spread of training: how far another seed would be. The interval of a
single entrant is another thing, the spread of test images. Where a measure has a flag for each image, the group has an
interval for both at once.

A mean is of all seeds or it is not there: one of some seeds would not compare with the others of its row.
"""

from __future__ import annotations

import json
import math
import re
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from leaderboards.board.by_energy import read_measured
from leaderboards.board.columns import Column, Content, Source, number_of
from leaderboards.board.crossed import LEVEL, crossed_mean
from leaderboards.board.entry import Basis, Entry
from leaderboards.board.labels import STAGES
from leaderboards.records.schema import Value, is_number

MADE_OF = ("objective_sources", "beta", "norm", "eps", "dataset", "fingerprint", "images", "synthetic")
"""What a card's training says of how weights were made, beside the recipe."""

FEWEST = 2
"""Seeds of a group."""


@dataclass(frozen=True)
class Spread:
    """A number over the seeds of a group: its mean and standard deviation, and the interval of the mean over seeds and images
    where there is one. `n` is the number of examples that each seed's number rests on."""

    mean: float
    sd: float
    seeds: int
    n: int | None
    low: float | None = None
    high: float | None = None

    @property
    def value(self) -> Value:
        """The mean with its interval."""
        level = None if self.low is None else LEVEL
        return Value(value=self.mean, low=self.low, high=self.high, level=level, method="crossed", n=self.n or 0)


@dataclass(frozen=True)
class Group:
    """The entries of one recipe, by seed. `name` is the recipe's, unless another entrant has it. `rank` and
    `place` are among the lines of the board, by the mean over its seeds (see Entry)."""

    name: str
    recipe: str
    seeds: tuple[int, ...]
    members: tuple[Entry, ...]
    rank: int | None = None
    place: int | None = None

    @property
    def ranking(self) -> tuple[float, Basis] | None:
        """The mean of what its seeds would be ranked by; None where one of them has no rank on the board."""
        found = [member.ranking for member in self.members if member.rank is not None]
        places = [place for place in found if place is not None]
        if len(places) < len(self.members):
            return None
        bases = {basis for _, basis in places}
        weakest = next(
            (one for one in (Basis.BOUNDED, Basis.MEASURED_BEST_KNOWN) if one in bases), next(iter(sorted(bases)))
        )
        return statistics.fmean(value for value, _ in places), weakest

    @property
    def notes(self) -> tuple[str, ...]:
        """What all its seeds say, then what one says, with its name."""
        said = Counter(note for member in self.members for note in member.notes)
        shared = [note for note in said if said[note] == len(self.members)]
        alone = [f"{member.name}: {note}" for member in self.members for note in member.notes if note not in shared]
        return (*shared, *alone)

    def content(self, column: Column) -> Content | Spread:
        """What stands in a column of a board: of numbers their spread over the seeds (a number that describes all seeds alike,
        such as the size of the network, stands as it is), of texts each that occurs."""
        if column.kind == "rank":
            return self.rank
        if column.kind == "entrant":
            return self.name
        if column.kind == "notes":
            return "; ".join(self.notes)
        if column.key == "ranked_by":
            return str(self.ranking[1]) if self.ranking else "not ranked"
        contents = [column.get(member) for member in self.members]
        if not column.numeric:
            return ", ".join(dict.fromkeys(one for one in contents if isinstance(one, str) and one))
        return self._spread(column, contents)

    def _spread(self, column: Column, contents: Sequence[Content]) -> Content | Spread:
        numbers = [number for one in contents if is_number(number := number_of(one))]
        if len(numbers) < len(contents):
            return None
        values = [one for one in contents if isinstance(one, Value)]
        if not values and len(set(numbers)) == 1:
            return numbers[0]
        examples = {value.n for value in values}
        found = Spread(
            mean=statistics.fmean(numbers),
            sd=statistics.stdev(numbers),
            seeds=len(numbers),
            n=examples.pop() if len(examples) == 1 else None,
        )
        table = flags(self.members, column.source) if column.source else None
        if table is None or not math.isclose(float(table.mean()), found.mean, abs_tol=1e-9):
            return found  # without arrays, or with others than the number is of
        both = crossed_mean(table, 0.0, 1.0)
        return replace(found, low=both.low, high=both.high)


Line = Entry | Group
"""What has a row of its own on a board."""


def grouped(entries: Sequence[Entry]) -> tuple[Line, ...]:
    """The lines of a board whose entries these are: groups in place of the entries that form them.

    Groups and the other entries are ranked together; an entry that has no rank gets none. Without groups, these are the entries
    as they are.
    """
    groups = _groups(entries)
    if not groups:
        return tuple(entries)
    taken = {member.name for group in groups for member in group.members}
    lines: list[Line] = [*groups, *(entry for entry in entries if entry.name not in taken)]
    lines.sort(key=lambda line: (_level(line), line.name.casefold(), line.name))
    placed = [_level(line) for line in lines if line.ranking is not None]
    counted = [_level(line) for line in lines if _ranks(line)]

    def put(line: Line) -> Line:
        if line.ranking is None:
            return replace(line, rank=None, place=None)
        rank = 1 + counted.index(_level(line)) if _ranks(line) else None
        return replace(line, rank=rank, place=1 + placed.index(_level(line)))

    return tuple(map(put, lines))


def members_of(line: Line) -> tuple[Entry, ...]:
    """The entries of a line."""
    return line.members if isinstance(line, Group) else (line,)


def groups_among(lines: Sequence[Line]) -> tuple[Group, ...]:
    """The groups among the lines of a board."""
    return tuple(line for line in lines if isinstance(line, Group))


def flags(entries: Sequence[Entry], source: Source | None) -> np.ndarray | None:
    """Whether each example counts in a share, (entries, examples) bool, for shares of which records keep that by example:
    standard accuracy, AutoAttack accuracy and that after each of its stages. None where an entry's arrays are not there, not
    sound, not whole, or of another number of examples."""
    found = [_flags(entry, source.measure, source.value) for entry in entries] if source else []
    rows = [row for row in found if row is not None]
    if not rows or len(rows) < len(entries) or len({len(row) for row in rows}) > 1 or len(rows[0]) < 2:
        return None
    return np.stack(rows)


def _flags(entry: Entry, measure: str, value: str) -> np.ndarray | None:
    record, home = entry.record, entry.home
    if record is None or home is None or measure not in record.measurements or record.measurements[measure].bounded:
        return None
    arrays = read_measured(record, measure, home.arrays)
    if (measure, value) == ("standard", "standard_accuracy"):
        return _of_examples(arrays.get("correct"), record.measurements[measure].n)
    stage = _of_examples(arrays.get("stage"), record.measurements[measure].n)
    if measure != "autoattack" or stage is None:
        return None
    if value == "autoattack_accuracy":
        return np.asarray(stage == len(STAGES))
    after = {f"accuracy_after.{key}": place for place, (key, _) in enumerate(STAGES)}
    return np.asarray(stage > after[value]) if value in after else None


def _of_examples(array: np.ndarray | None, n: int) -> np.ndarray | None:
    return array if array is not None and array.shape == (n,) else None


def _groups(entries: Sequence[Entry]) -> tuple[Group, ...]:
    """The groups that entries form. A recipe's name stands for one way of training: where two sets of seeds of one name were
    trained in two ways, none of them is grouped."""
    found: dict[str, dict[str, dict[int, Entry]]] = {}
    for entry in entries:
        if (seed := _seed(entry)) is not None:
            base, number = seed
            found.setdefault(base, {}).setdefault(_trained(entry), {})[number] = entry
    names = {entry.name for entry in entries}
    groups = []
    for base, ways in found.items():
        several = [members for members in ways.values() if len(members) >= FEWEST]
        if len(several) != 1:
            continue
        seeds = sorted(several[0])
        # a name on a board is one line's alone
        name = f"{base}-s*" if base in names else base
        groups.append(Group(name, base, tuple(seeds), tuple(several[0][seed] for seed in seeds)))
    return tuple(groups)


def _seed(entry: Entry) -> tuple[str, int] | None:
    """The recipe's name and the seed of an entry whose name and card agree about the seed; else None."""
    matched = re.fullmatch(r"(.+)-s(0|[1-9][0-9]{0,9})", entry.name)
    if matched is None or entry.record is None:
        return None
    recipe = entry.record.entrant.training.get("recipe")
    seed = recipe.get("seed") if isinstance(recipe, dict) else None
    same = isinstance(seed, int) and not isinstance(seed, bool) and seed == int(matched[2])
    return (matched[1], int(matched[2])) if same else None


def _trained(entry: Entry) -> str:
    """How an entry was trained and what it is, less its seed: equal texts, equal training. The record is there."""
    assert entry.record is not None
    card = entry.record.entrant
    recipe = {key: value for key, value in card.training["recipe"].items() if key != "seed"}
    told = {key: card.training.get(key) for key in MADE_OF}
    return json.dumps([recipe, told, card.architecture, card.parameters], sort_keys=True)


def _ranks(line: Line) -> bool:
    return line.ranking is not None and (isinstance(line, Group) or line.rank is not None)


def _level(line: Line) -> tuple[float, bool]:
    # rounded: a mean of equal numbers may differ from them in the last bit
    return (-round(line.ranking[0], 9), line.ranking[1] is Basis.BOUNDED) if line.ranking else (1.0, False)
