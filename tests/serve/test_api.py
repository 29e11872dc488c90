"""The API over a back end that says what it is told: OpenAI's shapes, errors by their field, and clients that leave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import openai
import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from windtunnel.serve.api.app import Api
from windtunnel.serve.api.asked import Asked, Prompt
from windtunnel.serve.api.backend import Generation, Model, Piece
from windtunnel.serve.api.metrics import Metrics
from windtunnel.serve.api.refusal import RefusedError
from windtunnel.serve.door.accounts import Accounts
from windtunnel.serve.door.door import Door


class Saying:
    """Answers word by word with the prompt's own words; ``most_tokens`` of them at most."""

    def __init__(self, gap_s: float = 0.0, fail_after: int | None = None) -> None:
        self.gap_s, self.fail_after = gap_s, fail_after
        self.open = self.closed = 0
        self.sick = ""
        self.gone = False

    def models(self) -> tuple[Model, ...]:
        return (Model("echo/one", 1_700_000_000, "tests", 4096), Model("two", 1_700_000_000, "tests"))

    async def generate(self, asked: Asked, prompt: Prompt, choice: int = 0) -> Generation:
        if prompt.text == "no":
            raise RefusedError("no room", status=503, kind="server_error", code="overloaded", retry_after_s=3.0)
        self.open += 1
        return Words(self, prompt, asked.most_tokens)

    def ill(self) -> str:
        return self.sick

    async def close(self) -> None:
        self.gone = True


class Words:
    def __init__(self, of: Saying, prompt: Prompt, most: int | None) -> None:
        self.of = of
        words = prompt.text.split() or ["x"] * len(prompt.ids)
        self.words, self.prompt_tokens, self.cached_tokens = words[:most], len(words), 1

    async def __aiter__(self) -> AsyncIterator[Piece]:
        for i, word in enumerate(self.words):
            await asyncio.sleep(self.of.gap_s)
            if i == self.of.fail_after:
                raise RefusedError("the engine stopped", status=503, kind="server_error")
            yield Piece(f"{word} ", 1, "stop" if i == len(self.words) - 1 else "")

    async def aclose(self) -> None:
        self.of.closed += 1


Body = Callable[[str, ClientSession], Awaitable[None]]


def with_server(backend: Saying, body: Body, **options: Any) -> Metrics:
    metrics = Metrics()

    async def run() -> None:
        server = TestServer(Api(backend, metrics).app(**options))
        await server.start_server()
        try:
            async with ClientSession() as session:
                await body(str(server.make_url("/")).rstrip("/"), session)
        finally:
            await server.close()

    asyncio.run(run())
    return metrics


def asked(url: str, session: ClientSession, path: str, body: Any) -> Any:
    return session.post(f"{url}{path}", data=body if isinstance(body, (bytes, str)) else json.dumps(body))


def test_the_official_client_gets_whole_and_streamed_answers() -> None:
    async def body(url: str, _: ClientSession) -> None:
        client: Any = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0)
        listed = [model.id async for model in client.models.list()]
        assert listed == ["echo/one", "two"]
        assert (await client.models.retrieve("echo/one")).max_model_len == 4096
        said = await client.chat.completions.create(
            model="echo/one", messages=[{"role": "user", "content": "hello there you"}], n=2
        )
        assert [c.message.content for c in said.choices] == ["user: hello there you "] * 2
        assert (said.usage.prompt_tokens, said.usage.completion_tokens) == (4, 8)  # the prompt counts once
        assert said.usage.prompt_tokens_details.cached_tokens == 1
        stream = await client.chat.completions.create(
            model="two",
            messages=[{"role": "user", "content": [{"type": "text", "text": "a b"}]}],
            stream=True,
            stream_options={"include_usage": True},
        )
        events = [event async for event in stream]
        assert "".join(e.choices[0].delta.content or "" for e in events if e.choices) == "user: a b "
        assert events[0].choices[0].delta.role == "assistant"
        assert [e.choices[0].finish_reason for e in events if e.choices] == [None, None, "stop"]
        assert events[-1].usage.total_tokens == 6
        assert not events[-1].choices
        text = await client.completions.create(model="two", prompt=["p q r", "s t"], max_tokens=2, echo=True)
        assert [c.text for c in text.choices] == ["p q rp q ", "s ts t "]
        ids = await client.completions.create(model="two", prompt=[1, 2, 3])
        assert ids.usage.prompt_tokens == 3
        with pytest.raises(openai.NotFoundError, match="'three' is not served here; served: echo/one, two"):
            await client.completions.create(model="three", prompt="x")

    with_server(Saying(), body)


