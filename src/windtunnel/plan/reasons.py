"""Why a chip will not do, in one line: what comes nearest, and by how much it misses."""

from __future__ import annotations

from collections.abc import Sequence

from windtunnel.catalog.model import ModelSpec
from windtunnel.errors import DoesNotFitError, MissingFactError, ParallelismError, UnsupportedError, WindtunnelError
from windtunnel.plan.option import Option
from windtunnel.plan.place import Place
from windtunnel.plan.result import Targets
from windtunnel.plan.services import Service
from windtunnel.plan.shapes import Shape, shapes
from windtunnel.sim.prediction import Deployment
from windtunnel.sim.steady import State
from windtunnel.units import show_time

MOST_TRIED = 4096
"""Chips up to which the nearest number that would do is looked for."""


def degrees(d: Deployment) -> str:
    """``TP8``, ``TP2 DP16 EP32``."""
    parts = [f"{n}{v}" for n, v in (("TP", d.tp), ("PP", d.pp), ("DP", d.dp), ("EP", d.moe_ep)) if v > 1]
    return " ".join(parts) or "TP1"


def nothing_runs(spec: ModelSpec, at: Place, deployment: Deployment, targets: Targets, refused: Sequence[WindtunnelError]) -> str:
    """No shape could be built: the memory, a fact nobody published, or degrees that do not divide."""
    if any(isinstance(e, DoesNotFitError) for e in refused):
        return _does_not_fit(spec, at, deployment, targets, [e for e in refused if isinstance(e, DoesNotFitError)][-1])
    for kind in (MissingFactError, UnsupportedError, ParallelismError):
        for error in refused:
            if isinstance(error, kind):
                return str(error)
    return str(refused[0]) if refused else f"no way to cut {spec.id} over {at.largest} chips was found"


def _does_not_fit(spec: ModelSpec, at: Place, deployment: Deployment, targets: Targets, last: DoesNotFitError) -> str:
    """With the fewest chips that would hold it."""
    allowed = at.largest
    told = f"{spec.id} does not fit {allowed} x {at.chip.id}"
    for shape in _larger(spec, at, allowed):
        try:
            Option(shape.on(deployment), targets)
        except WindtunnelError:
            continue
        return f"{told}; nearest that would do: {shape.chips} chips ({degrees(shape.on(deployment))})"
    return str(last)


def _larger(spec: ModelSpec, at: Place, allowed: int) -> list[Shape]:
    return [s for s in shapes(spec, at.domain, min(max(allowed * 64, 64), MOST_TRIED), stages=True) if s.chips > allowed]


def waits_too_long(service: Service, targets: Targets, most: int) -> str:
    """In the mean of a steady state the targets are met; simulated, requests wait for each other for too long."""
    more = f" with {most:,} chips or fewer" if most else ""
    return (
        f"simulated at {targets.requests_per_s:g} requests/s, TTFT or TPOT is beyond its target{more}; "
        f"nearest: {service.chips:,} chips ({degrees(service.option.deployment)})"
    )


def nothing_meets(options: Sequence[Option], targets: Targets) -> str:
    """Everything runs, nothing is fast enough: the closest miss at one request at a time."""
    alone = [(option, option.steady().running(1.0)) for option in options]
    if targets.tpot_s:
        option, state = min(alone, key=lambda found: found[1].tpot_s)
        if state.tpot_s > targets.tpot_s:
            miss = f"TPOT {show_time(state.tpot_s)} at best against {show_time(targets.tpot_s)}"
            return f"{miss}: {_one(option)}"
    if targets.ttft_s:
        option, state = min(alone, key=lambda found: found[1].ttft_s)
        if state.ttft_s > targets.ttft_s:
            miss = f"TTFT {show_time(state.ttft_s)} at best against {show_time(targets.ttft_s)}"
            return f"{miss}: {_one(option)}"
    option, state = min(alone, key=lambda found: _over(found[1], targets))
    return (
        f"nothing meets both targets; nearest: TTFT {show_time(state.ttft_s)} against {show_time(targets.ttft_s)} "
        f"with TPOT {show_time(state.tpot_s)} against {show_time(targets.tpot_s)}: {_one(option)}"
    )


def _one(option: Option) -> str:
    return f"{degrees(option.deployment)} on {option.chips} chips at concurrency 1"


def _over(state: State, targets: Targets) -> float:
    """By which factor the worse of the two is missed."""
    return max(state.ttft_s / targets.ttft_s if targets.ttft_s else 0.0, state.tpot_s / targets.tpot_s if targets.tpot_s else 0.0)


def too_few(service: Service, within: Service | None, at: Place, targets: Targets) -> str:
    """The targets are met, but not for all of the traffic with the chips that were allowed."""
    line = f"{targets.requests_per_s:,.10g} requests/s need {service.chips:,} chips, and {at.most:,} are allowed"
    if within is None:
        return line
    return f"{line}: they carry {within.capacity:.3g} requests/s within the targets"
