"""harness render: the leaderboards, from the records alone."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli import options


@click.command(name="render")
@options.out
@click.option("--check", is_flag=True, help="Write nothing; exit 1 where the site is not what the records make.")
def command(out: Path | None, check: bool) -> int:
    """Render the leaderboards from the records. Only pages that change are written."""
    from harness.run.folders import output_folder, require_records
    from harness.run.site import render_site
    from leaderboards.records.files import is_leftover

    require_records(out)
    site = render_site(output_folder(out), check)
    for problem in site.problems:
        click.echo(f"harness: warning: {problem}", err=True)
    changed, removed = site.rendered.written, site.rendered.removed
    if check:
        for path, words in [
            *((path, "not what the records make") for path in changed),
            *((p, "left by a command that was killed" if is_leftover(p) else "no record's") for p in removed),
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
