"""A model on this machine's CPU by OpenVINO GenAI, as a back end: all answers of a step are computed in one batch."""

from __future__ import annotations

import asyncio
import importlib
import math
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from windtunnel.errors import UnsupportedError
from windtunnel.serve.api.asked import Asked, Prompt
from windtunnel.serve.api.backend import Generation, Model, Piece
from windtunnel.serve.api.refusal import RefusedError, overloaded, too_long
from windtunnel.serve.engine.genai_wanted import refuse_unserved, wanted
from windtunnel.serve.engine.llama_server import Size
from windtunnel.serve.engine.text import Spelling

RETRY_S = 1.0
BATCH_TOKENS = 2048
"""Of prompts, that one step takes in: a client that leaves is noticed between two."""
GIB = 1024**3


class GenaiBackend:
    """One model.

    path: a GGUF file or a folder in OpenVINO's form. kv_bytes: of a token over all layers, None where it is not known. spell:
    token -> its bytes, the engine's own (slower) where there is none. Raises UnsupportedError where OpenVINO does not take the
    model.
    """

    def __init__(
        self,
        path: Path,
        size: Size,
        *,
        name: str,
        waiting: int,
        kv_bytes: float | None = None,
        spell: Callable[[int], bytes] | None = None,
        template: str = "",
    ) -> None:
        self._genai: Any = importlib.import_module("openvino_genai")
        self._openvino: Any = importlib.import_module("openvino")
        self._numpy: Any = importlib.import_module("numpy")
        config = self._genai.SchedulerConfig()
        config.max_num_batched_tokens, config.max_num_seqs = BATCH_TOKENS, size.parallel
        config.enable_prefix_caching = True
        config.cache_size = max(1, math.ceil(size.parallel * size.context * (kv_bytes or 0.0) / GIB))
        options = {"INFERENCE_NUM_THREADS": size.threads} if size.threads else {}
        try:
            self._pipeline: Any = self._genai.ContinuousBatchingPipeline(str(path), config, "CPU", options)
            self._tokenizer: Any = self._pipeline.get_tokenizer()
        except RuntimeError as error:
            reason = next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), "it says no reason")
            raise UnsupportedError(f"OpenVINO GenAI does not take {path}: {reason[:300]}") from None
        self.size, self._waiting, self._template = size, waiting, template
        self._spell = spell or self._decoded
        self._models = (Model(name, int(time.time()), "windtunnel", size.context),)
        self._answers: set[_Answer] = set()
        self._new: deque[_Answer] = deque()
        self._work = threading.Condition()
        self.closed = False
        self._ended: Future[None] = Future()
        self._number = 0
        threading.Thread(target=self._run, name="openvino", daemon=True).start()

    def models(self) -> tuple[Model, ...]:
        return self._models

    def ill(self) -> str:
        if self._ended.done() and not self.closed:
            return "OpenVINO GenAI has ended; the log says why"
        return "the endpoint is closing" if self.closed else ""

    async def generate(self, asked: Asked, prompt: Prompt, choice: int = 0) -> Generation:
        refuse_unserved(asked)
        if len(self._answers) >= self.size.parallel + self._waiting:
            raise overloaded(f"{self._waiting} requests wait already for one of the {self.size.parallel} places", RETRY_S)
        return self.begin(asked, self.ids(asked, prompt))

    def ids(self, asked: Asked, prompt: Prompt) -> Any:
        """The prompt's tokens, as an array of one row. Raises RefusedError for a chat that the template does not take."""
        if prompt.ids:
            return self._numpy.array([prompt.ids], dtype=self._numpy.int64)
        text = prompt.text
        if asked.chat:
            try:
                text = self._tokenizer.apply_chat_template(_history(asked), True, self._template)
            except (RuntimeError, TypeError) as error:
                raise RefusedError(
                    f"the model's chat template does not take the messages: {error}"[:500], param="messages"
                ) from None
        return self._tokenizer.encode(text, add_special_tokens=not asked.chat).input_ids.data.copy()

    def followed(self, ids: Any, said: str) -> Any:
        """The tokens, and after them those of the text."""
        more = self._tokenizer.encode(said, add_special_tokens=False).input_ids.data if said else None
        return ids if more is None else self._numpy.concatenate([ids, more], axis=1)

    def begin(self, asked: Asked, ids: Any) -> _Answer:
        """An answer to the tokens. Raises RefusedError where they are too many."""
        if self.ill():
            raise overloaded(self.ill())
        tokens, answer, room = int(ids.shape[-1]), asked.most_tokens or 1, self.size.context
        if tokens + answer > room:
            raise too_long(tokens, answer, room, "messages" if asked.chat else "prompt")
        config = self._genai.GenerationConfig(**wanted(asked, asked.most_tokens or room - tokens))
        config.set_eos_token_id(self._tokenizer.get_eos_token_id())
        found = _Answer(self, asked, ids, config, Spelling(self._spell, asked.stop), asyncio.get_running_loop())
        self._answers.add(found)
        with self._work:
            self._new.append(found)
            self._work.notify()
        return found

    def leave(self, answer: _Answer) -> None:
        """Nobody waits for the answer any more."""
        self._answers.discard(answer)

    def _decoded(self, token: int) -> bytes:
        return str(self._tokenizer.decode([token])).encode()

    def _run(self) -> None:
        """The engine's thread: a step computes one token of each answer, or takes prompts in."""
        running: list[_Answer] = []
        try:
            while not self.closed:
                with self._work:
                    while not (self.closed or self._new or running):
                        self._work.wait()
                    new, self._new = self._new, deque()
                for answer in new:
                    if not answer.left:
                        answer.start(self._pipeline, self._openvino, self._number)
                        self._number += 1
                        running.append(answer)
                if running and self._pipeline.has_non_finished_requests():
                    self._pipeline.step()
                running = [answer for answer in running if answer.follow()]
                self._tell()
            self._ended.set_result(None)
        except BaseException as error:
            self._ended.set_exception(error)
            for answer in list(self._answers):  # nobody makes the rest of them
                answer.news.append(RefusedError("OpenVINO GenAI has ended", status=500, kind="server_error"))
            self._tell()
            raise

    def _tell(self) -> None:
        """From the engine's thread: wakes whoever has something to read. The loop adds and drops answers meanwhile, so a copy
        is gone through: making it is one step, which no other thread comes between."""
        for loop in {answer.loop for answer in list(self._answers) if answer.news}:
            loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        for answer in list(self._answers):
            if answer.news:
                answer.ready.set()

    def gauges(self) -> Iterable[tuple[str, str, float]]:
        """What the engine is at, under vLLM's names."""
        answers = list(self._answers)
        running = sum(answer.handle is not None for answer in answers)
        yield "vllm:num_requests_running", "Requests that run", running
        yield "vllm:num_requests_waiting", "Requests that wait", len(answers) - running
        used = sum(answer.prompt_tokens + answer.made for answer in answers) / (self.size.parallel * self.size.context)
        yield "vllm:kv_cache_usage_perc", "Share of the KV cache in use by requests that run", min(1.0, used)

    async def close(self) -> None:
        self.closed = True
        with self._work:
            self._work.notify()
        await asyncio.to_thread(self._ended.exception)
        for answer in list(self._answers):
            answer.fail(overloaded("the endpoint is closing"))


