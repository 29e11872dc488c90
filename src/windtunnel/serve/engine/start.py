"""A back end for weights, by the engine that was chosen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from windtunnel.errors import InvalidInputError, UnsupportedError
from windtunnel.serve.api.app import Api
from windtunnel.serve.api.backend import Backend
from windtunnel.serve.api.metrics import Gauges, Metrics
from windtunnel.serve.engine.choose import BOTH, GENAI, LLAMA, TRANSFORMERS
from windtunnel.serve.engine.gguf import Head, read_head
from windtunnel.serve.engine.hardware import cores
from windtunnel.serve.engine.llama_server import Size
from windtunnel.serve.engine.sizes import PARALLEL, size_for
from windtunnel.serve.engine.text import speller_of
from windtunnel.serve.engine.weights import GGUF, Weights

if TYPE_CHECKING:
    from windtunnel.serve.engine.genai import GenaiBackend

FOLDER_CONTEXT = 4096
"""Of a model in OpenVINO's form where nobody says how long: its folder does not tell what a token's cache takes."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user says of the engine; 0 and empty where it is left open. template: of chats, in Jinja; device: of PyTorch."""

    name: str
    parallel: int = 0
    context: int = 0
    threads: int = 0
    waiting: int = 256
    template: str = ""
    device: str = ""


@dataclass(frozen=True, slots=True)
class Started:
    """A back end that answers. told: what it is, for one line; join: called once in the loop that serves, where it is there;
    notes: what a user has to know of it, a line each."""

    backend: Backend
    gauges: Gauges
    told: str
    join: Callable[[], object] | None = None
    notes: tuple[str, ...] = ()

    def app(self) -> web.Application:
        """The API over the back end, which is joined where it begins to serve."""
        app = Api(self.backend, Metrics(self.gauges), place=self.told).app()

        async def join(_: web.Application) -> None:
            if self.join is not None:
                self.join()

        app.on_startup.append(join)
        return app


def start(weights: Weights, engine: str, wanted: Wanted, tell: Callable[[str], None]) -> Started:
    """The engine with the model in its memory. tell: takes lines for the user that come later. Raises WindtunnelError."""
    if engine == TRANSFORMERS:
        return _transformers(weights, wanted)
    head = read_head(weights.path) if weights.form == GGUF else None
    size = _size(weights, head, wanted)
    cut = f"on {size.threads} {'cores' if size.threads != 1 else 'core'}: {size.parallel} x {size.context:,} tokens"
    if engine == GENAI:
        genai = _genai(weights, head, size, wanted)
        genai.ready.result()
        return Started(genai, genai.gauges, f"OpenVINO GenAI {cut}")
    if engine not in (LLAMA, BOTH):
        raise UnsupportedError(f"{engine} runs in a process of its own")
    from windtunnel.serve.engine.llama import LlamaBackend

    llama = LlamaBackend(weights.path, size, name=wanted.name, waiting=wanted.waiting, template=wanted.template)
    if engine == LLAMA:
        return Started(llama, llama.gauges, f"llama.cpp {cut}", llama.start)
    from windtunnel.serve.engine.both import BothBackend

    both = BothBackend(llama, lambda: _genai(weights, head, size, wanted), tell)
    return Started(both, both.gauges, f"llama.cpp {cut}; OpenVINO GenAI joins when it has loaded", both.start)


def _size(weights: Weights, head: Head | None, wanted: Wanted) -> Size:
    if head is None:
        return Size(wanted.parallel or PARALLEL, wanted.context or FOLDER_CONTEXT, wanted.threads or cores())
    return size_for(head, _bytes(weights.path), parallel=wanted.parallel, context=wanted.context, threads=wanted.threads)


def _bytes(path: Path) -> int:
    """Of all parts of the file."""
    stem, _, count = path.stem.rpartition("-of-")
    parts = [path] if not stem else list(path.parent.glob(f"{stem[:-5]}?????-of-{count}.gguf"))
    return sum(part.stat().st_size for part in parts)


def _genai(weights: Weights, head: Head | None, size: Size, wanted: Wanted) -> GenaiBackend:
    from windtunnel.serve.engine.genai import GenaiBackend

    return GenaiBackend(
        weights.path,
        size,
        name=wanted.name,
        waiting=wanted.waiting,
        kv_bytes=head.kv_bytes() if head else None,
        spell=speller_of(head.values) if head else None,
        template=wanted.template,
    )


def _transformers(weights: Weights, wanted: Wanted) -> Started:
    from windtunnel.serve.engine.transformers.backend import TransformersBackend
    from windtunnel.serve.engine.transformers.loaded import load

    for option, value in (("--parallel", wanted.parallel), ("--threads", wanted.threads)):
        if value:
            raise InvalidInputError(option, "transformers finds it itself; leave it out")
    loaded = load(weights.path, wanted.device, wanted.template)
    backend = TransformersBackend(loaded, name=wanted.name, context=wanted.context, waiting=wanted.waiting)
    return Started(backend, backend.gauges, backend.told, notes=backend.notes)
