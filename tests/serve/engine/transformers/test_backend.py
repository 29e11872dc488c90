"""A tiny random model, served: what is asked for is what comes, side by side and one after the other, and leaving stops it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import openai
import pytest
import torch
from aiohttp import web

from tests.serve.engine.transformers.tiny import make_tiny
from windtunnel.errors import UnsupportedError, WindtunnelError
from windtunnel.serve.api.app import Api
from windtunnel.serve.api.asked import read_asked
from windtunnel.serve.api.metrics import Metrics
from windtunnel.serve.api.refusal import RefusedError
from windtunnel.serve.engine.transformers import makers
from windtunnel.serve.engine.transformers.backend import TransformersBackend
from windtunnel.serve.engine.transformers.loaded import Loaded, load

T = TypeVar("T")
HELLO = [{"role": "user", "content": "hello"}]
HALF_A_CALL = [{"function": {"arguments": "{"}}]
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return load(make_tiny(tmp_path_factory.mktemp("tiny")), "cpu")


@pytest.fixture(scope="module", params=["side by side", "one after the other"])
def backend(request: pytest.FixtureRequest, loaded: Loaded) -> Iterator[TransformersBackend]:
    """Both ways, on the same model."""
    if request.param == "side by side":
        made = TransformersBackend(loaded, name="tiny")
        assert made.batch is not None, made.notes
    else:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(makers, "PAGE_TOKENS", 0)  # which transformers refuses
            made = TransformersBackend(loaded, name="tiny")
        assert made.batch is None
    yield made
    asyncio.run(made.close())


@dataclass
class Answer:
    text: str
    tokens: int
    finish: str
    pieces: int
    prompt_tokens: int


async def ask(backend: TransformersBackend, *, chat: bool = False, choice: int = 0, **body: Any) -> Answer:
    asked = read_asked({"model": "tiny", **body}, chat=chat)
    generation = await backend.generate(asked, asked.prompts[0], choice)
    pieces = [piece async for piece in generation]
    await generation.aclose()
    text, tokens = "".join(piece.text for piece in pieces), sum(piece.tokens for piece in pieces)
    return Answer(text, tokens, pieces[-1].finish, len(pieces), generation.prompt_tokens)


def go(what: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(what, 60.0))


def greedy(loaded: Loaded, prompt: str, tokens: int) -> list[int]:
    """By the definition: the whole text through the model for each token."""
    ids = list(loaded.tokenizer(prompt)["input_ids"])
    start = len(ids)
    with torch.inference_mode():
        for _ in range(tokens):
            ids.append(int(loaded.model(torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[start:]


def test_the_likeliest_token_each_time(backend: TransformersBackend, loaded: Loaded) -> None:
    answer = go(ask(backend, prompt="hello wind", max_tokens=12, temperature=0))
    told = loaded.tokenizer.decode(greedy(loaded, "hello wind", 12), skip_special_tokens=True)
    assert told.rstrip("\ufffd") == answer.text.rstrip("\ufffd")
    assert (answer.tokens, answer.finish) == (12, "length")
    assert answer.prompt_tokens == len(loaded.tokenizer("hello wind")["input_ids"])
    assert answer.pieces > 3


def test_token_ids_are_a_prompt(backend: TransformersBackend, loaded: Loaded) -> None:
    ids = loaded.tokenizer("hello wind")["input_ids"]
    by_text = go(ask(backend, prompt="hello wind", max_tokens=8, temperature=0))
    assert go(ask(backend, prompt=ids, max_tokens=8, temperature=0)).text == by_text.text
    with pytest.raises(RefusedError, match=r"the prompt holds token 99999; the model has \d+ tokens"):
        go(ask(backend, prompt=[99999], max_tokens=1))


def test_a_seed_makes_the_same_answer(backend: TransformersBackend) -> None:
    async def all_of_them() -> list[str]:
        asks = [ask(backend, prompt="hello", max_tokens=12, seed=7, choice=choice) for choice in (0, 0, 1)]
        return [answer.text for answer in await asyncio.gather(*asks, ask(backend, prompt="the wind", max_tokens=30))]

    one, again, other, _ = go(all_of_them())
    assert one == again != other


def test_an_answer_ends_where_the_model_ends_it(backend: TransformersBackend, loaded: Loaded) -> None:
    """The end is set to a token that the model is known to choose."""
    path = greedy(loaded, "hello wind", 12)
    end = path[4]
    asked: dict[str, Any] = {"prompt": "hello wind", "max_tokens": 12, "temperature": 0}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend, "loaded", replace(loaded, ends=(end,)))
        answer = go(ask(backend, **asked))
        assert (answer.tokens, answer.finish) == (path.index(end) + 1, "stop")
        assert go(ask(backend, **asked, ignore_eos=True)).tokens == 12
        assert go(ask(backend, **asked, min_tokens=9)).tokens >= 9


def test_a_stop_string_ends_it(backend: TransformersBackend) -> None:
    whole = go(ask(backend, prompt="hello wind", max_tokens=12, temperature=0)).text
    stop = [c for c in whole if c != "\ufffd"][-1]
    answer = go(ask(backend, prompt="hello wind", max_tokens=12, temperature=0, stop=[stop]))
    assert answer.text == whole.partition(stop)[0]
    assert answer.finish == "stop"


def test_many_at_once(backend: TransformersBackend) -> None:
    async def many() -> list[Answer]:
        asks = [ask(backend, prompt="hello " * n, max_tokens=5 + n, temperature=0, ignore_eos=True) for n in range(1, 9)]
        return await asyncio.gather(*asks)

    answers = go(many())
    assert [answer.tokens for answer in answers] == [5 + n for n in range(1, 9)]
    alone = go(ask(backend, prompt="hello " * 8, max_tokens=13, temperature=0, ignore_eos=True))
    assert answers[-1].text == alone.text


def test_leaving_stops_the_making(backend: TransformersBackend) -> None:
    async def leave() -> None:
        asked = read_asked({"model": "tiny", "prompt": "hello", "ignore_eos": True, "max_tokens": 240}, chat=False)
        generation = await backend.generate(asked, asked.prompts[0])
        waiting = await backend.generate(asked, asked.prompts[0])
        async for _ in generation:
            break
        await generation.aclose()
        await waiting.aclose()
        assert next(iter(backend.gauges()))[2] == 0
        answer = await ask(backend, prompt="hello", max_tokens=2)  # the maker is free again
        assert answer.tokens == 2

    go(leave())


def test_what_does_not_fit_is_refused(backend: TransformersBackend) -> None:
    with pytest.raises(RefusedError, match="more than the model's context of 256") as caught:
        go(ask(backend, prompt="wind" * 400))
    assert (caught.value.param, caught.value.code) == ("prompt", "context_length_exceeded")
    with pytest.raises(RefusedError, match="and 300 of the answer are more than the model's context of 256") as caught:
        go(ask(backend, prompt="hello", max_tokens=300))
    assert caught.value.param == "max_tokens"
    answer = go(ask(backend, prompt="wind " * 40, ignore_eos=True))
    assert answer.tokens == 256 - answer.prompt_tokens


@pytest.mark.parametrize(
    ("chat", "body", "param"),
    [
        (False, {"temperature": -1}, "temperature"),
        (False, {"top_p": 1.5}, "top_p"),
        (False, {"temperature": "hot"}, "temperature"),
        (False, {"logprobs": 3}, "logprobs"),
        (False, {"logit_bias": {"1": 2}}, "logit_bias"),
        (False, {"presence_penalty": 0.5}, "presence_penalty"),
        (False, {"best_of": 2}, "best_of"),
        (False, {"response_format": {"type": "json_object"}}, "response_format"),
        (True, {"tools": [TOOL], "tool_choice": "required"}, "tool_choice"),
        (True, {"tools": "all"}, "tools"),
        (
            True,
            {"messages": [{"role": "assistant", "content": "", "tool_calls": [{"function": {"arguments": "{"}}]}]},
            "messages",
        ),
    ],
)
def test_what_is_not_served_is_refused(backend: TransformersBackend, chat: bool, body: dict[str, Any], param: str) -> None:
    basis = {"messages": HELLO} if chat else {"prompt": "hello"}
    with pytest.raises(RefusedError) as caught:
        go(ask(backend, chat=chat, **{**basis, **body}))
    assert (caught.value.status, caught.value.param) == (400, param)


def test_what_changes_nothing_is_taken(backend: TransformersBackend) -> None:
    body: dict[str, Any] = {"presence_penalty": 0, "logprobs": None, "best_of": 1, "response_format": {"type": "text"}}
    assert go(ask(backend, prompt="hello", max_tokens=2, **body)).tokens == 2


def test_the_template_is_the_models_own(backend: TransformersBackend, loaded: Loaded) -> None:
    def tokens(text: str) -> int:
        return len(loaded.tokenizer(text, add_special_tokens=False)["input_ids"])

    parts = [{"type": "text", "text": "the wind"}, {"type": "text", "text": "turns"}]
    answer = go(ask(backend, chat=True, messages=[{"role": "user", "content": parts}], max_tokens=1))
    assert answer.prompt_tokens == tokens("<|im_start|>user\nthe wind\nturns<|end|>\n<|im_start|>assistant\n")
    call = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": json.dumps({"city": "Rome"})}}
    messages = [*HELLO, {"role": "assistant", "content": "", "tool_calls": [call]}]
    answer = go(ask(backend, chat=True, messages=messages, max_tokens=1))
    told = "<|im_start|>user\nhello<|end|>\n<|im_start|>assistant\nRome<|end|>\n<|im_start|>assistant\n"
    assert answer.prompt_tokens == tokens(told)
    offered = go(ask(backend, chat=True, messages=HELLO, tools=[TOOL], max_tokens=1)).prompt_tokens
    declined = go(ask(backend, chat=True, messages=HELLO, tools=[TOOL], tool_choice="none", max_tokens=1)).prompt_tokens
    assert offered > declined == tokens("<|im_start|>user\nhello<|end|>\n<|im_start|>assistant\n")


def script(text: str, loaded: Loaded) -> Callable[..., Any]:
    """A model that says ``text``, whatever it is asked."""
    ids = [*loaded.tokenizer(text, add_special_tokens=False)["input_ids"], 0]

    def generate(input_ids: Any, streamer: Any, **_: Any) -> None:
        streamer.put(input_ids)
        for token in ids:
            streamer.put(torch.tensor([token]))
        streamer.end()

    return generate


def test_calls_of_tools_reach_the_official_client(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    text = 'I look.\n<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>'
    monkeypatch.setattr(loaded.model, "generate", script(text, loaded))

    async def run() -> None:
        backend = TransformersBackend(loaded, name="tiny")
        runner = web.AppRunner(Api(backend, Metrics(backend.gauges)).app())
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        ask: dict[str, Any] = {"model": "tiny", "messages": HELLO, "tools": [TOOL], "seed": 1}
        async with openai.AsyncOpenAI(base_url=url, api_key="any", max_retries=0) as client:
            whole = await client.chat.completions.create(**ask)
            [choice] = whole.choices
            assert (choice.finish_reason, choice.message.content) == ("tool_calls", "I look.\n")
            [call] = choice.message.tool_calls
            assert (call.function.name, json.loads(call.function.arguments)) == ("weather", {"city": "Rome"})
            assert whole.usage.completion_tokens == len(loaded.tokenizer(text)["input_ids"]) + 1
            names, finishes = [], []
            async for event in await client.chat.completions.create(**ask, stream=True):
                names += [call.function.name for c in event.choices for call in c.delta.tool_calls or []]
                finishes += [c.finish_reason for c in event.choices if c.finish_reason]
            assert (names, finishes) == (["weather"], ["tool_calls"])
        await runner.cleanup()

    go(run())


def test_what_the_model_fails_at_is_told_and_the_next_is_served(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        backend = TransformersBackend(loaded, name="tiny")

        def fail(*_: Any, **__: Any) -> None:
            raise RuntimeError("no kernel image\nmore")

        with monkeypatch.context() as patch:
            patch.setattr(loaded.model, "generate", fail)
            with pytest.raises(RefusedError, match=r"^no kernel image$") as caught:
                await ask(backend, prompt="hello", max_tokens=3, seed=1)
            assert caught.value.status == 500
        assert (await ask(backend, prompt="hello", max_tokens=3, seed=1, ignore_eos=True)).tokens == 3
        await backend.close()
        assert backend.ill()
        with pytest.raises(RefusedError, match="closing"):
            await ask(backend, prompt="hello", max_tokens=3)

    go(run())


def test_more_than_may_wait_are_refused(loaded: Loaded) -> None:
    async def run() -> None:
        backend = TransformersBackend(loaded, name="tiny", waiting=1)
        asked = read_asked({"model": "tiny", "prompt": "hello", "max_tokens": 100}, chat=False)
        first = await backend.generate(asked, asked.prompts[0])
        with pytest.raises(RefusedError, match="1 requests are there already") as caught:
            await backend.generate(asked, asked.prompts[0])
        assert caught.value.status == 503
        await first.aclose()
        await backend.close()

    go(run())


def test_a_model_without_a_template_serves_no_chats(tmp_path: Path) -> None:
    async def run() -> None:
        backend = TransformersBackend(load(make_tiny(tmp_path, ""), "cpu"), name="tiny")
        assert "the model has no chat template: /v1/completions alone" in backend.notes
        with pytest.raises(RefusedError, match="has no chat template"):
            await ask(backend, chat=True, messages=HELLO)
        await backend.close()

    go(run())


def test_pickles_are_never_read(tmp_path: Path) -> None:
    folder = make_tiny(tmp_path, safe=False)
    assert (folder / "pytorch_model.bin").exists()
    with pytest.raises(UnsupportedError, match=r"transformers does not load .*(safetensors|model\.safetensors)"):
        load(folder, "cpu")


@pytest.mark.parametrize("device", ["cuda:7", "tpu9", "npu"])
def test_a_device_that_is_not_there(tmp_path: Path, device: str) -> None:
    with pytest.raises(WindtunnelError, match=r"this machine has no|unknown device"):
        load(tmp_path, device)


def test_no_model(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="transformers does not load"):
        load(tmp_path, "cpu")