@pytest.mark.parametrize(
    ("body", "status", "said", "param"),
    [
        (b"{", 400, "the body is not JSON", None),
        (b"\xff\xfe", 400, "the body is not JSON", None),
        (b"[" * 100_000, 400, "the body is not JSON", None),
        ([], 400, "has to be a JSON object, not an array", None),
        ({"prompt": "x"}, 400, "'model' is missing", "model"),
        ({"model": 3, "prompt": "x"}, 400, "'model' has to be a string, not a number", "model"),
        ({"model": "ecko/one", "prompt": "x"}, 404, "'ecko/one' is not served here; served: echo/one", "model"),
        ({"model": "two"}, 400, "'prompt' is missing", "prompt"),
        ({"model": "two", "prompt": []}, 400, "'prompt' has to be a string", "prompt"),
        ({"model": "two", "prompt": [1, "a"]}, 400, "'prompt' has to be a string", "prompt"),
        ({"model": "two", "prompt": [-1]}, 400, "'prompt' has to be a string", "prompt"),
        ({"model": "two", "prompt": "x", "max_tokens": 0}, 400, "'max_tokens' has to be from 1 to", "max_tokens"),
        ({"model": "two", "prompt": "x", "max_tokens": 1.5}, 400, "'max_tokens' has to be a whole number, not 1.5", "max_tokens"),
        ({"model": "two", "prompt": "x", "max_tokens": True}, 400, "whole number, not true", "max_tokens"),
        ({"model": "two", "prompt": "x", "max_tokens": 3, "min_tokens": 4}, 400, "'min_tokens' is 4, above", "min_tokens"),
        ({"model": "two", "prompt": "x", "n": 1000}, 400, "'n' has to be from 1 to 128", "n"),
        ({"model": "two", "prompt": "x", "stream": "yes"}, 400, "'stream' has to be a boolean", "stream"),
        ({"model": "two", "prompt": "x", "stream_options": {"a": True}}, 400, "is for requests with", "stream_options"),
        ({"model": "two", "prompt": "x", "stop": 3}, 400, "'stop' has to be", "stop"),
        ({"model": "two", "prompt": "no"}, 503, "no room", None),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, (bytes, dict, list)) else "",
)  # fmt: skip
def test_what_is_wrong_is_named(body: Any, status: int, said: str, param: str | None) -> None:
    async def ask(url: str, session: ClientSession) -> None:
        async with asked(url, session, "/v1/completions", body) as answer:
            error = (await answer.json())["error"]
            assert answer.status == status
            assert said in error["message"]
            assert "\n" not in error["message"]
            assert error["param"] == param
            assert answer.headers.get("Retry-After") == ("3" if status == 503 else None)

    with_server(Saying(), ask)


@pytest.mark.parametrize(
    ("messages", "said", "param"),
    [
        (None, "'messages' is missing", "messages"),
        ([], "'messages' is empty", "messages"),
        (["hi"], "'messages[0]' has to be an object, not a string", "messages[0]"),
        ([{"content": "hi"}], "'messages[0].role' is missing", "messages[0].role"),
        ([{"role": "user"}], "'messages[0].content' has to be a string or an array of parts, not null", "messages[0].content"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "of type 'image_url'; only text", "messages[0].content[0]"),
    ],
)
def test_what_is_wrong_with_messages_is_named(messages: Any, said: str, param: str) -> None:
    async def ask(url: str, session: ClientSession) -> None:
        async with asked(url, session, "/v1/chat/completions", {"model": "two", "messages": messages}) as answer:
            error = (await answer.json())["error"]
            assert (answer.status, error["param"], error["type"]) == (400, param, "invalid_request_error")
            assert said in error["message"]

    with_server(Saying(), ask)


