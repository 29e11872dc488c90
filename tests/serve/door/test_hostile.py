"""What clients do by mistake or on purpose: each gets an error in OpenAI's form or a closed connection, and costs nobody else."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import socket
from typing import Any

import pytest

from tests.serve.door.served import Counting, Front, api, ask, at_the_door, fleet, parsed, raw, request
from windtunnel.serve import server
from windtunnel.serve.door.door import Door
from windtunnel.serve.door.keys import Key, digest
from windtunnel.serve.door.limits import Limits

KEY = "wt-a-key-that-nobody-may-see"
COMPLETION = {"model": "m", "prompt": "a b", "max_tokens": 3}


@pytest.fixture(params=[api, fleet], ids=["api", "fleet"])
def front(request: pytest.FixtureRequest) -> Front:
    made: Front = request.param
    return made


def a_door(**options: Any) -> Door:
    return Door([Key("one", digest(KEY), Limits(tokens_per_min=10**9, most_in_flight=100), admin=True)], **options)


def post(body: Any, **headers: str) -> bytes:
    return request("POST", "/v1/completions", body, Authorization=f"Bearer {KEY}", **headers)


def chunked(*chunks: bytes, head: str = "Transfer-Encoding: chunked") -> bytes:
    return (
        f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {KEY}\r\n{head}\r\n\r\n"
    ).encode() + b"".join(chunks)


def at_rest(door: Door) -> None:
    allowance = door.allowances["one"]
    assert (allowance.in_flight, allowance.held, door._bodies_bytes) == (0, 0, 0)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n" * 4, 400),  # TLS to a plain port
        (b"what is this\r\n\r\n", 400),
        (b"GET /health HTTP/9.9\r\n\r\n", 400),
        (request(path="/" + "a" * 10_000), 400),
        (request(X_Long="a" * 100_000), 400),
        (request(**{f"X_{i}": "a" for i in range(2000)}), 400),
        (b"GET /health HTTP/1.1\r\nHost: a\r\n folded: b\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nHost: a\r\nName with space: b\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n", 400),
        (request("BREW", "/health"), 400),
        (request("TRACE", "/health", Authorization=f"Bearer {KEY}"), 405),
        (request("DELETE", "/v1/models", Authorization=f"Bearer {KEY}"), 405),
        (request("GET", "/v1/nothing", Authorization=f"Bearer {KEY}"), 404),
        (request("GET", "/%ff%fe/../%00", Authorization=f"Bearer {KEY}"), 404),
        (request("GET", "/\udcff\udcfe", Authorization=f"Bearer {KEY}"), 400),
        (request("GET", "/../../etc/passwd", Authorization=f"Bearer {KEY}"), 404),
        # a body that two parsers could end in two places
        (chunked(b"0\r\n\r\n", head="Transfer-Encoding: chunked\r\nContent-Length: 5"), 400),
        (chunked(b"0\r\n\r\n", head="Transfer-Encoding: xchunked"), 400),
        (chunked(b"0\r\n\r\n", head="Transfer-Encoding: chunked, chunked"), 400),
        (chunked(b"{}", head="Content-Length: 2\r\nContent-Length: 3"), 400),
        (chunked(b"{}", head="Content-Length: +2"), 400),
        (chunked(b"{}", head="Content-Length: -2"), 400),
        (chunked(b"zz\r\n{}\r\n0\r\n\r\n"), 400),
        (chunked(b"-2\r\n{}\r\n0\r\n\r\n"), 400),
        (chunked(b"2;" + b"a" * 100_000 + b"\r\n{}\r\n0\r\n\r\n"), 400),
        (post(gzip.compress(b"{}")[:-4], Content_Encoding="gzip"), 400),
        (post(b"not gzip at all", Content_Encoding="gzip"), 400),
        (post(b"{"), 400),
        (post(b"\xff\xfe{}"), 400),
        (post(b""), 400),
        (post(b"null"), 400),
        (post('{"model": "m", "prompt": "a"}'.encode("utf-16")), 400),
        (post(b'{"model": "m", "prompt": "\xed\xa0\x80"}'), 400),
        (post(b'{"model": "m", "prompt": "a", "max_tokens": NaN}'), 400),
        (post(b'{"model": "m", "prompt": "a", "max_tokens": 1e999}'), 400),
        (post(b'{"model": "m", "prompt": "a", "max_tokens": ' + b"9" * 10_000 + b"}"), 400),
        (post(b'{"a":' * 100_000), 400),
        (post(b'{"model": "m", "prompt": ' + b"[" * 900 + b"]" * 900 + b"}"), 400),
        (post(b"[" + b"[]," * 600_000 + b"[]]"), 400),
        (post(b"[" + b"[]," * 1_000_000 + b"[]]"), 413),
        (post({"model": "m", "prompt": ["a"] * 1025}), 400),
        (post({"model": "m", "prompt": ["a"] * 128, "n": 128}), 400),
        (post({"model": "m", "prompt": [2**31]}), 400),
        (post(b'{"model": "m", "prompt": "a", "n": ' + b"[" * 120 + b"]" * 120 + b"}"), 400),
        (post(b'{"model": "m", "prompt": "a", "user": ' + b"[" * 127 + b"]" * 127 + b"}"), 200),
        (post(b'{"model": "m", "prompt": "a", "user": ' + b"[" * 128 + b"]" * 128 + b"}"), 400),
        (post({"model": "m", "prompt": [1.0, 2], "max_tokens": 2.0}), 200),
        (post({"model": "\ud800", "prompt": "a"}), 400),
        (post({"model": "a" * 1_000_000, "prompt": "a"}), 400),
        (post({"model": "m", "prompt": "a", "n": "\ud800" * 100_000}), 400),
        (post({**COMPLETION, "prompt": "\ud800"}), 400),
        (post({**COMPLETION, "prompt": "\U0001f600 \\ud800"}), 200),
        (post({**COMPLETION, "prompt": "\x00\x1b[31m\u202e"}), 200),
        (post({**COMPLETION, "stop": "\ud800"}), 400),
        (chunked(b"2\r\n{}\r\n"), 408),
        (post(b"{}", Content_Length="100"), 408),
        (post(b"", Content_Length="104857600"), 413),
        (post(gzip.compress(bytes(64 * 1024**2)), Content_Encoding="gzip"), 413),
    ],
    ids=lambda value: repr(value[:60]) if isinstance(value, bytes) else str(value),
)
def test_each_gets_an_error_and_nothing_else(
    front: Front, sent: bytes, status: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "LINGER_S", 0.2)
    door = a_door(body_s=0.2)

    async def body(port: int) -> None:
        got = await raw(port, sent)
        answer = parsed(got)
        assert answer.status == status
        assert answer.headers["server"] == "windtunnel"
        if status != 200:
            assert answer.error["message"]
            assert len(answer.body) < 1000
        for secret in (KEY, "Traceback", "site-packages", "aiohttp", ".py"):
            assert secret not in got.decode("utf-8", "replace")
        assert (await ask(port, path="/health")).status == 200

    with caplog.at_level(logging.DEBUG):
        at_the_door(front, door, body)
    at_rest(door)
    assert KEY not in caplog.text
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_a_body_too_large_is_refused_before_it_has_come(front: Front) -> None:
    door = a_door()

    async def body(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(post(b"", Content_Length="104857600") + bytes(1000))
        async with asyncio.timeout(1.0):
            head = await reader.readuntil(b"\r\n\r\n")
        assert b" 413 " in head
        writer.close()

    at_the_door(front, door, body)


def test_a_body_without_an_end_is_read_no_further_than_allowed(front: Front) -> None:
    door = a_door()

    async def body(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(chunked())
        sent = 0
        try:
            while sent < 64 * 1024**2:
                writer.write(b"10000\r\n" + bytes(65_536) + b"\r\n")
                await writer.drain()
                sent += 65_536
                if reader._buffer:  # type: ignore[attr-defined]  # it has answered already
                    break
        except ConnectionError:
            pass
        assert sent < 32 * 1024**2
        assert b" 413 " in await reader.readuntil(b"\r\n")
        writer.close()

    at_the_door(front, door, body, most_body_bytes=1024**2)


def test_bodies_together_fill_no_more_memory_than_they_may(front: Front) -> None:
    door = a_door(most_bodies_bytes=3000)

    async def body(port: int) -> None:
        waiting = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        for _, writer in waiting:
            writer.write(post(b"", Content_Length="1400"))
            await writer.drain()
        await asyncio.sleep(0.1)
        refused = await ask(port, "POST", "/v1/completions", b" " * 1400, Authorization=f"Bearer {KEY}")
        assert (refused.status, refused.error["code"], refused.headers["retry-after"]) == (503, "overloaded", "1")
        assert (await ask(port, "POST", "/v1/completions", COMPLETION, Authorization=f"Bearer {KEY}")).status == 200
        for _, writer in waiting:
            writer.close()
        await asyncio.sleep(0.1)
        assert (await ask(port, "POST", "/v1/completions", b" " * 1400, Authorization=f"Bearer {KEY}")).status == 400

    at_the_door(front, door, body)
    at_rest(door)


def test_a_body_whose_length_was_not_told_counts_as_it_is_once_it_has_come(front: Front) -> None:
    """Else a few clients that send chunks would shut out everybody for as long as their answers take."""
    door = a_door(most_bodies_bytes=1024)
    sent = json.dumps({**COMPLETION, "max_tokens": 2000, "stream": True}).encode()

    async def body(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(chunked(b"%x\r\n%b\r\n0\r\n\r\n" % (len(sent), sent)))
        assert b" 200 " in await reader.readline()
        assert (await ask(port, "POST", "/v1/completions", COMPLETION, Authorization=f"Bearer {KEY}")).status == 200
        assert door._bodies_bytes == len(sent)
        writer.close()
        await asyncio.sleep(0.2)

    at_the_door(front, door, body, Counting(gap_s=0.01), most_body_bytes=1000)
    at_rest(door)


def test_headers_that_do_not_end_end_the_connection(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "IDLE_S", 0.3)
    door = a_door()

    async def drip(port: int, first: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(first)
        try:
            for _ in range(40):
                writer.write(b"X-A: b\r\n")
                await writer.drain()
                await asyncio.sleep(0.05)
                if reader.at_eof():
                    return b""
        except ConnectionError:
            return b""
        finally:
            writer.close()
        return b"still open"

    async def body(port: int) -> None:
        assert await drip(port, b"GET /health HTTP/1.1\r\n") == b""
        assert await raw(port, b"", wait_s=2.0) == b""
        kept = await raw(port, b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /health HTTP/1.1\r\n", wait_s=2.0)
        assert kept.count(b"HTTP/1.1 200") == 1

    at_the_door(front, door, body)


def test_requests_in_a_row_are_answered_in_their_order(front: Front) -> None:
    door = a_door()
    texts = [{**COMPLETION, "max_tokens": n} for n in range(1, 41)]

    async def body(port: int) -> None:
        sent = b"".join(post(text, Connection="keep-alive" if text is not texts[-1] else "close") for text in texts)
        got = await raw(port, sent)
        bodies = [json.loads(b"{" + part.split(b"\r\n\r\n{", 1)[1]) for part in got.split(b"HTTP/1.1 200 OK")[1:]]
        assert [answer["usage"]["completion_tokens"] for answer in bodies] == list(range(1, 41))

    at_the_door(front, door, body)
    at_rest(door)


def test_clients_that_hang_up_at_every_stage_leave_nothing_behind(front: Front) -> None:
    backend, door = Counting(gap_s=0.01), a_door()
    whole = post({**COMPLETION, "max_tokens": 1000})
    stream = post({**COMPLETION, "max_tokens": 1000, "stream": True})
    cuts = [0, 1, 20, whole.index(b"\r\n\r\n") + 4, len(whole) - 1, len(whole)]

    async def hang_up(port: int, sent: bytes, wait_s: float, *, reset: bool) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        await writer.drain()
        await asyncio.sleep(wait_s)
        if reset:
            # SO_LINGER 0: a reset in place of a close
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        writer.close()

    async def body(port: int) -> None:
        ends = [
            hang_up(port, whole[:cut], wait_s, reset=reset) for cut in cuts for wait_s in (0, 0.05) for reset in (False, True)
        ]
        ends += [hang_up(port, stream, wait_s, reset=reset) for wait_s in (0, 0.02, 0.1) for reset in (False, True)]
        await asyncio.gather(*ends)
        for _ in range(100):
            if not (backend.under_way or door.allowances["one"].in_flight):
                break
            await asyncio.sleep(0.02)
        assert backend.under_way == 0
        assert (await ask(port, path="/health")).status == 200

    at_the_door(front, door, body, backend)
    at_rest(door)


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="this system cannot be told")
def test_an_answer_that_nobody_reads_is_cut(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "UNREAD_S", 0.5)
    backend, door = Counting(word="w" * 100_000), a_door()

    async def body(port: int) -> None:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", port))
        sock.sendall(post({**COMPLETION, "max_tokens": 10_000, "stream": True}))
        await asyncio.sleep(0.2)
        assert backend.under_way == 1
        for _ in range(80):
            if not backend.under_way:
                break
            await asyncio.sleep(0.1)
        sock.close()
        assert backend.under_way == 0

    at_the_door(front, door, body, backend)
    at_rest(door)


def test_a_connection_too_many_is_closed(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MOST_CONNECTIONS", 3)

    async def body(port: int) -> None:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        await asyncio.sleep(0.05)
        assert await raw(port, request(path="/health")) == b""
        held[0][1].close()
        await asyncio.sleep(0.05)
        assert parsed(await raw(port, request(path="/health"))).status == 200
        for _, writer in held:
            writer.close()

    at_the_door(front, a_door(), body)
