"""Which engine serves a model on this machine, and why not the others."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass

from windtunnel.errors import UnknownNameError, UnsupportedError
from windtunnel.serve.engine import llama_server
from windtunnel.serve.engine.hardware import free_bytes
from windtunnel.serve.engine.weights import GGUF, OPENVINO, SAFETENSORS, Weights

LLAMA, GENAI, BOTH, TRANSFORMERS = "llama.cpp", "openvino", "both", "transformers"
EMBEDDED = (BOTH, GENAI, LLAMA, TRANSFORMERS)
"""Engines that run in this process, best first."""
LOADED = 4


@dataclass(frozen=True, slots=True)
class Candidate:
    """An engine beside a model. why_not: "" where it can be taken, else why it cannot."""

    engine: str
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """The engine that is taken, and the better ones that are not."""

    engine: str
    others: tuple[Candidate, ...] = ()

    @property
    def told(self) -> str:
        """Why the others were not taken; empty where the best one was."""
        return "; ".join(f"{other.engine} was not taken: {other.why_not}" for other in self.others)


def embedded(weights: Weights) -> tuple[Candidate, ...]:
    """The engines that would run in this process, best first."""
    llama, genai = _llama(weights), _genai(weights)
    return (
        Candidate(BOTH, llama or genai or _twice(weights)),
        Candidate(GENAI, genai),
        Candidate(LLAMA, llama),
        Candidate(TRANSFORMERS, _transformers(weights)),
    )


def choose(weights: Weights, engine: str = "", before: Sequence[Candidate] = (), after: Sequence[Candidate] = ()) -> Choice:
    """The engine for the weights. engine: as the user said, best first without it. before, after: engines in processes of their
    own that are preferred to the embedded ones (an accelerator's), and those that are not (vLLM on a CPU).

    Raises UnknownNameError for an engine that there is none of, UnsupportedError where it does not take the model or none does.
    """
    found = (*before, *embedded(weights), *after)
    if engine:
        for one in found:
            if one.engine == engine:
                if one.why_not:
                    raise UnsupportedError(f"{engine} does not serve {weights.said}: {one.why_not}")
                return Choice(engine)
        raise UnknownNameError("engine", engine, [one.engine for one in found])
    passed: list[Candidate] = []
    for one in found:
        if not one.why_not:
            return Choice(one.engine, tuple(passed))
        if one.engine != BOTH:
            passed.append(one)
    told = "; ".join(f"{one.engine}: {one.why_not}" for one in passed)
    raise UnsupportedError(f"nothing here serves {weights.said} ({weights.form}): {told}")


def _twice(weights: Weights) -> str:
    """Both engines hold the weights, and OpenVINO holds them twice while it loads."""
    free, size = free_bytes(), weights.path.stat().st_size if weights.path.is_file() else 0
    if free is not None and free < LOADED * size:
        return f"it takes the weights' {size / 1e9:.1f} GB {LOADED} times, and {free / 1e9:.1f} GB of memory are free"
    return ""


def _llama(weights: Weights) -> str:
    if weights.form != GGUF:
        return f"it takes GGUF, and this is {weights.form}"
    return "" if llama_server.is_installed() else f"xllamacpp is not installed; {llama_server.INSTALL}"


def _genai(weights: Weights) -> str:
    if weights.form not in (GGUF, OPENVINO):
        return f"it takes OpenVINO's form and some GGUF, and this is {weights.form}"
    missing = [name for name in ("openvino_genai", "openvino_tokenizers") if importlib.util.find_spec(name) is None]
    return "" if not missing else "it is not installed; pip install openvino-genai"


def _transformers(weights: Weights) -> str:
    if weights.form != SAFETENSORS:
        return f"it takes safetensors, and this is {weights.form}"
    missing = [name for name in ("torch", "transformers") if importlib.util.find_spec(name) is None]
    return "" if not missing else f"{' and '.join(missing)} not installed; pip install torch transformers"
