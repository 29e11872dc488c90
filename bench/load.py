"""A fast back end and an open-loop load of raw ``asyncio.Protocol``, since each takes a share of the machine that is measured.

Requests come at random (Poisson), and their times count from when they were due, not from when they were sent. As a command:
``python -m bench.load PORT TOKENS GAP_S`` is a back end that says its port.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TOKENS, GAP_S = 10, 0.01
"""Of a streamed answer, where nothing else is said."""
PROMPT = "the wind blows where it will " * 30
MODEL = "m"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\n%s\r\n\r\n"
USAGE = {"prompt_tokens": 200, "completion_tokens": TOKENS, "total_tokens": 200 + TOKENS}


def new_loop() -> asyncio.AbstractEventLoop:
    """uvloop's where it is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


# the back end


def _event(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    told = {"id": "chatcmpl-0", "object": "chat.completion.chunk", "created": 1, "model": MODEL, "choices": [choice]}
    data = b"data: " + json.dumps(told, separators=(",", ":")).encode() + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(data), data)


def _answer() -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": "w " * TOKENS}, "finish_reason": "length"}
    told = {"id": "chatcmpl-0", "object": "chat.completion", "created": 1, "model": MODEL, "choices": [choice], "usage": USAGE}
    return _json(json.dumps(told).encode())


def _end() -> bytes:
    told = {"id": "chatcmpl-0", "object": "chat.completion.chunk", "created": 1, "model": MODEL, "choices": [], "usage": USAGE}
    data = b"data: " + json.dumps(told).encode() + b"\n\ndata: [DONE]\n\n"
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data)


def _json(data: bytes) -> bytes:
    return HEAD % (b"application/json", b"Content-Length: %d" % len(data)) + data


class BackEnd(asyncio.Protocol):
    """Answers at once; a stream token by token."""

    whole = _answer()
    begin = HEAD % (b"text/event-stream", b"Transfer-Encoding: chunked") + _event({"role": "assistant", "content": ""})
    token, last = _event({"content": "w "}), _event({"content": "w "}, "length") + _end()
    health = _json(b"{}")
    models = _json(json.dumps({"object": "list", "data": [{"id": MODEL}]}).encode())

    def __init__(self, loop: asyncio.AbstractEventLoop, tokens: int, gap_s: float) -> None:
        self.loop, self.data, self.tokens, self.gap_s = loop, b"", tokens, gap_s

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.data += data
        while (at := self.data.find(b"\r\n\r\n")) >= 0:
            head = self.data[:at]
            found = head.lower().find(b"content-length:")
            length = int(head[found + 15 :].split(b"\r\n", 1)[0]) if found >= 0 else 0
            if len(self.data) < at + 4 + length:
                return
            body, self.data = self.data[at + 4 : at + 4 + length], self.data[at + 4 + length :]
            if head.startswith(b"GET"):
                self.transport.write(self.models if b"models" in head.split(b"\r\n", 1)[0] else self.health)
            elif b'"stream":true' in body or b'"stream": true' in body:
                self.transport.write(self.begin)
                self._token(self.tokens)
            else:
                self.transport.write(self.whole)

    def _token(self, left: int) -> None:
        self.transport.write(self.token if left > 1 else self.last)
        if left > 1:
            self.loop.call_later(self.gap_s, self._token, left - 1)