def test_large_bodies_are_refused_before_they_are_read() -> None:
    async def slow() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b"x" * 65_536

    async def ask(url: str, session: ClientSession) -> None:
        async with asked(url, session, "/v1/completions", b"x" * 2_000_000) as answer:
            assert answer.status == 413
            assert (await answer.json())["error"]["message"] == "the body is larger than 1 MiB"
        try:
            async with session.post(f"{url}/v1/completions", data=slow()) as answer:
                assert answer.status == 413
        except ConnectionError:
            pass  # it hung up on us while we still sent: as good
        async with session.get(f"{url}/health") as answer:
            assert answer.status == 200

    with_server(Saying(), ask, most_body_bytes=1024**2)


def test_wrong_paths_and_methods_name_the_right_ones() -> None:
    async def ask(url: str, session: ClientSession) -> None:
        async with session.get(f"{url}/v1/embeddings") as answer:
            assert answer.status == 404
            assert "/v1/chat/completions" in (await answer.json())["error"]["message"]
        async with session.get(f"{url}/v1/completions") as answer:
            assert answer.status == 405
            assert (await answer.json())["error"]["message"] == "GET /v1/completions is not served; use POST"

    with_server(Saying(), ask)


def test_a_client_that_leaves_frees_what_it_held() -> None:
    backend = Saying(gap_s=0.02)

    async def ask(url: str, session: ClientSession) -> None:
        for stream in (True, False):
            prompt = {"model": "two", "prompt": "w " * 1000, "stream": stream}
            with pytest.raises(asyncio.TimeoutError):
                async with asyncio.timeout(0.2), asked(url, session, "/v1/completions", prompt) as answer:
                    await answer.read()
        for _ in range(100):
            if backend.closed == backend.open:
                break
            await asyncio.sleep(0.02)
        assert (backend.open, backend.closed) == (2, 2)

    metrics = with_server(backend, ask)
    assert metrics.registry.get_sample_value("windtunnel:requests_abandoned_total", {"model_name": "two"}) == 2
    assert backend.gone


def test_an_answer_that_breaks_says_so_in_its_stream() -> None:
    async def ask(url: str, session: ClientSession) -> None:
        async with asked(url, session, "/v1/completions", {"model": "two", "prompt": "a b c", "stream": True}) as answer:
            events = [line for line in (await answer.text()).split("\n\n") if line]
            assert json.loads(events[-2].removeprefix("data: "))["error"]["message"] == "the engine stopped"
            assert events[-1] == "data: [DONE]"
        async with asked(url, session, "/v1/completions", {"model": "two", "prompt": "a b c", "n": 2}) as answer:
            assert answer.status == 503

    backend = Saying(fail_after=2)
    with_server(backend, ask)
    assert backend.open == backend.closed == 3


def test_an_answer_that_breaks_is_accounted_as_an_error(tmp_path: Path) -> None:
    """Though the status that was sent before it broke is 200."""

    async def go() -> None:
        app = Api(Saying(fail_after=2), Metrics()).app()
        Door(accounts=Accounts(tmp_path / "accounts.jsonl")).guard(app)
        async with TestServer(app) as server, ClientSession() as session:
            told = {"model": "two", "prompt": ["a b c", "a"], "stream": True}
            async with session.post(server.make_url("/v1/completions"), json=told) as answer:
                assert answer.status == 200
                await answer.read()

    asyncio.run(go())
    (record,) = (json.loads(line) for line in (tmp_path / "accounts.jsonl").read_text().splitlines())
    assert (record["status"], record["finish"], record["error"]) == (503, "error", "the engine stopped")
    assert record["completion_tokens"] > 0


