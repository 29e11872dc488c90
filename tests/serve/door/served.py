"""An endpoint behind its door, on a real socket, and a client that writes bytes as it likes."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from windtunnel.serve.api.app import Api
from windtunnel.serve.api.asked import Asked, Prompt
from windtunnel.serve.api.backend import Generation, Model, Piece
from windtunnel.serve.api.metrics import Metrics
from windtunnel.serve.door.door import Door
from windtunnel.serve.fleet.file import BackendEntry, Limits
from windtunnel.serve.fleet.router import Router
from windtunnel.serve.server import serve


class Counting:
    """Answers with as many words as it is asked for, ``gap_s`` apart."""

    def __init__(self, gap_s: float = 0.0, word: str = "word ") -> None:
        self.gap_s, self.word = gap_s, word
        self.under_way = 0

    def models(self) -> tuple[Model, ...]:
        return (Model("m", 1_700_000_000, "tests"),)

    async def generate(self, asked: Asked, prompt: Prompt, choice: int = 0) -> Generation:
        self.under_way += 1
        return Words(self, asked.most_tokens or 3, len(prompt.text.split()) or len(prompt.ids))

    def ill(self) -> str:
        return ""

    async def close(self) -> None:
        assert self.under_way == 0


class Words:
    def __init__(self, of: Counting, most: int, prompt_tokens: int) -> None:
        self.of, self.most, self.prompt_tokens, self.cached_tokens = of, most, prompt_tokens, 0

    async def __aiter__(self) -> AsyncIterator[Piece]:
        for i in range(self.most):
            await asyncio.sleep(self.of.gap_s)
            yield Piece(self.of.word, 1, "length" if i == self.most - 1 else "")

    async def aclose(self) -> None:
        self.of.under_way -= 1


@dataclass
class Answer:
    """One answer as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        told = json.loads(self.body)["error"]
        assert set(told) == {"message", "type", "param", "code"}
        return dict(told)


Front = Callable[..., contextlib.AbstractAsyncContextManager[web.Application]]


@contextlib.asynccontextmanager
async def api(backend: Counting, **options: int) -> AsyncIterator[web.Application]:
    """The front that makes its own answers."""
    yield Api(backend, Metrics()).app(**options)


@contextlib.asynccontextmanager
async def fleet(backend: Counting, **options: int) -> AsyncIterator[web.Application]:
    """The front before engines: here one, which is the other front."""
    runner = web.AppRunner(Api(backend, Metrics()).app(), handler_cancellation=True, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        entry = BackendEntry("a", "url", f"http://127.0.0.1:{runner.addresses[0][1]}")
        yield Router([entry], Limits()).app(**options)
    finally:
        await runner.cleanup()


def at_the_door(
    front: Front, door: Door, body: Callable[[int], Awaitable[None]], backend: Counting | None = None, **options: int
) -> None:
    """Serves while ``body`` runs, which gets the port; nothing is left over afterwards."""

    async def run() -> None:
        async with front(backend or Counting(), **options) as app:
            await behind(app)
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert not left

    async def behind(app: web.Application) -> None:
        stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(serve(app, "127.0.0.1", 0, lambda url: ready.set_result(url), door=door, stop=stop))
        await asyncio.wait([ready, serving], return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            await serving
        try:
            await body(int(ready.result().rpartition(":")[2]))
        finally:
            stop.set()
            await asyncio.wait_for(serving, 10)

    asyncio.run(run())


def request(method: str = "GET", path: str = "/v1/models", body: Any = None, **headers: str) -> bytes:
    """The bytes of a request. A header ``X_Y`` is ``X-Y``."""
    sent = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = {"Host": "localhost", "Connection": "close", **{name.replace("_", "-"): value for name, value in headers.items()}}
    if body is not None:
        lines = {"Content-Type": "application/json", "Content-Length": str(len(sent)), **lines}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("utf-8", "surrogateescape") + sent


async def raw(port: int, sent: bytes, wait_s: float = 8.0) -> bytes:
    """Everything that comes back until the other side closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.suppress(ConnectionError):
        writer.write(sent)
        await writer.drain()
    got = b""
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(wait_s):
            while more := await reader.read(65_536):
                got += more
    writer.close()
    return got


def parsed(got: bytes) -> Answer:
    head, _, body = got.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    return Answer(int(status.split()[1]), dict(line.lower().split(": ", 1) for line in lines), body)


async def ask(port: int, method: str = "GET", path: str = "/v1/models", body: Any = None, **headers: str) -> Answer:
    """One request with a connection of its own."""
    return parsed(await raw(port, request(method, path, body, **headers)))
