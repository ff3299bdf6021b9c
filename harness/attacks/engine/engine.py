"""AutoAttack's version "standard" (Croce & Hein 2020) as a queue of rows: the reference's attacks, full batches, equal flags.

An example leaves everywhere at the first image that the classifier itself, in strict float32, gets wrong within the threat
model; the next one takes its place. What an example comes to depends on its image, its label, the weights and the seed: not
on the batch, the order, or who else is attacked. The targets of a stage are attacked side by side, step by step.

It errs as AutoAttack does: robust accuracy is an upper bound. Beside it stands harness.attacks.autoattack, the reference.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from harness.attacks.engine.apgd import APGD
from harness.attacks.engine.draws import Draws, KeyedDraws, image_keys
from harness.attacks.engine.fab import TargetedFAB
from harness.attacks.engine.losses import CrossEntropy, targeted
from harness.attacks.engine.outcome import STAGES, SURVIVED, Outcome, left_out
from harness.attacks.engine.pace import Pace, work_of
from harness.attacks.engine.report import Report
from harness.attacks.engine.search import Jobs, RowSearch
from harness.attacks.engine.square import Square
from harness.attacks.engine.square_l2 import SquareL2
from harness.attacks.verification import verified
from harness.classifier.frozen import frozen
from harness.classifier.meter import meter
from harness.classifier.prepared import Prepared, Search, plain, prepare
from harness.threat import ThreatModel

ALGORITHM = "harness 1"
"""The engine's name in records; the number changes whenever its code would give other flags."""

TARGETS = 9
"""Target classes of version "standard": the nine most likely wrong ones."""

_STATE_BYTES = 256 << 20
"""What rows in flight may take beside the network's own memory."""

_CUDA_INTERVAL = 5
"""Steps between two looks at the rows of APGD on a GPU, each of which waits for the device."""

_SLOW = 2e-3
"""Seconds of one image's pass, from which a network is slow: Square then takes more than ten seconds a row."""

_BUFFERS = 10
"""Buffers of an image's size that a row has at most."""


Kept = Callable[[Outcome], None]


@dataclass(frozen=True)
class Engine:
    """The attack and its budget.

    `rows` in flight, `interval` (steps of APGD between two looks at them; None: by the device) and `every` (seconds between
    two calls of `kept`) change no flag.
    """

    seed: int = 0
    search: Search = "fp32"
    steps: int = 100
    queries: int = 5000
    targets: int = TARGETS
    rows: int | None = None
    interval: int | None = None
    every: float = 60.0
    draws: Draws | None = None

    def __call__(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        threat: ThreatModel,
        before: Outcome | None = None,
        *,
        through: int | Tensor = SURVIVED,
        kept: Kept | None = None,
        report: Report | None = None,
    ) -> tuple[Outcome, Report]:
        """Attack N >= 1 images (N, C, H, W) in [0, 1] with labels (N,); the model gives float32 logits.

        `before` is an outcome to go on from. `through` says after how many stages an example is left alone: a number, or
        one for each example. `kept` is called with the outcome so far about once in `every` seconds. `report`
        is filled in as it goes, and given back.
        """
        with frozen(model), torch.no_grad():
            return _Attacking(self, model, x, y, threat, kept, report or Report())(before, through)


