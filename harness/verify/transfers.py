"""Every entrant meets the other entrants' witnesses: one forward pass for each example that AutoAttack left of it.

What breaks lowers its best known value. Where the witnesses of a single other entrant break much of what AutoAttack left, the
attack was misled by the entrant's gradients: an attack that had used none of them would have done better. Errs towards the
entrant: that nothing transfers does not say that its gradients are sound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock

from harness.errors import BadInput, one_line
from harness.provenance import now
from harness.run.best_known import known_of, with_found
from harness.run.executors.in_process import in_process
from harness.run.executors.place import Assignment, Place
from harness.run.folders import published
from harness.run.plan import Plan
from harness.verify.hidden_gradients import HIDDEN_GRADIENTS, flags_with
from harness.verify.parties import Source, Target, records_of, sources_of, targets_of
from harness.verify.replay import replayed
from leaderboards.records.files import file_stem, read_record, record_path, write_record
from leaderboards.records.home import Home
from leaderboards.records.schema import Counterexamples, Record, RecordError
from leaderboards.records.transfers import Pair, Transfers, key_of, read_transfers, write_transfers
from leaderboards.records.witnesses import read_witnesses, write_witnesses


@dataclass(frozen=True)
class Replays:
    """The job of showing an entrant the witnesses of others, for the examples that AutoAttack left of it.

    It gives, for each source, how many there were and (k,) int64, the examples that broke; None for one whose witnesses cannot
    be read.
    """

    robust: np.ndarray
    sources: Sequence[Source]

    def __call__(self, place: Place) -> list[tuple[int, np.ndarray] | None]:
        left = np.flatnonzero(self.robust)
        found: list[tuple[int, np.ndarray] | None] = []
        for source in self.sources:
            try:
                held = read_witnesses(source.folder, source.bundle).of(left)
                answer = replayed(place.model, place.judged.images, held, place.suite.threat, place.device)
                found.append((len(held), answer.examples[answer.broken]))
            except BadInput:  # of another form of the same pictures, as the entrant of another preprocessing sees them
                found.append((0, np.zeros(0, np.int64)))
            except RecordError:
                found.append(None)
        return found


@dataclass
class Transferred:
    """What became of the replays: pairs of entrants that were tried, forward passes, what broke anew by target and source, who
    is flagged, and what went wrong by entrant."""

    pairs: int = 0
    passes: int = 0
    broken: dict[tuple[str, str], int] = field(default_factory=dict)
    flagged: list[str] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)

    @property
    def line(self) -> str:
        """For people, in a line; empty where nothing was tried."""
        if not self.pairs:
            return ""
        anew = [f"{target} loses {n} to the witnesses of {source}" for (target, source), n in self.broken.items()]
        more = f"; hidden gradients suspected of {', '.join(self.flagged)}" if self.flagged else ""
        tried = f"transfers: {self.pairs} pairs of entrants, {self.passes} passes"
        return f"{tried}; {', '.join(anew) or 'nothing new broke'}{more}"


def met(plan: Plan, out: Path, device: torch.device, tell: Callable[[str], None]) -> None:
    """What a run does at its end: `transferred` in its folder with the published records beside it, told in a line or none.

    What goes wrong is told, too, and takes nothing from what the run has found.
    """
    beside = published(out)
    try:
        done = transferred(plan, Home(out), (beside,) if beside else (), device)
    except RecordError as error:
        tell(f"harness: warning: {one_line(error)}")
        return
    for name, problem in done.problems.items():
        tell(f"harness: warning: transfers: {name}: {problem}")
    if done.line:
        tell(done.line)


def as_written(records: Sequence[Record], out: Path) -> list[Record]:
    """Records of a run as their files are now."""
    return [read_record(record_path(out / "results", record)) for record in records]


def transferred(plan: Plan, home: Home, others: Sequence[Home], device: torch.device) -> Transferred:
    """Show the entrants of a plan the witnesses of all entrants of the suite in `home` and in `others`.

    Writes the pairs to the home, and what breaks anew into the records there. A pair that was tried with the same weights,
    flags and witnesses is not tried again. Nothing is done for a run on the first examples alone, nor with fewer than two
    entrants that have witnesses. Raises RecordError where the file of pairs is none.
    """
    done = Transferred()
    if plan.limit is not None:
        return done
    home.root.mkdir(parents=True, exist_ok=True)
    lock = FileLock(home.root / ".lock")
    with lock:
        there = _There.of(plan, (home, *others), done)
    if len(there.sources) < 2:
        return done
    shown = [
        *_shown(plan, _todo(there.targets, there.sources, there.pairs), device, done)
    ]  # nobody waits for the networks
    with lock:
        there = _There.of(plan, (home, *others), done)
        targets, pairs = {target.name: target for target in there.targets}, {**there.pairs}
        for target, found in shown:
            now = targets.get(target.name)
            if now is None or key_of(now.record) != key_of(target.record):
                continue  # measured again meanwhile: the next run tries it
            try:
                _keep(home, now, found, done)
            except RecordError as error:  # what is known of it is lost: it is tried again when that is mended
                done.problems[target.name] = one_line(error)
                continue
            pairs |= {(target.name, one.source.name): one.pair for one in found}
        for target in there.targets:
            _flag(home, target, [pair for pair in pairs.values() if pair.target == target.name], done)
        if pairs or there.before.pairs:
            write_transfers(home.transfers, there.before.with_pairs(pairs.values()))
    return done


@dataclass(frozen=True)
class _There:
    """What lies in the homes at one moment: who has witnesses, who can be shown them, and which pairs have met as they are."""

    before: Transfers
    sources: Sequence[Source]
    targets: Sequence[Target]
    pairs: Mapping[tuple[str, str], Pair]

    @classmethod
    def of(cls, plan: Plan, homes: Sequence[Home], done: Transferred) -> _There:
        """The first home is the run's. Raises RecordError where its file of pairs is none."""
        home, sources = homes[0], sources_of(plan, homes)
        before = read_transfers(home.transfers, plan.suite.name)
        held = {record.entrant.name: record for record in records_of(plan, home)}
        pairs = {(pair.target, pair.source): pair for pair in before.pairs if _stands(pair, held, sources)}
        return cls(before, sources, targets_of(plan, home, held, done.problems), pairs)


