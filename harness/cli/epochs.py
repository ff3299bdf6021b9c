"""How training is followed in the terminal: a line an epoch, a bar within it, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from harness.cli.options import stderr, told
from harness.training.dynamics import Epoch, robust_overfitting
from harness.training.entrant import TrainedEntrant


@contextmanager
def following(speaks: bool) -> Iterator[tuple[Callable[[Epoch], None], Callable[[int, int], None]]]:
    """What is called after each epoch and after each step; of several processes one speaks."""
    if not speaks:
        yield (lambda epoch: None), (lambda step, steps: None)
        return
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as bar:
        task = bar.add_task("training", total=None)

        def report(epoch: Epoch) -> None:
            seen = [("train", epoch.train), *([("held out", epoch.validation)] if epoch.validation else [])]
            probes = "  ".join(
                f"{split}: E(x) {probe.marginal_energy:.2f}, dE(x) {probe.delta_marginal_energy:+.3f},"
                f" {probe.standard_accuracy:.1%}, PGD-20 {probe.pgd_accuracy:.1%}"
                for split, probe in seen
            )
            told(f"epoch {epoch.number}/{epoch.epochs}  loss {epoch.loss:.4f}  {probes}  {epoch.seconds:.1f} s")

        def moved(step: int, steps: int) -> None:
            bar.update(task, completed=step, total=steps)

        yield report, moved


def tell_course(entrant: TrainedEntrant) -> None:
    """The phases of training and the epoch that was selected, on stderr."""
    trained, phases = entrant.trained, entrant.phases
    if phases is not None:
        found = ", ".join(f"{phase.first}-{phase.last} ({phase.slope:+.4f} an epoch)" for phase in phases.phases)
        sets_in = robust_overfitting(trained.rows, phases)
        late = f"robust overfitting from epoch {sets_in}" if sets_in is not None else "no robust overfitting seen"
        told(f"phases of dE(x) on train: {found}; {late}")
    if trained.best_pgd_accuracy is not None and trained.last_pgd_accuracy is not None:
        told(
            f"PGD-20 on held-out images: {trained.best_pgd_accuracy:.1%} at best (epoch {trained.best}),"
            f" {trained.last_pgd_accuracy:.1%} in the last; kept: epoch {trained.selected}"
        )
