"""harness challenge: hand in images that break what a record calls robust."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli import options

if TYPE_CHECKING:
    from harness.verify.challenge import Challenged

SHOWN = 20
"""Refused images that the terminal names; --json has all of them."""


@dataclass(frozen=True)
class ChallengeOptions:
    """What `harness challenge` is asked for."""

    suite_name: str
    entrant: str
    file: Path
    who: str
    how: str
    out: Path | None
    data_dir: Path
    dataset: str | None
    model_dir: Path
    download: bool
    allow_pickle: tuple[str, ...]
    device: str
    as_json: bool


@click.command(name="challenge")
@click.option("--suite", "suite_name", required=True, help="A suite by name, or the path of a .toml file.")
@click.option("--entrant", required=True, help="Whom the images break, in any form that harness run takes.")
@click.argument("file", type=options.PATH)
@click.option("--who", default="", help="Who found the images; stands on the entrant's page.  [required]")
@click.option(
    "--how", default="", help="The attack, and where it is described; stands on the entrant's page.  [required]"
)
@options.out
@options.data_dir
@options.dataset
@options.model_dir
@options.download
@options.allow_pickle
@options.device
@click.option("--json", "as_json", is_flag=True, help="What became of every image, as JSON on stdout.")
@options.typed(ChallengeOptions)
def command(given: ChallengeOptions) -> int:
    """Hand in images that break what the record of an entrant calls robust.

    Each image is checked; illegal ones are refused with the reason. What breaks lowers the best known value. The record of the
    run (--out) changes; a published one is copied there first.

    FILE is an .npz with image or x_adv, and index where the images are not of the first examples; or a .pt with a tensor
    (N, C, H, W), as RobustBench takes it.
    """
    from harness.check.preparation import chosen_candidate
    from harness.classifier.devices import devices
    from harness.run.executors.place import JobFailed
    from harness.run.folders import output_folder, own_folders
    from harness.run.selection import Faults
    from harness.suites.files import find_suite
    from harness.verify.challenge import challenged

    suite = find_suite(given.suite_name)
    if given.dataset:
        suite = suite.on(given.dataset)
    (device,) = devices(given.device, 0)
    faults = Faults(options.told)
    judged = chosen_candidate(
        options.names(given.entrant, "--entrant"), suite, faults, model_dir=given.model_dir,
        own_folders=own_folders(), allow_pickle=given.allow_pickle, data_dir=given.data_dir, download=given.download,
    )  # fmt: skip
    if judged is None:
        return faults.status
    if judged.images.name != suite.dataset:
        suite = suite.found_as(judged.images.name)
    out = output_folder(given.out)
    try:
        found = challenged(judged, suite, given.file, out, device, who=given.who, how=given.how)
    except JobFailed as error:
        options.told(f"harness: error: {judged.name}: {error}")
        return 1
    if given.as_json:
        click.echo(json.dumps(found.plain, allow_nan=False))
    else:
        show(found, given.out)
    return 0


def show(found: Challenged, out: Path | None) -> None:
    """The verdict on stdout: what was refused, and what is best known now."""
    for one in found.refused[:SHOWN]:
        click.echo(f"refused: {one}")
    if len(found.refused) > SHOWN:
        click.echo(f"refused: {len(found.refused) - SHOWN} more; --json names them")
    click.echo(found.line)
    if found.path is not None:
        click.echo(str(found.path))
        at = "" if out is None else f" --out {shlex.quote(str(out))}"
        options.told(f"see it: harness render{at}")
