"""What is known of a prompt that llama.cpp computes, whenever its client leaves; llama.cpp is a stand-in."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from windtunnel.serve.api.asked import read_asked
from windtunnel.serve.api.refusal import RefusedError
from windtunnel.serve.engine import llama
from windtunnel.serve.engine.llama import LlamaBackend
from windtunnel.serve.engine.llama_server import Heard, Size

ASKED = read_asked({"model": "it", "prompt": "x" * 12, "max_tokens": 5}, chat=False)
ESTIMATE = 3
"""A fourth of the bytes."""


class Server:
    """Takes a prompt in until it is told to go on, and then answers. counted: tokens of a prompt, told at the end."""

    knows_tools = False

    def __init__(self, *_: Any, **__: Any) -> None:
        self.asked, self.go_on = threading.Event(), threading.Event()

    def ask(self, body: Mapping[str, Any], heard: Heard, *, chat: bool) -> None:
        self.asked.set()
        while not self.go_on.wait(0.005):
            if heard({}):
                return
        if body["prompt"] == "no":
            raise ValueError("it does not take that")
        heard({"choices": [{"text": "a"}]})
        heard({"usage": {"prompt_tokens": 7, "completion_tokens": 1}})

    def close(self) -> None:
        pass


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> LlamaBackend:
    monkeypatch.setattr(llama, "LlamaServer", Server)
    return LlamaBackend(Path("it.gguf"), Size(1, 1000), name="it", waiting=4)


def test_a_prompt_is_estimated_from_when_it_is_begun_until_it_is_counted(backend: LlamaBackend) -> None:
    server: Any = backend._server

    async def run() -> None:
        left = await backend.generate(ASKED, ASKED.prompts[0])
        await asyncio.to_thread(server.asked.wait, 10)
        waits = await backend.generate(ASKED, ASKED.prompts[0])  # for the one place
        assert (left.prompt_tokens, waits.prompt_tokens) == (ESTIMATE, 0)
        await left.aclose()
        assert left.prompt_tokens == ESTIMATE
        server.go_on.set()
        seen = [(waits.prompt_tokens, piece.finish) async for piece in waits]
        assert seen[0][0] >= ESTIMATE
        assert (waits.prompt_tokens, seen[-1][1]) == (7, "stop")
        await waits.aclose()
        await backend.close()

    asyncio.run(run())


def test_a_prompt_that_is_refused_comes_to_nothing(backend: LlamaBackend) -> None:
    server: Any = backend._server
    server.go_on.set()
    asked = read_asked({"model": "it", "prompt": "no"}, chat=False)

    async def run() -> None:
        answer = await backend.generate(asked, asked.prompts[0])
        with pytest.raises(RefusedError, match="it does not take that"):
            _ = [piece async for piece in answer]
        assert answer.prompt_tokens == 0
        await answer.aclose()
        await backend.close()

    asyncio.run(run())
