"""The endpoint of a deployment that is not there: OpenAI's client streams from it, at the pace of the simulation."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
import time
import types
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import openai
import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer

from windtunnel.errors import InvalidInputError, UnsupportedError
from windtunnel.serve.api.app import Api
from windtunnel.serve.api.asked import Prompt
from windtunnel.serve.api.metrics import Metrics
from windtunnel.serve.virtual.backend import VirtualBackend
from windtunnel.serve.virtual.small_model import SmallModel
from windtunnel.serve.virtual.tokens import count, segments
from windtunnel.sim.prediction import Deployment
from windtunnel.sim.serving.fleet import Fleet
from windtunnel.sim.serving.request import Request
from windtunnel.sim.serving.settings import Options
from windtunnel.sim.serving.simulation import Simulation

MODEL = "meta-llama/Llama-3.1-8B-Instruct"
FLEET = Fleet(Deployment(MODEL, "h20"))

Body = Callable[[Any, str], Awaitable[None]]


def with_endpoint(body: Body, fleet: Fleet = FLEET, **options: Any) -> VirtualBackend:
    made: list[VirtualBackend] = []

    async def run() -> None:
        backend = VirtualBackend(fleet, isl=1000, osl=200, **options)
        made.append(backend)
        server = TestServer(Api(backend, Metrics(backend.gauges)).app())
        await server.start_server()
        url = str(server.make_url("/")).rstrip("/")
        try:
            await body(openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0), url)
        finally:
            await server.close()

    asyncio.run(run())
    return made[0]


def alone(input_tokens: int, output_tokens: int) -> tuple[float, float]:
    """TTFT and the time to the end of one request on an idle fleet."""
    simulation = Simulation(FLEET, 1000, 200)
    found: list[tuple[float, float]] = []
    simulation.answered = lambda task, at: found.append((task.first_s + task.late_s + simulation.fixed_s, at))
    simulation.submit(Request(0.0, input_tokens, output_tokens), 0.0)
    while not found:
        simulation.step()
    return found[0]


def test_a_stream_takes_as_long_as_the_simulation_says() -> None:
    prompt = [7] * 1000
    ttft, end = alone(1000, 50)

    async def body(client: Any, _: str) -> None:
        await client.completions.create(model=MODEL, prompt="warm", max_tokens=1)
        begun, times = time.perf_counter(), []
        stream = await client.completions.create(model=MODEL, prompt=prompt, max_tokens=50, stream=True)
        async for event in stream:
            times += [time.perf_counter() - begun] * (1 if event.choices else 0)
        assert 40 <= len(times) <= 50  # a machine that is late sends two at once
        # never early; late by what the machine around it is busy with
        assert ttft - 0.005 <= times[0] <= ttft + 2.0
        assert end - 0.005 <= times[-1] <= end + 2.0

    with_endpoint(body)


def test_answers_have_the_length_asked_and_say_why_they_end() -> None:
    async def body(client: Any, _: str) -> None:
        said = await client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "Tell me of the wind."}], max_completion_tokens=40
        )
        assert said.usage.completion_tokens == 40
        assert said.choices[0].finish_reason == "length"
        assert len(said.choices[0].message.content.split()) == 40
        again = await client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "Tell me of the wind."}], max_completion_tokens=40
        )
        assert again.choices[0].message.content == said.choices[0].message.content
        third = said.choices[0].message.content.split()[2]
        cut = await client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": "Tell me of the wind."}],
            max_completion_tokens=40,
            stop=[f" {third}"],
        )
        assert cut.choices[0].finish_reason == "stop"
        assert len(cut.choices[0].message.content.split()) == 2
        open_ended = await client.completions.create(model=MODEL, prompt="x")
        assert open_ended.usage.completion_tokens == 30

    backend = with_endpoint(body, speed=100.0, answer_tokens=30)
    assert backend.live.pending == 0


def test_prompts_beyond_the_context_or_the_cache_are_refused() -> None:
    async def body(client: Any, _: str) -> None:
        with pytest.raises(openai.BadRequestError, match="more than the model's context of 131072") as caught:
            await client.completions.create(model=MODEL, prompt=[1] * 131_072, max_tokens=1)
        assert caught.value.code == "context_length_exceeded"
        with pytest.raises(openai.BadRequestError, match="5000 tokens in and 10 out are larger than the whole KV cache"):
            await client.completions.create(model=MODEL, prompt=[1] * 5000, max_tokens=10)
        with pytest.raises(openai.NotFoundError, match="served: meta-llama/Llama"):
            await client.completions.create(model="llama", prompt="x")

    with_endpoint(body, Fleet(Deployment(MODEL, "h20"), options=Options(kv_tokens=4000)), speed=100.0)


def test_a_beginning_that_was_seen_is_cached_and_told() -> None:
    async def body(client: Any, _: str) -> None:
        told = []
        for ending in (1, 2):
            said = await client.completions.create(model=MODEL, prompt=[5] * 640 + [ending] * 30, max_tokens=5)
            told.append(said.usage.prompt_tokens_details.cached_tokens)
        assert told == [0, 640]

    with_endpoint(body, Fleet(Deployment(MODEL, "h20"), options=Options(prefix_caching=True)), speed=100.0)


def test_who_hangs_up_leaves_the_engine() -> None:
    async def body(client: Any, url: str) -> None:
        stream = await client.completions.create(model=MODEL, prompt=[1] * 100, max_tokens=100_000, stream=True)
        async for _ in stream:
            break
        async with ClientSession() as session:
            async with session.get(f"{url}/metrics") as answer:
                assert "vllm:num_requests_running 1.0" in await answer.text()
            await stream.close()
            for _ in range(200):
                async with session.get(f"{url}/metrics") as answer:
                    page = await answer.text()
                if "vllm:num_requests_running 0.0" in page:
                    break
                await asyncio.sleep(0.02)
        assert "vllm:num_requests_running 0.0" in page
        assert "vllm:kv_cache_usage_perc 0.0" in page

    with_endpoint(body)


def test_equal_beginnings_have_equal_ids_and_others_none() -> None:
    a, b = Prompt("the same start " * 40 + "one"), Prompt("the same start " * 40 + "two, and more of it" * 30)
    first, second = segments(a, 64), segments(b, 64)
    assert first == second[: len(first)]
    assert len(set(second)) == len(second)
    assert segments(Prompt("x" + a.text), 64)[0] != first[0]
    assert segments(Prompt("", (1, 2, 3, 4)), 2)[0] == segments(Prompt("", (1, 2, 9, 9)), 2)[0]
    assert (count(Prompt("")), count(Prompt("abcde")), count(Prompt("", (1, 2, 3)))) == (1, 2, 3)


class FakeServer:
    """Stands in for xllamacpp's: says four words to everything, in the two forms that its events have."""

    def handle_completions(self, body: str, heard: Callable[[object], bool]) -> None:
        assert json.loads(body)["stream"] is True
        for i, word in enumerate(("The", " wind", " is", " up.")):
            event = {"choices": [{"text": word, "finish_reason": None}]}
            if heard(event if i % 2 else f"data: {json.dumps(event)}\n\n"):
                return
        heard("data: [DONE]\n\n")

    handle_chat_completions = handle_completions


