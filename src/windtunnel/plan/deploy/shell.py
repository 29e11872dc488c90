"""Shell scripts, written so that a reader can follow them: settings at the top, one flag a line."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

from windtunnel.plan.deploy.flags import COMMANDS

Flag = tuple[str, str | None]
"""A flag and its value as a shell word (already quoted), None for a switch."""


def word(value: object) -> str:
    """``value`` as one shell word."""
    return shlex.quote(str(value))


def one_line(text: str) -> str:
    """``text`` where a line break would end a comment."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))


class Script:
    """A bash script that stops at the first error and at the first name that is not set."""

    def __init__(self, *about: str) -> None:
        self._lines = ["#!/usr/bin/env bash", *(f"# {one_line(line)}" for line in about), "set -eu", ""]

    def note(self, text: str) -> None:
        self._lines.append(f"# {one_line(text)}")

    def line(self, text: str = "") -> None:
        self._lines.append(text)

    def setting(self, name: str, value: object, about: str = "") -> None:
        """A variable that the caller may set before the script runs."""
        if about:
            self.note(about)
        self.line(f"{name}=${{{name}:-{word(value)}}}")

    def required(self, name: str, about: str) -> None:
        """A variable that only the user knows; the script stops with ``about`` where it is not set."""
        self.line(f"{name}=${{{name}:?{word(f'set {name}: {about}')}}}")

    def export(self, name: str, value: str) -> None:
        """An environment variable; ``value`` is shell."""
        self.line(f"export {name}={value}")

    def run(
        self,
        command: str,
        flags: Sequence[Flag],
        *,
        shown: str = "",
        first: Iterable[str] = (),
        lead: str = "exec ",
        tail: str = '"$@"',
        indent: int = 0,
    ) -> None:
        """``command`` with its flags, each known to be its own; shown: how it is spelt; first: what stands before them."""
        allowed = COMMANDS[command].flags
        strange = [name for name, _ in flags if name not in allowed]
        assert not strange, f"{command} was never seen to take {strange}"
        words = " ".join([f"{lead}{shown or command}", *first])
        parts = [words, *(name if value is None else f"{name} {value}" for name, value in flags), tail]
        self.line(" " * indent + f" \\\n{' ' * (indent + 2)}".join(parts))

    @property
    def text(self) -> str:
        return "\n".join(self._lines) + "\n"
