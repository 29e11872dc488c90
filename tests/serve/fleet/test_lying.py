"""Back ends that die, lie or stall: another answers where nothing was sent yet, else the client is told, and nothing leaks."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.serve.fleet.fake import Answer, Fake, ask, body, chunk, fleet, head, text_of

SECRET = "127.0.0.1"
SSE = "text/event-stream"


def raw(data: bytes, later: bytes = b"", *, stay: bool = False) -> Answer:
    """Writes bytes, more of them a moment later, and hangs up, or stays without a word."""

    async def answer(fake: Fake, asked: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        if later:
            await asyncio.sleep(0.05)
            writer.write(later)
            await writer.drain()
        if stay:
            await asyncio.sleep(30)
        writer.close()

    return answer


async def endless(fake: Fake, asked: dict[str, Any], writer: asyncio.StreamWriter) -> None:
    """A line that never ends."""
    writer.write(head(200, SSE) + b"data: {")
    while not writer.is_closing():
        writer.write(b"x" * 65536)
        await writer.drain()


async def comments(fake: Fake, asked: dict[str, Any], writer: asyncio.StreamWriter) -> None:
    """Alive, and never a token."""
    writer.write(head(200, SSE))
    while not writer.is_closing():
        writer.write(b": still here\n\n")
        await writer.drain()
        await asyncio.sleep(0.02)


TRACE = 'Traceback (most recent call last):\n  File "/srv/secret.py", line 1'
BEFORE: dict[str, Answer] = {
    "reset at once": raw(b""),
    "no HTTP": raw(b"hello there\r\n\r\n"),
    "header bomb": raw(b"HTTP/1.1 200 OK\r\n" + b"X-A: " + b"a" * 100_000 + b"\r\n\r\n"),
    "shorter than it says": raw(head(200, SSE, Content_Length="5000") + chunk("m", None)),
    "role and no more": raw(head(200, SSE) + chunk("m", None)),
    "garbage for a token": raw(head(200, SSE) + b'data: {"choices": [\n\n'),
    "no choices": raw(head(200, SSE) + b'data: {"hello": 1}\n\n'),
    "JSON for a stream": raw(body(200, {"choices": []})),
    "an error under 200": raw(body(200, {"error": {"message": "boom", "code": 500}})),
    "an error event": raw(head(200, SSE) + b'data: {"error": {"message": "boom", "code": 503}}\n\ndata: [DONE]\n\n'),
    "llama.cpp's error": raw(head(200, SSE) + b'error: {"message": "boom", "code": 500}\n\n'),
    "only the end": raw(head(200, SSE) + b"data: [DONE]\n\n"),
    "gzip unasked": raw(head(200, SSE, Content_Encoding="gzip") + b"\x1f\x8b\x08"),
    "redirect": raw(head(307, Location="http://169.254.169.254/", Content_Length="0")),
    "500": raw(body(500, TRACE.encode())),
    "502": raw(body(502, b"<html>nginx</html>")),
    "503": raw(body(503, {"error": {"message": "loading"}})),
    "429": raw(body(429, {"error": {"message": "slow down"}})),
    "401": raw(body(401, {"error": {"message": f"bad key for {SECRET}"}})),
    "404": raw(body(404, {"detail": "Not Found"})),
    "stall": raw(b"", stay=True),
    "head and stall": raw(head(200, SSE), stay=True),
    "comments": comments,
    "endless line": endless,
}


@pytest.mark.parametrize("lie", BEFORE)
def test_what_fails_before_the_first_token_is_answered_by_another(lie: str) -> None:
    async def run() -> None:
        fakes = {"liar": Fake(BEFORE[lie]), "honest": Fake()}
        async with fleet(fakes, entries={"honest": {"price_per_h": 1e6}}, first_token=0.3, whole=1.0) as running:
            for _ in range(3):
                status, events = await running.streamed(ask(max_tokens=3))
                assert (status, text_of(events)) == (200, "word0 word1 word2 ")
            assert fakes["liar"].asked, "it was never tried"
            told = await running.status()
            assert told["totals"]["failed"] >= 1
            assert told["errors"][0]["done"] == "tried again"

    asyncio.run(run())


@pytest.mark.parametrize("lie", BEFORE)
def test_where_nobody_else_is_there_the_client_gets_an_error_and_nothing_leaks(lie: str) -> None:
    async def run() -> None:
        async with fleet({"liar": Fake(BEFORE[lie])}, retries=0, first_token=0.3, whole=1.0) as running:
            status, events = await running.streamed(ask(max_tokens=3))
            error = events[0]["error"]
            assert status in (429, 502, 503, 504)
            assert set(error) == {"message", "type", "param", "code"}
            assert SECRET not in error["message"]
            assert "Traceback" not in error["message"]
            assert "secret.py" not in json.dumps(events)

    asyncio.run(run())


GOOD = head(200, SSE) + chunk("m", None) + chunk("m", "one ") + chunk("m", "two ")
AFTER: dict[str, tuple[Answer, int]] = {
    "hangs up": (raw(GOOD), 502),
    "half an event": (raw(GOOD, b'data: {"id": "chatcmpl-1", "cho'), 502),
    "shorter than it says": (raw(GOOD.replace(b"\r\n\r\n", b"\r\nContent-Length: 90000\r\n\r\n", 1)), 502),
    "stalls": (raw(GOOD, stay=True), 504),
    "an error event": (raw(GOOD, b'data: {"error": {"message": "boom", "code": 500}}\n\n'), 502),
    "garbage": (raw(GOOD, b"data: {{{\n\n"), 502),
}


@pytest.mark.parametrize("lie", AFTER)
def test_what_breaks_after_tokens_were_sent_is_told_in_the_stream(lie: str) -> None:
    answer, status = AFTER[lie]

    async def run() -> None:
        async with fleet({"liar": Fake(answer), "honest": Fake()}, entries={"honest": {"price_per_h": 1e6}}) as running:
            for _ in range(6):
                sent, events = await running.streamed(ask(max_tokens=3))
                assert sent == 200
                if "error" in events[-1]:
                    break
            assert events[-1]["error"]["code"] == {502: "bad_gateway", 504: "timeout"}[status]
            assert text_of(events[:-1]) == "one two "
            told = await running.status()
            assert told["errors"][-1]["done"] == "told the client"

    asyncio.run(run())


WHOLE: dict[str, Answer] = {
    "not JSON": raw(body(200, b"hello")),
    "cut": raw(head(200, Content_Length="900") + b'{"choices": [{'),
    "longer than it says": raw(head(200, Content_Length="10") + json.dumps({"choices": [{}]}).encode()),
    "an array": raw(body(200, [])),
    "no choices": raw(body(200, {"id": 1})),
    "an error under 200": raw(body(200, {"error": {"message": "boom", "code": 503}})),
    "stall": raw(b"", stay=True),
    "deep": raw(body(200, b"[" * 100_000)),
}


@pytest.mark.parametrize("lie", WHOLE)
def test_answers_that_are_not_streamed_are_held_to_the_same(lie: str) -> None:
    async def run() -> None:
        fakes = {"liar": Fake(WHOLE[lie]), "honest": Fake()}
        async with fleet(fakes, entries={"honest": {"price_per_h": 1e6}}, whole=0.4) as running:
            for _ in range(2):
                async with running.post(ask(max_tokens=2)) as answer:
                    assert (answer.status, (await answer.json())["choices"][0]["message"]["content"]) == (200, "word word")
            assert fakes["liar"].asked, "it was never tried"
        async with fleet({"liar": fakes["liar"]}, whole=0.4, retries=1) as running, running.post(ask()) as answer:
            told = await answer.json()
            assert answer.status in (502, 503, 504)
            assert SECRET not in json.dumps(told)

    asyncio.run(run())


def test_what_the_client_did_wrong_is_told_as_the_engine_says_it_and_is_not_tried_twice() -> None:
    async def run() -> None:
        wrong = {"error": {"message": "'org/big' takes 4096 tokens", "type": "BadRequestError", "param": "messages", "code": 400}}
        fakes = {name: Fake(raw(body(400, wrong)), model="org/big") for name in ("a", "b")}
        async with fleet(fakes, entries={name: {"alias": "m"} for name in fakes}) as running:
            for _ in range(10):
                status, events = await running.streamed(ask())
                assert status == 400
                assert events[0]["error"] == {
                    "message": "'m' takes 4096 tokens", "type": "BadRequestError", "param": "messages", "code": "400",
                }  # fmt: skip
            assert sum(len(fake.asked) for fake in fakes.values()) == 10
            told = await running.status()
            assert [backend["circuit"] for backend in told["backends"]] == ["closed", "closed"]

    asyncio.run(run())


def test_a_client_that_hangs_up_ends_the_work_at_the_back_end() -> None:
    async def run() -> None:
        fake = Fake(gap_s=0.05)
        async with fleet({"a": fake}) as running:
            answer = await running.post(ask(max_tokens=1000, stream=True))
            await answer.content.readany()
            answer.close()
            for _ in range(100):
                await asyncio.sleep(0.02)
                if not fake.open:
                    break
            assert fake.open == 0
            told = await running.status()
            assert (told["totals"]["in_flight"], told["backends"][0]["abandoned"]) == (0, 1)

    asyncio.run(run())
