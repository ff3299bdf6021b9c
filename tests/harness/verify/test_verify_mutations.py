"""Random edits of a record and of all that lies beside it: none is taken for proved.

An edit by hand breaks the seal. Where the attacker seals again, numbers, flags, eps, versions, counts and sha256s are still
found; titles, authors, times and machines are free text, and are not edited there.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.run.folders import own_folders
from harness.verify.figures import measure_of
from harness.verify.verdict import Outcome, Verdict
from harness.verify.verification import Verifying
from leaderboards.records.arrays import read_arrays, write_arrays

Path_ = tuple[str | int, ...]

FREE = {
    *("suite_title", "suite_description", "suite_words", "title", "authors", "venue", "link", "licence", "training"),
    *("additional_data", "seconds", "provenance", "address", "message", "description", "short", "reason", "seed"),
    *("dynamics", "shard_size", "best_known", "schema_version"),
}
"""Keys whose contents a record tells and nothing proves; and those that are tried on their own."""


def leaves(plain: Any, path: Path_ = ()) -> Iterator[Path_]:
    """Every place of a JSON document that holds no other."""
    inside = plain.items() if isinstance(plain, dict) else enumerate(plain) if isinstance(plain, list) else ()
    for key, held in inside:
        if isinstance(held, dict | list) and held:
            yield from leaves(held, (*path, key))
        else:
            yield (*path, key)


def at(plain: Any, path: Path_) -> Any:
    for key in path:
        plain = plain[key]
    return plain


def other(held: Any, dice: random.Random) -> Any:
    """Another value; a number that differs by more than rounding."""
    if isinstance(held, bool):
        return not held
    if isinstance(held, int | float):
        by = dice.choice([-1, 1]) * dice.choice([1e-3, 0.01, 0.5, 3])
        return held + (round(by) or 1) if isinstance(held, int) else held * (1 + by) + by
    if isinstance(held, str):
        kinds = [held + "x", held[1:], "", "0" * 64 if held else "x"]
        return dice.choice([kind for kind in kinds if kind != held])
    return dice.choice([0.5, "x", 7])


class Mutations:
    """Spoils a place in one random way, and puts it right again."""

    def __init__(self, place: Any, seed: int) -> None:
        self.place, self.dice = place, random.Random(seed)
        self.files = {path: path.read_bytes() for path in place.root.rglob("*") if path.is_file()}
        self.weights = [place.weights]
        record = place.record
        self.arrays = [place.home.arrays / held.file for name, held in record.arrays.items() if name != "dynamics"]
        self.bundles = [place.home.witnesses / held.file for held in record.bundles.values()]
        self.kinds: tuple[Callable[[], str], ...] = (
            self.leaf, self.gone, self.text, self.byte, self.cut, self.resealed, self.resealed, self.flag, self.array_sealed,
        )  # fmt: skip

    def put_back(self) -> None:
        for path in self.place.root.rglob("*"):
            if path.is_file() and path not in self.files:
                path.unlink()
        for path, content in self.files.items():
            if not path.exists() or path.read_bytes() != content:
                path.write_bytes(content)

    def __call__(self) -> str:
        return self.dice.choice(self.kinds)()

    def leaf(self) -> str:
        """Any value of the record, by hand."""
        plain = self.place.plain()
        path = self.dice.choice([*leaves(plain)])
        at(plain, path[:-1])[path[-1]] = other(at(plain, path), self.dice)
        self.place.write(plain, sealed=False)
        return f"{path} by hand"

    def gone(self) -> str:
        """Any key of the record left out, by hand."""
        plain = self.place.plain()
        path = self.dice.choice([*leaves(plain)])
        path = path[: self.dice.randint(1, len(path))]
        del at(plain, path[:-1])[path[-1]]
        self.place.write(plain, sealed=False)
        return f"{path} left out by hand"

    def text(self) -> str:
        """White space, and single characters of the record's text."""
        content = self.files[self.place.file]
        where = self.dice.randrange(len(content))
        new = self.dice.choice([b" ", b"\n", b"\t", bytes([self.dice.randrange(256)]), b""])
        if content[where : where + 1] == new:
            new = b"  "
        self.place.file.write_bytes(content[:where] + new + content[where + 1 :])
        return f"byte {where} of the record is {new!r}"

    def _any_file(self) -> Path:
        return self.dice.choice([self.dice.choice(self.arrays), self.dice.choice(self.bundles), *self.weights])

    def byte(self) -> str:
        path = self._any_file()
        content = bytearray(self.files[path])
        where = self.dice.randrange(len(content))
        content[where] ^= 1 << self.dice.randrange(8)
        path.write_bytes(content)
        return f"byte {where} of {path.name}"

    def cut(self) -> str:
        path, content = (path := self._any_file()), self.files[path]
        change = self.dice.choice([content[: self.dice.randrange(len(content))], content + b"\0", None])
        path.unlink() if change is None else path.write_bytes(change)
        return f"{path.name} cut, longer or gone"

    def resealed(self) -> str:
        """A value that is proved, sealed again; or left out."""
        plain = self.place.plain()
        found = [path for path in leaves(plain) if not FREE & set(path) and not self._told(plain, path)]
        path = self.dice.choice([path for path in found if path != ("seal",)])
        if self.dice.random() < 0.2 and isinstance(path[-1], str):
            del at(plain, path[:-1])[path[-1]]
        else:
            at(plain, path[:-1])[path[-1]] = other(at(plain, path), self.dice)
        before = self.place.record
        self.place.write(plain)
        try:
            same = self.place.record == before
        except ValueError:
            same = False
        # what the schema fills in by itself is no edit
        return "" if same else f"{path}, sealed again"

    @staticmethod
    def _told(plain: Any, path: Path_) -> bool:
        return "quantities" in path and path[-1] == "title"

    def _edited(self, measure: str, arrays: dict[str, np.ndarray], values: bool) -> None:
        written = write_arrays(self.place.home.arrays, arrays).model_dump(mode="json")
        found = self.place.record.measurements[measure]
        summary = measure_of(found).summarise(arrays, ()) if values else None

        def change(plain: dict[str, Any]) -> None:
            plain["measurements"][measure]["arrays"] = written
            if summary is not None:
                made = found.model_copy(update={"values": dict(summary.values)}).model_dump(mode="json")
                plain["measurements"][measure]["values"] = made["values"]

        self.place.edit(change)

    def _arrays_of(self, measure: str) -> dict[str, np.ndarray]:
        found = read_arrays(self.place.home.arrays, self.place.record.measurements[measure].arrays)
        return {name: array.copy() for name, array in found.items()}

    def flag(self) -> str:
        """A flag that says whether an example was broken, with every number that follows from it, sealed again."""
        arrays = self._arrays_of("autoattack")
        row = self.dice.randrange(len(arrays["stage"]))
        now = int(arrays["stage"][row])
        new = self.dice.choice(
            [stage for stage in (-1, 0, 2, 4) if (stage in (0, 2)) != (now in range(4)) or stage == -1 != now]
        )
        if now == new:
            return ""
        arrays["stage"][row], arrays["reached"][row] = new, max(new, 0)
        self._edited("autoattack", arrays, values=True)
        return f"example {row} from stage {now} to {new}, with all numbers, sealed again"

    def array_sealed(self) -> str:
        """A natural answer, with every number that follows from it, sealed again."""
        arrays = self._arrays_of("standard")
        row, name = self.dice.randrange(len(arrays["label"])), self.dice.choice([*arrays])
        arrays[name][row] = not arrays[name][row] if name == "correct" else (arrays[name][row] + 3) % 10
        self._edited("standard", arrays, values=True)
        return f"{name} of example {row}, with all numbers, sealed again"


