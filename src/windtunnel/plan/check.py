"""Finalists under the traffic that was asked for, simulated: the wait for each other is in their TTFT, and as many instances as
that needs, no more."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from windtunnel.plan.option import BUSIEST
from windtunnel.plan.result import Simulated, Targets
from windtunnel.plan.services import Service
from windtunnel.sim.serving.arrivals import AtRandom, Lengths
from windtunnel.sim.serving.fleet import Fleet
from windtunnel.sim.serving.quantiles import Quantiles
from windtunnel.sim.serving.request import Task
from windtunnel.sim.serving.saturation import CLOSE, carried_per_s, growing
from windtunnel.sim.serving.simulation import Simulation

FINALISTS = 3
"""Cheapest services of a place that are simulated."""
SEEN = 1500
"""Requests that are looked at, after as many as fill the batches and before as many as empty them."""
LONG = 6
"""The one that is chosen is looked at for so many times the length of a request at least: near its limit a queue grows slowly."""
MOST_MORE = 8
"""How often instances are added before a service is given up."""
STEP = 20
"""Instances to one that is added or left out at a time, so that a large service takes no longer to settle than a small one."""
IN_FLIGHT = 2000
"""Requests in flight above which a part of the instances stands for all, at its part of the traffic: they are equal, and the
fewer a router has to choose from, the longer requests wait."""
ALIKE = 10
"""Fewest instances that only prefill in such a part, whose number is rounded down."""


def simulated(service: Service, targets: Targets, *, long: bool = True) -> Simulated | None:
    """What requests see that come at random at ``service.rate``; None where more come than can be served."""
    service = _part(service, targets)
    own, before = service.option, service.before
    edge = round(service.rate * (service.state.ttft_s + targets.osl * service.state.tpot_s))
    seen = max(SEEN, LONG * edge) if long else SEEN
    edge = 2 * edge if long else edge
    fleet = Fleet(own.deployment, service.replicas, before.deployment if before else None, service.prefill_replicas)
    run = Simulation(fleet, targets.isl, targets.osl)
    ttft, tpot = Quantiles(), Quantiles()

    def answered(task: Task, at: float) -> None:
        if edge < task.id <= edge + seen:
            first = task.first_s + task.late_s + run.fixed_s
            ttft.add(first - task.arrival_s)
            tpot.add((at - first) / max(task.output_tokens - 1, 1))

    run.answered = answered
    arrivals = AtRandom(service.rate, Lengths(float(targets.isl)), Lengths(float(targets.osl)), seen + 2 * edge)
    run.run(arrivals.source(0))
    if not ttft.count or (not targets.ttft_s and _overrun(run, fleet, arrivals)):
        return None
    return Simulated(ttft.count, ttft.mean, *_middle_and_tail(ttft), tpot.mean, *_middle_and_tail(tpot))


def _part(service: Service, targets: Targets) -> Service:
    """Some of the instances at their part of the traffic, where all of them hold more requests than need be followed."""
    flying = service.rate * (service.state.ttft_s + targets.osl * service.state.tpot_s)
    if flying <= IN_FLIGHT or service.replicas == 1:
        return service
    count = math.ceil(service.replicas * IN_FLIGHT / flying)
    if service.before is not None:
        count = max(count, math.ceil(service.replicas * ALIKE / service.prefill_replicas))
    if count >= service.replicas:
        return service
    share = count / service.replicas
    return replace(
        service, replicas=count, prefill_replicas=int(service.prefill_replicas * share), rate=service.rate * share
    )  # fmt: skip


def _overrun(run: Simulation, fleet: Fleet, arrivals: AtRandom) -> bool:
    """Whether more requests come than can be answered; a target of TTFT would tell by itself."""
    if not growing(run.timeline.samples):
        return False
    carried = carried_per_s(fleet, arrivals, 0)
    return carried is None or arrivals.requests_per_s > CLOSE * carried


def _middle_and_tail(found: Quantiles) -> tuple[float, float, float]:
    return found.quantile(0.5), found.quantile(0.9), found.quantile(0.99)


def settled(service: Service, targets: Targets, *, long: bool = True) -> tuple[Service, Simulated] | None:
    """The service with as many instances as the simulated TTFT and TPOT need: more where requests are in each other's way,
    fewer that only prefill where they wait less than chance alone would have them. None where adding does not help."""
    found = simulated(service, targets, long=long)
    if not _in_time(found, targets):
        for _ in range(MOST_MORE):
            service = _more(service, found, targets)
            found = simulated(service, targets, long=long)
            if _in_time(found, targets):
                break
        else:
            return None
    elif service.before is not None and not long:
        while service.prefill_replicas > 1 and _busy(fewer := _prefilling(service, -_step(service.prefill_replicas))) <= BUSIEST:
            seen = simulated(fewer, targets, long=long)
            if not _in_time(seen, targets):
                break
            service, found = fewer, seen
    assert found is not None
    return service, found


def _in_time(found: Simulated | None, targets: Targets) -> bool:
    return found is not None and not (_late(found, targets) or _slow(found, targets))


def _late(found: Simulated, targets: Targets) -> bool:
    return bool(targets.ttft_s) and found.ttft_s > targets.ttft_s


def _slow(found: Simulated, targets: Targets) -> bool:
    return bool(targets.tpot_s) and found.tpot_s > targets.tpot_s


def _step(instances: int) -> int:
    return math.ceil(instances / STEP)


def _more(service: Service, found: Simulated | None, targets: Targets) -> Service:
    """More instances of those that keep requests from being served in time."""
    if service.before is None or (found is not None and _slow(found, targets)):
        return replace(service, replicas=service.replicas + _step(service.replicas))
    return _prefilling(service, _step(service.prefill_replicas))


def _prefilling(service: Service, more: int) -> Service:
    """So many instances more that only prefill."""
    assert service.before is not None
    count = service.prefill_replicas + more
    state = service.before.steady("prefill").arriving(service.rate / count)
    return replace(service, prefill_replicas=count, before_state=state)


def _busy(service: Service) -> float:
    """Share of the time that an instance which only prefills is at work."""
    assert service.before is not None
    return service.rate / service.prefill_replicas * service.before.steady("prefill").prompt_s


def cheapest(services: Sequence[Service], targets: Targets, most: int) -> tuple[Service, Simulated] | None:
    """The cheapest that meets the targets in simulation, of the first that do by cost; most: chips, 0 for any number."""
    found: list[Service] = []
    for service in sorted(services, key=lambda s: s.cost):
        kept = settled(service, targets, long=False)
        if kept is not None and (not most or kept[0].chips <= most):
            found.append(kept[0])
            if len(found) == FINALISTS:
                break
    for service in sorted(found, key=lambda s: s.cost):
        kept = settled(service, targets)
        if kept is not None and (not most or kept[0].chips <= most):
            return kept
    return None
