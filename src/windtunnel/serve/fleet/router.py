"""The endpoint over a fleet: what a client asks is read once, sent where it is predicted to do best, and told on as it comes."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

import aiohttp
from aiohttp import web

from windtunnel.serve.api.app import MOST_BODY_BYTES
from windtunnel.serve.api.refusal import RefusedError, overloaded, unknown_model
from windtunnel.serve.api.refusing import refusals
from windtunnel.serve.door.door import REGISTRY
from windtunnel.serve.door.visit import Visit, visit_of
from windtunnel.serve.fleet.admission import Admission, Grant
from windtunnel.serve.fleet.asked import PATHS, Asked, What, read_asked
from windtunnel.serve.fleet.budget import RetryBudget
from windtunnel.serve.fleet.children import Children
from windtunnel.serve.fleet.endpoint import Endpoint
from windtunnel.serve.fleet.failure import GONE, FailedError
from windtunnel.serve.fleet.file import BackendEntry, Limits
from windtunnel.serve.fleet.forward import ClientLeftError, Forwarding
from windtunnel.serve.fleet.health import Health
from windtunnel.serve.fleet.metrics import FleetMetrics, OfBackend
from windtunnel.serve.fleet.status import Status
from windtunnel.serve.fleet.told import Told
from windtunnel.serve.steer.speed import Speed
from windtunnel.serve.steer.steering import Steering
from windtunnel.serve.steer.wanted import SEGMENT_TOKENS, Lane, Targets, Wanted
from windtunnel.serve.virtual.tokens import count, segments

LOG = logging.getLogger("windtunnel.serve")
IDLE_S = 4.0
"""How long a connection to a back end is kept for the next request: under the 5 s after which uvicorn, in which most engines
stand, closes it, so that no request meets a connection that is being closed."""
BACK_OFF_S = 0.05
LONGEST_BACK_OFF_S = 2.0
NOT_YET_S = 2.0
"""When to ask again for what a back end may have that is starting."""
STREAM_BUFFER_BYTES = 256 * 1024


class Router:
    """The fleet's front. speeds: of those back ends whose speed is predicted; the others' are learned alone. tell: what is done
    with a line of a back end that is started here."""

    def __init__(
        self,
        entries: Sequence[BackendEntry],
        limits: Limits,
        speeds: Mapping[str, Speed] | None = None,
        tell: Callable[[str], None] = LOG.info,
    ) -> None:
        self.limits, speeds, self._tell = limits, speeds or {}, tell
        self.endpoints = {entry.name: Endpoint(entry, limits, changed=self._changed, moved=self._moved) for entry in entries}
        lanes = {
            entry.name: Lane(speeds.get(entry.name), (entry.price_per_h or 0.0) / 3600.0, entry.most_in_flight)
            for entry in entries
        }
        self.steering = Steering(lanes, Targets(limits.ttft, limits.tpot))
        self.admission = Admission(self.endpoints, self.steering, limits)
        self.budget = RetryBudget(limits.retry_share, time.monotonic)
        self.status = Status(self)
        self.metrics = FleetMetrics(self.status.gauges)
        self._of: dict[str, OfBackend] = {entry.name: self.metrics.of(entry.name) for entry in entries}
        self.draining = False
        self.session: aiohttp.ClientSession
        self.health: Health
        self.children: Children

    def app(self, most_body_bytes: int = MOST_BODY_BYTES) -> web.Application:
        """What aiohttp serves. Back ends with a URL are looked at before the first request is taken."""
        app = web.Application(client_max_size=most_body_bytes, middlewares=[refusals(self._count)])
        app[REGISTRY] = self.metrics.registry
        app.router.add_post(PATHS["chat"], self.chat)
        app.router.add_post(PATHS["completion"], self.completion)
        app.router.add_post(PATHS["embeddings"], self.embeddings)
        app.router.add_routes(Told(self).routes())
        app.cleanup_ctx.append(self._running)
        app.on_shutdown.append(self._closing)
        return app

    async def _running(self, app: web.Application) -> AsyncIterator[None]:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_S, ttl_dns_cache=60)
        self.session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self.limits.connect),
            read_bufsize=STREAM_BUFFER_BYTES,
            trust_env=False,
        )
        self.health = Health(self.session, self.endpoints, self.limits)
        own: list[Endpoint] = []
        for endpoint in self.endpoints.values():
            if endpoint.entry.kind == "url":
                endpoint.at(endpoint.entry.where)
            else:
                own.append(endpoint)
        try:
            await self.health.first()
            self.children = Children(own, secrets.token_hex(32), tell=self._tell)
            async with self.health, self.status, self.children:
                yield
        finally:
            await self.session.close()

    async def _closing(self, app: web.Application) -> None:
        """Told to stop: what is under way goes on, nobody new comes in."""
        self.draining = True
        self.admission.close("the endpoint is closing")

    def _moved(self, endpoint: Endpoint) -> None:
        """It serves anew, with nothing in its caches."""
        self.steering.restarted(endpoint.name)
        self.health.look_at(endpoint)

    def _changed(self) -> None:
        self.admission.changed()

    def _count(self, status: int) -> None:
        self.metrics.refused.labels(str(status)).inc()

    def served(self) -> dict[str, int | None]:
        """What clients may ask for, each with the shortest context among its back ends, where any tells one."""
        found: dict[str, int | None] = {}
        for endpoint in self.endpoints.values():
            for name in endpoint.names:
                lengths = [length for length in (found.get(name), endpoint.most_tokens.get(name)) if length]
                found[name] = min(lengths, default=None)
        return found

    # what is asked

    async def chat(self, request: web.Request) -> web.StreamResponse:
        """``POST /v1/chat/completions``"""
        return await self._answer(request, "chat")

    async def completion(self, request: web.Request) -> web.StreamResponse:
        """``POST /v1/completions``"""
        return await self._answer(request, "completion")

    async def embeddings(self, request: web.Request) -> web.StreamResponse:
        """``POST /v1/embeddings``"""
        return await self._answer(request, "embeddings")

    async def _answer(self, request: web.Request, what: What) -> web.StreamResponse:
        if (request.content_length or 0) > request.client_max_size:
            raise web.HTTPRequestEntityTooLarge(request.client_max_size, request.content_length or 0)
        asked, visit = read_asked(await request.read(), what), visit_of(request)
        visit.record.model, visit.record.stream = asked.model, asked.stream
        if not self.admission.serving(asked.model):
            raise self._unknown(asked.model)
        prompt, answer = asked.prompt, 1 if what == "embeddings" else asked.most_tokens
        wanted = Wanted(asked.model, count(prompt), segments(prompt, SEGMENT_TOKENS), answer, streams=asked.stream)
        most = 0 if what == "embeddings" else None if asked.most_tokens is None else asked.most_tokens * asked.answers
        visit.hold(asked.prompt_tokens, most, asked.answers)
        self.budget.request()
        status = GONE
        try:
            response = await self._tried(request, asked, wanted, visit)
            status = visit.record.status or response.status
            return response
        except RefusedError as refusal:
            status = refusal.status
            raise
        except ClientLeftError:
            visit.record.status, visit.record.finish = GONE, "left"
            raise ConnectionResetError("the client left") from None
        finally:
            self.metrics.requests.labels(asked.model, str(status)).inc()

    def _unknown(self, model: str) -> RefusedError:
        """Nobody serves the model, as far as is known: a back end that has not answered yet may."""
        silent = [endpoint.name for endpoint in self.endpoints.values() if not endpoint.names]
        if silent:
            return overloaded(f"the model '{model[:200]}' is not served yet; {silent[0]} has not said what it has", NOT_YET_S)
        return unknown_model(model, self.served())

    async def _tried(self, request: web.Request, asked: Asked, wanted: Wanted, visit: Visit) -> web.StreamResponse:
        """The answer of the first back end that gives one."""
        way = Forwarding(request, asked, visit, session=self.session, steering=self.steering, limits=self.limits)
        tried: dict[str, None] = {}
        record = visit.record
        failure: FailedError | None = None
        for number in range(1, self.limits.retries + 2):
            try:
                grant = await self.admission.enter(wanted, tried)
            except RefusedError as refusal:
                if failure is not None:
                    raise failure.refusal from None  # nobody else came: what the last one said tells more
                self.status.refused(refusal)
                raise
            name = grant.endpoint.name
            record.attempts, record.backend = number, name
            record.predicted_ttft_s, record.predicted_tpot_s = round(grant.pick.ttft_s, 6), round(grant.pick.tpot_s, 6)
            try:
                return await self._try(way, grant, wanted, visit)
            except FailedError as error:
                failure = error
            again = number <= self.limits.retries and failure.again and way.response is None and not self.draining
            again = again and self.admission.quiet_s(asked.model) < self.limits.queue_time and self.budget.take()
            if failure.again:
                self.status.failed(name, failure, "tried again" if again else "told the client")
            if not again:
                break
            grant.endpoint.counts.retried += 1
            self._of[name].retried.inc()
            if name in tried or len(self.admission.serving(asked.model)) == 1:
                await asyncio.sleep(min(BACK_OFF_S * 4.0 ** len(tried), LONGEST_BACK_OFF_S) * random.uniform(0.5, 1.0))
            tried[name] = None
        assert failure is not None
        if way.response is not None:
            record.status, record.error, record.finish = failure.refusal.status, str(failure.refusal), "error"
            return await self._broken(way, failure)
        raise failure.refusal

    @staticmethod
    async def _broken(way: Forwarding, failure: FailedError) -> web.StreamResponse:
        try:
            return await way.broken(failure.refusal)
        except OSError:
            raise ClientLeftError from None

    async def _try(self, way: Forwarding, grant: Grant, wanted: Wanted, visit: Visit) -> web.StreamResponse:
        """One try, and what it tells of the back end."""
        endpoint, record, of = grant.endpoint, visit.record, self._of[grant.endpoint.name]
        endpoint.counts.requests += 1
        of.requests.inc()
        breaker, ok = endpoint.breaker, False
        try:
            response = await way.attempt(grant)
            ok = True
            breaker.succeeded()
            return response
        except FailedError as failure:
            now = time.monotonic()
            if failure.hold_s:
                endpoint.quiet_until = max(endpoint.quiet_until, now + failure.hold_s)
            if failure.again:
                endpoint.counts.failed += 1
                of.failed.inc()
            if failure.blame:
                breaker.failed(now, at_once=failure.at_once)
                self.health.look_at(endpoint)
            elif failure.again:
                breaker.dropped()
            else:
                breaker.succeeded()  # it told what is wrong with the request, as it should
            raise
        except BaseException:
            breaker.dropped()
            endpoint.counts.abandoned += 1
            if record.prompt_tokens is None:
                record.prompt_tokens = way.asked.prompt_tokens  # the back end was at it, whether its client stayed or not
            raise
        finally:
            if way.response is not None or ok:
                record.prompt_tokens = way.asked.prompt_tokens if record.prompt_tokens is None else record.prompt_tokens
                record.completion_tokens = way.pieces if record.completion_tokens is None else record.completion_tokens
                endpoint.count(record.prompt_tokens, record.completion_tokens)
                of.prompt_tokens.inc(record.prompt_tokens)
                of.tokens.inc(record.completion_tokens)
            each = None if record.completion_tokens is None else record.completion_tokens // way.asked.answers
            self.admission.leave(grant, ok=ok, tokens=each if ok else None)
            if ok:
                self._observe(of, visit)

    @staticmethod
    def _observe(of: OfBackend, visit: Visit) -> None:
        record = visit.record
        of.whole.observe(time.perf_counter() - visit.begun_s)
        if record.ttft_s is not None:
            of.ttft.observe(record.ttft_s)
            of.predicted_ttft.observe(record.predicted_ttft_s or 0.0)
        if record.tpot_s is not None:
            of.tpot.observe(record.tpot_s)
            of.predicted_tpot.observe(record.predicted_tpot_s or 0.0)
