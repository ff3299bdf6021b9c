"""What a run can tell of an entrant as soon as its standard accuracy is measured, before the dear measures go on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from harness.measures import StandardAccuracy
from harness.run.executors.executor import Done, Report
from harness.run.findings import joined_arrays
from harness.run.plan import Plan, Task
from harness.run.store import Store


def warning_early(
    plan: Plan, todo: Sequence[Task], store: Store, report: Report, tell: Callable[[str], None]
) -> Report:
    """The report, and after the last shard of an entrant's standard accuracy a line for each flag of it."""
    name = StandardAccuracy.name
    left = Counter(task.judged for task in todo if task.measure.name == name)

    def reported(done: Done) -> None:
        report(done)
        judged = done.task.judged
        if done.task.measure.name != name or done.fault is not None:
            return
        left[judged] -= 1
        shards = [store.read(task.key) for task in plan.of(judged, name)] if not left[judged] else []
        here = [shard for shard in shards if shard is not None]
        if not here or len(here) < len(shards):
            return
        found = done.task.measure.summarise(joined_arrays(here), [note for shard in here for note in shard.notes])
        for flag in found.flags:
            tell(f"harness: warning: {plan.judged[judged].name}: {flag.message}")

    return reported
