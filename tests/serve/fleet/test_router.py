"""The fleet's front over back ends that answer well: what passes, what is renamed, what is counted."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import openai
import pytest

from tests.serve.fleet.fake import Fake, ask, fleet, text_of


def test_answers_pass_whole_and_streamed_and_usage_is_hidden_from_who_did_not_ask() -> None:
    async def body() -> None:
        fake = Fake(model="org/backend-name")
        async with fleet({"a": fake}, entries={"a": {"alias": "m"}}) as running:
            async with running.post(
                ask(max_tokens=3, tools=[{"type": "function", "function": {"name": "f"}}], odd={"x": 1})
            ) as answer:
                told = await answer.json()
            assert (answer.status, told["model"], told["usage"]["completion_tokens"]) == (200, "m", 3)
            assert fake.asked[-1]["odd"] == {"x": 1}
            assert fake.asked[-1]["tools"][0]["function"]["name"] == "f"
            status, events = await running.streamed(ask(max_tokens=3))
            assert (status, text_of(events)) == (200, "word0 word1 word2 ")
            assert all("usage" not in event and event["model"] == "m" for event in events)
            assert fake.asked[-1]["stream_options"] == {"include_usage": True}
            assert fake.asked[-1]["model"] == "org/backend-name"
            _, events = await running.streamed(ask(max_tokens=3, stream_options={"include_usage": True}))
            assert events[-1]["usage"]["completion_tokens"] == 3
            told = await running.status()
            assert told["totals"]["requests"] == 3
            assert told["totals"]["tokens"] == 9
            assert told["backends"][0]["state"] == "up"

    asyncio.run(body())


def test_the_official_client_streams_through_the_fleet() -> None:
    async def body() -> None:
        async with fleet({"a": Fake(), "b": Fake()}) as running:
            client: Any = openai.AsyncOpenAI(base_url=f"{running.url}/v1", api_key="any", max_retries=0)
            assert [model.id async for model in client.models.list()] == ["m"]
            stream = await client.chat.completions.create(**ask(max_tokens=5), stream=True)
            assert "".join([event.choices[0].delta.content or "" async for event in stream]) == "word0 word1 word2 word3 word4 "
            with pytest.raises(openai.NotFoundError, match="'x' is not served here; served: m"):
                await client.chat.completions.create(**{**ask(), "model": "x"})
            await client.close()

    asyncio.run(body())


def test_a_fleet_tells_what_it_has_and_how_it_is() -> None:
    async def body() -> None:
        async with fleet({"a": Fake(), "b": Fake(model="n")}) as running:

            async def get(path: str) -> tuple[int, str]:
                async with running.session.get(f"{running.url}{path}") as answer:
                    return answer.status, await answer.text()

            told = json.loads((await get("/v1/models"))[1])["data"]
            assert [(model["id"], model["max_model_len"]) for model in told] == [("m", 4096), ("n", 4096)]
            assert json.loads((await get("/v1/models/n"))[1]) == told[1]
            assert (await get("/v1/models/x"))[0] == 404
            assert await get("/health") == (200, '{"status": "ok"}')
            assert 'windtunnel:fleet_up{backend="b"} 1.0' in (await get("/metrics"))[1]
            running.router.draining = True
            assert (await get("/health"))[0] == 503

    asyncio.run(body())


def test_a_dead_back_end_costs_no_request() -> None:
    async def body() -> None:
        fakes = {"a": Fake(), "b": Fake(), "c": Fake()}
        async with fleet(fakes) as running:
            await fakes["a"].stop()
            found = await asyncio.gather(*(running.streamed(ask(max_tokens=3)) for _ in range(30)))
            assert [status for status, _ in found] == [200] * 30
            assert {text_of(events) for _, events in found} == {"word0 word1 word2 "}

    asyncio.run(body())
