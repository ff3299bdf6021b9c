"""The entrants of an experiment: what each is trained by, where it lies, and which of them are there already.

A trial is trained by the same code as `harness train` and lies in the experiment's own zoo/. One that is there by the very same
settings is not trained again; one that another command made under its name is refused, never replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.classifier.devices import devices
from harness.data import datasets
from harness.data.images import ImageSet
from harness.data.npz import npz_file
from harness.errors import BadInput
from harness.experiments.measuring import Measuring
from harness.measures.measure import Cost
from harness.suites.suite import Suite
from harness.training.batches import held_out
from harness.training.card import Origin, made_of
from harness.training.distributed import World
from harness.training.dynamics import followed
from harness.training.entrant import train
from harness.training.pace import Work, work_of
from harness.training.place import ANOTHER, checkpoint_of, finished, require_same_command
from harness.training.recipes import Recipe
from harness.training.scalars import Kind
from harness.training.standing import Observer
from zoo.cards import read_card
from zoo.entrant import Card


@dataclass(frozen=True)
class Trial:
    """One entrant of an experiment: its name, and the recipe that it is trained by."""

    name: str
    recipe: Recipe


@dataclass(frozen=True)
class Telling:
    """What is called as trainings go on: as one begins, with the work of those after it, and with a file that is gone on from;
    `observers` are told of each step and epoch."""

    begins: Callable[[Trial, Sequence[Work]], None] = lambda trial, later: None
    observers: Sequence[Observer] = ()
    resumed: Callable[[Path], None] = lambda checkpoint: None
    asked_to_stop: Callable[[], bool] = lambda: False


@dataclass(frozen=True)
class Writing:
    """What the trainings of trials write, and over what.

    `zoo` holds <suite>/<name>.safetensors where that is not the experiment's own folder, `synthetic` images are mixed into each
    batch, `force` replaces what another command made; `log` and `page` are as in harness.training.entrant.train, `world` the
    processes that train together.
    """

    zoo: Path | None = None
    synthetic: ImageSet | Path | None = None
    force: bool = False
    log: Kind | None = None
    page: bool = False
    world: World = field(default_factory=World)


@dataclass(frozen=True)
class Ground:
    """What the trials of an experiment are trained on, and the folder that they lie in: <folder>/zoo/<suite>/.

    `suite` is the one that they are made for; `train_on` names the data where they are not the suite's own.
    """

    suite: Suite
    images: ImageSet
    folder: Path
    device: str = "auto"
    train_on: str | None = None
    writing: Writing = field(default_factory=Writing)

    @property
    def zoo(self) -> Path:
        return self.writing.zoo or self.folder / "zoo"

    def path(self, trial: Trial) -> Path:
        """Of a trial's weights."""
        return self._place(trial).with_name(f"{trial.name}.safetensors")

    def spec(self, trial: Trial) -> str:
        """What names a trial to those who measure: by its path, for its name may be another entrant's too."""
        return f"checkpoint:{self.path(trial)}"

    def card(self, trial: Trial) -> Card:
        """Of a trial that is there."""
        return read_card(self.path(trial).with_suffix(".json"), "zoo").card

    def missing(self, trials: Sequence[Trial]) -> tuple[Trial, ...]:
        """Those that are still to be trained. Raises BadInput where another command made an entrant of one's name, unless it
        is to be replaced."""
        return tuple(trial for trial in trials if not (self._same(trial) and finished(self._place(trial))))

    def _same(self, trial: Trial) -> bool:
        """Whether what is there, if anything, is of this very training."""
        on, place = devices(self.device, None)[0], self._place(trial)
        origin = Origin(self.suite, trial.recipe, self.images, self.writing.synthetic, on, World())
        mend = "name another --out for other settings" if self.writing.zoo is None else ANOTHER
        try:
            require_same_command(place, checkpoint_of(place), self.suite.domain.suite, made_of(origin), mend)
        except BadInput:
            if not self.writing.force:
                raise
            return False
        return True

    def train(self, trials: Sequence[Trial], telling: Telling) -> None:
        """Train what is missing, one after the other. Raises Interrupted where it is asked to stop: what is done is kept."""
        missing, writing = self.missing(trials), self.writing
        for number, trial in enumerate(missing, 1):
            telling.begins(trial, [self.work(later.recipe) for later in missing[number:]])
            train(
                self.suite,
                trial.recipe,
                name=trial.name,
                images=self.images,
                train_on=self.train_on,
                synthetic=writing.synthetic,
                device=self.device,
                out=self.zoo,
                force=writing.force,
                log=writing.log,
                page=writing.page,
                observers=telling.observers,
                resumed=telling.resumed,
                asked_to_stop=telling.asked_to_stop,
                world=writing.world,
            )

    def work(self, recipe: Recipe) -> Work:
        """What one training does."""
        kept, validation = held_out(self.images, recipe.validation)
        return work_of(recipe, len(kept), followed(len(kept), len(validation) if validation is not None else None))

    def cost(self, recipe: Recipe) -> Cost:
        """Passes of one training, in images, about: the attack's steps, what the loss needs, and probes left out."""
        seen = recipe.epochs * self.trained_on(recipe)
        steps = recipe.attack_steps if recipe.method.attack is not None else 0
        dropped = 1 if recipe.drop != "none" else 0
        return Cost(forward=seen * (steps + 1 + (steps > 0) + dropped), backward=seen * (steps + 1))

    def trained_on(self, recipe: Recipe) -> int:
        """Images of an epoch: those that are not held out."""
        return len(held_out(self.images, recipe.validation)[0])

    def _place(self, trial: Trial) -> Path:
        return self.zoo / self.suite.name / trial.name


