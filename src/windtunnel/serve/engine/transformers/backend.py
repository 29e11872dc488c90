"""A model in safetensors as a back end."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping

from windtunnel.serve.api.asked import Asked, Prompt
from windtunnel.serve.api.backend import Generation, Model, Piece
from windtunnel.serve.api.refusal import RefusedError, overloaded
from windtunnel.serve.engine.transformers.loaded import Loaded
from windtunnel.serve.engine.transformers.makers import Alone, Batch, Job
from windtunnel.serve.engine.transformers.text import Said, calls_tools
from windtunnel.serve.engine.transformers.wanted import Wanted, refuse_unserved, wanted

WAITING = 256
RETRY_S = 1.0


class TransformersBackend:
    """One model. name: as clients call it; context: the longest request that is taken, 0 for the model's own; waiting: requests
    that may be there at once before more are refused.

    Answers are made side by side where transformers' continuous batching works for the model on its device, else one after the
    other; those with a seed, a least length or a repetition penalty one after the other in any case.
    """

    def __init__(self, loaded: Loaded, *, name: str, context: int = 0, waiting: int = WAITING) -> None:
        self.loaded, self._waiting = loaded, waiting
        self.batch: Batch | None = None
        self._no_batch = ""
        try:
            self.batch = Batch(loaded)
        except Exception as error:  # what does not work shows in many ways, and the other way is always there
            self._no_batch = (str(error).splitlines() or [type(error).__name__])[0][:200]
        self.alone = Alone(loaded, self.batch.pause) if self.batch else Alone(loaded)
        most = self.batch.context if self.batch else loaded.context
        self.context = min(filter(None, (context, most)), default=0)
        self._models = (Model(name, int(time.time()), "windtunnel", self.context or None),)
        self._answers: set[_Answer] = set()
        self.closed = False

    @property
    def told(self) -> str:
        """What it is, for one line."""
        device = self.loaded.device
        tokens = f": contexts of {self.context:,} tokens" if self.context else ""
        return f"transformers on {device.torch_name} ({device.name}){tokens}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader has to know of how it serves, a line each."""
        notes = []
        if self.batch is None:
            notes.append(f"one answer after the other: transformers' continuous batching does not work here ({self._no_batch})")
        if not self.loaded.template:
            notes.append("the model has no chat template: /v1/completions alone")
        elif "tools" in self.loaded.template and not calls_tools(self.loaded.template):
            notes.append("calls of tools come as text: the model does not write them as JSON between <tool_call> tags")
        return tuple(notes)

    def models(self) -> tuple[Model, ...]:
        return self._models

    def ill(self) -> str:
        return "the endpoint is closing" if self.closed else self.batch.ill() if self.batch else ""

    async def generate(self, asked: Asked, prompt: Prompt, choice: int = 0) -> Generation:
        refuse_unserved(asked, self.loaded)
        if len(self._answers) >= self._waiting:
            raise overloaded(f"{self._waiting} requests are there already", RETRY_S)
        it = await asyncio.to_thread(wanted, asked, prompt, choice, self.loaded, self.context)
        if self.closed:
            raise overloaded("the endpoint is closing")
        maker = self.alone if it.alone or self.batch is None else self.batch
        answer = _Answer(self, maker, it, asyncio.get_running_loop())
        self._answers.add(answer)
        maker.add(answer.job)
        return answer

    def leave(self, answer: _Answer) -> None:
        """Nobody waits for the answer any more."""
        self._answers.discard(answer)

    def gauges(self) -> Iterable[tuple[str, str, float]]:
        """What the engine is at, under vLLM's names."""
        running = sum(answer.job.running for answer in self._answers)
        yield "vllm:num_requests_running", "Requests that run", running
        yield "vllm:num_requests_waiting", "Requests that wait", len(self._answers) - running

    async def close(self) -> None:
        self.closed = True
        for answer in list(self._answers):
            answer.job.left.set()
            answer.told("the endpoint is closing")
        await asyncio.to_thread(self.alone.close)
        if self.batch is not None:
            await asyncio.to_thread(self.batch.close)


class _Answer:
    """One answer on its way; tokens that came together are one piece."""

    def __init__(self, of: TransformersBackend, maker: Alone | Batch, it: Wanted, loop: asyncio.AbstractEventLoop) -> None:
        self.prompt_tokens, self.cached_tokens = len(it.ids), 0
        self._of, self._maker, self._it, self._loop = of, maker, it, loop
        self._ready = asyncio.Event()
        self._tokens: deque[int] = deque()
        self._failed: str | None = None
        self.job = Job(it, self._put, self._over)

    def _put(self, token: int) -> None:
        self._tokens.append(token)
        self._wake()

    def _over(self, failed: str) -> None:
        self._failed = failed
        self._wake()

    def _wake(self) -> None:
        """From the maker's thread."""
        try:
            self._loop.call_soon_threadsafe(self._ready.set)
        except RuntimeError:  # the loop has ended
            self.job.left.set()

    def told(self, failed: str) -> None:
        """That no more comes, from the loop's own thread."""
        self._failed = failed
        self._ready.set()

    async def __aiter__(self) -> AsyncIterator[Piece]:
        loaded = self._of.loaded
        calls = self._it.tools and calls_tools(loaded.template)
        said = Said(loaded.tokenizer.backend_tokenizer, self._it.ids, self._it.stops, calls=calls)
        made, last = 0, -1
        while True:
            await self._ready.wait()
            self._ready.clear()
            failed = self._failed  # looked at first: what was put before it is there
            found: list[str | Mapping[str, object]] = []
            count = 0
            while self._tokens and not said.stopped:
                last = self._tokens.popleft()
                count += 1
                if last not in self._it.ends:
                    found += said.add(last)
            made += count
            if failed and not said.stopped:
                raise RefusedError(failed, status=503 if self._of.closed else 500, kind="server_error")
            ended = said.stopped or failed is not None
            if ended:
                found += said.end()
            finish = ""
            if ended:
                stopped = said.stopped or last in self._it.ends or made < self._it.most
                finish = "tool_calls" if said.called and stopped else "stop" if stopped else "length"
            for piece in _pieces(found, count, finish):
                yield piece
            if ended:
                return

    async def aclose(self) -> None:
        self._maker.leave(self.job)
        self._of.leave(self)


def _pieces(found: Iterable[str | Mapping[str, object]], tokens: int, finish: str) -> list[Piece]:
    """Texts that follow each other as one; the first piece counts the tokens, the last one ends."""
    told: list[str | Mapping[str, object]] = []
    for one in found:
        if isinstance(one, str) and told and isinstance(told[-1], str):
            told[-1] += one
        else:
            told.append(one)
    if not told and (tokens or finish):
        told.append("")
    pieces = []
    for at, one in enumerate(told):
        text, delta = (one, None) if isinstance(one, str) else ("", one)
        pieces.append(Piece(text, tokens if at == 0 else 0, finish if at == len(told) - 1 else "", delta))
    return pieces
