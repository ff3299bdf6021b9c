"""What to type for what a page shows: to measure it again, to prove it, to load the classifier, to train it again.

Every word is quoted for the shell, or for Python, that it is to be typed in. There is no command where a name holds characters
that cannot be seen: a text that reads harmlessly could then be pasted as another. Nor is there one for what lived in a
process's memory.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from leaderboards.board.generation import MEASURE as GENERATION
from leaderboards.records.files import record_path
from leaderboards.records.home import Home
from leaderboards.records.schema import Measurement, Record

AUTOATTACK = "autoattack"


@dataclass(frozen=True)
class Command:
    """Lines to be copied: what they do, in a few words, and what a reader must know before."""

    title: str
    says: str
    text: str


def of_record(record: Record, home: Home) -> tuple[Command, ...]:
    """All that can be typed for one record of `home`; nothing where no command can be shown."""
    again = measured_again(record)
    if not again:
        return ()
    suite, spec = _suite(record), record.entrant.spec
    found = [
        Command("Measure it again", "What was measured before is not measured again.", "\n".join(again)),
        Command(
            "Prove it",
            f"Type it in the folder that contains {home.root.name}/. Every adversarial image is shown to the classifier again.",
            shlex.join(["harness", "verify", _path(record, home)]),
        ),
        Command(
            "Load it in Python",
            "A torch.nn.Module: from images in [0, 1], shaped (N, C, H, W), to logits.",
            f"import harness\n\nmodel = harness.load({_quoted(spec)}, suite={_quoted(suite[-1])})",
        ),
    ]
    if "recipe" in record.entrant.training:
        name = f"{record.entrant.name}-again"
        found.append(
            Command(
                "Train it again",
                "With the recipe, seed and data of its card, under a name of its own.",
                shlex.join(["harness", "train", *suite, "--recipe-of", spec, "--name", name]),
            )
        )
    return tuple(found)


def of_board(records: Sequence[tuple[Record, Home]]) -> tuple[Command, ...]:
    """What can be typed for the measured rows of one board, all at once."""
    shown = [(record, home) for record, home in records if measured_again(record)]
    if not shown:
        return ()
    runs: dict[tuple[str, tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for record, _ in shown:
        alone = record.entrant.name if _called(record) else ""  # what is said of one entrant is not said of others
        for before, after in _runs(record):
            runs.setdefault((alone, before, after), []).append(record.entrant.spec)
    again = [shlex.join([*before, "--entrants", ",".join(specs), *after]) for (_, before, after), specs in runs.items()]
    # the suite's folder, for partial records too: harness verify takes a record or such a folder
    folders = dict.fromkeys("/".join(_path(record, home).split("/")[:3]) for record, home in shown)
    places = dict.fromkeys(home.root.name for _, home in shown)
    return (
        Command("Measure these rows again", "What was measured before is not measured again.", "\n".join(again)),
        Command(
            "Prove these rows",
            f"Type it in the folder that contains {' and '.join(f'{place}/' for place in places)}.",
            shlex.join(["harness", "verify", *folders]),
        ),
    )


def measured_again(record: Record) -> tuple[str, ...]:
    """A command for each device, precision, shard size, seed, engine and search that a record was measured with."""
    presets = (str(measurement.settings.get("preset", "")) for measurement in record.measurements.values())
    names = (*_suite(record), record.entrant.spec, *record.measurements, *presets)
    if record.entrant.source == "memory" or not _can_be_seen(names):
        return ()
    return tuple(
        shlex.join([*before, "--entrants", record.entrant.spec, *after])
        for before, after in _runs(record)
        if _can_be_seen(after)
    )


def _runs(record: Record) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """The words before and after the entrants of each command."""
    runs: dict[tuple[str, ...], list[str]] = {}
    attacked: dict[tuple[str, ...], tuple[str, ...]] = {}
    for name, measurement in record.measurements.items():
        preset = measurement.settings.get("preset")
        if name == GENERATION and preset == "":
            continue  # its settings were given in Python: no command has them
        asked = f"{name}:{preset}" if name == GENERATION and isinstance(preset, str) and preset else name
        conditions = _conditions(measurement)
        runs.setdefault(conditions, []).append(asked + (":bounded" if measurement.bounded else ""))
        if name == AUTOATTACK:
            attacked[conditions] = _attack(measurement)
    limit = () if record.limit is None else ("--limit", str(record.limit))
    before = ("harness", "run", *_suite(record))
    return [
        (
            before,
            (*_called(record), "--measures", ",".join(measures), *limit, *attacked.get(conditions, ()), *conditions),
        )
        for conditions, measures in runs.items()
    ]


def _called(record: Record) -> tuple[str, ...]:
    """What a user said of an entrant that he gave by its path or its code: without it the row would have another name."""
    entrant = record.entrant
    if entrant.source not in ("checkpoint", "python"):
        return ()
    rest = entrant.spec.partition(":")[2]
    by_itself = rest.rpartition(":")[2] if entrant.source == "python" else Path(rest.split("@")[0]).stem
    return (
        *(("--name", entrant.name) if entrant.name != by_itself else ()),
        *(("--title", entrant.title) if entrant.title else ()),
        *(("--paper", entrant.link) if entrant.link else ()),
    )


def _suite(record: Record) -> tuple[str, ...]:
    return record.suite_words or ("--suite", record.suite.name)


def _path(record: Record, home: Home) -> str:
    """Of a record's file, from the folder that its home lies in: pages know no other place of the reader's."""
    return record_path(Path(home.root.name) / home.results.name, record).as_posix()


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _can_be_seen(words: Iterable[str]) -> bool:
    return all(word.isprintable() for word in words)


def _conditions(measurement: Measurement) -> tuple[str, ...]:
    """Options of a command that decide numbers, as they were."""
    size, made = measurement.settings.get("shard_size"), measurement.provenance
    return (
        *(("--shard-size", str(size)) if isinstance(size, int) else ()),
        *(("--seed", str(measurement.seed)) if measurement.seed else ()),
        *("--device", made.device, "--precision", made.precision),
    )


def _attack(measurement: Measurement) -> tuple[str, ...]:
    """Who ran AutoAttack, and how exactly it looked for images: where that is not what a command does by itself."""
    search = measurement.settings.get("search")
    if measurement.settings.get("engine") == "pyautoattack":
        return ("--engine", "pyautoattack")
    usual = search is None or (search == "fp32" and measurement.provenance.device == "cpu")
    return () if usual else ("--search", str(search))
