"""Options that the commands of ``port`` share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


path_argument = click.argument("path", type=click.Path(path_type=Path))
