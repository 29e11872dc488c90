"""``windtunnel port``: from a repository written for CUDA to one that runs on any accelerator, proven.

Each command lies in the module of its name and is imported when it runs.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from windtunnel.errors import UnknownNameError

COMMANDS = {
    "scan": "What binds a repository to one vendor's accelerators.",
    "fix": "The spelling rewritten so that it runs everywhere.",
    "ops": "What an accelerator does with the operators of a program.",
    "prove": "That the rewritten program computes the same.",
    "rules": "The rules: what each finds, why, and what to write instead.",
}
"""Command -> its one line of help, which is also the first line of the command's own help."""


class PortGroup(click.Group):
    """A group whose commands are imported when they run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        found: Any = getattr(import_module(f"windtunnel.cli.port.{cmd_name}"), cmd_name)
        if not isinstance(found, click.Command):
            raise TypeError(f"windtunnel.cli.port.{cmd_name}.{cmd_name} is not a command")
        return found

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            raise UnknownNameError("command of port", args[0], COMMANDS)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=PortGroup)
def port() -> None:
    """From a CUDA repository to one that runs on any accelerator.

    The same files run on cuda, npu, musa, mlu, xpu, mps and cpu afterwards, and that is shown by running them. Nothing that
    is scanned is imported or run; `prove` and `ops` run a program, and say so.
    """
