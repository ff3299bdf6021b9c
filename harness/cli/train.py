"""harness train: train an entrant and write its weights, card and dynamics."""

from __future__ import annotations

from collections.abc import Sequence
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
    from harness.suites.suite import Suite
    from harness.training.distributed import World
    from harness.training.entrant import TrainedEntrant
    from harness.training.scalars import Kind


@dataclass(frozen=True)
class TrainOptions:
    """What `harness train` is asked for."""

    suite_name: str
    recipe_name: str
    assignments: tuple[str, ...]
    architecture: str | None
    epochs: int | None
    seed: int | None
    seeds: str | None
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
    log: Kind | None
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
@click.option(
    "--seeds",
    metavar="K,L",
    help="An entrant a seed, <name>-s<seed>, one after the other; then their mean and standard deviation.",
)
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
    help="Holds <suite>/<name>.safetensors, .json, .dynamics.jsonl and .training.html [default: entrants/ of the project]",
)
@click.option("--force", is_flag=True, help="Replace what another command made under this name.")
@click.option(
    "--log",
    type=click.Choice(["tensorboard", "csv"]),
    help="Write the numbers of training beside the entrant: <name>.tensorboard/ or <name>.log.csv.",
)
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

    While it trains, <name>.training.html beside it shows the course of training. The same command again goes on where an
    interrupted one has stopped. For several GPUs: torchrun --standalone --nproc-per-node N -m harness train ...
    """
    from harness.cli.train_seeds import train_seeds
    from harness.cli.training_progress import interrupted
    from harness.training.distributed import processes
    from harness.training.trainer import Interrupted

    if given.seeds is not None and given.seed is not None:
        raise BadInput(f"expected --seed or --seeds, got {given.seed} and {given.seeds}; leave one out")
    with processes(given.device) as (world, device):
        try:
            if given.seeds is not None:
                return train_seeds(given, world, device)
            entrant = _train(given, world, device)
        except Interrupted:
            return interrupted(world.first)
        except (BadInput, EntrantError):
            if world.first:
                raise
            return 2  # the first process says it
    if world.first:
        _tell(entrant, given)
    return 0


def _train(given: TrainOptions, world: World, device: str) -> TrainedEntrant:
    from harness.cli.training_progress import asked_to_stop, following_training
    from harness.training.entrant import train

    with following_training(world.first) as following, asked_to_stop() as stop:
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
            force=given.force,
            log=given.log,
            page=True,
            observers=(following,),
            resumed=lambda checkpoint: options.told(f"going on from {checkpoint}"),
            asked_to_stop=stop,
            world=world,
        )


def _tell(entrant: TrainedEntrant, given: TrainOptions) -> None:
    """What came of it, on stderr; where it is and how it is judged, on stdout."""
    for line in entrant.course:
        options.told(line)
    options.told(f"its course: {entrant.page}")
    click.echo(str(entrant.path))
    click.echo(judged(given, entrant.suite, [entrant.spec]))
    if entrant.other is not None:
        which = "last" if entrant.trained.selected == entrant.trained.best else "best"
        click.echo(f"and its {which} epoch: --entrants checkpoint:{entrant.other}@{entrant.card.architecture}")


def judged(given: TrainOptions, suite: Suite, specs: Sequence[str]) -> str:
    """The command that judges what was trained for a suite."""
    from harness.suites.files import find_suite

    on = f" --dataset {suite.loaded_from}" if find_suite(given.suite_name).dataset != suite.dataset else ""
    it = "it" if len(specs) == 1 else "them"
    return f"judge {it}: harness run --suite {given.suite_name}{on} --entrants {','.join(specs)}"
