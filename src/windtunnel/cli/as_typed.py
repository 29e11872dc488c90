"""A command that remembers how it was typed, for the reports that say how to ask again."""

from __future__ import annotations

import shlex

import click

_WORDS = "windtunnel.words"


class AsTyped(click.Command):
    """Keeps its arguments as they came, before they are parsed."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[_WORDS] = tuple(args)
        return super().parse_args(ctx, args)


def typed() -> str:
    """The command line that is being run, fit for a shell."""
    ctx = click.get_current_context()
    words: tuple[str, ...] = ctx.meta[_WORDS]
    return f"{ctx.command_path} {shlex.join(words)}"
