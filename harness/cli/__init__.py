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
from harness.cli.verbs import Root
from harness.errors import BadInput, one_line
from harness.run.signals import Asked, ending_raises
from zoo.entrant import did_you_mean

FULL = {getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EIO") if hasattr(errno, name)}
"""Of the disk, not of what was asked for."""

EPILOG = """Exit status: 0 done; 1 a gate, a task or a proof failed; 2 bad input; 3 a gate is undecided, or a record cannot be
proved here.

Completion of verbs, options and names: eval "$(_HARNESS_COMPLETE=bash_source harness)" in ~/.bashrc; zsh_source and
fish_source for these shells."""


@click.group(
    cls=Root, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(__version__, prog_name="harness")
@click.option(
    "--debug", is_flag=True, expose_value=False, help="After an error show where it came from; with any verb."
)
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
    except click.NoSuchOption as error:
        status = _fail(_no_such_option(error), debug)
    except click.ClickException as error:
        status = _fail(one_line(Exception(error.format_message())), debug)
    except click.Abort as abort:
        asked = abort.__cause__ if isinstance(abort.__cause__, Asked) else None
        by, status = (f" by {asked.name}", asked.status) if asked else ("", 130)
        _fail(f"interrupted{by}; run the same command again to go on", debug)
    except OSError as error:
        message = f"expected to read and write files, got {one_line(error)}; check the path and the disk"
        status = _fail(message, debug, 1 if error.errno in FULL else 2)
    except ValueError as error:
        # EntrantError and RecordError are the zoo's and the leaderboards' BadInput: they cannot import the harness's
        if not isinstance(error, BadInput) and type(error).__name__ not in ("EntrantError", "RecordError"):
            raise
        status = _fail(one_line(error), debug)
    sys.exit(status or 0)


def _no_such_option(error: click.NoSuchOption) -> str:
    """The line for an option that a verb does not have, with the nearest that it has."""
    ctx = error.ctx
    verb = ctx.command_path if ctx is not None else "harness"
    known = [name for parameter in ctx.command.params for name in parameter.opts] if ctx is not None else []
    near = did_you_mean(error.option_name, [name for name in known if name.startswith("--")])
    return f"expected an option of {verb}, got {error.option_name!r};{near} {verb} --help names them all"


def _fail(message: str, debug: bool, status: int = 2) -> int:
    if debug:
        traceback.print_exc()
    with contextlib.suppress(OSError):  # the terminal may be what has gone
        click.echo(f"harness: error: {message}", err=True)
    return status
