"""Answers at the pace of a simulated deployment, for the load that is really there."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Iterable

from windtunnel.serve.api.asked import Asked, Prompt
from windtunnel.serve.api.backend import Generation, Model, Piece
from windtunnel.serve.api.refusal import RefusedError, overloaded, too_long
from windtunnel.serve.virtual.tokens import count, segments
from windtunnel.serve.virtual.words import Author, Filler, Text
from windtunnel.sim.serving.fleet import Fleet
from windtunnel.sim.serving.live import Live
from windtunnel.sim.serving.request import Request, Task
from windtunnel.sim.serving.simulate import notes_of
from windtunnel.sim.serving.simulation import TOO_LONG, Simulation

ANSWER_TOKENS = 256
"""Of an answer whose length the client leaves open: nothing says when a model that is not there would stop."""
SEGMENT_TOKENS = 64
"""Beginnings that prompts share are told apart in steps of so many tokens, or of a block where that is more."""


class VirtualBackend:
    """One simulated fleet that all live requests share.

    isl, osl: lengths for which its caches are laid out. speed: simulated seconds in a real one. answer_tokens: of an answer
    whose length the client leaves open. author: of the text, words without one. clock: seconds, never backwards.
    """

    def __init__(
        self,
        fleet: Fleet,
        *,
        isl: float,
        osl: float,
        name: str = "",
        speed: float = 1.0,
        seed: int = 0,
        answer_tokens: int = ANSWER_TOKENS,
        author: Author | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.simulation = Simulation(fleet, isl, osl, seed=seed)
        self.live = Live(self.simulation)
        self.speed, self.answer_tokens, self._clock = speed, answer_tokens, clock
        self._author: Author = author or Filler()
        spec = self.simulation.main.of.spec
        self._models = (Model(name or fleet.deployment.model, int(time.time()), "windtunnel", spec.max_context),)
        block = self.simulation.main.settings.block_tokens
        self._segment = math.ceil(SEGMENT_TOKENS / block) * block
        self._shares = any(pool.settings.prefix_caching for pool in (self.simulation.main, self.simulation.before) if pool)
        self._answers: dict[int, _Answer] = {}
        self._begun_s = clock()
        self._timer: asyncio.TimerHandle | None = None
        self.closed = False

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader has to know of the deployment, a line each."""
        return tuple(dict.fromkeys(notes_of(self.simulation)))

    def now_s(self) -> float:
        """The simulation's time."""
        return (self._clock() - self._begun_s) * self.speed

    def models(self) -> tuple[Model, ...]:
        return self._models

    def ill(self) -> str:
        return "the endpoint is closing" if self.closed else ""

    async def generate(self, asked: Asked, prompt: Prompt, choice: int = 0) -> Generation:
        tokens, most = count(prompt), self._models[0].most_tokens
        wanted = asked.most_tokens or max(self.answer_tokens, asked.least_tokens)
        if most:
            least = asked.most_tokens or 1
            if tokens + least > most:
                raise too_long(tokens, least, most)
            wanted = min(wanted, most - tokens)
        now = self.now_s()
        self._tell(now)
        shared = segments(prompt, self._segment) if self._shares else ()
        task = self.live.submit(Request(now, tokens, wanted, shared, self._segment if shared else 0))
        if isinstance(task, str):
            code = "context_length_exceeded" if task == TOO_LONG else None
            raise RefusedError(f"{tokens} tokens in and {wanted} out are {task}", param="prompt", code=code)
        answer = _Answer(self, task, tokens, self._author.write(asked, prompt, wanted), asked)
        self._answers[task.id] = answer
        self._wake()
        return answer

    def leave(self, task: Task) -> None:
        """Nobody waits for the task any more."""
        if self._answers.pop(task.id, None) is not None:
            now = self.now_s()
            self._tell(now)
            self.live.abort(task, now)
            self._wake()

    def _tell(self, now: float) -> None:
        """Everything that is there by now goes to whoever waits for it."""
        for tokens in self.live.advance(now):
            answer = self._answers.get(tokens.task.id)
            if answer is not None:
                answer.put(tokens.count, tokens.done)
            if tokens.done:
                self._answers.pop(tokens.task.id, None)

    def _wake(self) -> None:
        """Sets the alarm for what comes next."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self.live.next_s
        if self._answers and due < math.inf:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, (due - self.now_s()) / self.speed), self._alarm)

    def _alarm(self) -> None:
        self._timer = None
        self._tell(self.now_s())
        self._wake()

    def gauges(self) -> Iterable[tuple[str, str, float]]:
        """What the engine is at, under vLLM's names."""
        self._tell(self.now_s())
        sample, simulation = self.simulation.sample(self.live.simulation.now), self.simulation
        tokens = sum(engine.settings.kv_tokens for engine in simulation.engines)
        yield "vllm:num_requests_running", "Requests that run", sample.running
        yield "vllm:num_requests_waiting", "Requests that wait", sample.waiting
        yield "vllm:kv_cache_usage_perc", "Share of the KV cache in use", min(1.0, sample.kv_tokens / tokens)
        yield "windtunnel:simulated_seconds", "Time of the simulation", simulation.now

    async def close(self) -> None:
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
        for answer in self._answers.values():
            answer.fail(overloaded("the endpoint is closing"))
        self._answers.clear()
        self._author.close()


class _Answer:
    """One answer on its way; tokens that came together are one piece."""

    def __init__(self, of: VirtualBackend, task: Task, tokens: int, text: Text, asked: Asked) -> None:
        self.prompt_tokens, self.cached_tokens = tokens, 0
        self._of, self._task, self._text, self._stops, self._ignore_end = of, task, text, asked.stop, asked.ignore_end
        self._ready: asyncio.Event = asyncio.Event()
        self._tokens, self._done = 0, False
        self._error: RefusedError | None = None

    def put(self, tokens: int, done: bool) -> None:
        self._tokens += tokens
        self._done = done
        self._ready.set()

    def fail(self, error: RefusedError) -> None:
        self._error = error
        self._ready.set()

    async def __aiter__(self) -> AsyncIterator[Piece]:
        said = ""
        while True:
            await self._ready.wait()
            self._ready.clear()
            if self._error is not None:
                raise self._error
            self.cached_tokens = self._task.hit
            tokens, self._tokens = self._tokens, 0
            text = self._text.take(tokens)
            stop = next((found for found in self._stops if found in said + text), None)
            if stop is not None:
                kept = (said + text)[: (said + text).index(stop)]
                yield Piece(kept[len(said) :], tokens, "stop")
                return
            said = (said + text)[-max(map(len, self._stops)) :] if self._stops else ""
            ended = self._text.ended and not self._ignore_end
            yield Piece(text, tokens, "stop" if ended else "length" if self._done else "")
            if self._done or ended:
                return

    async def aclose(self) -> None:
        self._text.close()
        self._of.leave(self._task)
