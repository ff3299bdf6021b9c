"""Groups of verbs: loaded when they are called, told in whole sentences, and with the nearest names where one is mistyped."""

from __future__ import annotations

from dataclasses import dataclass

import click

from harness.cli.completion import completing
from zoo.entrant import did_you_mean

DEBUG = "After an error, --debug shows where it came from."


@dataclass(frozen=True)
class Verb:
    """What a verb does in a line, and what its exit status says besides 2, bad input: `below` and `above` it."""

    line: str
    below: str = "0 done"
    above: str = ""

    @property
    def epilog(self) -> str:
        """The end of its help."""
        return f"Exit status: {self.below}; 2 bad input{self.above and f'; {self.above}'}. {DEBUG}"


VERBS = {
    "list": Verb("What there is: suites, measures, recipes, architectures, entrants."),
    "doctor": Verb("Look for what is wrong with an entrant, in seconds.", "0 nothing; 1 a fault"),
    "run": Verb(
        "Measure entrants on a suite and render its leaderboard.", "0 done; 1 a task failed (the others are done first)"
    ),
    "train": Verb("Train an entrant.", above="143 ended by SIGTERM (saved; the same command goes on)"),
    "experiment": Verb(
        "Vary one thing, train and measure every variant alike, compare them.",
        "0 done; 1 a task failed (the others are done first)",
    ),
    "check": Verb(
        "Fail where an entrant is less robust than its baseline.", "0 every gate passed; 1 one failed", "3 undecided"
    ),
    "verify": Verb(
        "Prove records again, witness by witness.", "0 all are proved; 1 one differs", "3 one cannot be proved here"
    ),
    "baseline": Verb("Write the baseline for harness check, from a record."),
    "challenge": Verb("Hand in images that break what a record calls robust.", "0 done; 1 the entrant's code failed"),
    "publish": Verb("Copy the records of a run to the published ones.", "0 done; 1 a record was refused"),
    "render": Verb(
        "Render the leaderboards from the records.", "0 done; 1 with --check: the site is not what the records make"
    ),
    "export": Verb(
        "Write records for other places to read: every-eval-ever, in-toto.", "0 done; 1 a record was refused"
    ),
}
"""Every verb, in the order of the help."""


class Verbs(click.Group):
    """A group of verbs. Its help has the whole first sentence of each."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        lines = []
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            assert command is not None
            lines.append((name, command.get_short_help_str(limit=1_000)))
        with formatter.section("Commands"):
            formatter.write_dl(lines)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does; a name that is no verb raises UsageError with the nearest ones and all that there are."""
        name, known = args[0], self.list_commands(ctx)
        if name in known or name.startswith("-"):
            return super().resolve_command(ctx, args)
        raise click.UsageError(
            f"expected a verb after {ctx.command_path}, got {name!r};{did_you_mean(name, known)}"
            f" choose one of {', '.join(known)}"
        )


class Root(Verbs):
    """Loads a verb's module when it is called: `harness --help` must not wait for torch."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*VERBS]  # the verb `list` is an attribute of its package once it has been loaded

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, verb.line) for name, verb in VERBS.items()])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command: click.Command = __import__(f"harness.cli.{cmd_name}", fromlist=["command"]).command
        _complete(command, VERBS[cmd_name].epilog)
        return command


def _complete(command: click.Command, epilog: str) -> None:
    """Give a verb, and those below it, the end of its help and the completion of its values."""
    command.epilog = epilog
    for parameter in command.params:
        completing(parameter)
    for one in command.commands.values() if isinstance(command, click.Group) else ():
        _complete(one, epilog)