def accepted(place: Any, seed: int, tries: int) -> list[str]:
    """Edits that are taken for proved, of so many."""
    verifying, spoil = place.verifying(), Mutations(place, seed)
    assert _asked(verifying, place).outcome is Outcome.PROVED
    found, made = [], 0
    while made < tries:
        if said := spoil():
            made += 1
            verdict = _asked(verifying, place)
            json.dumps(verdict.plain())
            assert all("\n" not in line for line in (verdict.line, *verdict.details)), said
            if verdict.outcome is Outcome.PROVED:
                found.append(said)
        spoil.put_back()
    assert _asked(verifying, place).outcome is Outcome.PROVED, "the place was not put right"
    return found


def _asked(verifying: Verifying, place: Any) -> Verdict:
    return verifying(place.file)


def test_of_100_random_edits_none_is_proved(place) -> None:
    assert own_folders(), "the entrant of the fixture is an own one"
    assert accepted(place, seed=1, tries=100) == []


@pytest.mark.slow
def test_of_1000_random_edits_none_is_proved(place) -> None:
    assert accepted(place, seed=2, tries=1000) == []


@pytest.mark.slow
def test_of_200_random_edits_of_a_record_of_all_measures_none_is_proved(whole_place) -> None:
    assert accepted(whole_place, seed=3, tries=200) == []
