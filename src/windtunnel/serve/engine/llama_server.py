"""llama.cpp inside this process: its server as the package xllamacpp carries it, and the socket of its own that counts tokens."""

from __future__ import annotations

import contextlib
import http.client
import importlib
import importlib.util
import json
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from windtunnel.errors import InvalidInputError, UnsupportedError
from windtunnel.serve.engine.gguf import is_gguf

INSTALL = "pip install xllamacpp"
HTTP_THREADS = 2
"""Of its own socket, which is asked seldom."""
BATCH_TOKENS = 512
"""Of a prompt, between two looks at whether anybody still wants the answer; also what llama.cpp computes in one go."""
SPIN = "GOMP_SPINCOUNT"
SPINS = "20000"
"""Turns that a thread waits in a loop for the other before it sleeps. llama.cpp waits hundreds of times a token; where another
process has one of the cores, a wait that does not end keeps the other core from the very thread that is waited for."""

Heard = Callable[[object], bool]
"""Takes an event of an answer; True ends the answer."""


@dataclass(frozen=True, slots=True)
class Size:
    """How large the engine is. parallel: answers side by side; context: tokens of each; threads: None for llama.cpp's choice."""

    parallel: int
    context: int
    threads: int | None = None


def is_installed() -> bool:
    return importlib.util.find_spec("xllamacpp") is not None


class LlamaServer:
    """A GGUF file, run by llama.cpp on this machine. what: the argument that is at fault where the file is; template: of
    chats, in Jinja, in place of the model's own.

    Raises UnsupportedError where xllamacpp is not installed, InvalidInputError for a file that is no such model.
    """

    def __init__(self, path: Path, size: Size, *, what: str, template: str = "") -> None:
        if not is_installed():
            raise UnsupportedError(f"{what} needs xllamacpp, which runs GGUF models; install it with: {INSTALL}")
        try:
            good = is_gguf(path)
        except OSError as error:
            raise InvalidInputError(what, f"{path}: {error.strerror or error}") from None
        if not good:
            raise InvalidInputError(what, f"{path} is no GGUF file")
        os.environ.setdefault(SPIN, SPINS)  # read once, when the library is loaded
        llama: Any = importlib.import_module("xllamacpp")
        self._folder = Path(tempfile.mkdtemp(prefix="windtunnel-"))
        self._key = secrets.token_urlsafe(32)
        asked = llama.CommonParams()
        asked.n_ctx, asked.n_parallel = size.parallel * size.context, size.parallel
        asked.warmup, asked.verbosity, asked.ui = False, -1, False
        asked.fit_params = False  # the size is settled; it would load the model once more to find one
        asked.model.path = str(path)
        asked.api_keys, asked.n_threads_http = [self._key], HTTP_THREADS
        asked.n_batch = BATCH_TOKENS
        if template:
            asked.chat_template = template
        if size.threads:
            asked.cpuparams.n_threads = asked.cpuparams_batch.n_threads = size.threads
        if hasattr(socket, "AF_UNIX"):  # else a port of this machine, behind the key
            asked.hostnames = [str(self._folder / "llama.sock")]
        try:
            self._server: Any = llama.Server(asked)
        except (RuntimeError, ValueError) as error:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise InvalidInputError(what, f"{path} cannot be loaded: {error}") from None

    def ask(self, body: Mapping[str, Any], heard: Heard, *, chat: bool) -> None:
        """Answers, event by event, in the thread that calls; returns when the answer is over. Raises ValueError or RuntimeError
        for what llama.cpp does not take."""
        (self._server.handle_chat_completions if chat else self._server.handle_completions)(json.dumps(body), heard)

    @property
    def knows_tools(self) -> bool:
        """Whether the template of chats has a place for tools."""
        return bool(self.post("/props", None).get("chat_template_caps", {}).get("supports_tools"))

    def post(self, path: str, body: Mapping[str, Any] | None) -> Any:
        """The JSON that its own socket answers; asked without a body, what it tells of itself. Raises OSError, or ValueError
        with what it says is wrong."""
        line = _Line(self._server.listening_address)
        try:
            headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
            line.request("GET" if body is None else "POST", path, None if body is None else json.dumps(body), headers)
            answer = line.getresponse()
            found = json.loads(answer.read())
        finally:
            line.close()
        if answer.status != 200:
            raise ValueError(found.get("error", {}).get("message", "") if isinstance(found, dict) else "")
        return found

    def close(self) -> None:
        """Lets go of the model. Nothing may be on its way."""
        self._server = None
        with contextlib.suppress(OSError):
            shutil.rmtree(self._folder)


class _Line(http.client.HTTPConnection):
    """A connection to ``unix://PATH`` or ``http://HOST:PORT``."""

    def __init__(self, address: str) -> None:
        self._path = address.removeprefix("unix://") if address.startswith("unix://") else ""
        where = urlsplit(address)
        super().__init__("localhost" if self._path else where.hostname or "localhost", None if self._path else where.port)

    def connect(self) -> None:
        if not self._path:
            super().connect()
            return
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


def objects_of(event: object) -> list[Mapping[str, Any]]:
    """The objects of a streamed event, which comes as an object, a list of them, or their JSON."""
    if isinstance(event, str | bytes):
        text = event.decode() if isinstance(event, bytes) else event
        text = text.strip().removeprefix("data:").strip()
        return [] if not text or text == "[DONE]" else objects_of(json.loads(text))
    if isinstance(event, list):
        return [found for each in event for found in objects_of(each)]
    return [event] if isinstance(event, dict) else []
