"""Robust accuracy under AutoAttack, by the project's own engine or by pyautoattack.

It errs high: what AutoAttack does not break may still be breakable, so the number is an upper bound on the true robust
accuracy (Croce & Hein 2020). Flags carry AutoAttack's own doubts about an evaluation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self, get_args

import numpy as np
import torch
from torch import Tensor, nn

from harness.attacks.autoattack import TARGETS, Cascade, stages_for
from harness.attacks.engine import engine as own
from harness.attacks.engine.outcome import STAGES, SURVIVED, Outcome, left_out
from harness.attacks.engine.report import Report
from harness.attacks.engine.square import passes_by_query
from harness.classifier.logits import natural_logits
from harness.classifier.meter import meter
from harness.classifier.prepared import Search, chosen_search
from harness.data.images import Examples
from harness.errors import BadInput
from harness.measures import bounded as bounds
from harness.measures import doubts
from harness.measures.intervals import proportion
from harness.measures.measure import Cost, Kept, Measure, Note, ShardResult, Summary, Witnesses, flags_of, joined_notes
from harness.measures.outcomes import arrays_of, cascade_state, of_cascade, outcome_of
from harness.measures.rounding import known_of, with_witnesses, witnesses_of
from harness.threat import Norm, ThreatModel
from leaderboards.board.labels import ATTACKS, label
from leaderboards.records.schema import Quantity

SQUARE_GAIN = 0.002
"""AutoAttack doubts an evaluation in which Square, the black-box stage, still breaks more than this share."""

_CHECKED = 250
"""Examples that are passed through the classifier at once before the attacks."""

Attacks = Literal["harness", "pyautoattack"]
"""Whose code runs the attacks: the project's own engine, or the reference."""


