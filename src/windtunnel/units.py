"""Quantities: SI inside, scaled only when shown; parsing of what people type (``2s``, ``50ms``, ``80GB``)."""

from __future__ import annotations

import math
import re

from windtunnel.errors import InvalidInputError

KILO, MEGA, GIGA, TERA, PETA = 1e3, 1e6, 1e9, 1e12, 1e15
KIBI, MEBI, GIBI = 1024.0, 1024.0**2, 1024.0**3
MICRO, MILLI = 1e-6, 1e-3

_TIME_S = {"s": 1.0, "ms": MILLI, "us": MICRO, "µs": MICRO, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
_NUMBER = re.compile(r"^\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([a-zA-Zµ]*)\s*$")


def parse_duration_s(text: str, field: str = "duration") -> float:
    """Seconds from ``2s``, ``50ms``, ``1.5`` (seconds). Raises InvalidInputError."""
    match = _NUMBER.match(text)
    if match is None or (match.group(2) and match.group(2) not in _TIME_S):
        raise InvalidInputError(field, f"'{text}' is not a time; write it as 300us, 50ms, 2s, 5min, 3h or 10d")
    value = float(match.group(1)) * _TIME_S[match.group(2) or "s"]
    if not (math.isfinite(value) and value > 0):
        raise InvalidInputError(field, f"'{text}' is not a positive time")
    return value


def show_si(value: float, unit: str, digits: int = 3) -> str:
    """``value`` with the SI prefix that keeps it between 1 and 1000: ``show_si(3.35e12, "B/s")`` is ``3.35 TB/s``."""
    if value == 0:
        return f"0 {unit}"
    for factor, prefix in ((PETA, "P"), (TERA, "T"), (GIGA, "G"), (MEGA, "M"), (KILO, "k"), (1.0, "")):
        if abs(value) >= factor:
            return (
                f"{value / factor:.{digits}g} {prefix}{unit}"
                if abs(value) / factor < 1000
                else f"{value / factor:,.0f} {prefix}{unit}"
            )
    return f"{value:.{digits}g} {unit}"


def show_time(seconds: float) -> str:
    """``seconds`` in the unit in which people say it: ``42.1 ms``, ``3.0 s``, ``17 us``."""
    if seconds == 0:
        return "0 s"
    if abs(seconds) < 0.9995 * MILLI:  # what rounds to the next unit is said in it
        return f"{seconds / MICRO:.3g} us"
    if abs(seconds) < 0.9995:
        return f"{seconds / MILLI:.3g} ms"
    return f"{seconds:.3g} s" if abs(seconds) < 1000 else f"{seconds:,.0f} s"
