"""How amounts of a fleet are said: money in the file's currency, chips whole."""

from __future__ import annotations

import math

from windtunnel.plan.fleets.spec import FleetSpec

_SCALES = ((1e9, "billion"), (1e6, "million"))


def money(usd: float, spec: FleetSpec, *, sign: bool = True) -> str:
    """``1.24 million USD``; without ``sign`` the number alone, in full: ``1,240,000``."""
    value = usd / spec.rate
    if not sign:
        return f"{value:,.0f}" if value else "-"
    for scale, word in _SCALES:
        if abs(value) >= 0.9995 * scale:
            return f"{value / scale:,.4g} {word} {spec.currency}"
    return f"{value:,.0f} {spec.currency}" if abs(value) >= 100 else f"{value:,.3g} {spec.currency}"


def whole_chips(value: float) -> int:
    """Chips, a part of one counted as one."""
    return math.ceil(value - 1e-6)
