"""harness export: records in the forms of others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from harness.cli import options
from leaderboards.exports.names import FORMATS, PROJECT


@dataclass(frozen=True)
class ExportOptions:
    """What `harness export` is asked for."""

    place: Path | None
    form: str
    to: Path
    entrants: str | None
    organisation: str


@click.command(name="export")
@click.argument("place", metavar="[RECORD_OR_DIR]", required=False, type=options.PATH)
@click.option("--format", "form", type=click.Choice(FORMATS), required=True, help="What to write.")
@click.option(
    "--to", type=options.PATH, default=Path("runs/exports"), show_default=True,
    help="The folder to write to: data/ of every-eval-ever, in-toto/ of in-toto.",
)  # fmt: skip
@click.option("--entrants", metavar="A,B", help="Only these [default: all].")
@click.option(
    "--by", "organisation", metavar="NAME", default=PROJECT, show_default=True,
    help="Who measured, and provides the data.",
)  # fmt: skip
@options.typed(ExportOptions)
def command(given: ExportOptions) -> int:
    """Write records as files that other places read. RECORD_OR_DIR is a record, or a folder of them [default: leaderboards/ of
    the checkout, else runs/].

    every-eval-ever: one JSON file a record with its headline values, and one JSONL file with its examples.
    in-toto: one statement a record, unsigned.

    A record that was changed after it was written, or contradicts itself, is refused, and the exit status is 1.
    """
    from harness.errors import BadInput
    from leaderboards.exports.export import export

    if not given.organisation.strip():
        raise BadInput("expected a name after --by, got none; say who measured, or leave the option out")
    place = given.place if given.place is not None else usual_place()
    if not place.exists():
        raise BadInput(f"expected a record or a folder, got {place}, which is not there; name another")
    entrants = options.names(given.entrants, "--entrants")
    done = export(place, given.form, given.to, entrants, given.organisation)
    for path in done.written:
        click.echo(str(path))
    for reason in done.refused:
        options.told(f"refused: {reason}")
    options.told(f"written: {len(done.written)} files; refused: {len(done.refused)} records")
    return 1 if done.refused else 0


def usual_place() -> Path:
    """leaderboards/ of the checkout where it has records, else runs/."""
    from harness.run.folders import checkout
    from leaderboards.records.files import record_files
    from leaderboards.records.home import Home

    root = checkout()
    if root is not None and any(record_files(Home(root / "leaderboards").results)):
        return root / "leaderboards"
    return (root or Path.cwd()) / "runs"
