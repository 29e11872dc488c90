"""``windtunnel rules``: what export rules say of a chip, on a day, for a destination. Engineering data, no legal advice.

Each command lies in the module of its name and is imported when it runs.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from windtunnel.errors import UnknownNameError

COMMANDS = {
    "check": "The verdict on a chip or system, and the numbers that decide it.",
    "timeline": "How verdicts changed from 2022 on.",
    "threshold": "What a limit above the best of a set of chips would let pass.",
    "crossover": "When one maker's best passes what another may sell.",
    "hbm": "The verdict on a bare stack of high-bandwidth memory.",
    "list": "The instruments of the record, with their dates.",
}
"""Command -> its one line of help, which is also the first line of the command's own help."""


class RulesGroup(click.Group):
    """A group whose commands are imported when they run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        name = "instruments" if cmd_name == "list" else cmd_name
        found: Any = getattr(import_module(f"windtunnel.cli.rules.{name}"), name)
        if not isinstance(found, click.Command):
            raise TypeError(f"windtunnel.cli.rules.{name}.{name} is not a command")
        return found

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            raise UnknownNameError("command of rules", args[0], COMMANDS)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=RulesGroup)
def rules() -> None:
    """What export rules of a day let a chip go where.

    US rules on AI chips from October 2022 on, as dated data, each marked as official text, second-hand or from memory. What
    the record does not say is not assumed. Engineering data, not legal advice.
    """
