"""A model on this machine's CPU by OpenVINO GenAI, as a back end: all answers of a step are computed in one batch.

The engine has a process of its own (``genai_child``), which this one speaks with.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from concurrent.futures import Future
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from windtunnel.errors import UnsupportedError
from windtunnel.serve.api.asked import Asked, Prompt
from windtunnel.serve.api.backend import Model, Piece
from windtunnel.serve.api.refusal import RefusedError, overloaded, too_long
from windtunnel.serve.engine.genai_wanted import refuse_unserved, wanted
from windtunnel.serve.engine.llama_server import Size
from windtunnel.serve.engine.text import Spelling

RETRY_S = 1.0
GIB = 1024**3
_RUN = "import sys; sys.path.append(sys.argv[1]); from windtunnel.serve.engine.genai_child import main; main()"
_ROOT = Path(__file__).resolve().parents[3]


class GenaiBackend:
    """One model, which begins to load.

    path: a GGUF file or a folder in OpenVINO's form. kv_bytes: of a token over all layers, None where it is not known. spell:
    token -> its bytes, the engine's own where there is none. ready: done once it has loaded; it holds UnsupportedError where
    OpenVINO does not take the model.
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
        self.size, self._path, self._waiting = size, path, waiting
        self._texts: dict[int, bytes] = {}
        self._spell = spell or (lambda token: self._texts.get(token, b""))
        self._models = (Model(name, int(time.time()), "windtunnel", size.context),)
        self._answers: dict[int, _Answer] = {}
        self._numbers = count()
        self.closed = False
        self._ended = ""
        self.ready: Future[None] = Future()
        self.ready.set_running_or_notify_cancel()  # who waits for it and leaves does not end it
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _RUN, str(_ROOT)],  # -P: whatever lies where it is started is no package
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is this process's to hear: answers under way are ended first
        )
        self._lines: SimpleQueue[Mapping[str, Any] | None] = SimpleQueue()
        threading.Thread(target=self._write, name="to openvino", daemon=True).start()
        threading.Thread(target=self._hear, name="from openvino", daemon=True).start()
        load = {"path": str(path), "parallel": size.parallel, "context": size.context, "threads": size.threads}
        cache_gib = max(1, math.ceil(size.parallel * size.context * (kv_bytes or 0.0) / GIB))
        self._lines.put({**load, "cache_gib": cache_gib, "template": template, "spelled": spell is None})

    def models(self) -> tuple[Model, ...]:
        return self._models

    def ill(self) -> str:
        return "the endpoint is closing" if self.closed else self._ended

    async def generate(self, asked: Asked, prompt: Prompt, choice: int = 0) -> _Answer:
        refuse_unserved(asked)
        if len(self._answers) >= self.size.parallel + self._waiting:
            raise overloaded(f"{self._waiting} requests wait already for one of the {self.size.parallel} places", RETRY_S)
        return await self.follow(asked, prompt)

    async def follow(self, asked: Asked, prompt: Prompt, said: str = "", made: int = 0) -> _Answer:
        """An answer of which somebody has said so much already, in so many tokens. Raises RefusedError where the prompt is too
        long, and for a chat that the template does not take."""
        if self.ill():
            raise overloaded(self.ill())
        number = next(self._numbers)
        line = {"ask": number, "config": wanted(asked)}
        lengths = {"most": asked.most_tokens, "least": asked.least_tokens, "said": said, "made": made}
        answer = self._answers[number] = _Answer(self, number, asked, Spelling(self._spell, asked.stop))
        self._lines.put({**line, **lengths, **_told(asked, prompt)})
        try:
            if self.ill():  # since a moment ago, and nobody tells this answer
                raise overloaded(self.ill())
            await answer.taken()
        except BaseException:
            await answer.aclose()
            raise
        return answer

    def leave(self, number: int, *, over: bool) -> None:
        """Nobody waits for the answer any more."""
        if self._answers.pop(number, None) is not None and not over:
            self._lines.put({"leave": number})

    def _write(self) -> None:
        """A thread's: a pipe may take its time."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it has ended, which the other thread hears
            while (line := self._lines.get()) is not None:
                self._process.stdin.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
                self._process.stdin.flush()

    def _hear(self) -> None:
        """A thread's: what the process says, until it ends."""
        assert self._process.stdout is not None
        try:
            for line in self._process.stdout:
                if line.endswith(b"\n"):  # else it was ended in its midst
                    self._heard(json.loads(line))
        finally:
            how = _end_of(self._process.wait())
            self._ended = f"OpenVINO GenAI has ended {how}"
            self._lines.put(None)
            if not self.ready.done():
                self.ready.set_exception(UnsupportedError(f"OpenVINO GenAI ended {how} while it loaded {self._path}"))
            closing = overloaded("the endpoint is closing")
            died = RefusedError(self._ended, status=500, kind="server_error")
            self._tell([(answer, closing if self.closed else died) for answer in list(self._answers.values())])

    def _heard(self, line: Mapping[str, Any]) -> None:
        if "made" in line:
            for token, text in line.get("texts", {}).items():
                self._texts[int(token)] = text.encode()
            answers = [(self._answers.get(number), tokens, finish) for number, tokens, finish in line["made"]]
            self._tell([(answer, answer.made_of(tokens, finish)) for answer, tokens, finish in answers if answer is not None])
        elif "ready" in line:
            self.ready.set_result(None)
        elif "unsupported" in line:
            self.ready.set_exception(UnsupportedError(f"OpenVINO GenAI does not take {self._path}: {line['unsupported']}"))
        else:
            number = line.get("taken", line.get("too_long", line.get("refused")))
            if answer := self._answers.get(number):
                self._tell([(answer, answer.told(line, self.size.context))])

    def _tell(self, news: Iterable[tuple[_Answer, Piece | RefusedError | int]]) -> None:
        """Wakes each loop once for all that there is to read."""
        of: dict[asyncio.AbstractEventLoop, list[tuple[_Answer, Piece | RefusedError | int]]] = {}
        for answer, what in news:
            of.setdefault(answer.loop, []).append((answer, what))
        for loop, all_of_it in of.items():
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(_deliver, all_of_it)

    def gauges(self) -> Iterable[tuple[str, str, float]]:
        """What the engine is at, under vLLM's names."""
        answers = list(self._answers.values())
        running = min(self.size.parallel, sum(answer.prompt_tokens > 0 for answer in answers))
        yield "vllm:num_requests_running", "Requests that run", running
        yield "vllm:num_requests_waiting", "Requests that wait", len(answers) - running
        used = sum(answer.prompt_tokens + answer.made for answer in answers) / (self.size.parallel * self.size.context)
        yield "vllm:kv_cache_usage_perc", "Share of the KV cache in use by requests that run", min(1.0, used)

    async def close(self) -> None:
        self.closed = True
        self._process.kill()  # it keeps nothing
        await asyncio.to_thread(self._process.wait)


