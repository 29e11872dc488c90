"""Two engines over one model: llama.cpp for who is alone, OpenVINO GenAI for many at once, by what this machine measures.

llama.cpp makes a lone answer's tokens faster, and OpenVINO takes in prompts and makes the tokens of several answers faster. At
any time one of them has the cores: an answer that llama.cpp began alone goes on in OpenVINO when others come, from the text that
it has. llama.cpp answers from the first moment; OpenVINO joins when it has loaded, which takes seconds.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from windtunnel.errors import WindtunnelError
from windtunnel.serve.api.asked import Asked, Prompt
from windtunnel.serve.api.backend import Generation, Model, Piece
from windtunnel.serve.api.refusal import RefusedError
from windtunnel.serve.engine.genai import GenaiBackend
from windtunnel.serve.engine.genai_wanted import unserved
from windtunnel.serve.engine.llama import LlamaBackend

LOG = logging.getLogger("windtunnel.serve")
GATHER_S = 0.003
"""How long a lone request waits for company before it begins alone."""
ANSWER_TOKENS = 128
"""Of an answer whose length the client leaves open."""
BYTES_A_TOKEN = 4
"""Of a prompt, where no more than its size decides."""
AGAIN_S = 600.0
"""After so long the speeds are measured again, where somebody has asked since and nobody does."""
TRIAL_PROMPT, TRIAL_ANSWER, TRIAL_STREAMS = 256, 24, 4
TRIALS = ((1, TRIAL_PROMPT, 1), (1, 8, TRIAL_ANSWER), (TRIAL_STREAMS, 8, TRIAL_ANSWER))
WARM = (TRIAL_STREAMS, 8, 2)
"""Streams, tokens of each prompt and of each answer. What is set up for so many streams the first time does not count."""
TURNS, TURN_S = 2, 8.0
"""A turn of both that takes longer is the only one: what else the machine does weighs little in so long."""
PENALTIES = ("presence_penalty", "frequency_penalty", "repetition_penalty", "repeat_penalty")
"""They look back at what was said, which an answer that moves leaves behind."""


@dataclass(frozen=True, slots=True)
class Speeds:
    """Tokens a second of one engine on this machine: of a prompt, of an answer alone, and of several together."""

    prompt: float
    alone: float
    together: float

    def seconds(self, prompt_tokens: float, answer_tokens: float) -> float:
        """Of a request that is alone."""
        return prompt_tokens / self.prompt + answer_tokens / self.alone


def _best(tried: Sequence[tuple[float, ...]]) -> Speeds:
    prompt_s, alone_s, together_s = map(min, zip(*tried, strict=True))
    return Speeds(TRIAL_PROMPT / prompt_s, TRIAL_ANSWER / alone_s, TRIAL_STREAMS * TRIAL_ANSWER / together_s)


class BothBackend:
    """llama: answers from now on; load: begins to load the other. tell: a line for the user when it has joined, or why it has
    not."""

    def __init__(self, llama: LlamaBackend, load: Callable[[], GenaiBackend], tell: Callable[[str], None]) -> None:
        self.llama, self._load, self._tell = llama, load, tell
        self.genai: GenaiBackend | None = None
        self.speeds: tuple[Speeds, Speeds] | None = None
        self._joining: asyncio.Task[None] | None = None
        self._movable: set[_Steered] = set()
        self._in_flight = self._pinned = 0
        self._asked = False
        self._came = self._trials = 0

    def models(self) -> tuple[Model, ...]:
        return self.llama.models()

    def ill(self) -> str:
        return self.llama.ill()

    def start(self) -> None:
        """Begins to load the second engine. Called in the loop that serves."""
        self._joining = asyncio.create_task(self._join())

    async def _join(self) -> None:
        await self.llama.start()
        genai = self._load()
        try:
            await asyncio.wrap_future(genai.ready)
        except WindtunnelError as error:
            self._tell(f"llama.cpp serves alone: {error}")
            return
        except asyncio.CancelledError:
            await genai.close()
            raise
        self.genai = genai
        try:
            ours, theirs = await self._measured(genai)
            self._tell(
                f"measured here, llama.cpp and OpenVINO: {ours.prompt:,.0f} and {theirs.prompt:,.0f} tokens/s of a prompt,"
                f" {ours.alone:.0f} and {theirs.alone:.0f} of an answer alone, {ours.together:.0f} and {theirs.together:.0f} of"
                f" {TRIAL_STREAMS} together; each request goes to the faster one"
            )
            while True:  # a machine that was busy then may not be now
                await asyncio.sleep(AGAIN_S)
                if self._asked:
                    await self._measured(genai)
        except RefusedError as error:  # it has ended
            self._tell(f"llama.cpp serves alone: {error}")

    async def _measured(self, genai: GenaiBackend) -> tuple[Speeds, Speeds]:
        """The speeds of the two, as soon as nobody asks for so long. They take turns, and the best of each counts: what else the
        machine does slows them by turns too."""
        while True:
            while self._in_flight:
                await asyncio.sleep(0.2)
            ours: list[tuple[float, ...]] = []
            theirs: list[tuple[float, ...]] = []
            begun = time.perf_counter()
            while len(ours) < TURNS and (not ours or time.perf_counter() - begun < TURN_S):
                first = await self._trial(self.llama)
                second = first and await self._trial(genai)
                if not second:
                    break  # whoever came has the cores
                ours.append(first)
                theirs.append(second)
            else:
                self.speeds, self._asked = (_best(ours), _best(theirs)), False
                return self.speeds

    async def _trial(self, backend: LlamaBackend | GenaiBackend) -> tuple[float, ...]:
        """Seconds of each trial; none where a client came in between, though it may have left again."""
        came = self._came

        async def one(prompt: int, answer: int) -> None:
            self._trials += 1  # no prompt comes twice: the engines would have it in their caches
            ids = tuple(random.Random(self._trials).choices(range(300, 1300), k=prompt))
            body = {"model": "", "ignore_eos": True, "temperature": 0}
            asked = Asked(False, "", (Prompt("", ids),), 1, answer, 0, True, True, False, (), False, body)
            generation = await backend.generate(asked, asked.prompts[0])
            try:
                async for _ in generation:
                    if self._came != came:
                        return
            finally:
                await generation.aclose()

        seconds: list[float] = []
        for streams, prompt, answer in (WARM, *TRIALS):
            begun = time.perf_counter()
            await asyncio.gather(*(one(prompt, answer) for _ in range(streams)))
            if self._came != came:
                return ()
            seconds.append(time.perf_counter() - begun)
        return tuple(seconds[1:])

    async def generate(self, asked: Asked, prompt: Prompt, choice: int = 0) -> Generation:
        genai, speeds = self.genai, self.speeds
        if genai is not None and genai.ill():
            genai = None  # llama.cpp serves on alone
        self._in_flight += 1
        self._came += 1
        self._asked = True
        try:
            taken = not unserved(asked) and bool(asked.chat or prompt.ids or prompt.text)  # OpenVINO takes no empty prompt
            movable = speeds is not None and taken and not any(asked.body.get(name) for name in PENALTIES)
            if genai is None or speeds is None or not movable or self._pinned:
                pinned = _Steered(self, await self.llama.generate(asked, prompt, choice), asked, prompt, pinned=True)
                self._pinned += 1
                return pinned
            if self._is_alone(asked) and not asked.least_tokens and self._better_alone(asked, prompt, speeds):
                await asyncio.sleep(GATHER_S)
            alone = self._is_alone(asked)
            better = self._better_alone(asked, prompt, speeds) if alone else speeds[0].together >= speeds[1].together
            if better and not asked.least_tokens:  # which llama.cpp does not serve
                steered = _Steered(self, await self.llama.generate(asked, prompt, choice), asked, prompt)
                self._movable.add(steered)
                return steered
            for steered in list(self._movable):
                steered.move()
            return _Steered(self, await genai.generate(asked, prompt, choice), asked, prompt)
        except BaseException:
            self._in_flight -= 1
            raise

    def _is_alone(self, asked: Asked) -> bool:
        return self._in_flight == 1 and asked.choices * len(asked.prompts) == 1

    def _better_alone(self, asked: Asked, prompt: Prompt, speeds: tuple[Speeds, Speeds]) -> bool:
        """Whether llama.cpp would be done sooner with a request that is alone."""
        tokens = len(prompt.ids) or len(prompt.text) / BYTES_A_TOKEN
        answer = min(asked.most_tokens or ANSWER_TOKENS, ANSWER_TOKENS) if not asked.ignore_end else asked.most_tokens or 1
        return speeds[0].seconds(tokens, answer) <= speeds[1].seconds(tokens, answer)

    async def moved(self, asked: Asked, prompt: Prompt, said: str, made: int) -> Generation:
        """The rest of an answer."""
        assert self.genai is not None
        return await self.genai.follow(asked, prompt, said, made)

    def leave(self, steered: _Steered) -> None:
        self._movable.discard(steered)
        self._pinned -= steered.pinned
        self._in_flight -= 1

    def gauges(self) -> Iterable[tuple[str, str, float]]:
        """What the two are at together, under vLLM's names."""
        for index, (name, told, value) in enumerate(self.llama.gauges()):
            more = list(self.genai.gauges())[index][2] if self.genai else 0.0
            yield name, told, max(value, more) if name.endswith("perc") else value + more

    async def close(self) -> None:
        if self._joining is not None:
            self._joining.cancel()
            await asyncio.wait([self._joining])
        await self.llama.close()
        if self.genai is not None:
            await self.genai.close()


