"""harness train: train an entrant and write its weights, card and dynamics."""

from __future__ import annotations

import signal
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli import options
from harness.errors import BadInput
from harness.training.plans import OBJECTIVE_NAMES, PLANS
from zoo.architectures import ARCHITECTURES
from zoo.entrant import EntrantError

if TYPE_CHECKING:  # they import torch: --help is there without it
    from harness.training.distributed import World
    from harness.training.entrant import TrainedEntrant


@dataclass(frozen=True)
class TrainOptions:
    """What `harness train` is asked for."""

    suite_name: str
    recipe_name: str
    assignments: tuple[str, ...]
    architecture: str | None
    epochs: int | None
    seed: int | None
    precision: str | None
    drop: str | None
    drop_fraction: float | None
    drop_count: int | None
    synthetic: Path | None
    synthetic_fraction: float | None
    limit: int | None
    name: str | None
    out: Path | None
    force: bool
    data_dir: Path
    dataset: str | None
    train_on: str | None
    download: bool
    device: str

    def changes(self) -> dict[str, object]:
        """The recipe's fields that are given; an option of its own outweighs --set. Raises BadInput."""
        from harness.training.recipes import parsed

        names = "architecture epochs seed precision drop drop_fraction drop_count synthetic_fraction"
        given = {field: getattr(self, field) for field in names.split()}
        return parsed(self.assignments) | {field: value for field, value in given.items() if value is not None}


@click.command(name="train")
@click.option("--suite", "suite_name", required=True, help="A suite by name, or the path of a .toml file.")
@click.option(
    "--recipe",
    "recipe_name",
    required=True,
    help=f"{', '.join(OBJECTIVE_NAMES)}; alone or with -{', -'.join(PLANS)}; or the path of a .toml file.",
)
@click.option("--set", "assignments", multiple=True, metavar="FIELD=VALUE", help="Change any field of the recipe.")
@click.option("--architecture", help=f"{', '.join(ARCHITECTURES)}, or module:callable; default: the recipe's.")
@click.option("--epochs", type=int, help="In place of the recipe's.")
@click.option("--seed", type=int, help="Of training; in place of the recipe's.")
@click.option("--precision", help="fp32 or bf16; default: the recipe's.")
@click.option(
    "--drop",
    help="Remove samples from each batch: high-energy, low-energy, misclassified or random; with --fraction or"
    " --drop-count.",
)
@click.option("--fraction", "drop_fraction", type=float, help="Share of each batch that --drop removes.")
@click.option("--drop-count", type=int, help="Samples of each batch that --drop removes; random ones fill up.")
@click.option(
    "--synthetic",
    type=click.Path(path_type=Path),
    help="An .npz with image (N, H, W, C) and label (N,), mixed into each batch.",
)
@click.option("--synthetic-fraction", type=float, help="Share of each batch that is synthetic [default: 0.5].")
@click.option("--limit", type=int, callback=options.positive, help="Train on the first N images.")
@click.option("--name", help="The entrant's name; default: the recipe's.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Holds <suite>/<name>.safetensors, .json and .dynamics.jsonl [default: zoo/ of the checkout]",
)
@click.option("--force", is_flag=True, help="Replace what another command made under this name.")
@options.data_dir
@options.dataset
@click.option(
    "--train-on",
    metavar="NAME",
    help="Train on <data-dir>/NAME in place of the suite's images; the entrant is the suite's all the same.",
)
@options.download
@options.device
@options.typed(TrainOptions)
def command(given: TrainOptions) -> int:
    """Train an entrant; `harness run` then finds it by its name.

    For several GPUs: torchrun --standalone --nproc-per-node N -m harness train ...
    """
    from harness.training.distributed import processes
    from harness.training.trainer import Interrupted

    with processes(given.device) as (world, device):
        try:
            entrant = _train(given, world, device)
        except Interrupted:
            if world.first:
                options.told("asked to stop: saved; run the same command again to go on")
            return 128 + signal.SIGTERM
        except (BadInput, EntrantError):
            if world.first:
                raise
            return 2  # the first process says it
    if world.first:
        _tell(entrant, given)
    return 0


def _train(given: TrainOptions, world: World, device: str) -> TrainedEntrant:
    from harness.cli.progress import following_epochs
    from harness.run.folders import checkout
    from harness.training.entrant import train

    stop = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
    try:
        with following_epochs(speaks=world.first) as (report, moved):
            return train(
                given.suite_name,
                given.recipe_name,
                name=given.name,
                changes=given.changes(),
                synthetic=given.synthetic,
                limit=given.limit,
                dataset=given.dataset,
                train_on=given.train_on,
                data_dir=given.data_dir,
                download=given.download,
                device=device,
                out=given.out,
                default_out=(checkout() or Path.cwd()) / "zoo",
                force=given.force,
                report=report,
                moved=moved,
                resumed=lambda checkpoint: options.told(f"going on from {checkpoint}"),
                asked_to_stop=stop.is_set,
                world=world,
            )
    finally:
        signal.signal(signal.SIGTERM, before)


def _tell(entrant: TrainedEntrant, given: TrainOptions) -> None:
    """What came of it, on stderr; where it is and how it is judged, on stdout."""
    from harness.suites.files import find_suite

    for line in entrant.course:
        options.told(line)
    click.echo(str(entrant.path))
    data = entrant.suite
    on = f" --dataset {data.loaded_from}" if find_suite(given.suite_name).dataset != data.dataset else ""
    click.echo(f"judge it: harness run --suite {given.suite_name}{on} --entrants {entrant.spec}")
    if entrant.other is not None:
        which = "last" if entrant.trained.selected == entrant.trained.best else "best"
        click.echo(f"and its {which} epoch: --entrants checkpoint:{entrant.other}@{entrant.card.architecture}")
