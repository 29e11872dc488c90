"""The HTTP side: routes, streams, limits, and what becomes of clients that hang up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

from aiohttp import web

from windtunnel.serve.api import account
from windtunnel.serve.api.answers import DONE, Choice, Usage, Writer, model_body
from windtunnel.serve.api.asked import Asked, read_asked, read_body
from windtunnel.serve.api.backend import Backend, Generation, Piece
from windtunnel.serve.api.metrics import Metrics, Watch
from windtunnel.serve.api.refusal import RefusedError, overloaded, unknown_model
from windtunnel.serve.api.refusing import error_event, of_exception, refusals
from windtunnel.serve.api.status import Status
from windtunnel.serve.door.door import REGISTRY
from windtunnel.serve.door.visit import visit_of

MOST_BODY_BYTES = 32 * 1024**2
"""A prompt of a million tokens is about 5 MB of text, or 8 MB of token ids."""


class Api:
    """The routes over one back end. place: where it runs, or is simulated to, for the page."""

    def __init__(self, backend: Backend, metrics: Metrics, *, place: str = "") -> None:
        self.backend, self.metrics = backend, metrics
        self.status = Status(backend, place)

    def app(self, most_body_bytes: int = MOST_BODY_BYTES) -> web.Application:
        """What aiohttp serves. Closing it closes the back end."""
        app = web.Application(client_max_size=most_body_bytes, middlewares=[refusals(self._count)])
        app[REGISTRY] = self.metrics.registry
        app.router.add_get("/v1/models", self.models)
        app.router.add_get("/v1/models/{id:.+}", self.model)
        app.router.add_post("/v1/chat/completions", self.chat)
        app.router.add_post("/v1/completions", self.completion)
        app.router.add_get("/health", self.health)
        app.router.add_get("/metrics", self.page)
        app.router.add_get("/fleet/status", self.told)

        async def close(_: web.Application) -> None:
            await self.backend.close()

        app.on_cleanup.append(close)
        return app

    def _count(self, status: int) -> None:
        self.metrics.refused.labels(str(status)).inc()

    async def models(self, request: web.Request) -> web.Response:
        """``GET /v1/models``"""
        return web.json_response({"object": "list", "data": [model_body(model) for model in self.backend.models()]})

    async def model(self, request: web.Request) -> web.Response:
        """``GET /v1/models/ID``"""
        wanted = request.match_info["id"]
        for model in self.backend.models():
            if model.id == wanted:
                return web.json_response(model_body(model))
        raise unknown_model(wanted, (model.id for model in self.backend.models()))

    async def health(self, request: web.Request) -> web.Response:
        """``GET /health``: 200, or 503 with the reason."""
        why = self.backend.ill()
        if why:
            raise overloaded(why)
        return web.json_response({"status": "ok"})

    async def page(self, request: web.Request) -> web.Response:
        """``GET /metrics``"""
        return web.Response(body=self.metrics.page(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def told(self, request: web.Request) -> web.Response:
        """``GET /fleet/status``"""
        return web.json_response(self.status.body())

    async def chat(self, request: web.Request) -> web.StreamResponse:
        """``POST /v1/chat/completions``"""
        return await self._answer(request, chat=True)

    async def completion(self, request: web.Request) -> web.StreamResponse:
        """``POST /v1/completions``"""
        return await self._answer(request, chat=False)

    async def _answer(self, request: web.Request, *, chat: bool) -> web.StreamResponse:
        if (request.content_length or 0) > request.client_max_size:
            raise web.HTTPRequestEntityTooLarge(request.client_max_size, request.content_length or 0)
        asked = read_asked(read_body(await request.read()), chat=chat)
        served = [model.id for model in self.backend.models()]
        if asked.model not in served:
            raise unknown_model(asked.model, served)
        why = self.backend.ill()
        if why:
            raise overloaded(why)
        visit = visit_of(request)
        account.hold(visit, asked)
        self.status.begun()
        async with AsyncExitStack() as open_ones:
            watches: list[Watch] = []
            generations: list[Generation] = []
            try:
                for prompt in asked.prompts:
                    for choice in range(asked.choices):
                        watches.append(Watch(self.metrics, asked.model))
                        generation = await self.backend.generate(asked, prompt, choice)
                        open_ones.push_async_callback(generation.aclose)
                        generations.append(generation)
                pieces = _merged(generations)
                open_ones.push_async_callback(pieces.aclose)  # before them: it follows each in a task of its own
                writer = Writer(asked, int(time.time()))
                if asked.stream:
                    return await self._stream(request, writer, generations, watches, pieces)
                return await self._whole(asked, writer, generations, watches, pieces)
            except (asyncio.CancelledError, ConnectionError):
                self.metrics.left.labels(asked.model).inc()
                raise
            except RefusedError as refusal:
                self.status.refused(refusal)
                raise
            finally:
                self.status.ended(watches)
                account.write(visit.record, asked, generations, watches)

    async def _whole(
        self,
        asked: Asked,
        writer: Writer,
        generations: Sequence[Generation],
        watches: Sequence[Watch],
        pieces: AsyncIterator[tuple[int, Piece]],
    ) -> web.Response:
        choices = [Choice(_echoed(asked, index)) for index in range(len(generations))]
        async for index, piece in pieces:
            choices[index].take(piece)
            watches[index].piece(piece.tokens)
            if piece.finish:
                watches[index].end(generations[index].prompt_tokens, piece.finish)
        usage = self._usage(asked, generations, sum(choice.tokens for choice in choices))
        return web.json_response(writer.whole(choices, usage))

    async def _stream(
        self,
        request: web.Request,
        writer: Writer,
        generations: Sequence[Generation],
        watches: Sequence[Watch],
        pieces: AsyncIterator[tuple[int, Piece]],
    ) -> web.StreamResponse:
        asked = writer.asked
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        )
        first = await anext(pieces, None)  # whoever makes the tokens may refuse until then, and the status tells it
        await response.prepare(request)
        begun = [False] * len(generations)
        try:
            async for index, piece in _after(first, pieces):
                watches[index].piece(piece.tokens)
                if asked.echo and not begun[index]:
                    piece = replace(piece, text=_echoed(asked, index) + piece.text)
                await response.write(writer.event(index, piece, first=not begun[index]))
                begun[index] = True
                if piece.finish:
                    watches[index].end(generations[index].prompt_tokens, piece.finish)
            if asked.usage_in_stream:
                made = sum(watch.tokens for watch in watches)
                await response.write(writer.usage_event(self._usage(asked, generations, made)))
        except ConnectionError:
            raise
        except Exception as error:  # the status is sent already: the stream itself has to tell
            refusal = of_exception(request, error)
            self._count(refusal.status)
            self.status.refused(refusal)
            record = visit_of(request).record
            record.status, record.error, record.finish = refusal.status, str(refusal), "error"
            await response.write(error_event(refusal))
        await response.write(DONE)
        await response.write_eof()
        return response

    @staticmethod
    def _usage(asked: Asked, generations: Sequence[Generation], made: int) -> Usage:
        """Each prompt counts once, however many answers it has."""
        each = generations[:: asked.choices]
        return Usage(sum(g.prompt_tokens for g in each), sum(g.cached_tokens for g in each), made)


def _echoed(asked: Asked, index: int) -> str:
    return asked.prompts[index // asked.choices].text if asked.echo else ""


async def _after(first: tuple[int, Piece] | None, rest: AsyncIterator[tuple[int, Piece]]) -> AsyncIterator[tuple[int, Piece]]:
    if first is not None:
        yield first
        async for found in rest:
            yield found


async def _merged(generations: Sequence[Generation]) -> AsyncGenerator[tuple[int, Piece]]:
    """The pieces of all, as they come, each with whose it is."""
    if len(generations) == 1:
        async for piece in generations[0]:
            yield 0, piece
        return
    pieces: asyncio.Queue[tuple[int, Piece | None]] = asyncio.Queue()

    async def follow(index: int, generation: Generation) -> None:
        try:
            async for piece in generation:
                pieces.put_nowait((index, piece))
        finally:
            pieces.put_nowait((index, None))

    tasks = [asyncio.create_task(follow(index, generation)) for index, generation in enumerate(generations)]
    try:
        left = len(tasks)
        while left:
            index, got = await pieces.get()
            if got is None:
                left -= 1
                await tasks[index]  # its error is ours
            else:
                yield index, got
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
