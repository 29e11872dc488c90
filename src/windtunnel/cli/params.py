"""What people type after an option, checked where it is typed: counts, rates, times, ``CHIP[:N]``."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import click

from windtunnel.errors import InvalidInputError, UnknownNameError
from windtunnel.units import parse_duration_s
from windtunnel.workload.ops import BITS

MOST_TOKENS = 10_000_000
"""No model reads or writes more in one request; the longest published context is of that order."""
MOST_REQUESTS = 1_000_000
MOST_CHIPS = 100_000
LONGEST_S = 86_400.0

F = TypeVar("F", bound=Callable[..., Any])


def _field(param: click.Parameter | None) -> str:
    return param.opts[-1] if param is not None and param.opts else "argument"


class _Typed(click.ParamType):  # type: ignore[type-arg]  # generic only in click 8.4 and later
    """What every type here derives from."""


class Count(_Typed):
    """A whole number from 1 to ``most``."""

    name = "N"

    def __init__(self, most: int, what: str) -> None:
        self.most, self.what = most, what

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        field = _field(param)
        try:
            number = int(value)
        except ValueError:
            raise InvalidInputError(field, f"'{value}' is not a whole number of {self.what}")
        if not 1 <= number <= self.most:
            raise InvalidInputError(field, f"{_short(value)} {self.what}; it must be from 1 to {self.most:,}")
        return number


class Rate(_Typed):
    """A positive, finite number up to ``most``, or from 0 where ``zero`` is allowed."""

    name = "X"

    def __init__(self, most: float, what: str, *, zero: bool = False) -> None:
        self.most, self.what, self.zero = most, what, zero

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value  # a default, which may stand for "not said"
        field = _field(param)
        try:
            number = float(value)
        except ValueError:
            raise InvalidInputError(field, f"'{value}' is not a number ({self.what})")
        if not math.isfinite(number) or not 0 <= number <= self.most or (number == 0 and not self.zero):
            least = "from 0" if self.zero else "above 0 and"
            raise InvalidInputError(field, f"{_short(value)} {self.what}; it must be {least} up to {self.most:,.10g}")
        return number


class Duration(_Typed):
    """Seconds from ``2s``, ``50ms``, ``300us``."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        field = _field(param)
        seconds = parse_duration_s(str(value), field)
        if seconds > LONGEST_S:
            raise InvalidInputError(field, f"'{value}' is more than a day")
        return seconds


class OnChip(_Typed):
    """``CHIP`` or ``CHIP:N`` as (name, N), N 0 where it was not said."""

    name = "CHIP[:N]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        if isinstance(value, tuple):
            return value
        text = str(value).strip()
        name, _, count = text.rpartition(":") if ":" in text else (text, "", "")
        if not name:
            raise InvalidInputError(_field(param), f"'{value}' names no chip; write it as h20 or h20:8")
        return name.strip(), CHIPS.convert(count, param, ctx) if ":" in text else 0


class OnChips(_Typed):
    """``CHIP[:N],CHIP[:N]...`` as a tuple of what was typed, each with its count checked."""

    name = "CHIP[:N],..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        found: dict[str, None] = {}
        for part in str(value).split(","):
            name, count = OnChip().convert(part, param, ctx)
            found[f"{name}:{count}" if count else name] = None
        return tuple(found)


class Precision(_Typed):
    """A storage type; ``native`` is how the checkpoint is stored."""

    name = "TYPE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        chosen = str(value).strip().lower().replace("-", "_")
        chosen = "w8a8_dynamic" if chosen == "w8a8" else chosen
        if chosen in ("", "native"):
            return ""
        if chosen not in BITS:
            raise UnknownNameError(_field(param).lstrip("-"), str(value), [*BITS, "native"])
        return chosen


class Version(_Typed):
    """A version number such as ``0.11`` or ``v0.9.1rc2``."""

    name = "X.Y"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from windtunnel.catalog.engine import version_key

        text = str(value).strip()
        if text and version_key(text) is None:
            raise InvalidInputError(_field(param), f"'{_short(text)}' is no version; write it as 0.11 or 0.9.1")
        return text


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 24 else f"{text[:20]}..."


TOKENS = Count(MOST_TOKENS, "tokens")
CHIPS = Count(MOST_CHIPS, "chips")
INSTANCES = Count(MOST_CHIPS, "instances")
DEGREE = Count(MOST_CHIPS, "ways")


def load_options(command: F) -> F:
    """--isl and --osl, which every question about speed needs."""
    command = click.option("--osl", type=TOKENS, required=True, help="Output tokens of a request.")(command)
    return click.option("--isl", type=TOKENS, required=True, help="Input tokens of a request.")(command)


def json_option(command: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")(command)