async def _serve(port: int, tokens: int, gap_s: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: BackEnd(loop, tokens, gap_s), "127.0.0.1", port, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def back_end_command(port: int = 0, tokens: int = TOKENS, gap_s: float = GAP_S) -> list[str]:
    """What runs a back end that says its port."""
    return [sys.executable, "-m", "bench.load", str(port), str(tokens), str(gap_s)]


# the load


class Client(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, load: Load) -> None:
        self.load, self.data, self.due, self.first = load, b"", 0.0, 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def ask(self, due: float) -> None:
        self.data, self.due, self.first = b"", due, 0.0
        self.transport.write(self.load.request)

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        self.data += data
        if not self.first and (b'"content":"w' in self.data or b'"content": "w' in self.data):
            self.first = now
        if self.load.stream:
            done = self.data.endswith(b"\r\n0\r\n\r\n")
        else:
            head, found, body = self.data.partition(b"\r\n\r\n")
            at = head.lower().find(b"content-length:")
            done = bool(found) and at >= 0 and len(body) >= int(head[at + 15 :].split(b"\r\n", 1)[0])
        if done:
            good = self.data.startswith(b"HTTP/1.1 200") and bool(self.first)
            told = good and b'"error"' in self.data
            self.load.told += told
            self.load.over(self, now, good and not told)

    def connection_lost(self, error: Exception | None) -> None:
        if self.due:
            self.load.over(self, time.perf_counter(), good=False, lost=True)
        elif self in self.load.idle:
            self.load.idle.remove(self)


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds from when a request was due, sorted: to the first token, and to the end. failed: requests without an answer;
    told: streams that broke and ended with an error."""

    first: list[float]
    whole: list[float]
    failed: int
    told: int

    def at(self, share: float, *, first: bool) -> float:
        of = self.first if first else self.whole
        return of[min(int(share * len(of)), len(of) - 1)] if of else float("inf")


class Load:
    """Requests to one port."""

    def __init__(self, port: int, stream: bool) -> None:
        body = {"model": MODEL, "messages": [{"role": "user", "content": PROMPT}], "max_tokens": TOKENS}
        data = json.dumps({**body, "stream": True} if stream else body).encode()
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer sk-any\r\nContent-Length: {len(data)}\r\n\r\n"
        )
        self.request, self.stream, self.port = head.encode() + data, stream, port
        self.idle: list[Client] = []
        self.all: set[Client] = set()
        self.first: list[float] = []
        self.whole: list[float] = []
        self.failed = self.flying = self.told = 0

    def over(self, client: Client, now: float, good: bool, lost: bool = False) -> None:
        self.flying -= 1
        if good:
            self.first.append(client.first - client.due)
            self.whole.append(now - client.due)
        else:
            self.failed += 1
        client.due = 0.0
        if not lost:
            self.idle.append(client)

    async def _new(self) -> Client:
        _, client = await asyncio.get_running_loop().create_connection(lambda: Client(self), "127.0.0.1", self.port)
        self.all.add(client)
        return client

    async def _late(self, due: float) -> None:
        try:
            client = await self._new()
        except OSError:
            self.flying -= 1
            self.failed += 1
            return
        client.ask(due)

    async def run(self, rate: float, seconds: float, seed: int) -> Times:
        chance = random.Random(seed)
        self.idle = [await self._new() for _ in range(32)]
        tasks = set()
        begun = time.perf_counter() + 0.05
        at = 0.0
        while at < seconds:
            due = begun + at
            wait = due - time.perf_counter()
            if wait > 0.0:
                await asyncio.sleep(wait)
            self.flying += 1
            if self.idle:
                self.idle.pop().ask(due)
            else:
                task = asyncio.create_task(self._late(due))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            at += chance.expovariate(rate)
        until = time.perf_counter() + 15.0
        while self.flying and time.perf_counter() < until:
            await asyncio.sleep(0.02)
        failed = self.failed + self.flying - self.told
        for client in self.all:
            client.transport.abort()
        await asyncio.sleep(0.05)
        return Times(sorted(self.first), sorted(self.whole), failed, self.told)


def run(port: int, rate: float, seconds: float, seed: int, *, stream: bool) -> Times:
    """What a load comes to. rate: requests per second."""
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(Load(port, stream).run(rate, seconds, seed))


# processes


def environment_here() -> dict[str, str]:
    """This one, in which ``bench`` and ``windtunnel`` are found."""
    root = Path(__file__).resolve().parents[1]
    paths = [str(root / "src"), str(root), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}


@contextmanager
def process_of(command: list[str], **more: object) -> Iterator[subprocess.Popen[str]]:
    """A process that is ended at the end. more: of its environment."""
    environment = environment_here() | {str(k): str(v) for k, v in more.items()}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(_serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
