"""Who may go where now, and who waits: limits of the fleet and of each back end, a queue with an end, and the choice."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from windtunnel.serve.api.refusal import RefusedError, overloaded
from windtunnel.serve.fleet.endpoint import Endpoint
from windtunnel.serve.fleet.file import Limits
from windtunnel.serve.steer.steering import Steering
from windtunnel.serve.steer.ticket import Ticket
from windtunnel.serve.steer.wanted import Pick, Wanted

RECENT = 64
"""Ends of requests from which the pace of the queue is taken."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A request may go to a back end, and counts there until it leaves."""

    endpoint: Endpoint
    pick: Pick
    ticket: Ticket


class _Waiter:
    __slots__ = ("granted", "tried", "wanted")

    def __init__(self, wanted: Wanted, tried: Collection[str], granted: asyncio.Future[Grant]) -> None:
        self.wanted, self.tried, self.granted = wanted, tried, granted


class Admission:
    """Lets requests in, in the order in which they came. clock: seconds, never backwards; the steering's."""

    def __init__(
        self,
        endpoints: Mapping[str, Endpoint],
        steering: Steering,
        limits: Limits,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.endpoints, self.steering, self.limits, self._clock = endpoints, steering, limits, clock
        self.in_flight = 0
        self.closing = False
        self._queue: deque[_Waiter] = deque()
        self._ends: deque[float] = deque(maxlen=RECENT)
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def waiting_for(self, endpoint: Endpoint) -> int:
        """Requests in the queue that the back end could take."""
        return sum(waiter.wanted.model in endpoint.names for waiter in self._queue)

    def serving(self, model: str) -> list[Endpoint]:
        return [endpoint for endpoint in self.endpoints.values() if model in endpoint.names]

    async def enter(self, wanted: Wanted, tried: Collection[str] = ()) -> Grant:
        """Where the request goes, at once or after a wait. tried: back ends that failed at it, not taken while another is able.

        Raises RefusedError: 429 where the queue is full, 503 where no back end took it in time.
        """
        if self.closing:
            raise overloaded("the endpoint is closing", 5.0)
        if not self._queue:
            grant = self._grant(wanted, tried)
            if grant is not None:
                return grant
        if len(self._queue) >= self.limits.queue:
            raise self._full(wanted)
        waiter = _Waiter(wanted, tried, asyncio.get_running_loop().create_future())
        self._queue.append(waiter)
        self.wake()  # one that waits for another model is no reason to wait
        self._alarm()
        try:
            async with asyncio.timeout(self.limits.queue_time):
                return await waiter.granted
        except TimeoutError:
            self._take_back(waiter)
            raise self._nobody(wanted) from None
        except asyncio.CancelledError:
            self._take_back(waiter)
            raise
        finally:
            if not waiter.granted.done() or waiter.granted.cancelled():
                self._forget(waiter)

    def _take_back(self, waiter: _Waiter) -> None:
        """Nobody waits any more for what was granted in the same moment."""
        if waiter.granted.done() and not waiter.granted.cancelled() and waiter.granted.exception() is None:
            grant = waiter.granted.result()
            grant.endpoint.breaker.dropped()
            self.leave(grant, ok=False)

    def _forget(self, waiter: _Waiter) -> None:
        if waiter in self._queue:
            self._queue.remove(waiter)

    def leave(self, grant: Grant, *, ok: bool, tokens: int | None = None) -> None:
        """The request has left the back end. tokens: of its answer, where they are known."""
        self.steering.ended(grant.ticket, ok, tokens)
        grant.endpoint.in_flight -= 1
        self.in_flight -= 1
        if ok:
            self._ends.append(self._clock())
        self.changed()

    def wake(self) -> None:
        """Lets in whoever can be, first come first."""
        hopeless: set[str] = set()
        for waiter in list(self._queue):
            if self.in_flight >= self.limits.most_in_flight:
                return
            if waiter.granted.done() or (waiter.wanted.model in hopeless and not waiter.tried):
                continue
            grant = self._grant(waiter.wanted, waiter.tried)
            if grant is not None:
                waiter.granted.set_result(grant)
                self._queue.remove(waiter)
            elif not waiter.tried:
                hopeless.add(waiter.wanted.model)

    def close(self, why: str) -> None:
        """Nobody is let in any more."""
        self.closing = True
        if self._timer is not None:
            self._timer.cancel()
        while self._queue:
            waiter = self._queue.popleft()
            if not waiter.granted.done():
                waiter.granted.set_exception(overloaded(why, 5.0))

    def _grant(self, wanted: Wanted, tried: Collection[str]) -> Grant | None:
        if self.in_flight >= self.limits.most_in_flight:
            return None
        now, model = self._clock(), wanted.model
        able = [name for name, endpoint in self.endpoints.items() if model in endpoint.names and endpoint.able(now)]
        if tried and able:
            others = [name for name in able if name not in tried]
            if not others and any(e.name not in tried and e.hopeful() for e in self.serving(model)):
                return None  # one that has not failed at it will have room
            able = others or able
        if not able:
            return None
        ranked = self.steering.ranked(wanted, able)
        if not ranked:
            return None
        pick = ranked[0]
        endpoint = self.endpoints[pick.lane]
        endpoint.in_flight += 1
        endpoint.breaker.taken(now)
        self.in_flight += 1
        return Grant(endpoint, pick, self.steering.sent(pick.lane, wanted))

    def _alarm(self) -> None:
        """Wakes the queue when a circuit may be tried, or a back end that asked for quiet has had it."""
        now = self._clock()
        due = [at for endpoint in self.endpoints.values() for at in self._times(endpoint) if at > now]
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due and self._queue:
            self._timer = asyncio.get_running_loop().call_later(max(min(due) - now, 0.001), self._rung)

    @staticmethod
    def _times(endpoint: Endpoint) -> Iterable[float]:
        return (endpoint.quiet_until, endpoint.breaker.until())

    def _rung(self) -> None:
        self._timer = None
        self.wake()
        self._alarm()

    def changed(self) -> None:
        """A back end came, opened or closed."""
        if self._queue:
            self.wake()
            self._alarm()

    def quiet_s(self, model: str) -> float:
        """Seconds until the first back end of the model may be asked again; 0 where one may be now, or none is up."""
        now = self._clock()
        waits = [endpoint.quiet_until - now for endpoint in self.serving(model) if endpoint.hopeful()]
        return max(min(waits, default=0.0), 0.0)

    def _pace_s(self) -> float:
        """Seconds until the queue as it is now may be through; 1 where nothing tells."""
        if len(self._ends) < 2 or self._ends[-1] <= self._ends[0]:
            return 1.0
        rate = (len(self._ends) - 1) / (self._ends[-1] - self._ends[0])
        return min(max(len(self._queue) / rate, 1.0), 60.0)

    def _full(self, wanted: Wanted) -> RefusedError:
        if not any(endpoint.hopeful() for endpoint in self.serving(wanted.model)):
            return self._nobody(wanted)
        return RefusedError(
            f"{len(self._queue)} requests wait already, which is the limit; send it again later",
            status=429,
            kind="rate_limit_exceeded",
            code="queue_full",
            retry_after_s=self._pace_s(),
        )

    def _nobody(self, wanted: Wanted) -> RefusedError:
        up = any(endpoint.hopeful() for endpoint in self.serving(wanted.model))
        told = "every back end of this model is busy" if up else "no back end of this model is up"
        return overloaded(f"{told}; send it again later", self.quiet_s(wanted.model) or self._pace_s())