def test_a_small_model_writes_the_text_and_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Params:
        def __init__(self) -> None:
            self.model = self

    llama = types.SimpleNamespace(CommonParams=Params, Server=lambda said: FakeServer(), __spec__=object())
    monkeypatch.setitem(sys.modules, "xllamacpp", llama)
    file = tmp_path / "small.gguf"
    file.write_bytes(b"GGUF....")

    async def body(client: Any, _: str) -> None:
        said = await client.completions.create(model=MODEL, prompt="How is it?", max_tokens=200)
        assert said.choices[0].text == "The wind is up."
        assert said.choices[0].finish_reason == "stop"
        assert 4 <= said.usage.completion_tokens < 200

    with_endpoint(body, author=SmallModel(file))


def test_what_is_no_model_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", types.SimpleNamespace(__spec__=object()))
    with pytest.raises(InvalidInputError, match=r"--text: .*nothing.gguf: No such file"):
        SmallModel(tmp_path / "nothing.gguf")
    (tmp_path / "other.gguf").write_bytes(b"PK")
    with pytest.raises(InvalidInputError, match=r"other.gguf is no GGUF file"):
        SmallModel(tmp_path / "other.gguf")
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UnsupportedError, match="pip install xllamacpp"):
        SmallModel(tmp_path / "other.gguf")