class _Answer:
    """One answer on its way. Its engine's thread appends, its loop takes."""

    def __init__(
        self, of: GenaiBackend, asked: Asked, ids: Any, config: Any, spelling: Spelling, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.prompt_tokens, self.cached_tokens, self.made = int(ids.shape[-1]), 0, 0
        self.loop, self.ready = loop, asyncio.Event()
        self.news: deque[Piece | RefusedError] = deque()
        self.left = False
        self.handle: Any = None
        self._of, self._ids, self._config, self._spelling = of, ids, config, spelling

    def start(self, pipeline: Any, openvino: Any, number: int) -> None:
        try:
            self.handle = pipeline.add_request(number, openvino.Tensor(self._ids), self._config)
        except (RuntimeError, TypeError, ValueError) as error:
            self.news.append(RefusedError((str(error).splitlines() or ["OpenVINO GenAI does not take the request"])[-1][:500]))

    def follow(self) -> bool:
        """After a step: takes what there is. False once the answer is over."""
        if self.handle is None:
            return False
        if self.left:
            self.handle.cancel()
            return False
        tokens: list[int] = []
        finish = ""
        while self.handle.can_read():
            for output in self.handle.read().values():
                tokens += output.generated_ids
                finish = _FINISH.get(output.finish_reason.name, "")
        over = finish or self.handle.get_status().name != "RUNNING"
        if not tokens and not over:
            return True
        self.made += len(tokens)
        text = self._spelling.add(tokens)
        if self._spelling.stopped:
            self.handle.cancel()
            finish, over = "stop", True
        if over:
            self.news.append(Piece(text + self._spelling.end(), len(tokens), finish or "length"))
            return False
        self.news.append(Piece(text, len(tokens)))
        return True

    def fail(self, error: RefusedError) -> None:
        self.news.append(error)
        self.ready.set()

    async def __aiter__(self) -> AsyncIterator[Piece]:
        while True:
            await self.ready.wait()
            self.ready.clear()
            text, tokens, finish = "", 0, ""
            while self.news and not finish:
                piece = self.news.popleft()
                if isinstance(piece, RefusedError):
                    raise piece
                text, tokens, finish = text + piece.text, tokens + piece.tokens, piece.finish
            if text or tokens or finish:
                yield Piece(text, tokens, finish)
            if finish:
                return

    async def aclose(self) -> None:
        self.left = True
        self._of.leave(self)


_FINISH = {"STOP": "stop", "LENGTH": "length"}


def _history(asked: Asked) -> list[dict[str, Any]]:
    """The messages, with parts of text put together."""
    history = []
    for message in asked.body["messages"]:
        content = message.get("content")
        if isinstance(content, list):
            content = "\n".join(part["text"] for part in content)
        history.append({**message, "content": content or ""})
    return history
