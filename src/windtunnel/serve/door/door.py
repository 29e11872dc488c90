"""The door of an endpoint: every request passes it before anything is done for it, and is written down when it leaves."""

from __future__ import annotations

import asyncio
import base64
import binascii
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from windtunnel.serve.api.refusal import RefusedError, overloaded
from windtunnel.serve.door.accounts import Accounts, last_day
from windtunnel.serve.door.browser import check_host, check_origin, cors_headers, is_preflight, preflight
from windtunnel.serve.door.keys import Key, find
from windtunnel.serve.door.limits import Allowance
from windtunnel.serve.door.openapi import description
from windtunnel.serve.door.visit import VISIT, Visit, new_visit

BODY_S = 60.0
"""How long a body may take to come."""
MOST_BODIES_BYTES = 256 * 1024**2
"""Of all bodies that are held at once."""
MOST_PARTS = 1_000_000
"""Braces and brackets of a body: each empty pair is two bytes that become 64 in memory."""
HUNG_UP = 499
"""What is written down as the status of a request whose client left."""
CHALLENGES = {"Bearer": 'Bearer realm="windtunnel"', "Basic": 'Basic realm="windtunnel: any name, the key as password"'}

REGISTRY: web.AppKey[CollectorRegistry] = web.AppKey("registry", CollectorRegistry)
"""Where an application keeps what its ``/metrics`` shows."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Door:
    """Keys, limits, origins and accounts of one endpoint.

    loopback: only this machine can reach it. origins: whose pages may ask it. tls: None for plain HTTP. clock: seconds of the
    limits, never backwards.
    """

    def __init__(
        self,
        keys: Iterable[Key] = (),
        *,
        loopback: bool = True,
        origins: frozenset[str] = frozenset(),
        accounts: Accounts | None = None,
        tls: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
        body_s: float = BODY_S,
        most_bodies_bytes: int = MOST_BODIES_BYTES,
    ) -> None:
        self.keys = tuple(keys)
        self.loopback, self.origins, self.accounts, self.tls = loopback, origins, accounts, tls
        self.allowances = {key.name: Allowance(key.limits, clock) for key in self.keys}
        if accounts is not None and any(key.limits.tokens_per_day for key in self.keys):
            for ago_s, name, tokens in last_day(accounts.path, time.time()):
                if name in self.allowances:
                    self.allowances[name].remember(ago_s, tokens)
        self._body_s, self._most_bodies_bytes = body_s, most_bodies_bytes
        self._bodies_bytes = 0
        self._requests = Counter(
            "windtunnel:key_requests", "Requests for tokens, by key and status", ("key", "status"), registry=None
        )
        self._tokens = Counter("windtunnel:key_tokens", "Tokens by key", ("key", "kind"), registry=None)

    def guard(self, app: web.Application) -> None:
        """Puts itself before the application's handlers, inside those of its middlewares that tell what was refused."""
        app.middlewares.append(self._pass)
        app.on_response_prepare.append(self._dress)
        app.router.add_get("/openapi.json", self._describe)
        registry = app.get(REGISTRY)
        if registry is not None:
            registry.register(_Told(self._collected))
        app.on_cleanup.append(self._close)

    @web.middleware
    async def _pass(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        visit = request[VISIT] = new_visit(request.headers, request.path)
        remembered = request.headers.get("Authorization", "").startswith("Basic ")
        check_origin(request, self.origins, remembered=remembered)
        if is_preflight(request):
            return preflight()
        key = self._who(request)
        if request.method in ("GET", "HEAD"):
            return await handler(request)
        if key is not None and not key.admin and request.path.startswith("/fleet/"):
            raise RefusedError(f"the key '{key.name}' may not do this; 'admin = true' in its table lets it", status=403)
        return await self._metered(request, handler, visit, key)

    async def _metered(self, request: web.Request, handler: Handler, visit: Visit, key: Key | None) -> web.StreamResponse:
        record = visit.record
        status, held_bytes = HUNG_UP, 0
        try:
            if key is not None:
                record.key = key.name
                allowance = self.allowances[key.name]
                allowance.enter()
                visit.allowance = allowance
            held_bytes = self._room_for(request)
            size = await self._read(request)
            self._bodies_bytes += size - held_bytes  # where its headers told no size, the largest one was held
            held_bytes = size
            response = await handler(request)
            status = response.status
            return response
        except RefusedError as refusal:
            status, record.error = refusal.status, str(refusal)
            raise
        except web.HTTPException as error:
            status, record.error = error.status, error.reason
            raise
        except (asyncio.CancelledError, ConnectionError):
            record.finish = "left"
            raise
        except Exception:
            status, record.error = 500, "an error of the server's own"
            raise
        finally:
            self._bodies_bytes -= held_bytes
            record.status = status if record.status is None else record.status
            visit.end()
            self._write(visit)

    def _write(self, visit: Visit) -> None:
        record = visit.record
        self._requests.labels(record.key, str(record.status)).inc()
        if record.prompt_tokens:
            self._tokens.labels(record.key, "prompt").inc(record.prompt_tokens)
        if record.completion_tokens:
            self._tokens.labels(record.key, "completion").inc(record.completion_tokens)
        if self.accounts is not None:
            self.accounts.write(record)

    def _who(self, request: web.Request) -> Key | None:
        """Whose request it is; None where none was asked for. Raises RefusedError (401, 403)."""
        if not self.keys:
            if self.loopback and request.path != "/health":
                check_host(request)
            return None
        key = find(self.keys, given) if (given := _given(request)) else None
        if key is not None or (request.path == "/health" and request.method in ("GET", "HEAD")):
            return key
        if not given and self.loopback and request.method in ("GET", "HEAD") and not request.path.startswith("/v1"):
            check_host(request)
            return None  # the pages of this machine's own user
        told = "is not known here" if given else "is missing; send it as 'Authorization: Bearer KEY'"
        raise RefusedError(f"the API key {told}", status=401, code="invalid_api_key" if given else None)

    def _room_for(self, request: web.Request) -> int:
        """Bytes of memory for the body. Raises where it is too large, or where there is no room beside the others."""
        size, most = request.content_length, request.client_max_size
        if size is not None and size > most:
            raise web.HTTPRequestEntityTooLarge(most, size)
        if size is None or "Content-Encoding" in request.headers:
            size = most if request.can_read_body else 0  # nobody knows before it is read
        if self._bodies_bytes + size > self._most_bodies_bytes:
            raise overloaded("the requests under way fill the memory for their bodies; try again", 1.0)
        self._bodies_bytes += size
        return size

    async def _read(self, request: web.Request) -> int:
        """Reads the body, so that whoever reads it next has it at once; its bytes. Raises RefusedError where it is late or
        broken."""
        if not request.can_read_body:
            return 0
        try:
            async with asyncio.timeout(self._body_s):
                body = await request.read()
        except TimeoutError:
            raise RefusedError(f"the body did not come within {self._body_s:g} s", status=408, code="request_timeout") from None
        except web.RequestPayloadError:
            raise RefusedError("the body is not as its headers say") from None
        if len(body) > MOST_PARTS and body.count(b"[") + body.count(b"{") > MOST_PARTS:
            raise RefusedError(f"the body has more than {MOST_PARTS:,} arrays and objects", status=413, code="request_too_large")
        return len(body)

    async def _describe(self, request: web.Request) -> web.Response:
        """``GET /openapi.json``"""
        paths = {resource.canonical for resource in request.app.router.resources()}
        return web.json_response(
            description(
                paths,
                forwards="/v1/embeddings" in paths,
                keys=bool(self.keys),
                open_pages=self.loopback,
                most_body_bytes=request.client_max_size,
            )
        )

    async def _dress(self, request: web.Request, response: web.StreamResponse) -> None:
        """The headers of every answer."""
        headers = response.headers
        headers["Server"] = "windtunnel"
        headers["X-Content-Type-Options"] = "nosniff"
        visit = request.get(VISIT)
        if visit is not None:
            headers["x-request-id"] = visit.record.id
            if visit.record.key:
                headers.update(self.allowances[visit.record.key].headers())
        if response.status == 401:
            headers["WWW-Authenticate"] = CHALLENGES["Bearer" if request.path.startswith("/v1") else "Basic"]
        headers.update(cors_headers(request.headers.get("Origin"), self.origins))

    def _collected(self) -> Iterable[Metric]:
        yield from self._requests.collect()
        yield from self._tokens.collect()
        if self.accounts is not None:
            yield CounterMetricFamily("windtunnel:accounts_lost", "Records that could not be written", value=self.accounts.lost)

    async def _close(self, app: web.Application) -> None:
        if self.accounts is not None:
            self.accounts.close()


class _Told(Collector):
    def __init__(self, collected: Callable[[], Iterable[Metric]]) -> None:
        self._collected = collected

    def collect(self) -> Iterable[Metric]:
        return self._collected()


def _given(request: web.Request) -> str:
    """The key that a request carries, as a client sends it or as a browser does; empty where it carries none."""
    scheme, _, said = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return said.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(said.strip(), validate=True).decode("utf-8", "surrogateescape").partition(":")[2]
        except (binascii.Error, ValueError):
            return ""
    return ""
