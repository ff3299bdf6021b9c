"""The numbers of a training as it goes on, for other tools to draw: a table (CSV), or TensorBoard's event files.

Both have the same scalars, by the number of the optimiser's step: loss and accuracy of single batches, about twenty times an
epoch, and at an epoch's end all that the dynamics hold. A training that goes on from a checkpoint continues its log: what had
been written beyond the checkpoint is taken out, so that no step is there twice.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import IO, Any, Literal, Protocol, get_args

from harness.errors import BadInput
from harness.training.dynamics import Epoch, Probe
from harness.training.standing import Observer, Standing
from leaderboards.records.files import write_atomically

Kind = Literal["csv", "tensorboard"]

POINTS = 20
"""Batches of an epoch whose loss and accuracy are logged, about."""

BATCH = ("batch/loss", "batch/accuracy", "lr")
EPOCH = ("epoch/loss", "epoch/accuracy")
PROBES = tuple(f"{where}/{field.name}" for where in ("train", "held_out") for field in fields(Probe))
REMOVED = tuple(f"removed/{name}" for name in ("named", "filled", "of"))
COLUMNS = ("step", "epoch", *BATCH, *EPOCH, *PROBES, *REMOVED)
"""Of the table; a number that a line does not have is empty."""


class Log(Protocol):
    """Where scalars are written, by their names."""

    def open(self, taken: int) -> None:
        """Begin, or go on behind `taken` steps: what is there of later ones is taken out, of an earlier training all."""

    def write(self, step: int, epoch: int, values: Mapping[str, float]) -> None: ...

    def close(self) -> None: ...


class Table:
    """A CSV file: a header, and a line each time that something is logged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[str] | None = None

    def open(self, taken: int) -> None:
        text = io.StringIO(newline="")
        lines = csv.DictWriter(text, COLUMNS, restval="", extrasaction="ignore", lineterminator="\n")
        lines.writeheader()
        for row in self._rows() if taken else ():
            if int(row["step"]) <= taken:
                lines.writerow(row)
        write_atomically(self.path, text.getvalue().encode())
        self._file = self.path.open("a", encoding="utf-8", newline="")

    def _rows(self) -> list[dict[str, str]]:
        """The whole lines that are there; one that a crash cut off is none."""
        try:
            whole = self.path.read_text(encoding="utf-8").rpartition("\n")[0]
        except (FileNotFoundError, UnicodeDecodeError):
            return []
        rows = csv.DictReader(io.StringIO(whole, newline=""))
        return [row for row in rows if (row.get("step") or "").isdecimal() and None not in row]

    def write(self, step: int, epoch: int, values: Mapping[str, float]) -> None:
        assert self._file is not None, "the log is open"
        row = {"step": step, "epoch": epoch, **values}
        csv.DictWriter(self._file, COLUMNS, restval="", lineterminator="\n").writerow(row)
        self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


class TensorBoard:
    """Event files in a folder of their own, which `tensorboard --logdir` reads, by torch's SummaryWriter."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._writer: Any = None

    def open(self, taken: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        if not taken:
            shutil.rmtree(self.folder, ignore_errors=True)
        # TensorBoard leaves out what lies at purge_step and beyond in the files before
        self._writer = SummaryWriter(str(self.folder), purge_step=taken + 1 if taken else None)

    def write(self, step: int, epoch: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def require_log(kind: str) -> None:
    """Raise BadInput for another kind of log, and for one whose package is not here."""
    if kind not in get_args(Kind):
        raise BadInput(f"expected --log {' or '.join(get_args(Kind))}, got {kind!r}; give one of them")
    if kind == "tensorboard" and importlib.util.find_spec("tensorboard") is None:
        raise BadInput(
            "expected the package tensorboard for --log tensorboard, got none; do: pip install tensorboard (or the extra"
            " [tensorboard] of this project), or give --log csv"
        )


def log_of(kind: Kind, place: Path) -> Log:
    """The log of the entrant <place>.safetensors, beside it."""
    if kind == "csv":
        return Table(place.with_name(f"{place.name}.log.csv"))
    return TensorBoard(place.with_name(f"{place.name}.tensorboard"))


class Logged(Observer):
    """Writes the scalars of a training to a log."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self._before = 0.0, 0.0, 0
        self._last: dict[
            str, float
        ] = {}  # of an epoch's last batch: it is written with the epoch, for a step is there once

    def begins(self, standing: Standing) -> None:
        self.log.open(standing.taken)
        self._keep(standing)

    def _keep(self, standing: Standing) -> None:
        """What the epoch has summed up to, for the difference that the next batch makes."""
        # between two epochs the sums are those of the one that has ended
        self._before = (*standing.totals, standing.samples) if 0 < standing.step < standing.steps else (0.0, 0.0, 0)

    def stepped(self, standing: Standing) -> None:
        every = max(1, standing.steps // POINTS)
        if standing.step % every == 0:
            loss, right = standing.totals
            before_loss, before_right, before = self._before
            samples = standing.samples - before
            values = ((loss - before_loss) / samples, (right - before_right) / samples, standing.lr)
            batch = dict(zip(BATCH, values, strict=True))
            if standing.step < standing.steps:
                self.log.write(standing.taken, standing.epoch, batch)
            else:
                self._last = batch
        if (standing.step + 1) % every == 0:
            self._keep(standing)

    def followed(self, epoch: Epoch, rows: Sequence[Mapping[str, Any]], standing: Standing) -> None:
        self.log.write(standing.taken, epoch.number, self._last | scalars(rows[-1]))
        self._last = {}

    def ends(self) -> None:
        self.log.close()


def scalars(row: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of an epoch's row in the dynamics, by the names that logs have for them."""
    found = dict(zip(EPOCH, (row["loss"], row["accuracy"]), strict=True))
    parts = {"train": row["train"], "held_out": row["validation"] or {}, "removed": row.get("removed", {})}
    return found | {f"{part}/{name}": value for part, values in parts.items() for name, value in values.items()}
