"""What becomes of the answers under way where OpenVINO GenAI fails at a step; the engine itself is stood in for."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from windtunnel.errors import UnsupportedError
from windtunnel.serve.api.asked import read_asked
from windtunnel.serve.api.refusal import RefusedError
from windtunnel.serve.engine.both import BothBackend, Speeds
from windtunnel.serve.engine.genai import GenaiBackend
from windtunnel.serve.engine.llama_server import Size

pytest.importorskip("numpy")
STAND_IN = """
import pathlib, time
from types import SimpleNamespace
import numpy

class GenerationFinishReason: NONE, STOP, LENGTH = 0, 1, 2
class GenerationStatus: RUNNING = 0

class Config:
    def __init__(self, **said): print("asked", said, file=open({log!r}, "a"))
    def set_eos_token_id(self, token): pass

class Tokenizer:
    def encode(self, text, add_special_tokens):
        return SimpleNamespace(input_ids=SimpleNamespace(data=numpy.zeros((1, len(text)), dtype=numpy.int64)))
    def get_vocab(self): return {{b"One": 0}}
    def get_eos_token_id(self): return 0

class ContinuousBatchingPipeline:
    def __init__(self, *_): print("OpenVINO says what it likes where it likes")
    def get_tokenizer(self): return Tokenizer()
    def add_request(self, *_): return SimpleNamespace(can_read=lambda: False, get_status=lambda: 0, cancel=lambda: None)
    def has_non_finished_requests(self): return True
    def step(self):
        if pathlib.Path({let!r}).exists(): raise RuntimeError("out of memory")
        time.sleep(0.005)

