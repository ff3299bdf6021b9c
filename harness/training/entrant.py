"""Training from names to files: an entrant's weights, card and dynamics. What `harness train` and Python call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from harness.classifier.determinism import deterministic
from harness.classifier.devices import devices
from harness.data import datasets
from harness.data.form import Form
from harness.data.images import ImageSet
from harness.data.npz import npz_file
from harness.errors import BadInput
from harness.suites.files import find_suite
from harness.suites.suite import Suite
from harness.training import trainer
from harness.training.card import Origin, card_of, keep_other, made_of
from harness.training.distributed import World
from harness.training.dynamics import Epoch, phases_of
from harness.training.own_objective import require_terms
from harness.training.page import Page, page_of
from harness.training.phases import Phases
from harness.training.place import checkpoint_of, found_by_name, require_free, require_same_command, writable
from harness.training.recipes import Recipe, find_recipe
from harness.training.scalars import Kind, Logged, log_of, require_log
from harness.training.standing import Observer
from harness.training.trainer import Trained
from zoo.architectures import build, is_own
from zoo.cards import require_name
from zoo.entrant import Card
from zoo.own_entrants import require_no_pickle, save_entrant
from zoo.project import own_folder


@dataclass(frozen=True)
class TrainedEntrant:
    """An entrant that was trained here: its files, and the course of its training.

    - path: of its weights; `other`: of those of best and last epoch that were not selected, where the two differ
    - spec: what to type after --entrants, or to give to the Python API, to get it
    - dynamics: the log of its epochs, JSON lines; `rows` holds the same
    - suite: the one that it was trained for, on the data that it was trained on
    - page: of its training, to be opened in a browser; None where none was asked for
    """

    path: Path
    spec: str
    card: Card
    suite: Suite
    dynamics: Path
    other: Path | None
    trained: Trained
    page: Path | None = None

    @property
    def model(self) -> nn.Module:
        """The network on the CPU, in eval mode: images (N, C, H, W) in [0,1] to logits (N, K)."""
        return self.trained.model

    @property
    def rows(self) -> tuple[dict[str, Any], ...]:
        """One mapping an epoch: learning rate, loss, accuracy, and the probes of train and of the held-out images."""
        return self.trained.rows

    @property
    def phases(self) -> Phases | None:
        """The phases of dE(x) on the training images; None where there are too few epochs to tell."""
        return phases_of(self.rows)

    @property
    def course(self) -> list[str]:
        """The phases of training and the epoch that was selected, a line each, where they are known."""
        trained, lines = self.trained, []
        if self.phases is not None:
            found = ", ".join(f"{p.first}-{p.last} ({p.slope:+.4f} an epoch)" for p in self.phases.phases)
            sets_in = self.card.training["dynamics"]["overfitting_epoch"]
            late = f"robust overfitting from epoch {sets_in}" if sets_in is not None else "no robust overfitting seen"
            lines.append(f"phases of dE(x) on train: {found}; {late}")
        if trained.best_pgd_accuracy is not None and trained.last_pgd_accuracy is not None:
            lines.append(
                f"PGD-20 on held-out images: {trained.best_pgd_accuracy:.1%} at best (epoch {trained.best}),"
                f" {trained.last_pgd_accuracy:.1%} in the last; kept: epoch {trained.selected}"
            )
        return lines


def train(
    suite: str | Path | Suite,
    recipe: str | Path | Recipe,
    *,
    name: str | None = None,
    architecture: str | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    precision: str | None = None,
    changes: Mapping[str, Any] | None = None,
    images: ImageSet | None = None,
    synthetic: str | Path | ImageSet | None = None,
    limit: int | None = None,
    dataset: str | None = None,
    train_on: str | None = None,
    data_dir: str | Path = "data",
    download: bool = False,
    device: str = "auto",
    out: str | Path | None = None,
    force: bool = False,
    log: Kind | None = None,
    page: bool = False,
    observers: Sequence[Observer] = (),
    report: Callable[[Epoch], None] = lambda epoch: None,
    moved: Callable[[int, int], None] = lambda step, steps: None,
    resumed: Callable[[Path], None] = lambda checkpoint: None,
    asked_to_stop: Callable[[], bool] = lambda: False,
    world: World | None = None,
) -> TrainedEntrant:
    """Train an entrant, write it to <out>/<suite>/<name>.safetensors, .json and .dynamics.jsonl, and return it.

    `suite` and `recipe` are names, paths of TOML files, or objects; `name` is the recipe's by default. `changes` are other
    fields of the recipe, the four before it the same by name. `images` take the place of the train split in `data_dir`,
    `dataset` names other data there, for which the entrant is then made; `train_on` names other data, too, but the entrant is
    made for the suite itself (its card says what it has seen). `limit` takes the first images; `synthetic` images, or their
    .npz, are half of each batch unless the recipe says another share.

    What is there by that name is replaced where this very call made it, or with `force`; else it is refused. Without `out`
    it goes to entrants/ of the project (zoo.project says which folder that is), and never under the name of another entrant.

    The same call again goes on where an interrupted one has stopped. Nothing is printed: `report` is called after each
    epoch, `moved` after each step (its number, and that of all in the epoch), `resumed` with a file that is gone on from.
    `log` writes its numbers beside the entrant, "csv" to <name>.log.csv, "tensorboard" to the folder <name>.tensorboard; `page`
    its course to <name>.training.html, while it goes on and at its end. `observers` are told of each step and epoch.
    When `asked_to_stop` says so, it saves where it stands and raises Interrupted. In several processes (`world`) the first
    one writes. Raises BadInput or EntrantError, one line, before data are read wherever that can be told.
    """
    world = world or World()
    suite = suite if isinstance(suite, Suite) else find_suite(str(suite))
    if dataset:
        suite = suite.on(dataset)
    seen = suite.on(train_on) if train_on else suite
    named = {"architecture": architecture, "epochs": epochs, "seed": seed, "precision": precision}
    fields = {**(changes or {}), **{field: value for field, value in named.items() if value is not None}}
    asked, recipe = recipe, changed_recipe(recipe, suite, fields, synthetic is not None)
    name = require_name(name or name_of(asked))
    require_terms(recipe.method, suite.classes)
    if log is not None:
        require_log(log)
    folder = own_folder() if out is None else Path(out)
    require_free(name, (suite if images is None else suite.on(images.name)).name, folder, named=out is not None)
    if is_own(recipe.architecture):
        build(recipe.architecture, suite.classes, suite.shape)  # what is wrong with it is told here
    on = devices(device, None)[0]
    if images is None:
        images = datasets.load(
            seen.loaded_from,
            "train",
            data_dir=Path(data_dir),
            shape=suite.shape,
            classes=suite.classes,
            download=download,
        )
    _require_form(images, suite)
    images = images.first(limit)
    if not train_on:
        suite = suite.on(images.name)
    if isinstance(synthetic, str | Path):
        synthetic = npz_file(Path(synthetic), suite.shape, suite.classes)
    place = writable(folder) / suite.name / name
    checkpoint = checkpoint_of(place)
    dynamics = place.with_name(f"{name}.dynamics.jsonl")
    origin = Origin(suite, recipe, images, synthetic, on, world)
    require_no_pickle(place)
    if not force:
        require_same_command(place, checkpoint, suite.domain.suite, made_of(origin))
    watching: list[Observer] = [*observers]
    if log is not None:
        watching.append(Logged(log_of(log, place)))
    drawn = Page(place, suite.title, recipe.epochs, made_of(origin)) if page else None
    if drawn is not None:
        watching.append(drawn)
    if checkpoint.exists() and world.first:
        resumed(checkpoint)
    with deterministic(on, recipe.threads):
        trained = trainer.train(
            suite,
            recipe,
            images,
            on,
            report,
            synthetic=synthetic,
            checkpoint=checkpoint,
            dynamics=dynamics,
            asked_to_stop=asked_to_stop,
            moved=moved,
            observers=watching,
            world=world,
        )
    card = card_of(name, origin, trained, dynamics)
    path, other = place.with_name(f"{name}.safetensors"), None
    if world.first:
        save_entrant(place, trained.model, card, suite.domain)
        other = keep_other(place, trained)
        checkpoint.unlink(missing_ok=True)
    spec = name if found_by_name(folder) else f"checkpoint:{path}"
    made = TrainedEntrant(path, spec, card, suite, dynamics, other, trained, page_of(place) if page else None)
    if drawn is not None and world.first:
        drawn.write(made.rows, made.course, made.phases, card.training["dynamics"]["overfitting_epoch"])
    return made


def name_of(recipe: str | Path | Recipe) -> str:
    """What an entrant is named after that is given no name: its recipe, or the recipe's file."""
    if isinstance(recipe, Recipe):
        return recipe.objective
    return Path(recipe).stem if Path(recipe).suffix == ".toml" else str(recipe)


def changed_recipe(recipe: str | Path | Recipe, suite: Suite, fields: Mapping[str, Any], synthetic: bool) -> Recipe:
    """The recipe with other fields; one that is given as an object says itself how much of a batch is synthetic."""
    if isinstance(recipe, Recipe):
        return recipe.changed(fields)
    found = find_recipe(str(recipe), suite)
    if synthetic:
        fields = {"synthetic_fraction": found.synthetic_fraction or 0.5, **fields}
    return found.changed(fields)


def _require_form(images: ImageSet, suite: Suite) -> None:
    if (images.shape, len(images.classes)) != (suite.shape, suite.classes):
        # an .npz has as many classes as the suite says
        form = Form(len(images.classes) if len(images.classes) != suite.classes else None, images.shape)
        raise BadInput(
            f"expected images {'x'.join(map(str, suite.shape))} of {suite.classes} classes for {suite.name}, got"
            f" {'x'.join(map(str, images.shape))} of {len(images.classes)}; choose the suite that fits them, or write one: a"
            f' .toml file with dataset = "{images.name}", {form}{"" if form.classes else ", classes"} and eps'
        )
