"""A GGUF model on this machine's CPU by llama.cpp, as a back end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from windtunnel.serve.api.account import estimate
from windtunnel.serve.api.asked import Asked, Prompt
from windtunnel.serve.api.backend import Generation, Model, Piece
from windtunnel.serve.api.refusal import RefusedError, overloaded, too_long
from windtunnel.serve.engine.llama_events import Reader
from windtunnel.serve.engine.llama_server import LlamaServer, Size
from windtunnel.serve.engine.llama_wanted import refuse_unserved, wanted

LOG = logging.getLogger("windtunnel.serve")
TEMPLATE_TOKENS = 2048
"""What a chat template may add to the bytes of the messages and tools without a count being worth its millisecond."""
RETRY_S = 1.0


class LlamaBackend:
    """One model. name: as clients call it; waiting: requests that may wait for one of the places before more are refused;
    template: of chats, in Jinja, in place of the model's own."""

    def __init__(self, path: Path, size: Size, *, name: str, waiting: int, template: str = "") -> None:
        self._server = LlamaServer(path, size, what=str(path), template=template)
        self._knows_tools = self._server.knows_tools
        self.size, self._waiting = size, waiting
        self._models = (Model(name, int(time.time()), "windtunnel", size.context),)
        self._threads = ThreadPoolExecutor(size.parallel, thread_name_prefix="llama")
        self.answers: set[_Answer] = set()
        self._news: deque[_Answer] = deque()
        self._told = False
        self._lock = threading.Lock()
        self._warming: asyncio.Task[None] | None = None
        self.closed = False

    def models(self) -> tuple[Model, ...]:
        return self._models

    def ill(self) -> str:
        return "the endpoint is closing" if self.closed else ""

    def start(self) -> asyncio.Task[None]:
        """Has a token made that nobody asked for: what is set up with the first one, no client waits for, nor does the start."""
        self._warming = asyncio.create_task(self._warm())
        return self._warming

    async def _warm(self) -> None:
        prompt = Prompt("", (0, 1))
        asked = Asked(False, "", (prompt,), 1, 1, 0, True, True, False, (), False, {"model": "", "ignore_eos": True})
        with contextlib.suppress(RefusedError):  # whoever asks for something is told
            answer = await self.generate(asked, prompt)
            try:
                async for _ in answer:
                    pass
            finally:
                await answer.aclose()

    async def generate(self, asked: Asked, prompt: Prompt, choice: int = 0) -> Generation:
        refuse_unserved(asked, self._knows_tools)
        if len(self.answers) >= self.size.parallel + self._waiting:
            raise overloaded(f"{self._waiting} requests wait already for one of the {self.size.parallel} places", RETRY_S)
        body = wanted(asked, prompt, choice)
        await self._check_length(asked, prompt)
        answer = _Answer(self, asked, prompt, asyncio.get_running_loop())
        self.answers.add(answer)
        answer.work = self._threads.submit(answer.follow, self._server, body)
        return answer

    async def _check_length(self, asked: Asked, prompt: Prompt) -> None:
        """Raises RefusedError where the prompt and the answer are longer than the context. A token is at least a byte, so most
        prompts need no count."""
        room, answer = self.size.context, asked.most_tokens or 1
        if prompt.ids:
            tokens = len(prompt.ids)
        elif asked.chat:
            size = len(json.dumps([asked.body.get("messages"), asked.body.get("tools")]))
            if size + TEMPLATE_TOKENS + answer <= room:
                return
            tokens = await asyncio.to_thread(self.count, asked, prompt)
        else:
            if len(prompt.text.encode("utf-8", "replace")) + 1 + answer <= room:
                return
            tokens = await asyncio.to_thread(self.count, asked, prompt)
        if tokens + answer > room:
            raise too_long(tokens, answer, room, "messages" if asked.chat else "prompt")

    def count(self, asked: Asked, prompt: Prompt) -> int:
        """Tokens of the prompt, as the model's own template and vocabulary have it. Raises RefusedError for a chat that the
        template does not take."""
        try:
            text = prompt.text
            if asked.chat:
                text = self._server.post("/apply-template", wanted(asked, prompt, 0))["prompt"]
            whole = {"content": text, "add_special": True, "parse_special": asked.chat}
            return len(self._server.post("/tokenize", whole)["tokens"])
        except ValueError as error:
            raise RefusedError(str(error) or "the model's chat template does not take the messages") from None

    def news_of(self, answer: _Answer) -> None:
        """From an engine's thread: wakes the loop once for all that comes until it looks."""
        with self._lock:
            self._news.append(answer)
            told, self._told = self._told, True
        if not told:
            try:
                answer.loop.call_soon_threadsafe(self._deliver)
            except RuntimeError:  # the loop has ended
                answer.left = True

    def _deliver(self) -> None:
        with self._lock:
            news, self._news, self._told = self._news, deque(), False
        for answer in news:
            answer.ready.set()

    def leave(self, answer: _Answer) -> None:
        """Nobody waits for the answer any more."""
        self.answers.discard(answer)

    def gauges(self) -> Iterable[tuple[str, str, float]]:
        """What the engine is at, under vLLM's names."""
        answers = list(self.answers)
        running = sum(answer.begun for answer in answers)
        tokens = sum(answer.tokens for answer in answers if answer.begun)
        yield "vllm:num_requests_running", "Requests that run", running
        yield "vllm:num_requests_waiting", "Requests that wait", len(answers) - running
        used = tokens / (self.size.parallel * self.size.context)
        yield "vllm:kv_cache_usage_perc", "Share of the KV cache in use by requests that run", min(1.0, used)

    async def close(self) -> None:
        self.closed = True
        if self._warming is not None:
            self._warming.cancel()
        for answer in list(self.answers):
            answer.left = True
        await asyncio.to_thread(self._threads.shutdown, wait=True, cancel_futures=True)
        await asyncio.to_thread(self._server.close)