SchedulerConfig, GenerationConfig = SimpleNamespace, Config
"""
"""It fails at a step, once it is let."""


@pytest.fixture
def let(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    let = tmp_path / "let"
    (tmp_path / "openvino_genai.py").write_text(STAND_IN.format(let=str(let), log=str(tmp_path / "log")))
    (tmp_path / "openvino.py").write_text("Tensor = list")
    before = os.environ.get("PYTHONPATH")  # an empty part of it would be the current folder
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *([before] if before else [])]))
    return let


@asynccontextmanager
async def loaded() -> AsyncIterator[GenaiBackend]:
    backend = GenaiBackend(Path("model.gguf"), Size(4, 64), name="it", waiting=4)
    await asyncio.wrap_future(backend.ready)
    try:
        yield backend
    finally:
        await backend.close()


def run(body: Callable[[GenaiBackend], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with loaded() as backend:
            await asyncio.wait_for(body(backend), 20)

    asyncio.run(whole())


ASKED = read_asked({"model": "it", "prompt": "One", "max_tokens": 4}, chat=False)


def test_a_step_that_fails_ends_every_answer_and_no_more_are_begun(let: Path) -> None:
    async def body(backend: GenaiBackend) -> None:
        under_way = [await backend.generate(ASKED, ASKED.prompts[0]) for _ in range(3)]
        let.touch()
        for generation in under_way:
            with pytest.raises(RefusedError, match="OpenVINO GenAI has ended with status 1") as told:
                _ = [piece async for piece in generation]
            assert told.value.status == 500
            await generation.aclose()
        assert backend.ill()
        with pytest.raises(RefusedError) as told:
            await backend.generate(ASKED, ASKED.prompts[0])
        assert told.value.status == 503

    run(body)


def test_llama_cpp_serves_on_alone(let: Path) -> None:
    class Llama:
        asked = 0

        async def generate(self, *_: Any) -> Any:
            self.asked += 1
            return SimpleNamespace()

    async def body(backend: GenaiBackend) -> None:
        dying = await backend.generate(ASKED, ASKED.prompts[0])
        let.touch()
        with pytest.raises(RefusedError):
            _ = [piece async for piece in dying]
        llama: Any = Llama()
        both = BothBackend(llama, lambda: backend, lambda _: None)
        both.genai, both.speeds = backend, (Speeds(1.0, 1.0, 1.0), Speeds(9.0, 9.0, 9.0))  # OpenVINO was the faster one
        await both.generate(ASKED, ASKED.prompts[0])
        assert llama.asked == 1

    run(body)


def test_an_answer_that_moves_fits_the_context_whatever_its_text_is_cut_into(let: Path) -> None:
    async def body(backend: GenaiBackend) -> None:
        asked = read_asked({"model": "it", "prompt": "One"}, chat=False)  # as long as the context has room for: 61
        rest = await backend.follow(asked, asked.prompts[0], "x" * 40, 30)
        assert rest.prompt_tokens == 3
        assert f"'max_new_tokens': {64 - 3 - 40}" in (let.parent / "log").read_text()
        await rest.aclose()

    run(body)


def test_a_least_length_counts_what_was_said_elsewhere(let: Path) -> None:
    async def body(backend: GenaiBackend) -> None:
        asked = read_asked({"model": "it", "prompt": "One", "max_tokens": 12, "min_tokens": 10}, chat=False)
        for made in (4, 11):
            rest = await backend.follow(asked, asked.prompts[0], "x" * made, made)
            await rest.aclose()
        said = (let.parent / "log").read_text()
        assert "'min_new_tokens': 6, 'max_new_tokens': 8" in said
        assert "'min_new_tokens': 0, 'max_new_tokens': 1" in said

    run(body)


def test_what_lies_where_it_is_started_is_not_run(let: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    downloads = let.parent / "downloads"
    downloads.mkdir()
    (downloads / "json.py").write_text("raise SystemExit(1)")
    monkeypatch.chdir(downloads)

    async def body(backend: GenaiBackend) -> None:
        await (await backend.generate(ASKED, ASKED.prompts[0])).aclose()

    run(body)


FORKS = """
import multiprocessing, pathlib
try: import openvino_telemetry
except ImportError: pass
copy = multiprocessing.get_context("fork").Process(target=int)
copy.start()
copy.join(5)
if copy.exitcode != 0: raise SystemExit(1)
Tensor = list
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_a_copy_that_openvino_makes_of_its_process_ends_and_nothing_is_told_to_its_makers(let: Path) -> None:
    """A copy that did not would hold the pipe open, and nobody would hear of the end."""
    (let.parent / "openvino.py").write_text(FORKS)
    (let.parent / "openvino_telemetry.py").write_text(f"open({str(let.parent / 'told')!r}, 'w')")

    async def body(backend: GenaiBackend) -> None:
        assert not (let.parent / "told").exists()

    run(body)


def test_a_model_that_is_not_taken_leaves_in_order(let: Path) -> None:
    text = (let.parent / "openvino_genai.py").read_text()
    (let.parent / "openvino_genai.py").write_text(text + "\ndef SchedulerConfig(): raise RuntimeError('no such architecture')")
    backend = GenaiBackend(Path("model.gguf"), Size(4, 64), name="it", waiting=4)
    with pytest.raises(UnsupportedError, match="no such architecture"):
        backend.ready.result(30)
    assert backend._process.wait(10) == 0


def test_a_process_that_ends_while_it_loads_is_told_of(let: Path) -> None:
    (let.parent / "openvino_genai.py").write_text("raise SystemExit(1)")
    backend = GenaiBackend(Path("model.gguf"), Size(4, 64), name="it", waiting=4)
    with pytest.raises(UnsupportedError, match="OpenVINO GenAI ended with status 1 while it loaded model"):
        backend.ready.result(30)


def test_a_process_that_is_ended_by_a_signal_is_told_with_it(let: Path) -> None:
    async def body(backend: GenaiBackend) -> None:
        under_way = await backend.generate(ASKED, ASKED.prompts[0])
        backend._process.kill()
        with pytest.raises(RefusedError, match="OpenVINO GenAI has ended by SIGKILL, as where memory runs out"):
            _ = [piece async for piece in under_way]
        await under_way.aclose()

    run(body)
