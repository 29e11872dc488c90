"""A service in money and energy, at the load that its instances have.

All sums are of the traffic that is served. Where a rate was asked for, whole instances rarely fit it exactly: what
stands idle is paid for, and each instance is predicted at the load that it then has, which is within the targets.
"""

from __future__ import annotations

import math
from dataclasses import replace

from windtunnel.cost.evidence import Estimate
from windtunnel.plan.place import Place, price_text
from windtunnel.plan.result import Candidate, Simulated
from windtunnel.plan.services import Service
from windtunnel.sim.prediction import Prediction
from windtunnel.sim.steady import Role


def candidate(service: Service, place: Place, *, operators: bool = False, seen: Simulated | None = None) -> Candidate:
    """The service predicted at the load that each instance has, with money and energy; seen: what its simulation saw."""
    own, before = service.option, service.before
    role: Role = "decode" if before else "both"
    steady = own.steady(role)
    share = service.rate / service.replicas
    state = service.state if math.isclose(share, service.state.requests_per_s) else steady.arriving(share, service.state.running)
    prediction = own.predict(state, role, operators=operators)
    prefill = None
    if before is not None:
        at = before.steady("prefill").arriving(service.rate / service.prefill_replicas)
        prefill = before.predict(at, "prefill", operators=operators)
    if seen is not None:
        prediction = replace(prediction, tpot=_moved(prediction.tpot, seen.tpot_s))
        if prefill is not None:
            prefill = replace(prefill, ttft=_moved(prefill.ttft, max(seen.ttft_s - service.transfer_s, 0.0)))
        else:
            prediction = replace(prediction, ttft=_moved(prediction.ttft, seen.ttft_s))
    tokens_per_s = service.rate * own.targets.osl
    hourly = place.price.fact.value * service.chips if place.price is not None else None
    power_w = _power_w(place, service, prediction, prefill)
    return Candidate(
        prediction=prediction,
        replicas=service.replicas,
        requests_per_s=service.capacity,
        prefill=prefill,
        prefill_replicas=service.prefill_replicas,
        kv_transfer_s=service.transfer_s,
        usd_per_hour=hourly,
        usd_per_mtok=hourly / (tokens_per_s * 3600.0 / 1e6) if hourly is not None else None,
        price_basis=price_text(place.price),
        power_kw=power_w / 1e3 if power_w is not None else None,
        joules_per_token=power_w / tokens_per_s if power_w is not None else None,
        simulated=seen,
    )


def _moved(estimate: Estimate, value: float) -> Estimate:
    """Another value, with an interval as wide in proportion and the same evidence."""
    scale = value / estimate.value if estimate.value else 0.0
    return replace(estimate, value=value, low=estimate.low * scale, high=estimate.high * scale)


def _power_w(place: Place, service: Service, prediction: Prediction, prefill: Prediction | None) -> float | None:
    """Of all chips: a system's with host and network, else what the chips draw alone; None where it is not known."""
    if place.power_w is not None:
        return place.power_w * service.chips
    parts = [(prediction.power_w, service.replicas)]
    if prefill is not None:
        parts.append((prefill.power_w, service.prefill_replicas))
    known = [watts * n for watts, n in parts if watts is not None]
    return sum(known) if len(known) == len(parts) else None