class _Answer:
    """One answer on its way."""

    def __init__(self, of: GenaiBackend, number: int, asked: Asked, spelling: Spelling) -> None:
        self.prompt_tokens, self.cached_tokens, self.made = 0, 0, 0
        self.loop, self.ready = asyncio.get_running_loop(), asyncio.Event()
        self.news: deque[Piece | RefusedError | int] = deque()
        self._of, self._number, self._asked, self._spelling = of, number, asked, spelling
        self._over = False

    def told(self, line: Mapping[str, Any], context: int) -> RefusedError | int:
        """Tokens of its prompt, or why there will be no answer."""
        if "taken" in line:
            return int(line["tokens"])
        self._over = True
        if "too_long" in line:
            param = "messages" if self._asked.chat else "prompt"
            return too_long(line["tokens"], self._asked.most_tokens or 1, context, param)
        return RefusedError(line["why"][:500], param=line.get("param"))

    def made_of(self, tokens: list[int], finish: str) -> Piece:
        """What the tokens say."""
        self.made += len(tokens)
        text = self._spelling.add(tokens)
        if self._spelling.stopped:
            finish = "stop"
        elif finish:
            self._over = True
        return Piece(text + self._spelling.end() if finish else text, len(tokens), finish)

    async def taken(self) -> None:
        """Returns once the engine has its prompt. Raises RefusedError where it does not take it."""
        await self.ready.wait()
        first = self.news.popleft()
        if isinstance(first, RefusedError):
            raise first
        assert isinstance(first, int)
        self.prompt_tokens = first
        if not self.news:
            self.ready.clear()

    async def __aiter__(self) -> AsyncIterator[Piece]:
        while True:
            await self.ready.wait()
            self.ready.clear()
            text, tokens, finish = "", 0, ""
            while self.news and not finish:
                piece = self.news.popleft()
                if isinstance(piece, RefusedError):
                    raise piece
                assert isinstance(piece, Piece)
                text, tokens, finish = text + piece.text, tokens + piece.tokens, piece.finish
            if text or tokens or finish:
                yield Piece(text, tokens, finish)
            if finish:
                return

    async def aclose(self) -> None:
        self._of.leave(self._number, over=self._over)


def _end_of(status: int) -> str:
    """How a process ended, in words."""
    if status >= 0:
        return f"with status {status}"
    with contextlib.suppress(ValueError):
        return f"by {signal.Signals(-status).name}" + (", as where memory runs out" if status == -9 else "")
    return f"by signal {-status}"


def _deliver(news: Iterable[tuple[_Answer, Piece | RefusedError | int]]) -> None:
    for answer, what in news:
        answer.news.append(what)
        answer.ready.set()


def _told(asked: Asked, prompt: Prompt) -> Mapping[str, Any]:
    """The prompt, as the engine is told it: tokens, text, or a chat, of which parts of text are put together."""
    if prompt.ids:
        return {"ids": list(prompt.ids)}
    if not asked.chat:
        return {"text": prompt.text}
    history = []
    for message in asked.body["messages"]:
        content = message.get("content")
        if isinstance(content, list):
            content = "\n".join(part["text"] for part in content)
        history.append({**message, "content": content or ""})
    return {"history": history}
