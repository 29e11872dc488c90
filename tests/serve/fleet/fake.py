"""Back ends that are not there: small servers of raw bytes, which behave or lie as they are told; and a router over them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientSession, ClientTimeout
from aiohttp.test_utils import TestServer

from windtunnel.serve.door.door import Door
from windtunnel.serve.fleet.file import BackendEntry, Limits
from windtunnel.serve.fleet.router import Router

CHAT = "/v1/chat/completions"
Answer = Callable[["Fake", dict[str, Any], asyncio.StreamWriter], Awaitable[None]]
QUICK: dict[str, Any] = {
    "connect": 0.5,
    "first_token": 1.0,
    "between_tokens": 0.5,
    "whole": 3.0,
    "queue_time": 1.0,
    "health_every": 0.1,
}


def chunk(model: str, text: str | None, finish: str | None = None, **more: Any) -> bytes:
    delta = {"role": "assistant", "content": ""} if text is None else {"content": text}
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    told = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model, "choices": [choice], **more}
    return b"data: " + json.dumps(told).encode() + b"\n\n"


def usage_chunk(model: str, prompt: int, made: int) -> bytes:
    usage = {"prompt_tokens": prompt, "completion_tokens": made, "total_tokens": prompt + made}
    told = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model, "choices": [], "usage": usage}
    return b"data: " + json.dumps(told).encode() + b"\n\n"


def head(status: int = 200, kind: str = "application/json", **headers: str) -> bytes:
    lines = [
        f"HTTP/1.1 {status} X",
        f"Content-Type: {kind}",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def body(status: int, told: Any, **headers: str) -> bytes:
    data = told if isinstance(told, bytes) else json.dumps(told).encode()
    return head(status, Content_Length=str(len(data)), **headers) + data


def part(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def answer_well(fake: Fake, asked: dict[str, Any], writer: asyncio.StreamWriter) -> None:
    """As vLLM does: a chunk with the role, one a token, the reason to end, usage where it is asked for, the end."""
    tokens, model = asked.get("max_tokens") or 4, asked["model"]
    usage = {"prompt_tokens": 7, "completion_tokens": tokens, "total_tokens": 7 + tokens}
    if not asked.get("stream"):
        await asyncio.sleep(fake.gap_s)
        message = {"role": "assistant", "content": " ".join(["word"] * tokens)}
        choices = [{"index": 0, "message": message, "finish_reason": "length"}]
        writer.write(body(200, {"id": "x", "object": "chat.completion", "model": model, "choices": choices, "usage": usage}))
        return
    writer.write(head(200, "text/event-stream; charset=utf-8", Transfer_Encoding="chunked"))
    writer.write(part(chunk(model, None)))
    for n in range(tokens):
        await asyncio.sleep(fake.gap_s)
        writer.write(part(chunk(model, f"word{n} ", "length" if n == tokens - 1 else None)))
        await writer.drain()
    if (asked.get("stream_options") or {}).get("include_usage"):
        writer.write(part(usage_chunk(model, 7, tokens)))
    writer.write(part(b"data: [DONE]\n\n") + b"0\r\n\r\n")


@dataclass
class Fake:
    """A back end. answer: writes the answer to a request for tokens; asked: the bodies that came."""

    answer: Answer = answer_well
    model: str = "m"
    gap_s: float = 0.0
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[bytes] = field(default_factory=list)
    health: int = 200
    open: int = 0
    port: int = 0
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    async def start(self, port: int = 0) -> str:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", port or self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{self.port}"

    async def stop(self) -> None:
        """As a process that is killed: the port is closed, and every connection is reset."""
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                head_ = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (int(x.split(b":")[1]) for x in head_.split(b"\r\n") if x.lower().startswith(b"content-length:")), 0
                )
                sent = await reader.readexactly(length) if length else b""
                path = head_.split(b" ")[1].decode()
                if path == "/health":
                    writer.write(body(self.health, b""))
                elif path == "/v1/models":
                    writer.write(body(200, {"object": "list", "data": [{"id": self.model, "max_model_len": 4096}]}))
                else:
                    self.asked.append(json.loads(sent))
                    self.headers.append(head_)
                    self.open += 1
                    try:
                        await self.answer(self, self.asked[-1], writer)
                    finally:
                        self.open -= 1
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


@dataclass
class Running:
    """A router at an address, and what a client of it needs."""

    url: str
    router: Router
    session: ClientSession

    def post(self, told: Any, path: str = CHAT, **more: Any) -> Any:
        return self.session.post(f"{self.url}{path}", data=told if isinstance(told, bytes) else json.dumps(told), **more)

    async def streamed(self, told: dict[str, Any]) -> tuple[int, list[Any]]:
        """The status, and the events of a stream; a body that is none as one event."""
        async with self.post({**told, "stream": True}) as answer:
            text = (await answer.read()).decode()
            if answer.content_type != "text/event-stream":
                return answer.status, [json.loads(text)]
            assert text.endswith("data: [DONE]\n\n")
            return answer.status, [json.loads(event[6:]) for event in text.split("\n\n")[:-2]]

    async def status(self) -> Any:
        async with self.session.get(f"{self.url}/fleet/status") as answer:
            return await answer.json()


def entry(name: str, fake: Fake, **more: Any) -> BackendEntry:
    return BackendEntry(name, "url", f"http://127.0.0.1:{fake.port}", model=fake.model, **more)


@asynccontextmanager
async def fleet(
    fakes: dict[str, Fake], door: Door | None = None, entries: dict[str, Any] | None = None, **limits: Any
) -> AsyncIterator[Running]:
    """A router over the fakes. entries: more of each ``BackendEntry``."""
    for fake in fakes.values():
        await fake.start()
    more = entries or {}
    router = Router([entry(name, fake, **more.get(name, {})) for name, fake in fakes.items()], Limits(**{**QUICK, **limits}))
    app = router.app()
    (door or Door()).guard(app)
    server = TestServer(app)
    await server.start_server()
    try:
        async with ClientSession(timeout=ClientTimeout(total=20)) as session:
            yield Running(str(server.make_url("/")).rstrip("/"), router, session)
    finally:
        await server.close()
        for fake in fakes.values():
            await fake.stop()


def ask(words: str = "hello", **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": words}], **more}


def text_of(events: list[Any]) -> str:
    return "".join(event["choices"][0]["delta"].get("content") or "" for event in events if event.get("choices"))
