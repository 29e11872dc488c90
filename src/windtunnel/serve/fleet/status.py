"""What a fleet is at: ``/fleet/status``, the last ten minutes of it, the last errors, and gauges for Prometheus."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from windtunnel.serve.api.refusal import RefusedError
from windtunnel.serve.fleet.endpoint import Endpoint
from windtunnel.serve.fleet.failure import FailedError
from windtunnel.serve.steer.wanted import Spread

if TYPE_CHECKING:
    from windtunnel.serve.fleet.router import Router

HISTORY_S, EVERY_S = 600.0, 5.0
ERRORS = 50


class Status:
    """Of one router."""

    def __init__(self, router: Router) -> None:
        self.router = router
        self.since = time.time()
        self.history: deque[dict[str, Any]] = deque(maxlen=round(HISTORY_S / EVERY_S))
        self.errors: deque[dict[str, Any]] = deque(maxlen=ERRORS)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Status:
        self._task = asyncio.create_task(self._sample())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _sample(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            self.history.append({"t": round(time.time(), 3), "backends": {e.name: self._point(e) for e in self._endpoints}})

    @property
    def _endpoints(self) -> Iterable[Endpoint]:
        return self.router.endpoints.values()

    def failed(self, backend: str, failure: FailedError, done: str) -> None:
        """A try failed, and what was done about it."""
        told = {"t": round(time.time(), 3), "backend": backend, "status": failure.refusal.status}
        self.errors.append({**told, "message": str(failure)[:300], "done": done})

    def refused(self, refusal: RefusedError) -> None:
        """A request found no back end."""
        told = {"t": round(time.time(), 3), "backend": None, "status": refusal.status}
        self.errors.append({**told, "message": str(refusal)[:300], "done": "told the client"})

    def body(self) -> dict[str, Any]:
        """The answer of ``/fleet/status``."""
        router, limits = self.router, self.router.limits
        backends = [self._backend(endpoint) for endpoint in self._endpoints]
        totals = {key: sum(told[key] for told in backends) for key in ("requests", "failed", "retried", "tokens", "in_flight")}
        return {
            "now": round(time.time(), 3),
            "since": round(self.since, 3),
            "fleet": {
                "targets": {"ttft_s": limits.ttft, "tpot_s": limits.tpot},
                "models": list(router.served()),
                "in_flight": router.admission.in_flight,
                "most_in_flight": limits.most_in_flight,
                "waiting": router.admission.waiting,
                "queue": limits.queue,
                "draining": router.draining,
            },
            "backends": backends,
            "history": list(self.history),
            "errors": list(self.errors),
            "totals": {**totals, "tokens_per_s": round(sum(told["tokens_per_s"] for told in backends), 3)},
        }

    def _backend(self, endpoint: Endpoint) -> dict[str, Any]:
        entry, counts, seen = endpoint.entry, endpoint.counts, self.router.steering.seen(endpoint.name)
        return {
            "name": entry.name,
            "kind": entry.kind,
            "model": entry.called or ", ".join(endpoint.names),
            "on": entry.place or None,
            "state": endpoint.state(),
            "why": endpoint.why,
            "circuit": endpoint.breaker.state(time.monotonic()),
            "in_flight": endpoint.in_flight,
            "most_in_flight": entry.most_in_flight,
            "waiting": self.router.admission.waiting_for(endpoint),
            "requests": counts.requests,
            "failed": counts.failed,
            "retried": counts.retried,
            "abandoned": counts.abandoned,
            "tokens": counts.tokens,
            "prompt_tokens": counts.prompt_tokens,
            "tokens_per_s": round(endpoint.tokens_per_s(), 3),
            "predicted": {"ttft_s": _mean(seen.predicted_ttft), "tpot_s": _mean(seen.predicted_tpot)},
            "measured": {"ttft_s": _spread(seen.measured_ttft), "tpot_s": _spread(seen.measured_tpot)},
            "learned": {"ttft": round(seen.learned_ttft, 4), "tpot": round(seen.learned_tpot, 4)},
            "cached_tokens": seen.cached_tokens,
            "price_per_h": entry.price_per_h,
        }

    def _point(self, endpoint: Endpoint) -> dict[str, Any]:
        seen = self.router.steering.seen(endpoint.name)
        return {
            "state": endpoint.state(),
            "in_flight": endpoint.in_flight,
            "requests": endpoint.counts.requests,
            "failed": endpoint.counts.failed,
            "tokens_per_s": round(endpoint.tokens_per_s(), 3),
            "predicted": {"ttft_s": _mean(seen.predicted_ttft), "tpot_s": _mean(seen.predicted_tpot)},
            "measured": {"ttft_s": _mean(seen.measured_ttft), "tpot_s": _mean(seen.measured_tpot)},
        }

    def gauges(self) -> Iterable[tuple[str, str, list[tuple[dict[str, str], float]]]]:
        """What the fleet is at, for Prometheus."""
        found = [({"backend": endpoint.name}, endpoint) for endpoint in self._endpoints]
        seen = {endpoint.name: self.router.steering.seen(endpoint.name) for _, endpoint in found}
        now = time.monotonic()
        circuits = {"closed": 0.0, "half-open": 0.5, "open": 1.0}
        yield "windtunnel:fleet_up", "1 where it takes requests", [(label, float(e.state() == "up")) for label, e in found]
        yield (
            "windtunnel:fleet_circuit",
            "0 closed, 0.5 half open, 1 open",
            [(label, circuits[e.breaker.state(now)]) for label, e in found],
        )
        yield "windtunnel:fleet_in_flight", "Requests under way", [(label, float(e.in_flight)) for label, e in found]
        yield "windtunnel:fleet_tokens_per_second", "Tokens of the last ten seconds", [(x, e.tokens_per_s()) for x, e in found]
        yield "windtunnel:fleet_learned_ttft", "Measured over predicted", [(x, seen[e.name].learned_ttft) for x, e in found]
        yield "windtunnel:fleet_learned_tpot", "Measured over predicted", [(x, seen[e.name].learned_tpot) for x, e in found]
        yield "windtunnel:fleet_waiting", "Requests that wait for a back end", [({}, float(self.router.admission.waiting))]


NOTHING = Spread()
"""Of no answers: not one has streamed yet, or had a second token."""


def _mean(spread: Spread) -> float | None:
    """None while nothing was seen: not known."""
    return None if spread == NOTHING else round(spread.mean, 6)


def _spread(spread: Spread) -> dict[str, float] | None:
    if spread == NOTHING:
        return None
    return {"mean": round(spread.mean, 6), "p50": round(spread.p50, 6), "p99": round(spread.p99, 6)}
