"""Judging one classifier from Python: what `harness run` does, for a script or a notebook.

It errs as the measures do: each one's module says which way.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

import zoo
from harness.classifier.devices import devices
from harness.data.images import ImageSet
from harness.errors import BadInput
from harness.measures import MEASURES, Measure
from harness.run.executors.executor import Done, executor_for
from harness.run.folders import own_folders
from harness.run.selection import Faults, attacked_by, chosen_entrants, chosen_measures
from harness.run.session import Request, Session, begin
from harness.suites.files import find_suite
from harness.suites.suite import Suite
from leaderboards.records.arrays import read_arrays
from leaderboards.records.home import Home
from leaderboards.records.schema import Measurement, Record, Value
from leaderboards.records.witnesses import Packed, read_witnesses
from zoo.described import Said
from zoo.entrant import did_you_mean
from zoo.in_memory import in_memory

Model = nn.Module | Callable[[Tensor], Tensor] | zoo.Entrant | str
"""What can be judged: a module or a function from images (N, C, H, W) in [0,1] to logits (N, K), or an entrant's name."""


@dataclass(frozen=True)
class Judgement:
    """What was found of one entrant: its record, and the per-sample arrays and witnesses that lie beside it, by measure."""

    record: Record
    samples: Mapping[str, Mapping[str, np.ndarray]]
    flags: Mapping[str, np.ndarray]
    proofs: Mapping[str, tuple[Packed, ImageSet]] = field(default_factory=dict)

    def measurement(self, measure: str) -> Measurement:
        """What one measure found. Raises BadInput with the measures that there are."""
        found = self.record.measurements
        if measure not in found:
            raise BadInput(
                f"expected a measure of this record, got {measure!r};{did_you_mean(measure, found)} it has {', '.join(found)}"
            )
        return found[measure]

    def value(self, name: str) -> Value:
        """A value by its name ("autoattack_accuracy"), with its measure before it where two measures differ in it
        ("energies.marginal_energy.sd"). It prints with its interval; `.value`, `.low`, `.high`, `.n` are its parts."""
        known = {
            f"{measure}.{key}": value
            for measure, m in self.record.measurements.items()
            for key, value in m.values.items()
        }
        fitting = [key for key in known if key == name or key.partition(".")[2] == name]
        if not fitting or any(known[key] != known[fitting[0]] for key in fitting):
            hint = did_you_mean(name, {key.partition(".")[2] for key in known})
            got = f"got {name!r}, which {' and '.join(fitting)} are" if fitting else f"got {name!r};{hint}"
            raise BadInput(f"expected the name of one value, {got}; to_frame() lists them all")
        return known[fitting[0]]

    def arrays(self, measure: str) -> dict[str, np.ndarray]:
        """Per-sample arrays of a measure, by name; the first axis is the examples."""
        self.measurement(measure)
        return dict(self.samples.get(measure, {}))

    def correct(self, measure: str) -> np.ndarray:
        """(n,) bool: which examples are right (standard), and remain so under AutoAttack or, for energies, under PGD.

        Raises BadInput for a measure that gives no such flags.
        """
        self.measurement(measure)
        if measure not in self.flags:
            raise BadInput(
                f"expected a measure with flags by example, got {measure!r}; {', '.join(self.flags)} have them"
            )
        return self.flags[measure]

    def witnesses(self, measure: str = "autoattack") -> tuple[np.ndarray, np.ndarray]:
        """Images that prove examples broken: their places in the suite (n,) int32, rising, and x_adv (n, C, H, W) float32.

        Raises BadInput for a measure that finds none.
        """
        self.measurement(measure)
        if measure not in self.proofs:
            have = ", ".join(self.proofs) or "none of these measures"
            raise BadInput(
                f"expected a measure that keeps the images that break examples, got {measure!r}; {have} does"
            )
        found, images = self.proofs[measure]
        last = int(found.examples.max(initial=-1)) + 1
        return found.examples, found.images(images.examples(0, last).x.numpy()[found.examples])

    def to_frame(self) -> pd.DataFrame:
        """A row a value: measure, name, value, low, high, level, n, unit, better, reason."""
        rows = []
        for name, found in self.record.measurements.items():
            for key, value in found.values.items():
                quantity = found.quantities.get(key)
                rows.append(
                    {
                        "measure": name,
                        "name": key,
                        "value": value.value,
                        "low": value.low,
                        "high": value.high,
                        "level": value.level,
                        "n": value.n,
                        "unit": quantity.unit if quantity else "",
                        "better": quantity.better if quantity else "",
                        "reason": value.reason,
                    }
                )
        return pd.DataFrame(rows)


def load(
    name: str,
    suite: Suite | str = "digits",
    *,
    model_dir: Path | str = "models",
    download: bool = False,
    allow_pickle: Sequence[str] = (),
) -> nn.Module:
    """An entrant by its name or spec as a module on the CPU: images (N, C, H, W) in [0,1] to logits, in eval mode, frozen.

    Raises EntrantError where it is not known, or its files are not here and `download` is not asked for.
    """
    chosen = find_suite(suite) if isinstance(suite, str) else suite
    entrant = _entrant(name, None, chosen, Path(model_dir), allow_pickle)
    if download and entrant.missing():
        entrant.fetch()
    entrant.weights()  # says what is missing
    return entrant.load()


