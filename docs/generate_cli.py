"""Writes docs/cli.md from the commands' own help: ``python docs/generate_cli.py`` (or ``make docs``)."""

from __future__ import annotations

from pathlib import Path

import click

from windtunnel.cli.main import COMMANDS, windtunnel

PAGE = Path(__file__).with_name("cli.md")
WIDTH = 96

HEAD = """# Commands

What each command says with `--help`. This page is generated: `make docs` writes it anew, and a test compares.

Exit status: 0 done; 2 an error that you can act on, one line on standard error that begins with `windtunnel: `, and no file
written; 130 interrupted. `port` leaves with 1 where something is found, or is not shown.
"""


def help_of(command: click.Command, *names: str) -> str:
    settings = {**windtunnel.context_settings, "max_content_width": WIDTH, "terminal_width": WIDTH}
    parent = click.Context(windtunnel, info_name="windtunnel", **settings)
    for name in names[:-1]:
        parent = click.Context(click.Group(), info_name=name, parent=parent)
    context = click.Context(command, info_name=names[-1], parent=parent) if names else parent
    return "\n".join(line.rstrip() for line in command.get_help(context).splitlines())


def page() -> str:
    """The page as it should be."""
    parts = [HEAD, f"## windtunnel\n\n```text\n{help_of(windtunnel)}\n```\n"]
    root = click.Context(windtunnel, **windtunnel.context_settings)
    for name in COMMANDS:
        command = windtunnel.get_command(root, name)
        assert command is not None
        parts.append(f"## windtunnel {name}\n\n```text\n{help_of(command, name)}\n```\n")
        if isinstance(command, click.Group):
            context = click.Context(command, info_name=name, parent=root)
            for below in command.list_commands(context):
                inner = command.get_command(context, below)
                assert inner is not None
                parts.append(f"### windtunnel {name} {below}\n\n```text\n{help_of(inner, name, below)}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
