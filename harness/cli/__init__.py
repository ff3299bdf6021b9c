"""The command line: one file a verb. Nothing imports it; it turns strings into objects and errors into one line.

Exit status: 0 done; 1 a gate or a task failed; 2 bad input; 3 a gate is undecided, or a record cannot be proved here.
"""

from __future__ import annotations

import contextlib
import errno
import sys
import traceback

import click

from harness import __version__
from harness.errors import BadInput, one_line
from harness.run.signals import Asked, ending_raises


class _Lazy(click.Group):
    """Loads a verb's module when it is called: `harness --help` must not wait for torch."""

    verbs = {
        "list": "What there is: suites, measures, recipes, entrants.",
        "doctor": "Look for what is wrong with an entrant, in seconds.",
        "run": "Measure entrants on a suite and render its leaderboard.",
        "train": "Train an entrant.",
        "experiment": "Vary one thing, train and measure every variant alike, compare them.",
        "check": "Fail where an entrant is less robust than its baseline.",
        "verify": "Prove records again, witness by witness.",
        "baseline": "Write the baseline for harness check, from a record.",
        "challenge": "Hand in images that break what a record calls robust.",
        "publish": "Copy the records of a run to the published ones.",
        "render": "Render the leaderboards from the records.",
        "export": "Write records for other places to read: every-eval-ever, in-toto.",
    }

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.verbs]  # the verb `list` is an attribute of this package once it has been loaded

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(self.verbs.items()))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.verbs:
            return None
        module = __import__(f"harness.cli.{cmd_name}", fromlist=["command"])
        return module.command


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="harness")
def harness() -> None:
    """Robust classifiers read as energy-based models: measure them, rank them, train them, prove the numbers."""


def main(arguments: list[str] | None = None) -> None:
    """The console script. An expected failure is one line on stderr; --debug shows where it came from."""
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        with ending_raises():
            status = harness.main(args=arguments, prog_name="harness", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as help_:
        click.echo(help_.ctx.get_help())
        status = 0
    except click.ClickException as error:
        status = _fail(one_line(Exception(error.format_message())), debug)
    except click.Abort as abort:
        asked = abort.__cause__ if isinstance(abort.__cause__, Asked) else None
        by, status = (f" by {asked.name}", asked.status) if asked else ("", 130)
        _fail(f"interrupted{by}; run the same command again to go on", debug)
    except OSError as error:
        message = f"expected to read and write files, got {one_line(error)}; check the path and the disk"
        status = _fail(message, debug, 1 if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO) else 2)
    except ValueError as error:
        # EntrantError and RecordError are the zoo's and the leaderboards' BadInput: they cannot import the harness's
        if not isinstance(error, BadInput) and type(error).__name__ not in ("EntrantError", "RecordError"):
            raise
        status = _fail(one_line(error), debug)
    sys.exit(status or 0)


def _fail(message: str, debug: bool, status: int = 2) -> int:
    if debug:
        traceback.print_exc()
    with contextlib.suppress(OSError):  # the terminal may be what has gone
        click.echo(f"harness: error: {message}", err=True)
    return status
