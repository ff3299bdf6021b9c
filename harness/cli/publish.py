"""harness publish: records of a run into the folder that the project publishes."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

import click

from harness.cli import options
from zoo.faults import escaped


@dataclass(frozen=True)
class PublishOptions:
    """What `harness publish` is asked for."""

    run: Path | None
    entrants: str | None
    suite: str | None
    to: Path | None
    limit: int | None
    every: bool
    witnesses_at: str


@click.command(name="publish")
@click.argument("run", metavar="[RUN]", required=False, type=options.PATH)
@click.option("--entrants", help="Comma-separated: these alone, by name.")
@click.option("--suite", help="Records of this suite alone, by its name.")
@click.option(
    "--limit",
    type=int,
    callback=options.positive,
    help="Partial records of the first N examples, in place of whole ones. They stand on a board of their own.",
)
@click.option("--to", type=options.PATH, help="The folder to publish to  [default: leaderboards/ of the checkout]")
@click.option("--all", "every", is_flag=True, help="Also records that agree with the published ones within rounding.")
@click.option(
    "--witnesses-at", metavar="ADDRESS", default="",
    help="Do not copy bundles of witnesses: they can be fetched under this address, by their file names.",
)  # fmt: skip
@options.typed(PublishOptions)
def command(given: PublishOptions) -> int:
    """Copy the records of RUN to the published ones, with their arrays, witnesses and pictures. RUN is a folder
    [default: runs/ of the checkout].

    Of an entrant of your own the card goes to zoo/ of the checkout, with the weights where they have at most 10 MB; the card of
    larger ones needs their address (weights: url, sha256). The last line says what to commit.

    Where a record agrees with the published one within rounding, nothing changes. Partial records are published with --limit:
    they have a board of their own, and never take the place of whole ones. Without it they are left alone, as bounded records
    are; both are refused where --entrants names them. Records that were changed after they were written are refused. Nothing
    is replayed: harness verify does that.
    """
    from harness.run.folders import checkout, own_folders, published_folder, run_folder
    from harness.run.publication import Publication
    from harness.run.submission import Submission
    from leaderboards.records.files import read_record
    from leaderboards.records.home import Home
    from zoo.project import shown_place

    to = published_folder(given.to)
    publication = Publication(
        run=Home(run_folder(given.run)),
        to=Home(to),
        suite=given.suite,
        entrants=tuple(options.names(given.entrants, "--entrants")),
        limit=given.limit,
        every=given.every,
        witnesses_at=given.witnesses_at,
    )
    changes = publication()
    for change in changes:
        if change.outcome == "refused":
            options.told(f"harness: error: {change.line}")
        else:
            click.echo(escaped(change.line))
    here = shown_place(to)
    if any(change.outcome in ("published", "replaced") for change in changes):
        click.echo(f"prove it: harness verify {shlex.quote(here)}")
        click.echo(f"see it: harness render --out {shlex.quote(here)}")
    if checkout(to) == to.resolve().parent:
        submit = Submission(to.resolve().parent / "zoo", own_folders())
        stand = [change for change in changes if change.stands]
        found = [submit(read_record(publication.run.results / change.file)) for change in stand]
        for line in dict.fromkeys(line for one in found for line in one.lines):
            options.told(f"before a pull request: {line}")
        if copied := dict.fromkeys(shown_place(path) for one in found for path in one.files):
            click.echo(f"commit it: git add {shlex.join([here, *copied])}")
    return int(any(change.outcome == "refused" for change in changes))
