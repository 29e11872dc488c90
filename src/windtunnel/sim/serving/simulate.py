"""One fleet under one stream of requests: what users see, and what the chips do."""

from __future__ import annotations

import math
from collections.abc import Sequence

from windtunnel.cost.evidence import Evidence
from windtunnel.errors import InvalidInputError
from windtunnel.sim.behaviour import Spread
from windtunnel.sim.predict import device_notes, engine_notes, interval
from windtunnel.sim.serving.arrivals import Arrivals, Closing
from windtunnel.sim.serving.engine import Engine
from windtunnel.sim.serving.fleet import Fleet, Pool
from windtunnel.sim.serving.history import moment
from windtunnel.sim.serving.result import Metric, PoolResult, Result, Tally
from windtunnel.sim.serving.saturation import CLOSE, carried_per_s, growing
from windtunnel.sim.serving.settings import NO_LIMIT
from windtunnel.sim.serving.simulation import Progress, Simulation


def simulate(
    fleet: Fleet,
    arrivals: Arrivals,
    *,
    seed: int = 0,
    until: float = math.inf,
    arrive_until: float = math.inf,
    ttft_s: float = 0.0,
    tpot_s: float = 0.0,
    progress: Progress | None = None,
) -> Result:
    """What becomes of ``arrivals`` at ``fleet``, the same for the same seed.

    until: seconds after which nothing more happens; arrive_until: after which no more requests come. ttft_s, tpot_s: targets
    for goodput, 0 for none. progress: asked every few thousand events; where it says False, the result is what is
    known by then, and partial. Memory does not grow with the requests that were answered. Raises the errors of
    ``windtunnel.errors``.
    """
    if not (until > 0.0 and arrive_until > 0.0):
        raise InvalidInputError("until", f"{min(until, arrive_until)} s is not above 0")
    run = Simulation(fleet, arrivals.isl, arrivals.osl, seed=seed, tally=Tally(ttft_s, tpot_s))
    source = arrivals.source(seed)
    whole = run.run(source if arrive_until == math.inf else Closing(source, arrive_until), until, progress)
    carried, saturated = None, False
    if arrivals.open and growing(run.timeline.samples):
        carried = carried_per_s(fleet, arrivals, seed, progress if whole else None)
        saturated = carried is not None and _offered_per_s(run) > CLOSE * carried
    return outcome(run, seed=seed, partial=not whole or until < math.inf, saturated=saturated, carried_per_s=carried)


def _offered_per_s(run: Simulation) -> float:
    return run.tally.arrived / run.arrived_s if run.arrived_s > 0.0 else 0.0


def outcome(
    run: Simulation, *, seed: int = 0, partial: bool = False, saturated: bool = False, carried_per_s: float | None = None
) -> Result:
    """What a simulation has seen by now."""
    tally = run.tally
    seconds = max(tally.last_s, run.now)
    first = run.before or run.main
    targets = tally.ttft_target_s or tally.tpot_target_s
    evidence = min(run.main.times.evidence, first.times.evidence)
    ttft = _factors("ttft", first.times.evidence, first.times.spread)
    tpot = _factors("tpot", run.main.times.evidence, run.main.times.spread)
    links = run.links
    sent = links.transfers if links is not None else 0
    return Result(
        arrived=tally.arrived,
        answered=tally.answered,
        refused=dict(tally.refused),
        in_flight=tally.in_flight,
        restarted=tally.restarted,
        seconds=seconds,
        offered_per_s=_offered_per_s(run),
        input_tokens=tally.input_tokens,
        output_tokens=tally.output_tokens,
        ttft=Metric.of(tally.ttft, ttft),
        tpot=Metric.of(tally.tpot, tpot),
        e2e=Metric.of(tally.e2e, None),
        good=tally.good,
        goodput_per_s=tally.good / seconds if targets and seconds else None,
        saturated=saturated,
        carried_requests_per_s=carried_per_s,
        pool=_pool(run, run.main, run.engines, seconds),
        prefill_pool=_pool(run, run.before, run.prefillers, seconds) if run.before is not None else None,
        transfers=sent,
        transfer_s=links.moved_s / sent if links is not None and sent else 0.0,
        transfer_wait_s=links.waited_s / sent if links is not None and sent else 0.0,
        timeline=tuple(run.timeline.samples),
        evidence=evidence,
        partial=partial and tally.in_flight > 0,
        seed=seed,
        notes=tuple(dict.fromkeys(notes_of(run))),
        history=(*run.history.moments, moment(run, run.now)),
        phases=tally.phases,
        last_arrival_s=run.arrived_s,
    )


def _factors(metric: str, evidence: Evidence, spread: float) -> Spread:
    return Spread(*interval(metric, evidence, spread))


def _pool(run: Simulation, pool: Pool, engines: Sequence[Engine], seconds: float) -> PoolResult:
    time_s = len(engines) * seconds or math.inf
    asked = sum(engine.asked for engine in engines)
    waited = sum(engine.waited_s + sum(run.now - task.asked_s for task in engine.waiting) for engine in engines)
    blocks = pool.settings.blocks < NO_LIMIT
    return PoolResult(
        replicas=len(engines),
        busy=sum(engine.busy_s for engine in engines) / time_s,
        running=sum(engine.running_s for engine in engines) / time_s,
        waiting=waited / seconds if seconds else 0.0,
        most_waiting=max(engine.most_waiting for engine in engines),
        kv=sum(engine.context_s for engine in engines) / time_s / pool.settings.kv_tokens if blocks else 0.0,
        kv_tokens=pool.settings.kv_tokens if blocks else 0,
        prefilled_tokens=sum(engine.prefilled for engine in engines),
        preemptions=sum(engine.preemptions for engine in engines),
        hit_rate=sum(engine.hits for engine in engines) / asked if asked else None,
        downtime=min(sum(run.down_s[engine.name] for engine in engines) / time_s, 1.0),
    )


def notes_of(run: Simulation) -> list[str]:
    """What a reader has to know of the deployment, a line each."""
    notes = []
    for pool in (run.before, run.main):
        if pool is not None:
            notes += [*engine_notes(pool.of), *pool.settings.notes, *device_notes(pool.of)]
    if run.before is not None and run.before.of.precision.kv != run.main.of.precision.kv:
        kinds = run.before.of.precision.kv, run.main.of.precision.kv
        notes.append(f"the cache is {kinds[0]} where prompts are prefilled, {kinds[1]} where they decode: taken to be converted")
    return notes