@dataclass(frozen=True)
class RobustAccuracy(Measure):
    """Share of examples that AutoAttack's version "standard" leaves correct, and what each of its stages leaves.

    Every image is verified against the threat model in float32 before its example counts as broken. The arrays hold
    `stage` (int8: -1 misclassified to begin with, k broken by stage k, the number of stages where nothing broke it) and
    `reached` (int8: how many stages were run to their end). The shards also hold x_adv, the image that broke it, in the form in
    which it takes the fewest bytes as a witness, and `bits` (uint8, 0 where nothing is rounded) and `step` (float32) of it.

    `search` is the precision in which the own engine looks for images, by the device where it is None: see `on`.
    `batch_size` is pyautoattack's alone, whose flags depend on it.
    """

    name: ClassVar[str] = "autoattack"
    version: ClassVar[int] = 2
    heavy_arrays: ClassVar[frozenset[str]] = frozenset({"x_adv", "bits", "step"})
    seed: int = 0
    engine: Attacks = "harness"
    search: Search | None = None
    batch_size: int = 250
    bounded: bool = False

    def __post_init__(self) -> None:
        for what, given, known in (("engine", self.engine, Attacks), ("search", self.search or "fp32", Search)):
            if given not in get_args(known):
                raise BadInput(f"expected --{what} {', '.join(get_args(known))}, got {given!r}; choose one")
        if self.engine == "pyautoattack" and self.search is not None:
            raise BadInput(
                f"expected --search with --engine harness, got {self.search!r} with pyautoattack; leave --search out"
            )
        if self.engine == "pyautoattack" and self.bounded:
            raise BadInput(
                "expected autoattack:bounded with --engine harness, got pyautoattack, which runs all stages; name autoattack"
            )

    @property
    def any_range(self) -> bool:
        """The own engine's answer for an example depends on that example alone."""
        return self.engine == "harness"

    def on(self, device: torch.device) -> Self:
        """The measure with the precision of its search decided. Raises BadInput for one that the device does not have."""
        return replace(self, search=chosen_search(self.search, device)) if self.engine == "harness" else self

    def settings(self) -> dict[str, Any]:
        """Version, stages, targets, and whose code ran them; a batch size where it decides flags."""
        by: dict[str, Any] = {"engine": self.engine, "batch_size": self.batch_size}
        if self.engine == "harness":
            by = {"engine": own.ALGORITHM, "search": self.search}
        part = {"bounded": bounds.SHARE} if self.bounded else {}
        return {"version": "standard", "stages": list(STAGES), "targets": TARGETS, **by, **part}

    def kin(self) -> tuple[Self, ...]:
        """Measures whose shards this one can go on from: what has been run on an example need not be run again."""
        return (replace(self, bounded=not self.bounded),) if self.engine == "harness" else ()

    def stages(self, classes: int, norm: Norm, side: int) -> tuple[str, ...]:
        """The stages that so many classes and so small an image (its shorter side, in pixels) admit."""
        if self.engine == "pyautoattack":
            return stages_for(classes, norm, side)
        return tuple(stage for stage in STAGES if stage not in left_out(norm, side))

    def through(self, examples: Examples) -> int | Tensor:
        """How many stages are run on the examples: a number, or one for each, (n,)."""
        return bounds.through(examples.x, self.seed) if self.bounded else SURVIVED

    def whole(self) -> Self | None:
        return replace(self, bounded=False) if self.bounded else None

    def stands(self, arrays: Mapping[str, np.ndarray]) -> bool:
        return not self.bounded or bounds.Bound.of(arrays).holds

    def correct(self, arrays: Mapping[str, np.ndarray]) -> np.ndarray | None:
        """See Measure; None for a bounded answer, which does not know it of every example."""
        if "reached" in arrays and self.reached(arrays) < SURVIVED:
            return None
        return arrays["stage"] == SURVIVED

    def quantities(self) -> Mapping[str, Quantity]:
        said = (
            "Share of examples that stay correct under AutoAttack, measured here, with its interval: an upper bound on the"
            " true robust accuracy."
        )
        accuracy = Quantity(
            title=label("autoattack_accuracy"),
            short="AutoAttack",
            unit="fraction",
            better="higher",
            kind="headline",
            description=said,
        )
        stages = {
            (name := f"accuracy_after.{stage}"): Quantity(
                title=label(name),
                unit="fraction",
                better="higher",
                description=f"Robust accuracy when AutoAttack has run up to and with {ATTACKS[stage]}.",
            )
            for stage in STAGES
        }
        return {"autoattack_accuracy": accuracy, **stages}

    def cost(self, classes: int) -> Cost:
        if self.engine == "harness":
            # a row of APGD is passed at its start and after 100 steps, forward and backward; one of FAB-T twice a
            # step at most, and backward in vain where it crosses the boundary; one of Square at its start and for each query
            targets = min(TARGETS, classes - 1)
            most = (Cost(101, 101), Cost(targets * 101, targets * 101), Cost(targets * 200, targets * 150), Cost(5001))
            # a bounded answer runs the last stages on one example in ten; what it takes to complete it is not counted
            used = [cost if number < bounds.FIRST else self._part_of(cost) for number, cost in enumerate(most)]
        else:
            used = [*self._by_reference_costs(classes).values()]
        # beside the stages: natural logits twice, and seven passes of pyautoattack's checks; rounding the image of an example
        # that breaks takes at most attacks.witnesses.PASSES, and saves what was left of the attack
        return Cost(9 + sum(cost.forward for cost in used), sum(cost.backward for cost in used))

    def _by_reference_costs(self, classes: int) -> dict[str, Cost]:
        """pyautoattack 0.2.0: APGD takes 100 steps and a first gradient, FAB 100 steps of two passes, Square 5,000 queries."""
        targets = min(TARGETS, classes - 1)
        passes = {
            "apgd-ce": Cost(103, 101),
            "apgd-t": Cost(2 + targets * 102, targets * 101, until_broken=True),
            "fab-t": Cost(2 + targets * 203, targets * 100, until_broken=True),
            "square": Cost(5004, 0, until_broken=True),
        }
        return {stage: cost for stage, cost in passes.items() if stage in self.stages(classes, "Linf", 5)}

    def costs(self, classes: int, shape: Sequence[int]) -> Mapping[str, Cost]:
        if self.engine == "pyautoattack":
            return self._by_reference_costs(classes)
        targets = min(TARGETS, classes - 1)
        channels, height, width = shape
        queries = round(float(passes_by_query(5000, (channels, height, width))[-1])) + 1
        return {
            "apgd-ce": Cost(101, 101, until_broken=True),
            "apgd-t": Cost(targets * 101, targets * 101, until_broken=True),
            "fab-t": self._part_of(Cost(targets * 200, targets * 100, until_broken=True)),
            "square": self._part_of(Cost(queries, until_broken=True)),
        }

    def _part_of(self, cost: Cost) -> Cost:
        """Of a stage that not every example goes through."""
        share = bounds.SHARE if self.bounded else 1.0
        return replace(cost, forward=math.ceil(share * cost.forward), backward=math.ceil(share * cost.backward))

    def _engine(self, examples: Examples) -> own.Engine:
        return own.Engine(self.seed, chosen_search(self.search, examples.x.device))

    def __call__(self, model: nn.Module, examples: Examples, threat: ThreatModel) -> ShardResult:
        return self.go_on(model, examples, threat, None)

    def go_on(
        self,
        model: nn.Module,
        examples: Examples,
        threat: ThreatModel,
        before: ShardResult | None,
        *,
        kept: Kept | None = None,
        through: int | None = None,
    ) -> ShardResult:
        """The examples from what is known of them (`before`; None: nothing) to the end, or through so many stages.

        `kept` is called with what is found so far, about once a minute, by the own engine alone.
        """
        wanted = self.through(examples) if through is None else through
        notes = before.notes if before else self._begun(model, examples, threat)
        if self.engine == "pyautoattack":
            last = SURVIVED if through is None else through
            by_reference = self._by_reference(model, examples, threat, before, notes, last)
            return with_witnesses(by_reference, before, model, examples, threat)

        report = Report()

        def keep(found: Outcome) -> None:
            if kept is not None:
                arrays = arrays_of(found.copy()) | known_of(before, len(examples))
                kept(ShardResult(arrays, joined_notes(notes, doubts.reported(report.so_far(found)))))

        state = None if before is None else outcome_of(before.arrays, examples.x)
        found, _ = self._engine(examples)(
            model, examples.x, examples.y, threat, state, through=wanted, kept=keep, report=report
        )
        if isinstance(wanted, Tensor):  # what a complete run may have left of the others is no part of the sample
            found = replace(found, reached=torch.minimum(found.reached, wanted.to(found.reached)))
        result = ShardResult(arrays_of(found), joined_notes(notes, doubts.reported(report)))
        return with_witnesses(result, before, model, examples, threat)

    def witnesses(self, arrays: Mapping[str, np.ndarray]) -> Witnesses:
        return witnesses_of(arrays)

    def progress(self, arrays: Mapping[str, np.ndarray]) -> float:
        """The mean number of stages that need not be run again."""
        return float(np.where(arrays["stage"] == SURVIVED, arrays["reached"], SURVIVED).mean())

    def reached(self, arrays: Mapping[str, np.ndarray]) -> int:
        """How many stages have been run on every example that is not broken; all of them where there is none."""
        return int(arrays["reached"][arrays["stage"] == SURVIVED].min(initial=SURVIVED))

    def _begun(self, model: nn.Module, examples: Examples, threat: ThreatModel) -> tuple[Note, ...]:
        """Refuses logits that no attack could use; what pyautoattack's checks say before the first stage."""
        for first in range(0, len(examples), _CHECKED):
            stop = first + _CHECKED
            natural_logits(model, replace(examples, x=examples.x[first:stop], y=examples.y[first:stop]))
        if self.engine == "pyautoattack":
            return ()  # the cascade makes these checks itself
        warnings = Cascade(self.seed, _CHECKED).doubts(model, examples.x, examples.y, threat)
        return tuple(doubts.warned(warning) for warning in warnings)

    def _by_reference(
        self,
        model: nn.Module,
        examples: Examples,
        threat: ThreatModel,
        before: ShardResult | None,
        notes: tuple[Note, ...],
        through: int,
    ) -> ShardResult:
        """pyautoattack's stages up to `through`."""
        cascade = Cascade(self.seed, self.batch_size)
        if before is None:
            state = cascade.begin(model, examples.x, examples.y, threat)
        else:
            with torch.no_grad():
                classes = model(examples.x[:1]).shape[1]
            state = cascade_state(before.arrays, examples.x, classes, threat)
        while not state.finished and STAGES.index(state.stages[state.done]) < through:
            meter().enter(state.stages[state.done])
            state = cascade.advance(model, examples.x, examples.y, threat, state)
        fresh = [doubts.warned(warning) for warning in state.warnings]
        fresh += [doubts.rejected(r.stage, r.reason, r.n) for r in state.rejected]
        if state.stages != STAGES:
            fresh.append(doubts.stages_left_out([stage for stage in STAGES if stage not in state.stages]))
        return ShardResult(arrays_of(of_cascade(state)), joined_notes(notes, fresh))

    def summarise(self, arrays: Mapping[str, np.ndarray], notes: Sequence[Note]) -> Summary:
        stage = arrays["stage"]
        seen = list(notes)
        run = len(STAGES)
        values = {"autoattack_accuracy": proportion(stage == SURVIVED)}
        if self.bounded and (bound := bounds.Bound.of(arrays)).sampled < bound.survivors:
            run = bounds.FIRST
            values = {"autoattack_accuracy": bound.value}
            seen.append(Note("bounded", bound.words))
        for k, name in enumerate(STAGES[:run]):
            values[f"accuracy_after.{name}"] = proportion(stage > k)
        by_square = int(np.count_nonzero(stage == STAGES.index("square")))
        if by_square > SQUARE_GAIN * len(stage):
            message = (
                f"Square broke {by_square} of {len(stage)} examples, which the gradient attacks had left:"
                " where it breaks many, they were misled"
            )
            seen.append(Note("square-gain", message))
        return Summary(values, flags_of(seen))
