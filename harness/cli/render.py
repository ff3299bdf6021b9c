"""harness render: the leaderboards, from the records alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from harness.cli import options
from harness.suites.suite import SUITES, Suite
from leaderboards.board.entry import Published
from leaderboards.pages.pages import Rendered, SuitePage, render
from leaderboards.records.files import file_stem
from zoo.published import published


@dataclass(frozen=True)
class Site:
    """What was rendered, and where."""

    root: Path
    rendered: Rendered

    @property
    def problems(self) -> list[str]:
        """One line for each record or array that could not be used."""
        return [f"{problem.file}: {problem.message}" for problem in self.rendered.problems]

    def page_of(self, suite: str) -> Path:
        """The board of a suite."""
        return self.root / file_stem(suite) / "index.html"


def published_rows(suite: Suite) -> tuple[Published, ...]:
    """What RobustBench publishes for a suite's data and threat model; nothing where the suite varies them."""
    if suite.base:
        return ()
    return tuple(
        Published(
            name=row.name,
            standard_accuracy=row.standard_accuracy,
            autoattack_accuracy=row.autoattack_accuracy,
            best_known_accuracy=row.best_known_accuracy,
            architecture=row.architecture,
            title=row.title,
            authors=row.authors,
            venue=row.venue,
            link=row.link,
            additional_data=row.additional_data,
            unreliable=row.unreliable,
        )
        for row in published(suite.domain.dataset, suite.domain.norm)
    )


def suite_page(suite: Suite) -> SuitePage:
    """A suite as the pages need it: they know neither suites nor the zoo."""
    return SuitePage(
        name=suite.name,
        title=suite.title,
        description=suite.description,
        dataset=suite.dataset,
        norm=suite.norm,
        eps=suite.eps,
        published=published_rows(suite),
    )


def render_site(out: Path, check: bool = False) -> Site:
    """Render out/site from out/results: the built-in suites, and those that only records know. `check` writes nothing."""
    root = out / "site"
    pages = [suite_page(suite) for suite in SUITES.values()]
    return Site(root, render(out / "results", root, pages, out / "arrays", out / "samples", check=check))


@click.command(name="render")
@options.out
@click.option("--check", is_flag=True, help="Write nothing; exit 1 where the site is not what the records make.")
def command(out: Path | None, check: bool) -> int:
    """Render the leaderboards from the records. Only pages that change are written."""
    site = render_site(options.output_folder(out), check)
    for problem in site.problems:
        click.echo(f"harness: warning: {problem}", err=True)
    changed, removed = site.rendered.written, site.rendered.removed
    if check:
        for path, words in [
            *((path, "not what the records make") for path in changed),
            *((p, "no record's") for p in removed),
        ]:
            click.echo(f"{path.relative_to(site.root).as_posix()}: {words}")
        if changed or removed:
            click.echo(f"{len(changed) + len(removed)} files disagree with the records; run harness render", err=True)
            return 1
        click.echo(f"{len(site.rendered.unchanged)} files agree with the records", err=True)
        return 0
    click.echo(
        f"{len(changed)} files written, {len(site.rendered.unchanged)} unchanged, {len(removed)} removed", err=True
    )
    click.echo(str(site.root / "index.html"))
    return 0