class NotMeasured(RuntimeError):
    """The entrant's own code failed while it was measured; the message has a line for each task that failed."""


def judge(
    model: Model,
    suite: Suite | str = "digits",
    measures: Sequence[Measure | str] | None = None,
    *,
    name: str | None = None,
    limit: int | None = None,
    device: str = "auto",
    precision: str = "fp32",
    workers: int = 0,
    shard_size: int | None = None,
    seed: int | None = None,
    engine: str | None = None,
    search: str | None = None,
    data_dir: Path | str = "data",
    model_dir: Path | str = "models",
    out: Path | str | None = None,
    download: bool = False,
    allow_pickle: Sequence[str] = (),
    progress: Callable[[str], None] | None = None,
) -> Judgement:
    """Measure a classifier on a suite: the same numbers as `harness run`, with the same arguments.

    `measures` are the suite's unless named; `seed` takes the place of all of theirs. `precision` "bf16" rounds the network that
    is judged. `engine` ("harness" or "pyautoattack") runs AutoAttack; `search` ("fp32", "tf32" or "bf16") is how exactly it
    looks for images, and only steers it: what breaks is always decided in strict float32. `workers` 0 works in this process;
    more are processes of their own, one a device or CPU core, and then a script needs `if __name__ == "__main__"`. `out` keeps
    shards and records, so that the same call again measures only what is missing; without it nothing is kept. `progress` is
    called with a line for each task (print, say); without it nothing is said.

    Raises BadInput for what the caller can mend, and NotMeasured where the classifier's own code fails.
    """
    said: list[str] = []
    tell = progress or (lambda line: None)

    def told(line: str) -> None:
        said.append(line)
        tell(line)

    faults = Faults(told)
    chosen = find_suite(suite) if isinstance(suite, str) else suite
    on = devices(device, workers)
    with tempfile.TemporaryDirectory() as nowhere:
        request = Request(
            suite=chosen,
            measures=attacked_by(_measures(measures, chosen), engine, search),
            entrants=(_entrant(model, name, chosen, Path(model_dir), allow_pickle),),
            named=True,
            out=Path(out or nowhere),
            device=on[0],
            data_dir=Path(data_dir),
            precision=precision,
            limit=limit,
            shard_size=shard_size,
            seed=seed,
            download=download,
        )
        session = begin(request, faults)
        if session is None:
            raise BadInput("; ".join(line.removeprefix("harness: error: ") for line in said))
        return _measured(session, workers, on, tell)


def _measured(session: Session, workers: int, on: Sequence[torch.device], tell: Callable[[str], None]) -> Judgement:
    failed: list[Done] = []

    def report(done: Done) -> None:
        span = f"{done.task.measure.name} {done.task.start}-{done.task.stop}"
        tell(f"{span}: {done.fault.message if done.fault else f'{done.seconds:.1f} s'}")
        if done.fault:
            failed.append(done)

    records = session(executor_for(on, workers), report)
    if failed:
        message = "; ".join(dict.fromkeys(done.fault.message for done in failed if done.fault))
        raise (BadInput if all(done.fault and done.fault.bad_input for done in failed) else NotMeasured)(message)
    (record,) = records
    folder = session.out / "arrays"
    samples = {measure: read_arrays(folder, arrays) for measure, arrays in record.arrays.items()}
    proofs = {
        name: (read_witnesses(Home(session.out).witnesses, found.witnesses), session.plan.judged[0].images)
        for name, found in record.measurements.items()
        if found.witnesses is not None
    }
    measures = {**MEASURES, **{measure.name: measure for measure in session.plan.measures}}
    flags = {name: measures[name].correct(arrays) for name, arrays in samples.items() if name in measures}
    return Judgement(record, samples, {name: found for name, found in flags.items() if found is not None}, proofs)


def _measures(wanted: Sequence[Measure | str] | None, suite: Suite) -> tuple[Measure, ...]:
    names = [measure for measure in wanted or () if isinstance(measure, str)]
    own = [measure for measure in wanted or () if not isinstance(measure, str)]
    return (*(chosen_measures(names, suite) if names or not own else ()), *own)


def _entrant(model: Model, name: str | None, suite: Suite, model_dir: Path, allow_pickle: Sequence[str]) -> zoo.Entrant:
    if isinstance(model, str):
        return chosen_entrants(
            [model], suite, model_dir=model_dir, own_folders=own_folders(), allow_pickle=allow_pickle,
            said=Said(name=name or ""),
        )[0]  # fmt: skip
    if isinstance(model, nn.Module) or not hasattr(model, "transform"):
        return in_memory(cast("nn.Module", model), name)
    return cast("zoo.Entrant", model)
