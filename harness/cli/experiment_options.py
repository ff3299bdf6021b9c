"""What the experiments that train entrants have in common: their options, the training, the measuring, the dry run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli import options
from zoo.faults import escaped

if TYPE_CHECKING:
    from harness.experiments.measuring import Found, Measuring
    from harness.experiments.sampling import Setting
    from harness.experiments.trials import Ground, Trial
    from harness.run.selection import Faults
    from harness.run.session import Session
    from harness.suites.suite import Suite
    from harness.training.pace import Work
    from harness.training.recipes import Recipe
    from leaderboards.pages.experiment import ExperimentView, Table

MEASURES = ("standard", "autoattack")
"""What an experiment measures unless it is told otherwise: the paired tests need no more."""


@dataclass(frozen=True)
class TrialOptions:
    """What an experiment that trains its entrants is asked for, beside what it varies."""

    suite_name: str
    assignments: tuple[str, ...]
    architecture: str | None
    epochs: int | None
    train_limit: int | None
    train_on: str | None
    measures: str | None
    limit: int | None
    seeds: str
    device: str
    out: Path | None
    data_dir: Path
    dataset: str | None
    download: bool
    workers: int | None
    dry_run: bool

    def suite(self) -> Suite:
        """The suite, on the data that were asked for."""
        from harness.suites.files import find_suite

        suite = find_suite(self.suite_name)
        return suite.on(self.dataset) if self.dataset else suite

    def recipe(self, name: str, suite: Suite) -> Recipe:
        """A recipe by its name or file, with the fields that are changed. Raises BadInput."""
        from harness.training.recipes import find_recipe, parsed

        named = {"architecture": self.architecture, "epochs": self.epochs}
        fields = parsed(self.assignments) | {key: value for key, value in named.items() if value is not None}
        return find_recipe(name, suite).changed(fields)

    def seed_numbers(self) -> tuple[int, ...]:
        """The seeds, each once. Raises BadInput for what is no seed."""
        return tuple(dict.fromkeys(numbers(self.seeds, "--seeds", int)))

    def folder(self, experiment: str, suite: Suite) -> Path:
        """Where the experiment lies; it is made when there is something to write."""
        from harness.experiments.trials import folder_of
        from harness.run.folders import default_run

        return folder_of(self.out or default_run(), experiment, suite)

    def ground(self, folder: Path, suite: Suite) -> Ground:
        from harness.experiments.trials import ground

        return ground(
            suite,
            folder,
            data_dir=self.data_dir,
            train_on=self.train_on,
            limit=self.train_limit,
            download=self.download,
            device=self.device,
        )

    def measuring(self, ground: Ground) -> Measuring:
        from harness.experiments.measuring import Measuring, require_attack
        from harness.run.selection import chosen_measures

        chosen = chosen_measures(options.names(self.measures, "--measures") or MEASURES, ground.suite)
        require_attack(chosen)
        measuring = Measuring(
            suite=ground.suite,
            measures=tuple(chosen),
            folder=ground.folder,
            data_dir=self.data_dir,
            device=self.device,
            workers=self.workers,
            limit=self.limit,
            download=self.download,
        )
        measuring.require_images()  # before hours of training
        return measuring


def numbers(text: str, option: str, kind: type[int] | type[float]) -> list[Any]:
    """A comma-separated option as numbers. Raises BadInput for the first that is none."""
    from harness.errors import BadInput

    found = []
    for part in options.names(text, option):
        try:
            found.append(kind(part))
        except ValueError as error:
            wanted = "whole numbers" if kind is int else "numbers"
            raise BadInput(f"expected {wanted} after {option}, got {part!r}; write them as in {option} 1,2") from error
    return found


def label(recipe_name: str) -> str:
    """What the entrants of a recipe are named after: its name, or its file's. Raises EntrantError where no entrant can be named
    so."""
    from zoo.cards import require_name

    return require_name(Path(recipe_name).stem if Path(recipe_name).suffix == ".toml" else recipe_name)


def labelled(recipe_names: Sequence[str], find: Callable[[str], Recipe]) -> dict[str, Recipe]:
    """Recipes by what their entrants are named after. Raises BadInput where two files would give entrants of one name."""
    from harness.errors import BadInput

    found: dict[str, Recipe] = {}
    for name in recipe_names:
        recipe, named = find(name), label(name)
        if named in found and found[named] != recipe:
            raise BadInput(f"expected recipes of different names, got {named!r} twice ({name}); rename a file")
        found[named] = recipe
    return found


_SHARED: tuple[Callable[[Any], Any], ...] = (
    click.option("--suite", "suite_name", required=True, help="A suite by name, or the path of a .toml file."),
    click.option("--set", "assignments", multiple=True, metavar="FIELD=VALUE", help="Change any field of the recipe."),
    click.option("--architecture", help="Of the entrants, as in harness train; default: the recipe's."),
    click.option("--epochs", type=int, help="In place of the recipe's."),
    click.option("--train-limit", type=int, callback=options.positive, help="Train on the first N images."),
    click.option("--train-on", metavar="NAME", help="Train on <data-dir>/NAME in place of the suite's images."),
    click.option("--measures", help=f"Comma-separated, as in harness run [default: {','.join(MEASURES)}]."),
    click.option(
        "--limit", type=int, callback=options.positive, help="Measure on the first N examples; records are partial."
    ),
    options.device,
    click.option(
        "--out",
        type=options.PATH,
        help="Holds experiments/<experiment>-<suite>/ with entrants, records and page [default: runs/ of the checkout].",
    ),
    options.data_dir,
    options.dataset,
    options.download,
    options.workers,
    click.option("--dry-run", is_flag=True, help="Print what would be trained and measured, with passes, and stop."),
)


def shared(seeds: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The options of TrialOptions, in their order in the help; `seeds` is the default of --seeds."""
    of_seeds = click.option(
        "--seeds", default=seeds, show_default=True, metavar="K,L", help="Of training: an entrant for each."
    )

    def add(verb: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed((*_SHARED, of_seeds)):
            verb = option(verb)
        return verb

    return add


def train_missing(ground: Ground, trials: Sequence[Trial]) -> int:
    """Train what is missing, followed in the terminal; the exit status where it is asked to stop, else 0."""
    from harness.cli.training_progress import asked_to_stop, following_training, interrupted
    from harness.experiments.trials import Telling
    from harness.run.folders import output_folder
    from harness.training.trainer import Interrupted

    if ground.writing.zoo is None:
        output_folder(ground.folder)
    missing, speaks = ground.missing(trials), ground.writing.world.first

    def begins(trial: Trial, later: Sequence[Work]) -> None:
        following.next(trial.name, later)
        tell(f"training {trial.name}")

    def tell(line: str) -> None:
        if speaks:
            options.told(line)

    tell(f"{ground.suite.name}: {len(missing)} of {len(trials)} entrants to train")
    try:
        with following_training(speaks) as following, asked_to_stop() as stop:
            resumed = lambda checkpoint: tell(f"going on from {checkpoint}")  # noqa: E731
            ground.train(trials, Telling(begins, (following,), resumed, stop))
    except Interrupted:
        return interrupted(speaks)
    return 0


def measure_missing(
    measuring: Measuring, ground: Ground, trials: Sequence[Trial], faults: Faults
) -> Mapping[str, Found]:
    """Measure what is missing, followed in the terminal; what was found of each entrant, by its name."""
    from harness.cli.progress import following

    return measuring([ground.spec(trial) for trial in trials], faults, following)


def show_dry_run(ground: Ground, measuring: Measuring, trials: Sequence[Trial]) -> None:
    """What would be trained and measured, and how many passes that is at most."""
    from harness.cli.tables import wide, worded
    from harness.experiments.trials import dry_run

    title = f"{ground.suite.name}: {len(ground.missing(trials))} of {len(trials)} entrants to train"
    headings, rows = dry_run(ground, measuring, trials)
    wide(worded(title, headings, rows, headings[:2]))
    click.echo("Passes are of single images: of training about, of measuring at most.")


def show_settings(sessions: Mapping[Setting, Session]) -> None:
    """What would be drawn for each setting of a sampling experiment, and how many passes that is at most."""
    from harness.cli.tables import wide, worded
    from harness.experiments.sampling import dry_run

    headings, rows = dry_run(sessions)
    wide(worded(f"{len(sessions)} settings", headings, rows, headings[:2]))
    click.echo("Passes are of single images, of what is still to be drawn.")


def show_experiment(view: ExperimentView, page: Path) -> None:
    """The tables of an experiment, what was found in words, and where its page is."""
    for table in view.tables:
        show_table(table)
    for finding in view.findings:
        click.echo(escaped(finding))
    click.echo(str(page))


def show_table(table: Table) -> None:
    """A page's table in the terminal."""
    from harness.cli.tables import wide, worded

    headings = [column.heading for column in table.columns]
    left = [headings[0], *(column.heading for column in table.columns if column.words)]
    wide(worded(table.caption, headings, [[str(cell) for cell in row] for row in table.rows], left))