class _Steered:
    """An answer that may go on in the other engine. pinned: to llama.cpp, by what the client asks."""

    def __init__(self, of: BothBackend, inner: Any, asked: Asked, prompt: Prompt, *, pinned: bool = False) -> None:
        self.cached_tokens = 0
        self.pinned = pinned
        self._of, self._inner, self._asked, self._prompt = of, inner, asked, prompt
        self._said: list[str] = []
        self._made = 0
        self._left = False

    @property
    def prompt_tokens(self) -> int:
        return int(self._inner.prompt_tokens)

    def move(self) -> None:
        """Others have come: the rest is for the other engine."""
        self._of._movable.discard(self)
        self._inner.halt()

    async def __aiter__(self) -> AsyncIterator[Piece]:
        while True:
            async for piece in self._inner:
                self.cached_tokens = max(self.cached_tokens, self._inner.cached_tokens)
                self._said.append(piece.text)
                self._made += piece.tokens
                if piece.finish:
                    self._of._movable.discard(self)
                yield piece
                if piece.finish:
                    return
            await self._inner.aclose()
            most = self._asked.most_tokens
            if most is not None and self._made >= most:
                yield Piece("", 0, "length")
                return
            self._inner = await self._of.moved(self._asked, self._prompt, "".join(self._said), self._made)

    async def aclose(self) -> None:
        await self._inner.aclose()
        if not self._left:
            self._left = True
            self._of.leave(self)