class _Attacking:
    """One call of the engine."""

    def __init__(
        self,
        engine: Engine,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        threat: ThreatModel,
        kept: Kept | None,
        report: Report,
    ):
        self.engine, self.x, self.y, self.threat, self.kept = engine, x, y, threat, kept
        self.draws = engine.draws or KeyedDraws(engine.seed)
        self.model = model
        self.judge = plain(model, x)
        begun = time.perf_counter()
        self.natural = self.judge.logits(x)
        self._slow = (time.perf_counter() - begun) / len(x) > _SLOW
        self.keys = image_keys(x)
        self.report = report
        report.classes, report.left_out = self.natural.shape[1], left_out(threat.norm, min(x.shape[2:]))
        self.work = work_of(engine.steps, engine.queries, x.shape[1:], threat.norm)
        self._network: Prepared | None = None
        self._told = time.monotonic()

    def __call__(self, before: Outcome | None, through: int | Tensor) -> tuple[Outcome, Report]:
        found = (before or Outcome.begun(self.natural, self.x, self.y)).copy()
        for number, stage in enumerate(STAGES):
            waiting = found.waiting(number, through)
            self._tell_of(number, found, through)
            if stage not in self.report.left_out and len(waiting):
                self._run(number, waiting, found)
            else:
                found.reached[waiting] = number + 1
        if self._network is not None:
            self.report.forward, self.report.gradient = self._network.passes.forward, self._network.passes.gradient
        self.report.verdicts = self.judge.passes.forward
        return found, self.report

    @property
    def network(self) -> Prepared:
        """The network that is searched; prepared when the first image needs it."""
        if self._network is None:
            self._network = prepare(self.model, self.x, self.engine.search, size=self.judge.size)
            self.report.notes = tuple(dict.fromkeys((*self.judge.notes, *self._network.notes)))
        return self._network

    def _jobs(self, stage: int, examples: Tensor) -> tuple[Jobs, int]:
        """The rows of a stage on some examples, those of one example together, and how many each has."""
        if STAGES[stage] in ("apgd-ce", "square"):
            rows, target, each = examples, self.y[examples], 1
        else:
            each = self._each(stage)
            # the likeliest wrong classes first; the label comes last
            ranked = self.natural[examples].scatter(1, self.y[examples].unsqueeze(1), -torch.inf)
            target = ranked.argsort(dim=1, descending=True, stable=True)[:, :each].flatten()
            rows = examples.repeat_interleave(each)
        return Jobs(self.x[rows], self.y[rows], target, self.keys[rows], rows), each

    def _search(self, stage: int, first: Jobs, capacity: int) -> RowSearch:
        engine, threat = self.engine, self.threat
        match STAGES[stage]:
            case "apgd-ce" | "apgd-t" as name:
                loss = CrossEntropy() if name == "apgd-ce" else targeted(self.report.classes)
                interval = engine.interval or (_CUDA_INTERVAL if self.x.is_cuda else 1)
                interval = interval if engine.steps % interval == 0 else 1
                blind = self.report.blind if name == "apgd-t" else None
                return APGD(loss, stage, threat, self.draws, engine.steps, first, capacity, interval, blind)
            case "fab-t":
                return TargetedFAB(threat, engine.steps, first, capacity)
            case _:
                made = Square if threat.norm == "Linf" else SquareL2
                return made(threat, self.draws, engine.queries, first, capacity)

    def _capacity(self, each: int) -> int:
        """How many rows are in flight: full passes, and a whole number of examples."""
        # with a slow network fewer rows: examples then end one after another, and can be kept
        wanted = self.engine.rows or (self.network.size if self._slow else max(2 * self.network.size, 256))
        fitting = _STATE_BYTES // (_BUFFERS * self.x[0].numel() * self.x.element_size())
        return max(min(wanted, max(fitting, self.network.size)) // each, 1) * each

    def _run(self, stage: int, waiting: Tensor, found: Outcome) -> None:
        """One stage on the examples that wait for it; `found` is filled in as they end."""
        _, each = self._jobs(stage, waiting[:1])
        capacity = min(self._capacity(each), len(waiting) * each)
        first, _ = self._jobs(stage, waiting[: capacity // each])
        search = self._search(stage, first, capacity)
        search.admit(first)
        begun = capacity // each
        pace = Pace(self.work[stage], len(waiting) * each)
        left = torch.zeros(len(self.x), dtype=torch.int64, device=self.x.device)
        left[waiting] = each
        while search.lanes.n:
            broken = self._broken(stage, search, found)
            if search.quiet:
                continue
            if meter().due:
                meter().robust = int(found.robust.sum())
                meter().worked(*pace.moved(search.taken()))
            gone = search.finished()
            if broken is not None:
                gone = gone | broken
            if bool(gone.any()):
                ended = search.lanes["example"][gone]
                left.scatter_add_(0, ended, torch.full_like(ended, -1))
                survived = ended[(left[ended] == 0) & found.robust[ended]].unique()
                found.reached[survived] = stage + 1
                pace.ended(search.taken()[gone])
                search.lanes.keep((~gone).nonzero().squeeze(1))
            room = search.lanes.free // each if not search.lockstep or search.lanes.n == 0 else 0
            if begun < len(waiting) and room:
                more, _ = self._jobs(stage, waiting[begun : begun + room])
                search.admit(more)
                begun += len(more) // each
            self._keep(found)
        meter().robust = int(found.robust.sum())
        meter().worked(*pace.over())

    def _tell_of(self, stage: int, found: Outcome, through: int | Tensor) -> None:
        """A stage begins: what it and the later ones come to at most, for what is not broken so far."""
        left = {}
        for number in range(stage, len(STAGES)):
            waiting = (
                found.robust & (found.reached <= number) & (torch.as_tensor(through).to(found.reached) > number)
            ).sum()
            out = STAGES[number] in self.report.left_out
            left[STAGES[number]] = 0.0 if out else int(waiting) * self._each(number) * self.work[number]
        meter().robust = int(found.robust.sum())
        meter().enter(STAGES[stage], later=left, by_itself=True)

    def _each(self, stage: int) -> int:
        """How many rows an example has in a stage."""
        return 1 if STAGES[stage] in ("apgd-ce", "square") else min(self.engine.targets, self.report.classes - 1)

    def _broken(self, stage: int, search: RowSearch, found: Outcome) -> Tensor | None:
        """Take a step and verify what it found. Gives the rows (bool) of examples that are broken; None for none."""
        hits = search.advance(self.network)
        if not len(hits.rows):
            return None
        example = search.lanes["example"][hits.rows]
        y = search.lanes["y"][hits.rows]
        checked = verified(self.judge.logits, search.lanes["natural"][hits.rows], y, hits.x_adv, self.threat)
        for reason, held in checked.reasons.items():
            if bool((against := held & checked.fooling).any()):
                self.report.refused.setdefault((stage, reason), set()).update(example[against].tolist())
        sure = checked.broken.nonzero().squeeze(1)
        if not len(sure):
            return None
        # where several targets broke an example at once, the likeliest counts: rows of an example are in that order
        first = torch.full((len(self.x),), len(sure), device=self.x.device)
        order = torch.arange(len(sure), device=self.x.device)
        first.scatter_reduce_(0, example[sure], order, "amin")
        chosen = sure[first[example[sure]] == order]
        found.stage[example[chosen]] = stage
        found.x_adv[example[chosen]] = checked.x_adv[chosen]
        return ~found.robust[search.lanes["example"]]

    def _keep(self, found: Outcome) -> None:
        if self.kept is not None and time.monotonic() - self._told >= self.engine.every:
            self.kept(found)
            self._told = time.monotonic()
