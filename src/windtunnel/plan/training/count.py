"""How many chips a run needs to be done in so many days."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

from windtunnel.errors import InfeasibleError, InvalidInputError
from windtunnel.plan.training.run import Run
from windtunnel.plan.training.search import FixedLayout, Found, refusal, search
from windtunnel.plan.training.step import Step

LAST_SIZES = 6
"""How many of the largest sizes are searched where even the peak of all of them would not do: how long it takes there."""


def counted(run: Run, tokens: float, most: int, days: float, fixed: FixedLayout, lasting_days: Callable[[Step], float]) -> Found:
    """The fewest chips, at most ``most``, on which ``run`` lasts no longer than ``days``, in their fastest layout.

    Sizes that divide well are searched, the smaller first; then the good layouts of the first that is fast enough are tried
    with fewer replicas. Raises InfeasibleError with the days that are possible, DoesNotFitError.
    """
    shortest, at_most, refused = math.inf, 0, None
    fixed = replace(fixed, dp=None)
    peak = run.costs.machine(run.costs.running(run.work.precision)).flops_per_s
    least = run.flops_per_token() * tokens / (peak * days * 86_400.0)
    all_sizes = [n for n in sizes(most, run.costs.links.domain) if n % run.devices == 0]
    for chips in [n for n in all_sizes if n >= least] or all_sizes[-LAST_SIZES:]:
        try:
            found = search(run, chips, fixed)
        except InvalidInputError:
            continue
        if found.best is None:
            refused = (found, chips)
            continue
        lasts = lasting_days(found.best)
        if lasts <= days:
            return _fewest(run, found, days, lasting_days)
        if lasts < shortest:
            shortest, at_most = lasts, chips
    if at_most:
        took = f"{run.told(at_most)}, the fastest of up to {most // run.devices:,}, take {shortest:,.3g} days"
        raise InfeasibleError(f"{took}; nearest that would do: --days {_up(shortest)}")
    if refused is not None:
        raise refusal(refused[0], run, refused[1], fixed, most)
    raise InfeasibleError(f"no way of cutting {run.work.spec.id} fits what was fixed on up to {run.told(most)}")


def sizes(most: int, domain: int) -> Iterator[int]:
    """Powers of two, those times three, and whole scale-up domains in such numbers, up to ``most``, the smallest first."""
    found = {1 << i for i in range(most.bit_length())} | {3 << i for i in range(most.bit_length())}
    found |= {domain * n for n in found}
    yield from sorted(n for n in found if n <= most)


def _up(days: float) -> str:
    """``days`` rounded up to what is typed: whole from ten on."""
    return f"{math.ceil(days)}" if days >= 10 else f"{math.ceil(days * 100) / 100:g}"


def _fewest(run: Run, found: Found, days: float, lasting_days: Callable[[Step], float]) -> Found:
    """The good layouts of ``found`` with as few replicas as are done in time; the one with the fewest chips."""
    assert found.best is not None
    best = found.best
    for step in found.next:
        # replicas come in such numbers that experts and packages are whole
        unit = math.lcm(step.layout.ep // math.gcd(step.layout.ep, step.layout.tp * step.layout.cp), run.devices)
        low, high = 1, step.layout.dp // unit
        if high < 1:
            continue
        while low < high:
            middle = (low + high) // 2
            if _in_time(run, step, middle * unit, days, lasting_days) is not None:
                high = middle
            else:
                low = middle + 1
        tried = _in_time(run, step, high * unit, days, lasting_days)
        if tried is not None and tried.layout.chips < best.layout.chips:
            best = tried
    return replace(found, best=best)


def _in_time(run: Run, step: Step, replicas: int, days: float, lasting_days: Callable[[Step], float]) -> Step | None:
    """The step with so many replicas, where that is done in ``days``."""
    layout = replace(step.layout, dp=replicas)
    if layout.stage_chips % layout.ep or layout.chips % run.devices:
        return None
    try:
        tried = run.step(layout)
    except InvalidInputError:
        return None
    return tried if tried.memory.fits and lasting_days(tried) <= days else None
