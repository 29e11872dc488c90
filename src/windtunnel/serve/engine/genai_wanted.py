"""What OpenVINO GenAI is asked for a client's request, and what it is not asked."""

from __future__ import annotations

from typing import Any

from windtunnel.serve.api.asked import Asked
from windtunnel.serve.api.refusal import RefusedError

UNSERVED = (
    "tools",
    "response_format",
    "logprobs",
    "top_logprobs",
    "logit_bias",
    "seed",
    "grammar",
    "json_schema",
    "min_p",
    "typical_p",
    "suffix",
    "functions",
    "function_call",
    "audio",
    "best_of",
    "chat_template_kwargs",
    "reasoning_effort",
    "continue_final_message",
)
"""Fields that would change the answer and that this engine is not asked for."""
TEMPERATURE, TOP_K, TOP_P = 0.8, 40, 0.95
"""Where the client leaves them open: llama.cpp's, so that a model answers alike by either."""
LEAST_TOP_P = 1e-6
"""For 0, which OpenVINO does not take: the likeliest token alone."""
_NUMBERS = {
    "temperature": (0.0, 100.0),
    "top_p": (0.0, 1.0),
    "presence_penalty": (-2.0, 2.0),
    "frequency_penalty": (-2.0, 2.0),
    "repetition_penalty": (0.001, 100.0),
    "repeat_penalty": (0.001, 100.0),
    "top_k": (-1, 1_000_000),
}


def unserved(asked: Asked) -> str:
    """The first field that this engine does not serve; empty where it serves the request."""
    for field in UNSERVED:
        value = asked.body.get(field)
        if value in (None, False, [], {}) or (field == "response_format" and value == {"type": "text"}):
            continue
        return field
    return ""


def refuse_unserved(asked: Asked) -> None:
    """Raises RefusedError."""
    field = unserved(asked)
    if field:
        raise RefusedError(f"'{field}' is not served by OpenVINO GenAI here; llama.cpp serves it from a GGUF file", param=field)


def wanted(asked: Asked) -> dict[str, Any]:
    """The fields of a GenerationConfig but the lengths. Raises RefusedError for numbers that are none or out of their range."""
    said = {name: _number(asked, name) for name in _NUMBERS}
    temperature = TEMPERATURE if said["temperature"] is None else said["temperature"]
    found: dict[str, Any] = {"ignore_eos": asked.ignore_end, "do_sample": temperature > 0}
    if temperature > 0:
        found["temperature"] = temperature
        found["top_p"] = TOP_P if said["top_p"] is None else max(said["top_p"], LEAST_TOP_P)
        top_k = TOP_K if said["top_k"] is None else int(said["top_k"])
        if top_k > 0:
            found["top_k"] = top_k
    repetition = said["repetition_penalty"] if said["repetition_penalty"] is not None else said["repeat_penalty"]
    if repetition is not None:
        found["repetition_penalty"] = repetition
    for name in ("presence_penalty", "frequency_penalty"):
        if said[name]:
            found[name] = said[name]
    return found


def _number(asked: Asked, name: str) -> float | None:
    value, (least, most) = asked.body.get(name), _NUMBERS[name]
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise RefusedError(f"'{name}' has to be a number from {least:g} to {most:g}", param=name)
    return value