def ground(
    suite: Suite,
    folder: Path,
    *,
    data_dir: Path,
    dataset: str | None = None,
    train_on: str | None = None,
    limit: int | None = None,
    download: bool = False,
    device: str = "auto",
    writing: Writing | None = None,
) -> Ground:
    """Read the training images of a suite, the first `limit` of them. Raises BadInput where they are not there."""
    if dataset:
        suite = suite.on(dataset)
    seen = suite.on(train_on) if train_on else suite
    images = datasets.load(
        seen.loaded_from, "train", data_dir=data_dir, shape=suite.shape, classes=suite.classes, download=download
    )
    if limit is not None and limit > len(images):
        raise BadInput(f"expected at most {len(images)} training images, got {limit}; give a smaller --train-limit")
    images = images.first(limit)
    if writing is not None and isinstance(writing.synthetic, Path):
        synthetic = npz_file(writing.synthetic, suite.shape, suite.classes)
        writing = replace(writing, synthetic=synthetic)
    return Ground(suite if train_on else suite.on(images.name), images, folder, device, train_on, writing or Writing())


def folder_of(out: Path, experiment: str, suite: Suite) -> Path:
    """Where an experiment lies: its entrants in zoo/, their records in results/, its page and numbers."""
    return out / "experiments" / f"{experiment}-{suite.name}"


def settings_of(recipe: Recipe, without: Sequence[str] = ()) -> Mapping[str, object]:
    """A recipe's fields as JSON values, less those that the experiment varies."""
    return {key: value for key, value in recipe.to_json().items() if key not in without}


def dry_run(
    ground: Ground, measuring: Measuring, trials: Sequence[Trial]
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Headings, and a row an entrant: whether it is to be trained, and the passes of training and of measuring."""
    missing, cost = ground.missing(trials), measuring.cost(1)
    rows = []
    for trial in trials:
        training = ground.cost(trial.recipe) if trial in missing else Cost(0, 0)
        counts = training.forward, training.backward, cost.forward, cost.backward
        epochs = f"{trial.recipe.epochs} epoch{'s' if trial.recipe.epochs > 1 else ''}"
        left = f"train {epochs}, measure" if trial in missing else "measure what is missing"
        rows.append((trial.name, left, *(f"{count:,}" for count in counts)))
    headings = "entrant", "to do", "training: forward", "backward", "measuring: forward", "backward "
    return headings, rows
