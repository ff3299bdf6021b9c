"""harness verify: prove records again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from harness.cli import options


@dataclass(frozen=True)
class VerifyOptions:
    """What `harness verify` is asked for."""

    places: tuple[Path, ...]
    entrants: str | None
    audit: int
    seed: int | None
    save: Path | None
    mark: bool | None
    as_json: bool
    junit_file: Path | None
    device: str
    data_dir: Path
    model_dir: Path
    download: bool
    allow_pickle: tuple[str, ...]


@click.command(name="verify")
@click.argument("places", metavar="RECORD_OR_DIR...", nargs=-1, required=True, type=options.PATH)
@click.option(
    "--entrants", help="Comma-separated: these alone, by name or spec. Code of your own runs only for those named here."
)
@click.option(
    "--audit", type=int, default=0, callback=options.not_negative,
    help="Attack N random examples that AutoAttack left again, with another seed, and say what that excludes.",
)  # fmt: skip
@click.option("--seed", type=int, callback=options.not_negative, help="Of the audit [default: the record's plus 1].")
@click.option(
    "--save", type=options.PATH, help="Keep images that break survivors: <folder>/<entrant>.npz, for harness challenge."
)
@click.option(
    "--mark/--no-mark", default=None,
    help="Note beside the records what was found, for pages to show  [default: where no note says the same].",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="The verdicts as JSON on stdout.")
@click.option("--junit", "junit_file", type=options.PATH, help="Write JUnit XML: one test case a record.")
@options.device
@options.data_dir
@options.model_dir
@options.download
@options.allow_pickle
@options.typed(VerifyOptions)
def command(given: VerifyOptions) -> int:
    """Prove records again: replay every witness, and hold each number against its arrays and its classifier."""
    from harness.verify.chosen import chosen
    from harness.verify.reports import junit
    from harness.verify.verdict import as_json, status
    from harness.verify.verification import verify
    from leaderboards.records.files import write_atomically

    own = options.names(given.entrants, "--entrants")
    found = []
    for verdict in verify(
        chosen(given.places, own), device=given.device, audit=given.audit, seed=given.seed, data_dir=given.data_dir,
        model_dir=given.model_dir, download=given.download, allow_pickle=given.allow_pickle, own=own, mark=given.mark,
        save=given.save,
    ):  # fmt: skip
        found.append(verdict)
        if not given.as_json:
            click.echo("\n    ".join((verdict.line, *verdict.details)))
    if given.as_json:
        click.echo(as_json(found))
    if given.junit_file is not None:
        write_atomically(given.junit_file, junit(found).encode())
    return status(found)
