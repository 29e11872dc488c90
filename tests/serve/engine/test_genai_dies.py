"""What becomes of the answers under way where OpenVINO GenAI fails at a step; the engine itself is stood in for."""

from __future__ import annotations

import asyncio
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from windtunnel.serve.api.asked import read_asked
from windtunnel.serve.api.refusal import RefusedError
from windtunnel.serve.engine.both import BothBackend, Speeds
from windtunnel.serve.engine.genai import GenaiBackend
from windtunnel.serve.engine.llama_server import Size

numpy = pytest.importorskip("numpy")
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # the failure is the test's own


class Tokenizer:
    def encode(self, text: str, add_special_tokens: bool) -> Any:
        return SimpleNamespace(input_ids=SimpleNamespace(data=numpy.zeros((1, len(text)), dtype=numpy.int64)))

    def get_eos_token_id(self) -> int:
        return 0


class Pipeline:
    """Fails at its first step, once it is let."""

    def __init__(self, *_: Any) -> None:
        self.let = threading.Event()

    def get_tokenizer(self) -> Tokenizer:
        return Tokenizer()

    def add_request(self, *_: Any) -> Any:
        return SimpleNamespace(can_read=lambda: False, get_status=lambda: SimpleNamespace(name="RUNNING"), cancel=lambda: None)

    def has_non_finished_requests(self) -> bool:
        return True

    def step(self) -> None:
        self.let.wait(10)
        raise RuntimeError("out of memory")


class Config(SimpleNamespace):
    def set_eos_token_id(self, token: int) -> None: ...


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> GenaiBackend:
    openvino_genai = SimpleNamespace(
        SchedulerConfig=SimpleNamespace, ContinuousBatchingPipeline=Pipeline, GenerationConfig=Config
    )
    monkeypatch.setitem(sys.modules, "openvino_genai", openvino_genai)
    monkeypatch.setitem(sys.modules, "openvino", SimpleNamespace(Tensor=lambda ids: ids))
    return GenaiBackend(Path("model.gguf"), Size(4, 64), name="it", waiting=4)


ASKED = read_asked({"model": "it", "prompt": "One", "max_tokens": 4}, chat=False)


def test_a_step_that_fails_ends_every_answer_and_no_more_are_begun(backend: GenaiBackend) -> None:
    async def body() -> None:
        under_way = [await backend.generate(ASKED, ASKED.prompts[0]) for _ in range(3)]
        backend._pipeline.let.set()
        for generation in under_way:
            with pytest.raises(RefusedError, match="OpenVINO GenAI has ended") as told:
                _ = [piece async for piece in generation]
            assert told.value.status == 500
            await generation.aclose()
        assert backend.ill()
        with pytest.raises(RefusedError) as told:
            await backend.generate(ASKED, ASKED.prompts[0])
        assert told.value.status == 503

    asyncio.run(asyncio.wait_for(body(), 10))


def test_llama_cpp_serves_on_alone(backend: GenaiBackend) -> None:
    class Llama:
        asked = 0

        async def generate(self, *_: Any) -> Any:
            self.asked += 1
            return SimpleNamespace()

    async def body() -> None:
        dying = await backend.generate(ASKED, ASKED.prompts[0])
        backend._pipeline.let.set()
        with pytest.raises(RefusedError):
            _ = [piece async for piece in dying]
        llama: Any = Llama()
        both = BothBackend(llama, lambda: backend, lambda _: None)
        both.genai, both.speeds = backend, (Speeds(1.0, 1.0, 1.0), Speeds(9.0, 9.0, 9.0))  # OpenVINO was the faster one
        await both.generate(ASKED, ASKED.prompts[0])
        assert llama.asked == 1

    asyncio.run(asyncio.wait_for(body(), 10))


def test_an_answer_that_moves_fits_the_context_whatever_its_text_is_cut_into(backend: GenaiBackend) -> None:
    async def body() -> None:
        both = BothBackend(SimpleNamespace(), lambda: backend, lambda _: None)  # type: ignore[arg-type]
        both.genai = backend
        asked = read_asked({"model": "it", "prompt": "One"}, chat=False)  # as long as the context has room for: 61
        rest: Any
        rest, tokens = await both.moved(asked, asked.prompts[0], "x" * 40, 30)
        assert tokens == 3
        assert rest._config.max_new_tokens == 64 - 3 - 40
        await rest.aclose()
        backend._pipeline.let.set()

    asyncio.run(asyncio.wait_for(body(), 10))
