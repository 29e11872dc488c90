"""Options that the commands of ``port`` share."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from windtunnel.errors import InvalidInputError
from windtunnel.port.finding import TARGETS
from windtunnel.port.registry import all_rules, rule_named
from windtunnel.port.scan import chosen_targets

F = TypeVar("F", bound=Callable[..., Any])


class Targets(click.ParamType):  # type: ignore[type-arg]  # generic only in click 8.4 and later
    """``npu,musa`` as a tuple in the house's order. Raises UnknownNameError."""

    name = "npu,musa,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        asked = chosen_targets(part.strip().lower() for part in str(value).split(",") if part.strip())
        return tuple(target for target in TARGETS if target in asked)


def targets_option(command: F) -> F:
    return click.option(
        "--to",
        "to",
        type=Targets(),
        metavar="npu,musa,...",
        default=TARGETS,
        help=f"Devices that it should run on.  [{','.join(TARGETS)}]",
    )(command)


def rules_options(command: F) -> F:
    """--select and --ignore, each with rules and commas between, as often as one likes."""
    command = click.option("--ignore", multiple=True, metavar="RULE,...", help="Leave these rules out.")(command)
    return click.option("--select", multiple=True, metavar="RULE,...", help="Ask only these rules.")(command)


def chosen(select: Sequence[str], ignore: Sequence[str]) -> list[str] | None:
    """The ids of the rules to ask, None for all. Raises UnknownNameError, InvalidInputError where none is left."""
    for option, names in (("--select", select), ("--ignore", ignore)):
        if names and not any(name.strip() for given in names for name in given.split(",")):
            raise InvalidInputError(option, "names no rule; `windtunnel port rules` lists them")
    wanted, left_out = (
        [rule_named(name.strip()).id for given in names for name in given.split(",") if name.strip()]
        for names in (select, ignore)
    )
    if not wanted and not left_out:
        return None
    found = [rule.id for rule in all_rules() if (not wanted or rule.id in wanted) and rule.id not in left_out]
    if not found:
        raise InvalidInputError("--ignore", "leaves no rule to ask")
    return found


class Tree(click.Path):
    """A file or folder. Raises InvalidInputError for an empty name, which a variable that is not set leaves."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            raise InvalidInputError("PATH", "is empty; name a file or a folder, as . for this one")
        return super().convert(value, param, ctx)


path_argument = click.argument("path", type=Tree(readable=False, path_type=Path))

SOON_S = 2.0
"""After how long a command says how far it is."""


class Shown:
    """A line on the terminal that says how far a command is; none where nobody looks on. written: files so far."""

    def __init__(self, terminal: bool) -> None:
        self.terminal, self.written = terminal, 0
        self._next, self._line = time.monotonic() + SOON_S, ""

    def __call__(self, what: str, files: int) -> None:
        if what == "written":
            self.written = files
        if self.terminal and time.monotonic() >= self._next:
            self._next = time.monotonic() + 0.2
            self._show(f"{files:,} files {what}")

    def done(self) -> None:
        """Takes the line away."""
        if self._line:
            self._show("")

    def _show(self, text: str) -> None:
        click.echo(f"\r{text:{len(self._line)}}" + ("" if text else "\r"), nl=False, err=True)
        self._line = text


@contextmanager
def shown_progress() -> Iterator[Shown]:
    """A progress for ``scan`` and ``fix``; its line is gone when the block ends."""
    shown = Shown(sys.stderr.isatty())
    try:
        yield shown
    finally:
        shown.done()
