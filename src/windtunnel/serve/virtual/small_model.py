"""A small real model that writes the text of answers whose times are simulated."""

from __future__ import annotations

import importlib
import importlib.util
import json
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from windtunnel.errors import InvalidInputError, UnsupportedError
from windtunnel.serve.api.asked import Asked, Prompt
from windtunnel.serve.virtual.words import Text

AT_ONCE = 4
"""Answers that are written side by side; the others begin when one of these ends."""
CONTEXT = 8192
"""Tokens that it reads and writes, over all answers at once."""
GGUF = b"GGUF"


class SmallModel:
    """A GGUF file, run by llama.cpp on this machine's CPU. Raises UnsupportedError where xllamacpp is not installed,
    InvalidInputError for a file that is no such model."""

    def __init__(self, path: Path) -> None:
        if importlib.util.find_spec("xllamacpp") is None:
            raise UnsupportedError("--text needs xllamacpp, which runs GGUF models; install it with: pip install xllamacpp")
        try:
            with path.open("rb") as file:
                begin = file.read(len(GGUF))
        except OSError as error:
            raise InvalidInputError("--text", f"{path}: {error.strerror or error}") from None
        if begin != GGUF:
            raise InvalidInputError("--text", f"{path} is no GGUF file")
        llama: Any = importlib.import_module("xllamacpp")
        said = llama.CommonParams()
        said.model.path, said.n_ctx, said.n_parallel, said.warmup = str(path), CONTEXT, AT_ONCE, False
        try:
            self._server = llama.Server(said)
        except (RuntimeError, ValueError) as error:
            raise InvalidInputError("--text", f"{path} cannot be loaded: {error}") from None
        self._writers = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="text")

    def write(self, asked: Asked, prompt: Prompt, tokens: int) -> Text:
        """Begins an answer; what the client says of temperature, seed and the like holds."""
        wanted = {key: value for key, value in asked.body.items() if key not in ("model", "n", "stream_options", "echo")}
        limit = min(tokens, CONTEXT // AT_ONCE)
        for field in ("max_tokens", "max_completion_tokens"):
            wanted.pop(field, None)
        if not asked.chat:
            wanted["prompt"] = list(prompt.ids) or prompt.text
        text = _Written()
        ask = self._server.handle_chat_completions if asked.chat else self._server.handle_completions
        body = json.dumps({**wanted, "stream": True, "max_tokens": limit})
        self._writers.submit(text.follow, ask, body)
        return text

    def close(self) -> None:
        self._writers.shutdown(wait=False, cancel_futures=True)


class _Written:
    """Text that a thread writes and the endpoint takes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ready: deque[str] = deque()
        self._owed, self._over, self._closed = 0, False, False

    @property
    def ended(self) -> bool:
        with self._lock:
            return self._over and not self._ready

    def follow(self, ask: Any, body: str) -> None:
        """In a thread of its own: asks, and keeps what comes."""
        try:
            if not self._closed:
                ask(body, self._heard)
        finally:
            with self._lock:
                self._over = True

    def _heard(self, event: object) -> bool:
        """A piece of the answer; True ends it."""
        pieces = _pieces(event)
        with self._lock:
            self._ready.extend(pieces)
            return self._closed

    def take(self, tokens: int) -> str:
        with self._lock:
            self._owed += tokens
            said = []
            while self._owed and self._ready:
                said.append(self._ready.popleft())
                self._owed -= 1
            return "".join(said)

    def close(self) -> None:
        with self._lock:
            self._closed = True


def _pieces(event: object) -> list[str]:
    """The text of a streamed event, which comes as an object, a list of them, or their JSON."""
    if isinstance(event, str | bytes):
        text = event.decode() if isinstance(event, bytes) else event
        text = text.strip().removeprefix("data:").strip()
        if not text or text == "[DONE]":
            return []
        return _pieces(json.loads(text))
    if isinstance(event, list):
        return [piece for each in event for piece in _pieces(each)]
    if not isinstance(event, dict):
        return []
    found = []
    for choice in event.get("choices") or ():
        piece = choice.get("text") or (choice.get("delta") or {}).get("content")
        if piece:
            found.append(piece)
    return found or ([event["content"]] if event.get("content") else [])
