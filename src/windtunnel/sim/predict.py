"""One deployment under one load: TTFT, TPOT, throughput, memory, energy, and the operators behind them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from windtunnel.catalog import Terms, engines_for
from windtunnel.cost.evidence import Estimate, Evidence
from windtunnel.errors import InvalidInputError
from windtunnel.sim.behaviour import spread
from windtunnel.sim.instance import Instance, StepTime, instance, rows
from windtunnel.sim.loop import closed_loop
from windtunnel.sim.prediction import Deployment, Load, MemoryUse, OperatorRow, Prediction
from windtunnel.sim.steady import Role, Steady
from windtunnel.sim.working_point import Room, prompt, room, service

WAVES = 10
"""Requests a slot in the closed loop: the length of run that serving benchmarks commonly use."""
MOST_WAVES = 10_000
_LIMITS = {"isl": 1e7, "osl": 1e7, "concurrency": 1e6}


def predict(
    deployment: Deployment,
    load: Load,
    *,
    waves: int = WAVES,
    operators: bool = True,
    steady: bool = False,
    role: Role = "both",
    parameters: Mapping[str, Any] | None = None,
) -> Prediction:
    """What ``deployment`` does when ``load.concurrency`` requests are kept in flight.

    TTFT and TPOT are means over a run of ``waves`` requests a slot that starts with all slots at once, as
    serving benchmarks measure; operators: fill the per-operator table. steady: instead, the means of a service to which
    requests come at random moments, with ``load.concurrency`` (which may be less than one) in flight on average, as
    ``windtunnel.sim.steady`` has it; role: whole requests, or what an instance does that only prefills (osl 1) or only
    decodes, which are steady always. parameters: tables of a parameter file that ``windtunnel fit`` wrote for this chip,
    which come before the packaged ones. Raises the errors of ``windtunnel.errors`` for what is unknown, unsupported,
    indivisible or too large.
    """
    steady = steady or role != "both"
    _check(load, 1e-9 if steady else 1.0)
    if not 1 <= waves <= MOST_WAVES:
        raise InvalidInputError("waves", f"{waves} is not between 1 and {MOST_WAVES}")
    of = instance(deployment, parameters)
    if of.spec.max_context and load.isl + load.osl > of.spec.max_context:
        most = of.spec.max_context
        raise InvalidInputError("isl", f"isl {load.isl:.0f} + osl {load.osl:.0f} is over {of.spec.id}'s context of {most} tokens")
    space = room(of, load)
    prefill = prompt(of, load)
    if steady:
        state = Steady(of, load, space, prefill, role)
        at = state.in_flight(load.concurrency)
        run, running = at.result(load.osl), at.running
        step, decode_s = (prefill.alone, 0.0) if role == "prefill" else state.decode(running)
        running = max(running, 1.0)
    else:
        serving, step = service(of, load, space, prefill)
        run = closed_loop(serving, load.concurrency, load.osl, waves)
        running = min(load.concurrency, space.slots)
        decode_s = serving.decode_s(running)
    weakest = step.evidence if role == "decode" else min(step.evidence, prefill.alone.evidence)
    power = _power_w(of)
    return Prediction(
        deployment=deployment,
        load=load,
        ttft=_estimate(run.ttft_s, "ttft", prefill.alone.evidence, prefill.alone.spread),
        tpot=_estimate(run.tpot_s, "tpot", weakest, step.spread),
        output_tokens_per_s=_inverse(run.tokens_per_s, weakest, step.spread),
        memory=_memory(of, load, space, running),
        decode_step_s=decode_s,
        prefill_s=0.0 if role == "decode" else prefill.alone.seconds,
        batch=run.batch,
        queued=run.queued,
        bound=_bound(step, decode_s / of.stages),
        operators=tuple(_table(step, prefill.alone, role)) if operators else (),
        evidence=weakest,
        power_w=power,
        energy_j_per_token=power / run.tokens_per_s if power is not None and run.tokens_per_s else None,
        notes=tuple(_notes(of, load, space)),
    )


def _check(load: Load, fewest: float) -> None:
    for field, most in _LIMITS.items():
        value, least = getattr(load, field), fewest if field == "concurrency" else 1.0
        if not (isinstance(value, int | float) and math.isfinite(value) and least <= value <= most):
            raise InvalidInputError(field, f"{value} is not between {least:g} and {most:.0e}")
    for field in ("prefix_hit", "mtp_accept"):
        value = getattr(load, field)
        if not (isinstance(value, int | float) and 0 <= value < 1):
            raise InvalidInputError(field, f"{value} is not a share of at least 0 and less than 1")


def interval(metric: str, evidence: Evidence, operators: float) -> tuple[float, float]:
    """Factors on a value that hold it in 80 % of cases: held-out serving errors, wider where operators are not fitted."""
    base = spread(metric)
    if evidence >= Evidence.FITTED:
        return base.low, base.high
    extra = operators if evidence == Evidence.TRANSFERRED else max(operators, 0.3)
    low = math.exp(-math.hypot(math.log(1.0 / base.low), extra))
    high = math.exp(math.hypot(math.log(base.high), extra))
    return low, high


def _estimate(value: float, metric: str, evidence: Evidence, operators: float) -> Estimate:
    low, high = interval(metric, evidence, operators)
    return Estimate(value, value * low, value * high, evidence)


def _inverse(value: float, evidence: Evidence, operators: float) -> Estimate:
    """Throughput's interval is that of the time per token, upside down."""
    low, high = interval("tpot", evidence, operators)
    return Estimate(value, value / high, value / low, evidence)


