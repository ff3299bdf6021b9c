"""harness train: train an entrant and write its weights and card."""

from __future__ import annotations

import signal
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

import zoo
from harness import datasets
from harness.cli import options
from harness.cli.options import stderr
from harness.errors import BadInput, one_line
from harness.executors.local import devices
from harness.provenance import commit, versions
from harness.suite_files import find_suite
from harness.training.objectives import OBJECTIVES
from harness.training.recipes import recipe as recipe_named
from harness.training.trainer import Epoch, Interrupted, train
from leaderboards.records import file_stem
from zoo.architectures import ARCHITECTURES, builder
from zoo.cards import require_name
from zoo.checkpoints import SHIPPED, save_entrant

TITLES = {
    "standard": "Standard training",
    "sat": "Towards Deep Learning Models Resistant to Adversarial Attacks",
    "trades": "Theoretically Principled Trade-off between Robustness and Accuracy",
    "mart": "Improving Adversarial Robustness Requires Revisiting Misclassified Examples",
    "mail-trades": "Probabilistic Margins for Instance Reweighting in Adversarial Training",
    "weat-nat": "Shedding More Light on Robust Classifiers under the lens of Energy-based Models",
    "weat-adv": "Shedding More Light on Robust Classifiers under the lens of Energy-based Models",
}
LINKS = {
    "standard": "",
    "sat": "https://arxiv.org/abs/1706.06083",
    "trades": "https://arxiv.org/abs/1901.08573",
    "mart": "https://openreview.net/forum?id=rklOg6EFwS",
    "mail-trades": "https://arxiv.org/abs/2106.07904",
    "weat-nat": "https://arxiv.org/abs/2407.06315",
    "weat-adv": "https://arxiv.org/abs/2407.06315",
}


@click.command(name="train")
@click.option("--suite", "suite_name", required=True, help="A suite by name, or the path of a .toml file.")
@click.option("--recipe", "objective", required=True, help=f"One of {', '.join(OBJECTIVES)}.")
@click.option("--architecture", help=f"One of {', '.join(ARCHITECTURES)}; default: the recipe's.")
@click.option("--epochs", type=int, callback=options.positive)
@click.option("--seed", type=click.IntRange(min=0))
@click.option("--name", help="The entrant's name; default: the recipe's.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Holds <suite>/<name>.safetensors and .json [default: zoo/ of the checkout]",
)
@options.data_dir
@options.dataset
@options.download
@options.device
def command(**given: Any) -> int:
    """Train an entrant; `harness run` then finds it by its name."""
    suite = find_suite(given["suite_name"])
    if given["dataset"]:
        suite = suite.on(given["dataset"])
    recipe = recipe_named(
        given["objective"], suite, architecture=given["architecture"], epochs=given["epochs"], seed=given["seed"]
    )
    builder(recipe.architecture)  # an unknown one is told before the data are read
    name = require_name(given["name"] or recipe.objective)
    device = devices(given["device"], None)[0]
    images = datasets.load(
        suite.dataset,
        "train",
        data_dir=given["data_dir"],
        shape=suite.shape,
        classes=suite.classes,
        download=given["download"],
    )
    suite = suite.on(images.name)
    folder = options.output_folder(given["out"] or (options.checkout() or Path.cwd()) / "zoo")
    epochs: list[Epoch] = []

    def report(epoch: Epoch) -> None:
        epochs.append(epoch)
        stderr.print(
            f"epoch {epoch.number}/{recipe.epochs}  loss {epoch.loss:.4f}  accuracy on its batches {epoch.accuracy:.1%}"
            f"  {epoch.seconds:.1f} s",
            markup=False,
        )

    checkpoint = folder / suite.name / f".{file_stem(name)}.checkpoint"
    if checkpoint.exists():
        stderr.print(f"going on from {checkpoint}", markup=False)
    stop = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
    try:
        model = train(suite, recipe, images, device, report, checkpoint=checkpoint, asked_to_stop=stop.is_set)
    except Interrupted:
        stderr.print("asked to stop: saved; run the same command again to go on", markup=False)
        return 128 + signal.SIGTERM
    except RuntimeError as error:
        if "size mismatch" not in str(error) and "Kernel size" not in str(error) and "shapes cannot" not in str(error):
            raise
        raise BadInput(
            f"expected an architecture for images of {suite.shape}, got {recipe.architecture}:"
            f" {one_line(error).splitlines()[0]}; choose another --architecture"
        ) from error
    finally:
        signal.signal(signal.SIGTERM, before)
    revision, dirty = commit()
    training = {
        "recipe": asdict(recipe),
        "beta": OBJECTIVES[recipe.objective].beta,
        "norm": suite.norm,
        "eps": suite.threat.eps,
        "dataset": images.name,
        "fingerprint": images.fingerprint,
        "images": len(images),
        "device": device.type,
        "seconds": round(epochs[-1].trained, 1) if epochs else None,
        "commit": revision,
        "dirty": dirty,
        "versions": versions(),
    }
    card = zoo.Card(
        name=name,
        source="zoo",
        architecture=recipe.architecture,
        title=TITLES[recipe.objective],
        link=LINKS[recipe.objective],
        licence="MIT",
        additional_data=False,
        training=training,
    )
    entrant = save_entrant(folder / suite.name / name, model, card, suite.domain)
    checkpoint.unlink(missing_ok=True)
    click.echo(str(entrant.path))
    by_name = folder.resolve() in (SHIPPED, *(own.resolve() for own in options.own_folders()))
    spec = name if by_name else f"checkpoint:{entrant.path}"
    click.echo(f"judge it: harness run --suite {suite.name} --entrants {spec}")
    return 0
