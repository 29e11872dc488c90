"""A small real model that writes the text of answers whose times are simulated."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from windtunnel.serve.api.asked import Asked, Prompt
from windtunnel.serve.engine.llama_server import LlamaServer, Size, objects_of
from windtunnel.serve.virtual.words import Text

AT_ONCE = 4
"""Answers that are written side by side; the others begin when one of these ends."""
CONTEXT = 8192
"""Tokens that it reads and writes, over all answers at once."""


class SmallModel:
    """A GGUF file, run by llama.cpp on this machine's CPU. Raises UnsupportedError where xllamacpp is not installed,
    InvalidInputError for a file that is no such model."""

    def __init__(self, path: Path) -> None:
        self._server = LlamaServer(path, Size(AT_ONCE, CONTEXT // AT_ONCE), what="--text")
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
        self._writers.submit(text.follow, self._server, {**wanted, "stream": True, "max_tokens": limit}, asked.chat)
        return text

    def close(self) -> None:
        self._writers.shutdown(wait=False, cancel_futures=True)
        self._server.close()


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

    def follow(self, server: LlamaServer, body: Mapping[str, Any], chat: bool) -> None:
        """In a thread of its own: asks, and keeps what comes."""
        try:
            if not self._closed:
                server.ask(body, self._heard, chat=chat)
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
    """The text of a streamed event."""
    found = []
    for each in objects_of(event):
        said = [choice.get("text") or (choice.get("delta") or {}).get("content") for choice in each.get("choices") or ()]
        found += [text for text in said if text] or ([each["content"]] if each.get("content") else [])
    return found
