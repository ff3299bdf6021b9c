"""harness doctor: what is wrong with an entrant, in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from harness.cli import options
from zoo.faults import escaped


@dataclass(frozen=True)
class DoctorOptions:
    """What `harness doctor` is asked for."""

    suite_name: str
    entrant: str
    as_json: bool
    device: str
    data_dir: Path
    dataset: str | None
    model_dir: Path
    download: bool
    allow_pickle: tuple[str, ...]


@click.command(name="doctor")
@click.option("--suite", "suite_name", required=True, help="A suite by name, or the path of a .toml file.")
@click.option("--entrant", required=True, help="As after harness run --entrants: a name or spec.")
@click.option("--json", "as_json", is_flag=True, help="All findings as JSON on stdout.")
@options.device
@options.data_dir
@options.dataset
@options.model_dir
@options.download
@options.allow_pickle
@options.typed(DoctorOptions)
def command(given: DoctorOptions) -> int:
    """Look for what makes numbers wrong before they are measured: input range, labels, train mode, hidden gradients.

    Takes seconds. Exit status: 0 no fault (there may be warnings), 1 a fault, 2 bad input.
    """
    from harness.doctor.examination import doctor

    found = doctor(
        given.entrant, given.suite_name, device=given.device, data_dir=given.data_dir, dataset=given.dataset,
        model_dir=given.model_dir, download=given.download, allow_pickle=given.allow_pickle,
    )  # fmt: skip
    if given.as_json:
        click.echo(found.to_json())
        return found.status
    for line in str(found).splitlines():
        click.echo(escaped(line))
    return found.status
