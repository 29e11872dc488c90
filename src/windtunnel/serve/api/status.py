"""What an endpoint with one back end is at: ``/fleet/status`` in the form in which a fleet tells it, for its page."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from windtunnel.serve.api.backend import Backend
from windtunnel.serve.api.metrics import Watch
from windtunnel.serve.api.refusal import RefusedError
from windtunnel.serve.steer.traffic import spread

RECENT = 200
"""Answers over which times are told."""
RATE_S = 10.0
ERRORS = 50


class Status:
    """Of one back end. place: where it runs, or is simulated to, for whoever reads."""

    def __init__(self, backend: Backend, place: str) -> None:
        self.backend, self.place = backend, place
        self.since = time.time()
        self.in_flight = self.requests = self.failed = self.tokens = 0
        self._ttft_s: deque[float] = deque(maxlen=RECENT)
        self._tpot_s: deque[float] = deque(maxlen=RECENT)
        self._made: deque[tuple[float, int]] = deque()
        self._errors: deque[dict[str, Any]] = deque(maxlen=ERRORS)

    def begun(self) -> None:
        """A request is under way."""
        self.requests += 1
        self.in_flight += 1

    def ended(self, watches: Iterable[Watch]) -> None:
        """It is over, well or not."""
        self.in_flight -= 1
        for watch in watches:
            if not watch.tokens:
                continue
            self._ttft_s.append(watch.first_s - watch.begun_s)
            if watch.tokens > 1:
                self._tpot_s.append((watch.last_s - watch.first_s) / (watch.tokens - 1))
            self.tokens += watch.tokens
            self._made.append((time.monotonic(), watch.tokens))
        self._forget()

    def refused(self, refusal: RefusedError) -> None:
        """It was not answered; what is wrong with the request itself is its client's to read."""
        if refusal.status < 500:
            return
        self.failed += 1
        told = {"t": round(time.time(), 3), "backend": self._name, "status": refusal.status}
        self._errors.append({**told, "message": str(refusal)[:300], "done": "told to the client"})

    @property
    def _name(self) -> str:
        models = self.backend.models()
        return models[0].id if models else "this endpoint"

    def _forget(self) -> None:
        while self._made and self._made[0][0] < time.monotonic() - RATE_S:
            self._made.popleft()

    def body(self) -> dict[str, Any]:
        """The answer of ``/fleet/status``."""
        self._forget()
        why = self.backend.ill()
        counts = {
            "in_flight": self.in_flight,
            "requests": self.requests,
            "failed": self.failed,
            "retried": 0,
            "tokens": self.tokens,
            "tokens_per_s": round(sum(tokens for _, tokens in self._made) / RATE_S, 3),
        }
        models = [model.id for model in self.backend.models()]
        told = {
            "name": self._name,
            "model": ", ".join(models),
            "on": self.place or None,
            "state": "down" if why else "up",
            "why": why,
            "most_in_flight": None,
            "waiting": 0,
            **counts,
            "predicted": {"ttft_s": None, "tpot_s": None},
            "measured": {"ttft_s": _spread(self._ttft_s), "tpot_s": _spread(self._tpot_s)},
            "price_per_h": None,
        }
        fleet = {
            "targets": {"ttft_s": None, "tpot_s": None},
            "models": models,
            "in_flight": self.in_flight,
            "waiting": 0,
            "draining": False,
        }
        return {
            "now": round(time.time(), 3),
            "since": round(self.since, 3),
            "fleet": fleet,
            "backends": [told],
            "history": [],
            "errors": list(self._errors),
            "totals": counts,
        }


def _spread(values: deque[float]) -> dict[str, float] | None:
    if not values:
        return None
    return {name: round(value, 6) for name, value in asdict(spread(list(values))).items()}