@dataclass(frozen=True)
class _Found:
    """A source's witnesses that were shown to a target: the pair that is written, and the examples that broke."""

    source: Source
    pair: Pair
    broken: np.ndarray


def _stands(pair: Pair, held: Mapping[str, Record], sources: Sequence[Source]) -> bool:
    """Whether both records of a pair are there, and are what they were."""
    target = held.get(pair.target)
    return target is not None and any(pair.is_of(target, source.record) for source in sources)


def _todo(
    targets: Sequence[Target], sources: Sequence[Source], pairs: Mapping[tuple[str, str], Pair]
) -> list[tuple[Target, list[Source]]]:
    """The sources that each target has still to meet. An entrant of the same weights is no other one."""
    found = []
    for target in targets:
        lost = _found_before(target.record)
        mine = [
            source
            for source in sources
            if source.name != target.name
            and source.record.entrant.weights_sha256 != target.record.entrant.weights_sha256
            and ((pair := pairs.get((target.name, source.name))) is None or pair.broken > lost)
        ]
        if mine:
            found.append((target, mine))
    return found


def _found_before(record: Record) -> int:
    """How many examples are known to be broken beside AutoAttack. A pair that broke more was lost with an earlier record."""
    return sum(one.witnesses.n for one in record.best_known.found) if record.best_known else 0


def _shown(
    plan: Plan, todo: Sequence[tuple[Target, list[Source]]], device: torch.device, done: Transferred
) -> Iterator[tuple[Target, list[_Found]]]:
    """Load one entrant after another and show it what it has to meet."""
    jobs = [Assignment(target.number, Replays(target.robust, sources)) for target, sources in todo]
    with in_process(plan, device) as workers:
        for answer in workers(jobs):
            target, sources = todo[answer.number]
            if answer.fault is not None:
                done.problems[target.name] = answer.fault.message
                continue
            for source in (one for one, result in zip(sources, answer.result, strict=True) if result is None):
                done.problems.setdefault(source.name, "its witnesses cannot be read: they were shown to nobody")
            found = [
                _Found(source, target.pair(source, tried=result[0], broken=len(result[1])), result[1])
                for source, result in zip(sources, answer.result, strict=True)
                if result is not None
            ]
            done.pairs += len(found)
            done.passes += sum(one.pair.tried for one in found)
            yield target, found


def _keep(home: Home, target: Target, found: Sequence[_Found], done: Transferred) -> None:
    """Lower what is best known of a target by what broke anew: each example is the first source's that broke it, by name."""
    record = target.record
    if not any(len(one.broken) for one in found):
        return
    known = known_of(home, record)
    for one in found:
        new = one.broken[known.left[one.broken]]
        if not len(new):
            continue
        witnesses = read_witnesses(one.source.folder, one.source.bundle).of(new)
        known = known.without(new)
        beside = Counterexamples(
            source="transfer",
            who=one.source.name,
            how=f"witnesses of AutoAttack on {one.source.name}",
            found_at=now(),
            witnesses=write_witnesses(home.witnesses, witnesses),
        )
        record = with_found(record, known, [beside])
        done.broken[target.name, one.source.name] = len(new)
    write_record(home.results, record)


def _flag(home: Home, target: Target, pairs: Sequence[Pair], done: Transferred) -> None:
    """Say of a target, or no longer say, that its gradients may be hidden."""
    record = read_record(home.results / file_stem(target.record.suite.name) / f"{file_stem(target.name)}.json")
    if record.best_known is None:
        return
    flags = flags_with(record.best_known.flags, pairs)
    if any(flag.code == HIDDEN_GRADIENTS for flag in flags):
        done.flagged.append(target.name)
    if flags != record.best_known.flags:
        best = record.best_known.model_copy(update={"flags": flags})
        write_record(home.results, record.model_copy(update={"best_known": best}))
