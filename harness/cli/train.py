"""harness train: train an entrant and write its weights, card and dynamics."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import safetensors.torch
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import zoo
from harness.classifier.devices import devices
from harness.cli import options
from harness.cli.options import stderr
from harness.data import datasets
from harness.data.images import ImageSet
from harness.errors import BadInput
from harness.provenance import commit, versions
from harness.suites.files import find_suite
from harness.suites.suite import Suite
from harness.training.distributed import World, processes
from harness.training.dynamics import Epoch, phases_of, robust_overfitting
from harness.training.objectives import OBJECTIVES
from harness.training.phases import Phases
from harness.training.recipes import PLANS, Recipe, find_recipe, parsed
from harness.training.trainer import Interrupted, Trained, train
from leaderboards.records.files import file_stem, write_atomically
from zoo.architectures import ARCHITECTURES, builder
from zoo.cards import require_name
from zoo.checkpoints import SHIPPED, save_entrant
from zoo.entrant import sha256_of_file

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
@click.option(
    "--recipe",
    "recipe_name",
    required=True,
    help=f"{', '.join(OBJECTIVES)}; alone or with -{', -'.join(PLANS)}; or the path of a .toml file.",
)
@click.option("--set", "assignments", multiple=True, metavar="FIELD=VALUE", help="Change any field of the recipe.")
@click.option("--architecture", help=f"One of {', '.join(ARCHITECTURES)}; default: the recipe's.")
@click.option("--epochs", type=int)
@click.option("--seed", type=int)
@click.option("--precision", help="fp32 or bf16; default: the recipe's.")
@click.option("--drop", help="Remove samples from each batch: high-energy, misclassified or random; with --fraction.")
@click.option("--fraction", "drop_fraction", type=float, help="How many --drop removes, as a share of the batch.")
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
@options.data_dir
@options.dataset
@options.download
@options.device
def command(**given: Any) -> int:
    """Train an entrant; `harness run` then finds it by its name.

    For several GPUs: torchrun --standalone --nproc-per-node N -m harness train ...
    """
    with processes(given["device"]) as (world, device):
        if world.first:
            return _train(given, world, device)
        try:
            return _train(given, world, device)
        except BadInput:
            return 2  # the first process says it


def _recipe(given: dict[str, Any], suite: Suite) -> Recipe:
    """The recipe with what the options change."""
    recipe = find_recipe(given["recipe_name"], suite)
    changes = parsed(given["assignments"])
    for field in ("architecture", "epochs", "seed", "precision", "drop", "drop_fraction", "synthetic_fraction"):
        if given[field] is not None:
            changes[field] = given[field]
    if given["synthetic"] is not None:
        changes = {"synthetic_fraction": recipe.synthetic_fraction or 0.5} | changes
    return recipe.changed(changes, "on the command line")


def _train(given: dict[str, Any], world: World, on: str) -> int:
    suite = find_suite(given["suite_name"])
    if given["dataset"]:
        suite = suite.on(given["dataset"])
    recipe = _recipe(given, suite)
    builder(recipe.architecture)  # an unknown one is told before the data are read
    stem = Path(given["recipe_name"]).stem if given["recipe_name"].endswith(".toml") else given["recipe_name"]
    name = require_name(given["name"] or stem)
    device = devices(on, None)[0]
    images = datasets.load(
        suite.loaded_from,
        "train",
        data_dir=given["data_dir"],
        shape=suite.shape,
        classes=suite.classes,
        download=given["download"],
    ).first(given["limit"])
    suite = suite.on(images.name)
    synthetic = None
    if given["synthetic"] is not None:
        synthetic = datasets.npz_file(given["synthetic"], suite.shape, suite.classes)
    folder = options.output_folder(given["out"] or (options.checkout() or Path.cwd()) / "zoo")
    place = folder / suite.name / name
    checkpoint = place.with_name(f".{file_stem(name)}.checkpoint")
    if checkpoint.exists() and world.first:
        stderr.print(f"going on from {checkpoint}", markup=False)
    dynamics = place.with_name(f"{name}.dynamics.jsonl")
    stop = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
    try:
        with _told(recipe, world) as (report, moved):
            trained = train(
                suite,
                recipe,
                images,
                device,
                report,
                synthetic=synthetic,
                checkpoint=checkpoint,
                dynamics=dynamics,
                asked_to_stop=stop.is_set,
                moved=moved,
                world=world,
            )
    except Interrupted:
        if world.first:
            stderr.print("asked to stop: saved; run the same command again to go on", markup=False)
        return 128 + signal.SIGTERM
    finally:
        signal.signal(signal.SIGTERM, before)
    if not world.first:
        return 0
    phases = phases_of(trained.rows)
    card = zoo.Card(
        name=name,
        source="zoo",
        architecture=recipe.architecture,
        title=TITLES[recipe.objective],
        link=LINKS[recipe.objective],
        licence="MIT",
        additional_data=synthetic is not None,
        training=_training(recipe, suite, images, synthetic, device, world, trained, phases, dynamics),
    )
    entrant = save_entrant(place, trained.model, card, suite.domain)
    other = _keep_other(place, trained)
    checkpoint.unlink(missing_ok=True)
    _tell(trained, phases)
    click.echo(str(entrant.path))
    by_name = folder.resolve() in (SHIPPED, *(own.resolve() for own in options.own_folders()))
    spec = name if by_name else f"checkpoint:{entrant.path}"
    on = f" --dataset {suite.loaded_from}" if find_suite(given["suite_name"]).dataset != images.name else ""
    click.echo(f"judge it: harness run --suite {given['suite_name']}{on} --entrants {spec}")
    if other is not None:
        which = "last" if trained.selected == trained.best else "best"
        click.echo(f"and its {which} epoch: --entrants checkpoint:{other}@{recipe.architecture}")
    return 0


@contextmanager
def _told(recipe: Recipe, world: World) -> Iterator[tuple[Any, Any]]:
    """What is called after each epoch and after each step: a line an epoch, and a bar that moves within it."""
    if not world.first:
        yield (lambda epoch: None), (lambda step, steps: None)
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=stderr,
        transient=True,
        disable=not stderr.is_terminal,
    )
    with bar:
        task = bar.add_task("training", total=None)

        def report(epoch: Epoch) -> None:
            seen = [("train", epoch.train), *([("held out", epoch.validation)] if epoch.validation else [])]
            probes = "  ".join(
                f"{split}: E(x) {probe.marginal_energy:.2f}, dE(x) {probe.delta_marginal_energy:+.3f},"
                f" {probe.standard_accuracy:.1%}, PGD-20 {probe.pgd_accuracy:.1%}"
                for split, probe in seen
            )
            stderr.print(
                f"epoch {epoch.number}/{recipe.epochs}  loss {epoch.loss:.4f}  {probes}  {epoch.seconds:.1f} s",
                markup=False,
            )

        def moved(step: int, steps: int) -> None:
            bar.update(task, completed=step, total=steps)

        yield report, moved


def _training(
    recipe: Recipe,
    suite: Suite,
    images: ImageSet,
    synthetic: ImageSet | None,
    device: torch.device,
    world: World,
    trained: Trained,
    phases: Phases | None,
    dynamics: Path,
) -> dict[str, Any]:
    """What a card says of how its weights were made."""
    revision, dirty = commit()
    return {
        "recipe": asdict(recipe),
        "beta": recipe.strength,
        "norm": suite.norm,
        "eps": suite.threat.eps,
        "dataset": images.name,
        "fingerprint": images.fingerprint,
        "images": len(images),
        **(
            {"synthetic": {"file": synthetic.source, "fingerprint": synthetic.fingerprint, "images": len(synthetic)}}
            if synthetic is not None
            else {}
        ),
        "selected_epoch": trained.selected,
        "best_epoch": trained.best,
        "best_pgd_accuracy": trained.best_pgd_accuracy,
        "last_pgd_accuracy": trained.last_pgd_accuracy,
        "dynamics": {
            "file": dynamics.name,
            "sha256": sha256_of_file(dynamics),
            "phases": [asdict(phase) for phase in phases.phases] if phases is not None else None,
            "overfitting_epoch": robust_overfitting(trained.rows, phases),
        },
        "device": device.type,
        "processes": world.size,
        "seconds": round(trained.seconds, 1),
        "commit": revision,
        "dirty": dirty,
        "versions": versions(),
    }


def _keep_other(place: Path, trained: Trained) -> Path | None:
    """Write the weights that were not selected (best or last) beside the entrant; leave none of an earlier run there."""
    paths = {which: place.with_name(f"{place.name}.{which}.safetensors") for which in ("best", "last")}
    for path in paths.values():
        path.unlink(missing_ok=True)
    if trained.other is None:
        return None
    path = paths["last" if trained.selected == trained.best else "best"]
    write_atomically(path, safetensors.torch.save({name: t.contiguous() for name, t in trained.other.items()}))
    return path


def _tell(trained: Trained, phases: Phases | None) -> None:
    """The phases of training and the epoch that was selected, on stderr."""
    if phases is not None:
        found = ", ".join(f"{phase.first}-{phase.last} ({phase.slope:+.4f} an epoch)" for phase in phases.phases)
        sets_in = robust_overfitting(trained.rows, phases)
        late = f"robust overfitting from epoch {sets_in}" if sets_in is not None else "no robust overfitting seen"
        stderr.print(f"phases of dE(x) on train: {found}; {late}", markup=False)
    if trained.best_pgd_accuracy is not None and trained.last_pgd_accuracy is not None:
        stderr.print(
            f"PGD-20 on held-out images: {trained.best_pgd_accuracy:.1%} at best (epoch {trained.best}),"
            f" {trained.last_pgd_accuracy:.1%} in the last; kept: epoch {trained.selected}",
            markup=False,
        )
