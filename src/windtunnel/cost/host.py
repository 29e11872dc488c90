"""What the host adds to a program: the time to launch an operator eagerly, through a compiler's wrapper, or by graph replay.

Launches run ahead of the device: they cost time only where the device would otherwise be done before the next arrives.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from tomllib import loads
from typing import Any, Literal

Launching = Literal["eager", "compiled", "graph"]
"""Each operator dispatched by PyTorch; kernels launched by a compiler's wrapper; a captured graph replayed at once."""


@dataclass(frozen=True, slots=True)
class HostCost:
    """Seconds of host time. call_s: for each operator or kernel that is launched. view_s: for each operator that only changes
    how memory is seen. step_s: once a step (guards of a compiler, the replay of a graph). spread: 80 % of log errors."""

    call_s: float
    view_s: float
    step_s: float
    spread: float
    source: str


@cache
def _table() -> dict[str, Any]:
    return loads((files("windtunnel.cost") / "data" / "host.toml").read_text(encoding="utf-8"))


def host_cost(device: str, launching: Launching = "eager") -> HostCost:
    """What launching costs behind PyTorch's device of that name (``cuda``, ``npu`` ...); devices of which nothing is known are
    served with what is known of cuda, with a wider spread, and say so in ``source``."""
    table = _table()
    known = table.get(device, {}).get(launching)
    if known is not None:
        return _built(known)
    found = _built(table["cuda"][launching])
    widened = max(found.spread, table["unknown_spread"])
    return HostCost(found.call_s, found.view_s, found.step_s, widened, f"not measured behind {device}; {found.source}")


def _built(row: dict[str, Any]) -> HostCost:
    return HostCost(row["call_us"] * 1e-6, row["view_us"] * 1e-6, row["step_us"] * 1e-6, float(row["spread"]), str(row["source"]))
