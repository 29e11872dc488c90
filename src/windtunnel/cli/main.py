"""The command ``windtunnel``: finds the subcommand, and turns what goes wrong into one line and an exit status.

0: done. 2: an error that the user can act on, one line on stderr. 130: interrupted. 1: the reader of our output has
gone, or a bug, which keeps its traceback. A subcommand's module is imported when it runs, so that ``--help`` starts in a blink.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from windtunnel import __version__
from windtunnel.errors import UnknownNameError, WindtunnelError, nearest

COMMANDS = {
    "run": "A PyTorch program on an accelerator that is not there.",
    "port": "From a CUDA repository to one that runs on any accelerator.",
    "plan": "The cheapest deployment on each chip that meets targets.",
    "train": "How long a model trains on chips, in which layout, at what cost.",
    "fleet": "Which workload on which chips, bought when, at the least cost.",
    "rules": "What export rules of a day let a chip go where.",
    "predict": "One deployment's TTFT, TPOT, tokens/s, and what bounds them.",
    "simulate": "Requests through serving engines, event by event.",
    "sweep": "Thousands of simulations from a file, into one table.",
    "serve": "An OpenAI-compatible endpoint of a real model, or of a deployment that is not there.",
    "chips": "Chips and systems, each number with its source.",
    "models": "Models, and what they hold.",
    "claims": "What has been said of these chips, recomputed.",
    "validate": "Predictions against the measurements in a file.",
    "fit": "A chip's parameters from the measurements in a file.",
    "measure": "Microbenchmarks of a device that this machine has.",
}
"""Command -> its one line of help, which is also the first line of the command's own help."""

INTERRUPTED = 130
HUNG_UP = 1
"""What click leaves with when the reader of its output has gone, without a word; so do we."""


class LazyGroup(click.Group):
    """A group whose commands live in modules of their own: ``cli/NAME.py`` holds the click command ``NAME``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        found: Any = getattr(import_module(f"windtunnel.cli.{cmd_name}"), cmd_name)
        if not isinstance(found, click.Command):
            raise TypeError(f"windtunnel.cli.{cmd_name}.{cmd_name} is not a command")
        return found

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            raise UnknownNameError("command", args[0], COMMANDS)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="windtunnel")
def windtunnel() -> None:
    """Try any PyTorch program, and any LLM deployment, on an AI accelerator before you have one.

    Every number says where it comes from and how far to trust it. What no source gives is refused, never guessed.
    """


def usage_message(error: click.ClickException, argv: Sequence[str]) -> str:
    """A usage error in one line: which command, what is wrong, and the nearest that would do."""
    context = getattr(error, "ctx", None)
    command = next((word for word in argv if word in COMMANDS), "")
    if context is not None and context.parent is None:
        command = ""
    prefix = f"{command}: " if command else ""
    if isinstance(error, click.NoSuchOption):
        known = [name for p in context.command.get_params(context) for name in p.opts if name.startswith("--")] if context else []
        close = nearest(error.option_name, known)
        return f"{prefix}no option '{error.option_name}'" + (f"; nearest: {', '.join(close)}" if close else "")
    text = " ".join(error.format_message().split()).rstrip(".")
    text = text[:1].lower() + text[1:]
    see = f"windtunnel {command} --help" if command else "windtunnel --help"
    return f"{prefix}{text}; see '{see}'"


def _complain(message: str) -> None:
    with contextlib.suppress(OSError):
        click.echo(f"windtunnel: {' '.join(message.split())}", err=True)


def run(argv: Sequence[str] | None = None) -> int:
    """The exit status of ``windtunnel ARGV``; whatever is printed is printed here."""
    for stream in (sys.stdout, sys.stderr):
        # a terminal that cannot show a character gets a stand-in, never a traceback
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = windtunnel.main(args=None if argv is None else list(argv), prog_name="windtunnel", standalone_mode=False)
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except WindtunnelError as error:
        _complain(str(error))
        return error.exit_status
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except click.ClickException as error:
        _complain(usage_message(error, sys.argv[1:] if argv is None else argv))
        return 2
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        return _hang_up()
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)


def _hang_up() -> int:
    """The reader of our output has gone: say nothing more, also not while the interpreter ends."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)
    return HUNG_UP


def main() -> None:
    """Entry point of the console script."""
    sys.exit(run())


if __name__ == "__main__":
    main()
