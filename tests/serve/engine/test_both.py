"""Two engines over one model: who is asked, what moves, and what is measured; both are stand-ins that answer at set speeds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest

from windtunnel.errors import UnsupportedError
from windtunnel.serve.api.asked import Asked, Prompt, read_asked
from windtunnel.serve.api.backend import Model, Piece
from windtunnel.serve.api.refusal import RefusedError
from windtunnel.serve.engine.both import BothBackend, Speeds
from windtunnel.serve.engine.llama import _Answer
from windtunnel.serve.engine.llama_server import Size

WORDS = [f"{i} " for i in range(1000)]


class Answer:
    def __init__(self, of: Engine, asked: Asked, begin: int) -> None:
        self.of, self.asked, self.at, self.halted = of, asked, begin, False
        self.prompt_tokens, self.cached_tokens = 5, 0
        of.here.add(self)
        of.begun += 1

    def halt(self) -> None:
        self.halted = True

    async def __aiter__(self) -> AsyncIterator[Piece]:
        end = self.asked.most_tokens or 10
        while not self.halted:
            await asyncio.sleep(self.of.token_s)
            self.at += 1
            yield Piece(WORDS[self.at - 1], 1, "length" if self.at == end else "")
            if self.at == end:
                return

    async def aclose(self) -> None:
        self.of.here.discard(self)


class Engine:
    """Says 0 1 2 ..., and goes on from where a text ends."""

    size = Size(8, 1000)

    def __init__(self, token_s: float) -> None:
        self.token_s, self.begun = token_s, 0
        self.here: set[Answer] = set()
        self.ready: Future[None] = Future()
        self.ready.set_result(None)
        self.closed = False

    def models(self) -> tuple[Model, ...]:
        return (Model("it", 0, "x"),)

    def ill(self) -> str:
        return ""

    async def generate(self, asked: Asked, prompt: Prompt, choice: int = 0) -> Answer:
        return Answer(self, asked, 0)

    async def follow(self, asked: Asked, prompt: Prompt, said: str, made: int) -> Answer:
        """``most_tokens`` are those of the whole answer."""
        assert len(said.split()) == made
        return Answer(self, asked, made)

    def start(self) -> asyncio.Task[None]:
        return asyncio.create_task(asyncio.sleep(0))

    def gauges(self) -> Iterable[tuple[str, str, float]]:
        yield "vllm:num_requests_running", "", float(len(self.here))

    async def close(self) -> None:
        self.closed = True


def asked(most: int = 20, **more: Any) -> Asked:
    return read_asked({"model": "it", "prompt": "x", "max_tokens": most, **more}, chat=False)


async def said_by(backend: BothBackend, it: Asked) -> tuple[str, int, str]:
    generation = await backend.generate(it, it.prompts[0])
    pieces = [piece async for piece in generation]
    await generation.aclose()
    return "".join(piece.text for piece in pieces), sum(piece.tokens for piece in pieces), pieces[-1].finish


def with_both(body: Callable[[BothBackend, Engine, Engine], Awaitable[None]], speeds: tuple[Speeds, Speeds] | None) -> None:
    async def run() -> None:
        llama, genai = Engine(0.002), Engine(0.004)
        backend = BothBackend(llama, lambda: genai, lambda line: None)  # type: ignore[arg-type, return-value]
        if speeds is not None:
            backend.genai, backend.speeds = genai, speeds  # type: ignore[assignment]
        await body(backend, llama, genai)
        assert (backend._in_flight, backend._pinned, len(backend._movable)) == (0, 0, 0)
        assert not llama.here | genai.here

    asyncio.run(run())


FAST_ALONE, FAST_TOGETHER = Speeds(500, 160, 270), Speeds(1500, 95, 320)
SPEEDS = (FAST_ALONE, FAST_TOGETHER)


def test_who_is_alone_gets_the_one_and_many_get_the_other() -> None:
    async def body(backend: BothBackend, llama: Engine, genai: Engine) -> None:
        assert await said_by(backend, asked()) == ("".join(WORDS[:20]), 20, "length")
        assert (llama.begun, genai.begun) == (1, 0)
        # a long prompt for a short answer: 4,000 / 4 / 500 s against a third of that
        await said_by(backend, asked(1, prompt="x" * 4000))
        assert (llama.begun, genai.begun) == (1, 1)
        answers = await asyncio.gather(*(said_by(backend, asked()) for _ in range(4)))
        assert answers == [("".join(WORDS[:20]), 20, "length")] * 4
        assert genai.begun == 5
        assert llama.begun == 1  # the first waited a moment, and had company

    with_both(body, SPEEDS)


def test_an_answer_moves_when_others_come_and_says_the_same() -> None:
    async def body(backend: BothBackend, llama: Engine, genai: Engine) -> None:
        first = asyncio.create_task(said_by(backend, asked(30)))
        await asyncio.sleep(0.03)
        assert (llama.begun, genai.begun) == (1, 0)
        assert await said_by(backend, asked(5)) == ("".join(WORDS[:5]), 5, "length")
        assert await first == ("".join(WORDS[:30]), 30, "length")
        assert (llama.begun, genai.begun) == (1, 2)

    with_both(body, SPEEDS)


@pytest.mark.parametrize(
    "more", [{"seed": 1}, {"logprobs": 2}, {"presence_penalty": 0.5}, {"response_format": {"type": "json_object"}}]
)
def test_what_one_engine_alone_can_do_stays_there_and_keeps_the_others(more: dict[str, Any]) -> None:
    async def body(backend: BothBackend, llama: Engine, genai: Engine) -> None:
        first = asyncio.create_task(said_by(backend, asked(**more)))
        await asyncio.sleep(0.01)
        await said_by(backend, asked())
        await first
        assert (llama.begun, genai.begun) == (2, 0)

    with_both(body, SPEEDS)


def test_a_least_length_which_llama_cpp_refuses_is_for_the_other_one_alone_too() -> None:
    async def body(backend: BothBackend, llama: Engine, genai: Engine) -> None:
        await said_by(backend, asked(min_tokens=5))
        assert (llama.begun, genai.begun) == (0, 1)

    with_both(body, SPEEDS)


def test_several_answers_to_one_prompt_are_not_alone() -> None:
    async def body(backend: BothBackend, llama: Engine, genai: Engine) -> None:
        await said_by(backend, asked(n=2))
        assert (llama.begun, genai.begun) == (0, 1)

    with_both(body, SPEEDS)


def test_before_the_second_has_joined_the_first_answers_and_the_slower_one_is_left_out() -> None:
    async def alone(backend: BothBackend, llama: Engine, genai: Engine) -> None:
        await asyncio.gather(*(said_by(backend, asked()) for _ in range(3)))
        assert (llama.begun, genai.begun) == (3, 0)

    with_both(alone, None)
    with_both(alone, (FAST_TOGETHER, Speeds(100, 10, 20)))


def test_the_end_does_not_wait_for_the_second_engine_and_ends_it() -> None:
    async def run() -> None:
        genai = Engine(0.004)
        genai.ready = Future()
        genai.ready.set_running_or_notify_cancel()
        backend = BothBackend(Engine(0.002), lambda: genai, lambda line: None)  # type: ignore[arg-type, return-value]
        backend.start()
        await asyncio.sleep(0.02)
        await asyncio.wait_for(backend.close(), 5)
        assert genai.closed

    asyncio.run(run())


def test_a_second_engine_that_has_ended_when_it_is_measured_again_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    class Mortal(Engine):
        async def generate(self, asked: Asked, prompt: Prompt, choice: int = 0) -> Answer:
            if len(lines) > 0:
                raise RefusedError("OpenVINO GenAI has ended")
            return await super().generate(asked, prompt, choice)

    lines: list[str] = []
    monkeypatch.setattr("windtunnel.serve.engine.both.AGAIN_S", 0.01)

    async def run() -> None:
        backend = BothBackend(Engine(0.0005), lambda: Mortal(0.0005), lines.append)  # type: ignore[arg-type, return-value]
        backend.start()
        while len(lines) < 2:
            backend._asked = True
            await asyncio.sleep(0.01)
        await backend.close()

    asyncio.run(asyncio.wait_for(run(), 10))
    assert lines[1] == "llama.cpp serves alone: OpenVINO GenAI has ended"


def test_no_trial_has_its_prompt_in_a_cache_and_who_came_and_left_spoils_it() -> None:
    prompts: list[tuple[int, ...]] = []

    class Noting(Engine):
        async def generate(self, asked: Asked, prompt: Prompt, choice: int = 0) -> Answer:
            prompts.append(prompt.ids)
            return await super().generate(asked, prompt, choice)

    async def run() -> None:
        backend = BothBackend(Noting(0.0005), lambda: Engine(0.0005), lambda line: None)  # type: ignore[arg-type, return-value]
        for _ in range(12):
            assert all(await backend._trial(backend.llama))
        assert len(set(prompts)) == len(prompts)
        trial = asyncio.create_task(backend._trial(backend.llama))
        await asyncio.sleep(0.005)
        await said_by(backend, asked(1))
        assert not backend._in_flight
        assert await trial == ()

    asyncio.run(run())


def test_an_answer_that_llama_cpp_stops_because_it_moves_is_not_at_its_end() -> None:
    answer: Any = None

    class Server:
        def ask(self, body: object, heard: Callable[[object], bool], *, chat: bool) -> None:
            assert not heard({"choices": [{"text": "One"}]})
            answer.halt()  # and the loop comes to see it only later
            assert heard({"choices": [{"text": " two"}]})

    async def run() -> list[Piece]:
        nonlocal answer
        backend: Any = SimpleNamespace(news_of=lambda _: None)
        answer = _Answer(backend, asked(), asked().prompts[0], asyncio.get_running_loop())
        answer.follow(Server(), {})
        return [piece async for piece in answer]

    pieces = asyncio.run(run())
    assert "".join(piece.text for piece in pieces) == "One two"
    assert not any(piece.finish for piece in pieces)


def test_the_speeds_are_measured_and_told() -> None:
    lines: list[str] = []

    async def run() -> None:
        backend = BothBackend(Engine(0.002), lambda: Engine(0.004), lines.append)  # type: ignore[arg-type, return-value]
        backend.start()
        while not lines:
            await asyncio.sleep(0.01)
        assert backend.speeds is not None
        ours, theirs = backend.speeds
        # a token a sleep: 500 a second at most, and half of that
        assert 50 < ours.alone <= 500
        assert 25 < theirs.alone <= 250
        assert ours.together > 2 * ours.alone
        await backend.close()
        genai = Engine(0.004)
        genai.ready = Future()
        genai.ready.set_exception(UnsupportedError("OpenVINO GenAI does not take it"))
        failing = BothBackend(Engine(0.002), lambda: genai, lines.append)  # type: ignore[arg-type, return-value]
        failing.start()
        while len(lines) < 2:
            await asyncio.sleep(0.01)
        assert failing.genai is None
        await failing.close()

    asyncio.run(run())
    assert "tokens/s of a prompt" in lines[0]
    assert lines[1] == "llama.cpp serves alone: OpenVINO GenAI does not take it"
