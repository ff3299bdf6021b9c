"""harness render: the leaderboards, from the records alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from harness.cli import options
from harness.suites import SUITES, Suite
from leaderboards.entry import Published
from leaderboards.pages import Rendered, SuitePage, render
from leaderboards.records import file_stem
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


def render_site(out: Path) -> Site:
    """Render out/site from out/results: the built-in suites, and those that only records know."""
    root = out / "site"
    rendered = render(
        out / "results", root, [suite_page(suite) for suite in SUITES.values()], out / "arrays", out / "samples"
    )
    return Site(root, rendered)


@click.command(name="render")
@options.out
def command(out: Path | None) -> int:
    """Render the leaderboards from the records. Only pages that change are written."""
    site = render_site(options.output_folder(out))
    for problem in site.problems:
        click.echo(f"harness: warning: {problem}", err=True)
    changed, unchanged = len(site.rendered.written), len(site.rendered.unchanged)
    click.echo(f"{changed} pages written, {unchanged} unchanged, {len(site.rendered.removed)} removed", err=True)
    click.echo(str(site.root / "index.html"))
    return 0