def test_a_bug_is_logged_and_not_leaked(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Saying):
        async def generate(self, asked: Asked, prompt: Prompt, choice: int = 0) -> Generation:
            raise ZeroDivisionError("a secret")

    async def ask(url: str, session: ClientSession) -> None:
        async with asked(url, session, "/v1/completions", {"model": "two", "prompt": "a"}) as answer:
            assert answer.status == 500
            assert "secret" not in await answer.text()

    with_server(Broken(), ask)
    assert "a secret" in caplog.text


def test_a_bug_in_the_middle_of_a_stream_ends_it_with_an_error(caplog: pytest.LogCaptureFixture) -> None:
    class Breaking(Words):
        async def __aiter__(self) -> AsyncIterator[Piece]:
            yield Piece("a ", 1)
            raise ZeroDivisionError("a secret")

    class Broken(Saying):
        async def generate(self, asked: Asked, prompt: Prompt, choice: int = 0) -> Generation:
            self.open += 1
            return Breaking(self, prompt, None)

    async def ask(url: str, session: ClientSession) -> None:
        async with asked(url, session, "/v1/completions", {"model": "two", "prompt": "a b", "stream": True}) as answer:
            text = await answer.text()
            assert "an error of the server's own" in text
            assert text.endswith("data: [DONE]\n\n")
            assert "secret" not in text

    backend = Broken()
    with_server(backend, ask)
    assert backend.open == backend.closed == 1
    assert "a secret" in caplog.text


def test_the_status_counts_what_was_answered_and_what_was_not() -> None:
    async def ask(url: str, session: ClientSession) -> None:
        for _ in range(2):
            async with asked(url, session, "/v1/completions", {"model": "two", "prompt": "a b"}) as answer:
                assert answer.status == 200
        async with asked(url, session, "/v1/completions", {"model": "none", "prompt": "a b"}) as answer:
            assert answer.status == 404
        async with session.get(f"{url}/fleet/status") as answer:
            told = await answer.json()
        assert told["totals"]["requests"] == 2
        assert told["totals"]["failed"] == told["totals"]["in_flight"] == 0
        assert told["totals"]["tokens"] > 0
        (backend,) = told["backends"]
        assert backend["measured"]["ttft_s"]["p50"] > 0.0
        assert backend["state"] == "up"
        assert told["errors"] == []

    with_server(Saying(), ask)


def test_health_and_metrics() -> None:
    backend = Saying()

    async def ask(url: str, session: ClientSession) -> None:
        async with asked(url, session, "/v1/completions", {"model": "two", "prompt": "a b c"}) as answer:
            assert answer.status == 200
        async with session.get(f"{url}/metrics") as answer:
            page = await answer.text()
        assert 'vllm:generation_tokens_total{model_name="two"} 3.0' in page
        assert 'vllm:request_success_total{finished_reason="stop",model_name="two"} 1.0' in page
        assert 'vllm:time_to_first_token_seconds_count{model_name="two"} 1.0' in page
        backend.sick = "every engine is down"
        async with session.get(f"{url}/health") as answer:
            assert answer.status == 503
        async with asked(url, session, "/v1/completions", {"model": "two", "prompt": "a"}) as answer:
            assert (await answer.json())["error"]["message"] == "every engine is down"

    with_server(backend, ask)


def test_port_zero_is_any_and_a_taken_one_is_named() -> None:
    from windtunnel.errors import InvalidInputError
    from windtunnel.serve.server import serve

    async def run() -> str:
        stop = asyncio.Event()
        told: list[str] = []
        first = asyncio.create_task(serve(web.Application(), "127.0.0.1", 0, told.append, stop=stop))
        while not told:
            await asyncio.sleep(0.01)
        port = int(told[0].rsplit(":", 1)[1])
        with pytest.raises(InvalidInputError, match=f"127.0.0.1:{port}: cannot be listened on: .*in use"):
            await serve(web.Application(), "127.0.0.1", port, told.append)
        stop.set()
        await first
        return told[0]

    assert asyncio.run(run()).startswith("http://127.0.0.1:")
