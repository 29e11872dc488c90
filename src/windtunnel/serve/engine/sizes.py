"""How many answers side by side and how long, by what the memory holds."""

from __future__ import annotations

from windtunnel.errors import DoesNotFitError, InvalidInputError
from windtunnel.serve.engine.gguf import Head
from windtunnel.serve.engine.hardware import cores, free_bytes
from windtunnel.serve.engine.llama_server import Size

PARALLEL = 8
"""Answers side by side where nobody says how many. On a CPU, more of them gain little."""
SHARE = 0.25
"""Of the free memory, for the KV cache where nobody says how long a context is wanted."""
LEAST_CONTEXT = 2048
STEP = 256
"""llama.cpp pads contexts to multiples of this many tokens."""


def size_for(
    head: Head, weight_bytes: int, *, parallel: int = 0, context: int = 0, threads: int = 0, free: int | None = None
) -> Size:
    """The engine's size. parallel, context, threads: as the user said, 0 where left open; free: bytes, as the machine tells
    without it.

    Left open, the context is the model's own, or what a quarter of the free memory holds for each of ``parallel`` answers; where
    that is little, fewer answers run side by side. Raises InvalidInputError for a context beyond the model's, DoesNotFitError
    where the memory does not hold what was asked.
    """
    most = head.context
    if most and context > most:
        raise InvalidInputError("--context", f"{context} is beyond the model's own context of {most}")
    free = free_bytes() if free is None else free
    each = head.kv_bytes()
    room = max(0.0, free - weight_bytes) if free is not None else None
    answers, tokens = parallel or PARALLEL, context or most or LEAST_CONTEXT
    if room is not None and each:
        if weight_bytes > (free or 0):
            raise DoesNotFitError(f"the model is {_gb(weight_bytes)} GB, and {_gb(free or 0)} GB of memory are free")
        holds = int((room if context else SHARE * room) / each)
        if context:
            if not parallel:
                answers = max(1, min(PARALLEL, holds // context))
            if answers * context > holds:
                raise DoesNotFitError(
                    f"{answers} x {context} tokens of context take {_gb(answers * context * each)} GB beside the model's"
                    f" {_gb(weight_bytes)} GB, and {_gb(free or 0)} GB of memory are free; --context or --parallel less"
                )
        else:
            while not parallel and answers > 1 and holds // answers < min(tokens, LEAST_CONTEXT):
                answers //= 2
            tokens = min(tokens, max(STEP, holds // answers // STEP * STEP))
    return Size(answers, tokens, threads or cores())


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f}"