def _memory(of: Instance, load: Load, space: Room, running: float) -> MemoryUse:
    """Of one chip: all its devices together."""
    n = of.devices_per_chip
    cache = of.kv_bytes(load.isl + load.osl / 2.0) * running / of.parallel.dp
    reserved = of.capacity * (1.0 - space.fraction)
    return MemoryUse(of.capacity * n, of.weights * n, cache * n, space.activations * n, reserved * n)


def _bound(step: StepTime, step_s: float) -> str:
    """What takes most of a step of ``step_s`` on one stage: matrix unit, memory, link, or the host and launches."""
    shares: dict[str, float] = {}
    total = 0.0
    for op, cost in step.priced:
        kind, time_s = "host" if cost.bound == "start" else cost.bound, cost.time_s * op.count
        shares[kind] = shares.get(kind, 0.0) + time_s
        total += time_s
    shares["host"] = shares.get("host", 0.0) + max(step_s - total, 0.0)
    return max(shares, key=lambda k: shares[k])


def _table(decode: StepTime, prefill: StepTime, role: Role) -> list[OperatorRow]:
    found = [] if role == "prefill" else rows("decode", decode)
    return found if role == "decode" else found + rows("prefill", prefill)


def _power_w(of: Instance) -> float | None:
    """Power of the instance's chips under load, from the power limit; None where it is not known."""
    return of.chip.value("tdp_w") * Terms().load * of.deployment.chips if of.chip.has("tdp_w") else None


def _notes(of: Instance, load: Load, space: Room) -> list[str]:
    notes = engine_notes(of)
    if space.raised:
        notes.append(f"needs {space.fraction:.0%} of device memory, more than {of.engine} takes by default")
    if load.concurrency > space.slots:
        waiting = load.concurrency - space.slots
        notes.append(f"the KV cache holds {space.slots:.0f} sequences, so {waiting:.0f} of {load.concurrency:.0f} wait")
    return notes + device_notes(of)


def engine_notes(of: Instance) -> list[str]:
    """What was assumed of the model and of the engine."""
    notes = [*of.spec.notes, *of.traits.notes]
    if of.behaviour.known == "any":
        notes.append(f"{of.engine} was never fitted: the host and scheduling times of other engines stand in")
    elif of.behaviour.known:
        notes.append(f"{of.engine}: host and scheduling times start from those fitted for {of.behaviour.known}")
    if of.engine not in {served.id for served in engines_for(of.chip)}:
        notes.append(f"no source says that {of.engine} serves {of.chip.id}")
    return notes


def device_notes(of: Instance) -> list[str]:
    """What was assumed of drafting and of packages."""
    notes = []
    if of.behaviour.drafting != 1.0 and of.spec.mtp_layers:
        notes.append(f"{of.engine} {of.deployment.engine_version} was measured with multi-token prediction on")
    if of.devices_per_chip > 1:
        notes.append(f"one {of.chip.id} is {of.devices_per_chip} devices: the model is cut over {of.parallel.chips}")
    return notes