class _Answer:
    """One answer on its way; what came together is one piece."""

    def __init__(self, of: LlamaBackend, asked: Asked, prompt: Prompt, loop: asyncio.AbstractEventLoop) -> None:
        self.prompt_tokens = self.cached_tokens = 0
        self.loop, self.ready = loop, asyncio.Event()
        self.begun = self.left = self._halted = False
        self.work: Future[None] | None = None
        self._of, self._chat = of, asked.chat
        self._reader, self._estimate = Reader(asked), estimate(prompt)
        self._pieces: deque[Piece | RefusedError] = deque()

    @property
    def tokens(self) -> int:
        """In the cache on its account."""
        return self._reader.prompt_tokens + self._reader.made_tokens

    def follow(self, server: LlamaServer, body: Mapping[str, Any]) -> None:
        """In a thread of the engine's: asks, and keeps what comes."""
        if self.left:
            return
        self.begun = True
        self.prompt_tokens = self._estimate  # llama.cpp counts them for a client that stays to the end
        try:
            server.ask(body, self._heard, chat=self._chat)
            if not self.left:  # else it was cut short: that is no end, and an answer that moves goes on
                self._keep(self._reader.end())
        except (ValueError, RuntimeError) as error:  # what a template or a grammar does not take
            self._refuse(RefusedError(_first_line(error)))
        except Exception:  # nobody else would hear of it, and the client would wait for ever
            LOG.exception("llama.cpp")
            self._refuse(RefusedError("an error of the server's own; its log says more", status=500, kind="server_error"))
        finally:
            self.begun = False

    def _heard(self, event: object) -> bool:
        try:
            self._keep(self._reader.read(event))
        except RefusedError as refusal:
            self._refuse(refusal)
        return self.left

    def _refuse(self, refusal: RefusedError) -> None:
        if not self._reader.made_tokens:
            self._estimate = self.prompt_tokens = 0  # nothing was made of it
        self._keep([refusal])

    def _keep(self, found: Iterable[Piece | RefusedError]) -> None:
        pieces = list(found)
        if pieces:
            self._pieces.extend(pieces)
            self._of.news_of(self)

    async def __aiter__(self) -> AsyncIterator[Piece]:
        while True:
            await self.ready.wait()
            self.ready.clear()
            self.prompt_tokens = self._reader.prompt_tokens or self._estimate
            self.cached_tokens = self._reader.cached_tokens
            while self._pieces:
                piece = self._next()
                yield piece
                if piece.finish:
                    return
            if self._halted:
                return

    def halt(self) -> None:
        """Says what is there, and no more: the iteration ends without a last piece."""
        self.left = self._halted = True
        self.ready.set()

    def _next(self) -> Piece:
        """Plain pieces that are there together come as one."""
        piece = self._pieces.popleft()
        if isinstance(piece, RefusedError):
            raise piece
        while self._pieces and piece.delta is None and piece.logprobs is None and not piece.finish:
            after = self._pieces[0]
            if isinstance(after, RefusedError) or after.delta is not None or after.logprobs is not None:
                break
            self._pieces.popleft()
            piece = Piece(piece.text + after.text, piece.tokens + after.tokens, after.finish)
        return piece

    async def aclose(self) -> None:
        self.left = True
        if self.work is not None:
            self.work.cancel()
        self._of.leave(self)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or ["the engine does not take the request"])[0][:500]
