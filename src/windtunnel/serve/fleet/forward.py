"""One request on its way through the fleet: a try at a back end, its answer passed on as it comes, its times and tokens noted."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import aiohttp
from aiohttp import web

from windtunnel.serve.api.answers import DONE
from windtunnel.serve.api.refusal import RefusedError
from windtunnel.serve.api.refusing import error_event
from windtunnel.serve.door.visit import Visit
from windtunnel.serve.fleet.admission import Grant
from windtunnel.serve.fleet.asked import Asked
from windtunnel.serve.fleet.events import BrokenStreamError, Events, renames
from windtunnel.serve.fleet.failure import FailedError, hold_s, of_event, of_status, too_slow
from windtunnel.serve.fleet.file import Limits
from windtunnel.serve.fleet.health import reason
from windtunnel.serve.steer.steering import Steering

MOST_ANSWER_BYTES = 64 * 1024**2
MOST_ERROR_BYTES = 64 * 1024
LINGER_S = 0.5
"""How long the end of an answer is waited for once all of it was said, so that the connection can be used again."""
STREAM_HEADERS = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


class ClientLeftError(Exception):
    """The client is gone, or reads nothing any more."""


class Forwarding:
    """What is known of one request. response: what was begun towards the client; None while another back end may still try."""

    __slots__ = ("asked", "limits", "lingers", "pieces", "request", "response", "session", "steering", "visit", "writing")

    def __init__(
        self,
        request: web.Request,
        asked: Asked,
        visit: Visit,
        *,
        session: aiohttp.ClientSession,
        steering: Steering,
        limits: Limits,
    ) -> None:
        self.request, self.asked, self.visit = request, asked, visit
        self.session, self.steering, self.limits = session, steering, limits
        self.response: web.StreamResponse | None = None
        self.writing = self.lingers = False
        self.pieces = 0

    async def attempt(self, grant: Grant) -> web.StreamResponse:
        """The answer of a back end, passed on. Raises FailedError, or ClientLeftError."""
        endpoint, asked, limits = grant.endpoint, self.asked, self.limits
        model = endpoint.names.get(asked.model, asked.model)
        upstream: aiohttp.ClientResponse | None = None
        self.pieces = 0
        patience = limits.first_token if asked.stream else limits.whole
        try:
            async with asyncio.timeout(patience) as clock:
                upstream = await self.session.post(
                    endpoint.url(asked.path), data=asked.sent(model), headers=endpoint.headers, allow_redirects=False
                )
                if upstream.status != 200:
                    raise await self._refused(grant, upstream, model)
                if upstream.headers.get("Content-Encoding", "identity") != "identity":
                    raise FailedError("an encoding that was not asked for")
                if not asked.stream:
                    return await self._whole(grant, upstream, model)
                if upstream.content_type != "text/event-stream":
                    raise await self._no_stream(grant, upstream, model)
                return await self._streamed(grant, upstream, model, clock)
        except aiohttp.ConnectionTimeoutError:
            raise FailedError(
                "no connection in time", too_slow("the back end could not be reached in time"), at_once=True
            ) from None
        except TimeoutError:
            if self.writing:
                raise ClientLeftError from None
            raise self._late() from None
        except aiohttp.ClientConnectorError as error:
            raise FailedError(f"no connection: {reason(error)}", at_once=True) from None
        except BrokenStreamError as error:
            raise FailedError(f"a broken stream: {error}") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if self.writing:
                raise ClientLeftError from None
            raise FailedError(f"the connection broke: {type(error).__name__}") from None
        finally:
            if upstream is not None and not self.lingers:
                upstream.close()

    def _late(self) -> FailedError:
        if self.response is not None:
            return FailedError("stalled between tokens", too_slow("the back end stalled within its answer"))
        if self.asked.stream:
            return FailedError("no first token in time", too_slow("no back end gave a first token in time"))
        return FailedError("no answer in time", too_slow("no back end answered in time"))

    async def _refused(self, grant: Grant, upstream: aiohttp.ClientResponse, model: str) -> FailedError:
        if self.asked.what == "embeddings" and upstream.status in (404, 405, 501):
            told = RefusedError(f"no back end offers embeddings of '{self.asked.model[:200]}'", status=404, code="not_offered")
            return FailedError("offers no embeddings", told, blame=False)
        quiet_s = hold_s(upstream.headers, time.time())
        body = await _read(upstream, MOST_ERROR_BYTES)
        return of_status(upstream.status, body, quiet_s, grant.endpoint.secrets, (model, self.asked.model))

    async def _no_stream(self, grant: Grant, upstream: aiohttp.ClientResponse, model: str) -> FailedError:
        """A body that is no stream where one was asked for: an error under a status that hides it, or nonsense."""
        body = await _read(upstream, MOST_ERROR_BYTES)
        try:
            told = json.loads(body)
        except (ValueError, RecursionError):
            told = None
        if isinstance(told, dict) and isinstance(told.get("error"), dict):
            return of_event(told["error"], grant.endpoint.secrets, (model, self.asked.model))
        return FailedError(f"{upstream.content_type[:60]} in place of a stream")

    async def _whole(self, grant: Grant, upstream: aiohttp.ClientResponse, model: str) -> web.Response:
        body = await _read(upstream, MOST_ANSWER_BYTES)
        if len(body) >= MOST_ANSWER_BYTES:
            raise FailedError("an answer without an end")
        try:
            told = json.loads(body)
        except (ValueError, RecursionError):
            raise FailedError("an answer that is not JSON") from None
        if not isinstance(told, dict):
            raise FailedError("an answer that is no object")
        if isinstance(told.get("error"), dict):
            raise of_event(told["error"], grant.endpoint.secrets, (model, self.asked.model))
        if not isinstance(told.get("data" if self.asked.what == "embeddings" else "choices"), list):
            raise FailedError("an answer without choices")
        record = self.visit.record
        self._usage(told.get("usage"))
        finishes = [c.get("finish_reason") for c in told.get("choices", ()) if isinstance(c, dict)]
        record.finish = str(finishes[0])[:40] if finishes and finishes[0] else None
        self.pieces = record.completion_tokens or 0
        for old, new in renames(model, self.asked.model):
            body = body.replace(old, new)
        return web.Response(body=body, content_type="application/json")

    async def _streamed(
        self, grant: Grant, upstream: aiohttp.ClientResponse, model: str, clock: asyncio.Timeout
    ) -> web.StreamResponse:
        asked, limits, content, steering = self.asked, self.limits, upstream.content, self.steering
        events = Events((model, asked.model), hide_usage=not asked.usage_in_stream, choices=asked.answers)
        loop = asyncio.get_running_loop()
        must_end = loop.time() + limits.whole
        slack = 0.1 * limits.between_tokens
        set_at = 0.0
        out = b""
        response: web.StreamResponse | None = None
        first = last = 0.0
        heard = 1  # tokens of one answer that steering knows of, once the first is there
        while True:
            data = await content.readany()
            if not data:
                break
            out += events.feed(data)
            new = events.pieces - self.pieces
            if events.error is not None and response is None:
                raise of_event(events.error, grant.endpoint.secrets, (model, asked.model))
            self.pieces = events.pieces
            if new:
                last = time.perf_counter()
            if response is None:
                if not (new or events.finish):
                    continue  # a role, a comment: another may still answer in its place
                first = last = time.perf_counter()
                self.visit.record.ttft_s = round(first - self.visit.begun_s, 6)
                steering.first(grant.ticket)
                if grant.endpoint.breaker.began():
                    grant.endpoint.changed()
                response = self.response = web.StreamResponse(headers=STREAM_HEADERS)
                self.writing = True
                await response.prepare(self.request)
            each = int(events.pieces * grant.endpoint.tokens_a_piece) // asked.answers
            if each > heard:
                steering.tokens(grant.ticket, each - heard)
                heard = each
            if events.done:
                break  # the last events go with the end
            if out:
                self.writing = True
                await response.write(out)
                out = b""
            self.writing = False
            if events.error is not None:
                raise of_event(events.error, grant.endpoint.secrets, (model, asked.model))
            now = loop.time()
            if now > must_end:
                raise FailedError("not done in time", too_slow("the answer took longer than an answer may take"))
            if now > set_at + slack:  # moving the alarm costs more than a token does
                set_at = now
                clock.reschedule(min(now + slack + limits.between_tokens, must_end))
        if response is None:
            raise FailedError("a stream without an answer")
        self._account(events, first, last)
        if events.usage is not None and self.visit.record.completion_tokens is not None:
            grant.endpoint.streamed(self.pieces, self.visit.record.completion_tokens)
        if events.error is not None:
            await response.write(out)
            raise of_event(events.error, grant.endpoint.secrets, (model, asked.model))
        if not events.whole:
            raise FailedError("the stream ended before the answer did")
        await self._finish(response, out)
        self.writing = False
        if not upstream.closed:  # its end is on its way, and gives the connection back when it comes
            self.lingers = True
            loop.call_later(LINGER_S, upstream.close)
        return response

    async def _finish(self, response: web.StreamResponse, last: bytes = b"") -> None:
        self.writing = True
        await response.write_eof(last + DONE)

    async def broken(self, refusal: RefusedError) -> web.StreamResponse:
        """A stream whose status was sent already tells itself that it broke."""
        assert self.response is not None
        await self._finish(self.response, error_event(refusal))
        return self.response

    def _account(self, events: Events, first: float, last: float) -> None:
        """What the answer came to."""
        self._usage(events.usage)
        record = self.visit.record
        if record.completion_tokens is None:
            record.completion_tokens = self.pieces
        record.finish = events.finish or None
        each = record.completion_tokens / self.asked.answers
        if each > 1:
            record.tpot_s = round((last - first) / (each - 1), 6)

    def _usage(self, usage: Any) -> None:
        """Tokens as the back end counts them."""
        if not isinstance(usage, dict):
            return
        record, details = self.visit.record, usage.get("prompt_tokens_details")
        record.prompt_tokens = _count(usage.get("prompt_tokens"), record.prompt_tokens)
        record.completion_tokens = _count(usage.get("completion_tokens"), record.completion_tokens)
        if isinstance(details, dict):
            record.cached_tokens = _count(details.get("cached_tokens"), record.cached_tokens)


def _count(value: Any, otherwise: int | None) -> int | None:
    return value if type(value) is int and 0 <= value < 1 << 40 else otherwise


async def _read(upstream: aiohttp.ClientResponse, most: int) -> bytes:
    """The body, cut at ``most`` bytes."""
    parts, size = [], 0
    while size < most:
        data = await upstream.content.readany()
        if not data:
            break
        parts.append(data)
        size += len(data)
    return b"".join(parts)[:most]
