"""Simulations, small: carried, saturated, in bursts, apart, failing, in a loop, from a file; and a hostile one."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

from windtunnel.sim.prediction import Deployment
from windtunnel.sim.serving.arrivals import Arrivals, AtRandom, ClosedLoop, Lengths
from windtunnel.sim.serving.fleet import Failures, Fleet
from windtunnel.sim.serving.result import Result
from windtunnel.sim.serving.simulate import simulate
from windtunnel.sim.serving.trace import read_trace
from windtunnel.web.simulate_data import Asked

H20 = Deployment("Qwen/Qwen3-8B", "h20")
H100 = Deployment("Qwen/Qwen3-8B", "h100-sxm")
READ, WRITE = Lengths(1024.0), Lengths(64.0)
HOSTILE = "</script><script>document.body.dataset.hacked='yes'</script><img src=x onerror=\"document.body.dataset.hacked='yes'\">"

Simulated = tuple[Asked, Result]


def simulated(fleet: Fleet, arrivals: Arrivals, ttft_s: float = 0.0, tpot_s: float = 0.0) -> Simulated:
    result = simulate(fleet, arrivals, ttft_s=ttft_s, tpot_s=tpot_s)
    return Asked(fleet, arrivals, ttft_s, tpot_s, "windtunnel simulate Qwen/Qwen3-8B --on h20"), result


@cache
def carried() -> Simulated:
    return simulated(Fleet(H20, 2), AtRandom(6.0, READ, WRITE, 2000), 0.2, 0.03)


@cache
def saturated() -> Simulated:
    return simulated(Fleet(H20), AtRandom(100.0, READ, WRITE, 2000), 1.0, 0.03)


@cache
def bursts() -> Simulated:
    return simulated(Fleet(H20), AtRandom(3.0, Lengths(0.0, 100, 3000), Lengths(100.0, cv=0.8), 800, burstiness=4.0), tpot_s=0.03)


@cache
def apart() -> Simulated:
    return simulated(Fleet(H20, 2, H100, 1), AtRandom(8.0, READ, WRITE, 1500), 0.3)


@cache
def failing() -> Simulated:
    return simulated(Fleet(H20, 3, failures=Failures(30.0, 5.0)), AtRandom(4.0, READ, WRITE, 1000))


@cache
def closed() -> Simulated:
    return simulated(Fleet(H20), ClosedLoop(8, READ, WRITE, 60))


def traced(folder: Path) -> Simulated:
    chance, now, rows = random.Random(1), 0.0, ["arrival_s,input_tokens,output_tokens"]
    for _ in range(300):
        now += chance.expovariate(3.0)
        rows.append(f"{now:.3f},{chance.randint(50, 3000)},{chance.randint(1, 90)}")
    path = folder / "day.csv"
    path.write_text("\n".join(rows), "utf-8")
    return simulated(Fleet(H20), read_trace(path), 0.5, 0.02)


@cache
def hostile() -> Simulated:
    """Markup wherever a name, a reason or a note is shown."""
    asked, result = carried()
    bad = replace(asked.fleet.deployment, model=HOSTILE, chip=HOSTILE, engine=HOSTILE, precision=HOSTILE, system=HOSTILE)
    asked = replace(asked, fleet=replace(asked.fleet, deployment=bad, router=HOSTILE), command=HOSTILE)
    return asked, replace(result, notes=(HOSTILE, "<!-- & \u2028"), refused={HOSTILE: 3})


@cache
def stopped() -> Simulated:
    """Ended by its reader before anything was answered."""
    asked, _ = carried()
    return asked, simulate(asked.fleet, asked.arrivals, until=0.6, ttft_s=0.2, tpot_s=0.03)


MADE: dict[str, Callable[[], Simulated]] = {
    "carried": carried, "saturated": saturated, "bursts": bursts, "apart": apart, "failing": failing, "closed": closed,
    "hostile": hostile, "stopped": stopped,
}  # fmt: skip
