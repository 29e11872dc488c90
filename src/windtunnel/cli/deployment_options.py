"""Options of ``windtunnel serve --deployment DIR``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from windtunnel.cli.sections import given
from windtunnel.errors import InvalidInputError

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--deployment",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="In place of MODEL: start what `plan --deploy DIR` wrote, wait until it is healthy, and route to it.",
    ),
    click.option("--up", is_flag=True, help="With --deployment: start it with its own router, and return when it is healthy."),
    click.option("--down", is_flag=True, help="With --deployment: take it down."),
    click.option("--status", is_flag=True, help="With --deployment: what runs; the exit status is 1 unless all is healthy."),
)
_STEPS = ("up", "down", "status")
_PASSED_ON = ("keys", "tls_cert", "tls_key", "accounts", "cors")
"""Options of the router that runs here."""


def deployment_options(command: Command) -> Command:
    """--deployment, --up, --down, --status."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def serve_deployment_if_asked(model: str, said: dict[str, Any]) -> int | None:
    """The exit status of ``--deployment``, None where it was not given; takes its options out of ``said``."""
    folder = said.pop("deployment")
    asked = [name for name in _STEPS if said.pop(name)]
    if folder is None:
        if asked:
            raise InvalidInputError(f"--{asked[0]}", "is for a deployment that was written; add --deployment DIR")
        return None
    if model:
        raise InvalidInputError("--deployment", f"serves the model that it was planned for; leave {model} out")
    if len(asked) > 1:
        raise InvalidInputError(f"--{asked[1]}", f"does not go together with --{asked[0]}")
    _check_alone(with_router=not asked)
    from windtunnel.cli.serve_deployment import serve_deployment

    return serve_deployment(folder, asked[0] if asked else "", said["host"], said["port"], _words(said))


def _check_alone(*, with_router: bool) -> None:
    """Raises InvalidInputError for an option that the folder says, or that changes nothing."""
    for name, option in given(click.get_current_context()):
        if name not in ("deployment", *_STEPS) and not (with_router and name in ("host", "port", *_PASSED_ON)):
            why = "whose folder says what is served and where" if with_router else "which starts no router here"
            raise InvalidInputError(option, f"does not go with --deployment, {why}")


def _words(said: dict[str, Any]) -> list[str]:
    """The router's options as they were given, for the process that it is."""
    words = []
    for name in _PASSED_ON:
        values = said[name] if isinstance(said[name], tuple) else (said[name],)
        for value in values:
            if value is not None:
                words += [f"--{name.replace('_', '-')}", str(value.absolute() if isinstance(value, Path) else value)]
    return words
