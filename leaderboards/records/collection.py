"""Every record of a results folder, and what is wrong with those that cannot be used as they are."""

from __future__ import annotations

from dataclasses import dataclass, field

from leaderboards.records.arrays import sound_arrays
from leaderboards.records.files import line, parse_record, record_bytes, record_files, record_path
from leaderboards.records.home import Home
from leaderboards.records.schema import Record, RecordError
from leaderboards.records.standing import Standing, standing


@dataclass(frozen=True)
class Problem:
    """A file that no page can be made of as it stands. `file` is relative to the results, `suite` its folder there."""

    suite: str
    file: str
    message: str


@dataclass(frozen=True)
class Collected:
    """A record that can be shown, its file in the results of its home, what is wrong with its arrays, by measure, and whether
    it can be taken at its word."""

    record: Record
    file: str
    unsound: dict[str, str]
    home: Home
    standing: Standing = field(default_factory=Standing)

    @property
    def key(self) -> tuple[str, int | None]:
        """What tells it from the other records of its suite: its entrant's name, and its limit."""
        return self.record.entrant.name, self.record.limit


def collect(home: Home) -> tuple[tuple[Collected, ...], tuple[Problem, ...]]:
    """Read every record of a home, and verify its per-sample arrays; a bad record becomes a Problem and the others are read.

    A record whose arrays are missing or changed keeps its numbers, which stand in the record itself, and is a Problem besides;
    so is one that contradicts itself, which has no rank.
    """
    results = home.results
    collected: list[Collected] = []
    problems: list[Problem] = []
    for path in record_files(results):
        file = path.relative_to(results).as_posix()
        suite = file.split("/")[0]
        try:
            content = record_bytes(path, line(file))
            record = parse_record(content, line(file))
            home.require_holdable(record)
        except RecordError as error:
            problems.append(Problem(suite, line(file), line(error, 400)))
            continue
        belongs = record_path(results, record).relative_to(results).as_posix()
        if file != belongs:
            # it would take the page of the entrant whose name it carries
            problems.append(
                Problem(
                    suite, line(file), line(f"expected the record of {file}, got one that belongs in {belongs}", 400)
                )
            )
            continue
        arrays, unsound = sound_arrays(home.arrays, record)
        stands = standing(home, record, content, arrays)
        wrong = [f"{measure}: {message}" for measure, message in unsound.items()]
        wrong += [*stands.damaged, *(f"it contradicts itself: {one}" for one in stands.contradictions)]
        problems += [Problem(suite, file, line(message, 400)) for message in wrong]
        collected.append(Collected(record, file, unsound, home, stands))
    return tuple(collected), tuple(problems)
