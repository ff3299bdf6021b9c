"""A lower number, handed in by anyone: images that break examples which a record calls robust.

Every image is judged alike, in one forward pass: finite, in [0,1], in the ball, misclassified. Illegal ones are refused one by
one. What breaks anew is kept with the record, with who found it and how. Errs as a replay does: towards the record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock

from harness.data.images import ImageSet
from harness.errors import BadInput
from harness.measures.intervals import proportion
from harness.provenance import now
from harness.run.best_known import ATTACK, known_of, robust_flags, with_found
from harness.run.executors.in_process import in_process
from harness.run.executors.place import results
from harness.run.findings import suite_info
from harness.run.folders import published
from harness.run.plan import Judged, make_plan
from harness.suites.suite import Suite
from harness.threat import ThreatModel
from harness.verify.handed_in import HandedIn, read_handed_in
from harness.verify.shown import Refused, Show, Shown, refused_of
from leaderboards.records.files import file_stem, read_record, write_atomically, write_record
from leaderboards.records.home import Home
from leaderboards.records.schema import Counterexamples, Record, SuiteInfo, Value, is_number
from leaderboards.records.witnesses import write_witnesses

MOST_WHO, MOST_HOW = 200, 2000
"""Characters of who found the images, and of how."""


@dataclass(frozen=True)
class Challenged:
    """What became of a challenge. `broken`, `known`: examples that its images break, which nothing had broken before, or
    something had; `right`: legal images that are classified correctly. `before` and `after`: what is best known."""

    record: Record
    refused: tuple[Refused, ...]
    broken: tuple[int, ...]
    known: tuple[int, ...]
    right: tuple[int, ...]
    before: Value
    after: Value
    path: Path | None = None

    @property
    def line(self) -> str:
        """For people: what changed, or that nothing did, and the numbers of images."""
        counts = (
            (len(self.known), "of examples that were broken before"),
            (len(self.right), "classified correctly"),
            (len(self.refused), "refused"),
        )
        others = ", ".join(f"{n} {what}" for n, what in counts if n)
        rest = f" ({others})" if others else ""
        who = f"{self.record.entrant.name} on {self.record.suite.name}"
        if not self.broken:
            return f"{who}: best known stays {_percent(self.before)}; none of {_images(self.images)} breaks anything new{rest}"
        best = f"best known is now {_percent(self.after)}, was {_percent(self.before)}"
        breaks = "breaks" if len(self.broken) == 1 else "break"
        return f"{who}: {best}; {len(self.broken)} of {_images(self.images)} {breaks} what nothing had broken{rest}"

    @property
    def images(self) -> int:
        """How many were handed in."""
        return sum(map(len, (self.broken, self.known, self.right, self.refused)))

    @property
    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        found = self.record.best_known.found[-1] if self.broken and self.record.best_known else None
        return {
            "suite": self.record.suite.name,
            "entrant": self.record.entrant.name,
            "weights_sha256": self.record.entrant.weights_sha256,
            "before": self.before.model_dump(),
            "after": self.after.model_dump(),
            "broken": list(self.broken),
            "known": list(self.known),
            "still_right": list(self.right),
            "refused": [{"image": one.image, "example": one.example, "reason": one.reason} for one in self.refused],
            "witnesses": found.witnesses.model_dump() if found else None,
        }


@dataclass(frozen=True)
class Challenge:
    """Images against the record of an entrant, in `home` or else in one of `others`, from where it is copied before it changes.

    Raises BadInput where nobody says who found the images and how, and where there is no record of these weights on these
    images with AutoAttack's flags; RecordError where its arrays or bundles are lost.
    """

    home: Home
    suite: SuiteInfo
    entrant: str
    weights_sha256: str
    who: str
    how: str
    others: Sequence[Home] = ()
    limit: int | None = None

    def __post_init__(self) -> None:
        for option, text, most in (("--who", self.who, MOST_WHO), ("--how", self.how, MOST_HOW)):
            if not text.strip() or len(text) > most or not text.isprintable():
                got = repr(text[:50]) if text.strip() else "nothing"
                raise BadInput(
                    f"expected {option} with 1 to {most} characters on one line, got {got}; say who found the images and how"
                )

    @property
    def file(self) -> str:
        """Of the record, inside a folder of results."""
        part = f"partial-{self.limit}/" if self.limit else ""
        return f"{file_stem(self.suite.name)}/{part}{file_stem(self.entrant)}.json"

    def found(self) -> tuple[Home, Record]:
        """The record that is challenged, and where it lies."""
        for home in (self.home, *self.others):
            if (path := home.results / self.file).is_file():
                record = read_record(path)
                self._require(record)
                robust_flags(home, record)  # says what is missing before a classifier is loaded
                return home, record
        raise BadInput(
            f"expected the record of {self.entrant} on {self.suite.name}, got none in {self.home.results};"
            f" do: harness run --suite {self.suite.name} --entrants {self.entrant} --measures standard,autoattack"
        )

    def _require(self, record: Record) -> None:
        if record.entrant.weights_sha256 != self.weights_sha256:
            raise BadInput(
                f"expected the record of these weights of {self.entrant} ({self.weights_sha256[:12]}), got one of others"
                f" ({record.entrant.weights_sha256[:12]}); measure it again with harness run"
            )
        if record.suite != self.suite:
            mine, its = self.suite.model_dump(), record.suite.model_dump()
            apart = ", ".join(f"{key} {its[key]} instead of {mine[key]}" for key in mine if its[key] != mine[key])
            raise BadInput(
                f"expected a record of the suite as it is here, got {apart}; measure it again, or find the images of then"
            )

    def __call__(self, handed: HandedIn, images: ImageSet, answer: Shown, threat: ThreatModel) -> Challenged:
        """Write what the images broke anew into the record. `answer` is the entrant's, see `Show`.

        The same images twice change nothing.
        """
        shown = answer.replay
        refused = refused_of(handed, images, shown, threat)
        self.home.root.mkdir(parents=True, exist_ok=True)
        with FileLock(self.home.root / ".lock"):
            place, record = self.found()
            known = known_of(place, record)
            if len(known.robust) != len(images):
                raise BadInput(
                    f"expected AutoAttack's flags of {len(images)} examples in the record of {self.entrant}, got"
                    f" {len(known.robust)}; measure it again with harness run"
                )
            new = shown.broken & known.left[shown.examples]
            after, path = known, None
            if new.any():
                examples = shown.examples[new]
                if place.root != self.home.root:
                    _copy(place, self.home, record)
                one = Counterexamples(
                    source="challenge",
                    who=self.who,
                    how=self.how,
                    found_at=now(),
                    witnesses=write_witnesses(self.home.witnesses, answer.witnesses.of(examples)),
                )
                after = known.without(examples)
                record = with_found(record, after, [one])
                path, _ = write_record(self.home.results, record)
        illegal = np.isin(shown.examples, [one.example for one in refused])
        return Challenged(
            record=record,
            refused=refused,
            broken=tuple(shown.examples[new].tolist()),
            known=tuple(shown.examples[shown.broken & ~new].tolist()),
            right=tuple(shown.examples[~illegal & ~shown.broken].tolist()),
            before=proportion(known.left),
            after=proportion(after.left),
            path=path,
        )


def challenged(
    judged: Judged, suite: Suite, file: Path, out: Path, device: torch.device, *, who: str, how: str
) -> Challenged:
    """Hand in a file of images against the record of an entrant in `out`, or else the published one.

    Raises BadInput and RecordError as Challenge does, BadInput for a file that holds no such images, and JobFailed where the
    entrant's own code fails.
    """
    plan = make_plan(suite, [judged], [], precision="fp32", device=device.type)
    beside = published(out)
    others = (beside,) if beside else ()
    (judged,) = plan.judged
    info = suite_info(plan, judged)
    challenge = Challenge(Home(out), info, judged.name, judged.weights.sha256, who, how, others, plan.limit)
    handed = read_handed_in(file, judged.images)
    _, record = challenge.found()
    plan = replace(plan, precision=record.measurements[ATTACK].provenance.precision)
    with in_process(plan, device) as workers:
        ((_, shown),) = results(workers, [Show(handed)])
    return challenge(handed, judged.images, shown, suite.threat)


def _images(n: int) -> str:
    return "1 image" if n == 1 else f"{n} images"


def _percent(value: Value) -> str:
    return f"{100 * value.value:.1f} %" if is_number(value.value) else str(value)


def _copy(place: Home, home: Home, record: Record) -> None:
    """The record's arrays and bundles, as far as they are there, from where it was found to where it is to change."""
    files = [(place.arrays / one.file, home.arrays) for one in record.arrays.values()]
    files += [(place.witnesses / one.file, home.witnesses) for one in record.bundles.values()]
    for path, folder in files:
        if path.is_file() and not (folder / path.name).is_file():
            write_atomically(folder / path.name, path.read_bytes())
