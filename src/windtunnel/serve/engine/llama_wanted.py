"""What llama.cpp is asked for a client's request: the fields that it knows, under its names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from windtunnel.serve.api.asked import Asked, Prompt
from windtunnel.serve.api.refusal import RefusedError

SAMPLING = (
    "frequency_penalty",
    "grammar",
    "ignore_eos",
    "json_schema",
    "logit_bias",
    "logprobs",
    "min_p",
    "presence_penalty",
    "repeat_penalty",
    "seed",
    "stop",
    "temperature",
    "top_k",
    "top_p",
    "typical_p",
)
CHAT = (
    "add_generation_prompt",
    "chat_template_kwargs",
    "messages",
    "parallel_tool_calls",
    "reasoning_effort",
    "response_format",
    "tool_choice",
    "tools",
    "top_logprobs",
)
LONG_CHARACTERS = 2000
"""From so many on, the engine says how far it is with the prompt, at which a client that has left is noticed."""


def refuse_unserved(asked: Asked, knows_tools: bool = True) -> None:
    """Raises RefusedError for what would change the answer and is not served. knows_tools: of the chat template."""
    if asked.body.get("tools") and asked.body.get("tool_choice") != "none" and not knows_tools:
        raise RefusedError("the model's chat template has no place for tools; serve it with --chat-template", param="tools")
    if asked.least_tokens:
        raise RefusedError("'min_tokens' is not served by llama.cpp", param="min_tokens")
    for field in ("suffix", "functions", "function_call", "audio"):
        if asked.body.get(field):
            other = "; use 'tools' and 'tool_choice'" if field.startswith("function") else ""
            raise RefusedError(f"'{field}' is not served{other}", param=field)
    best_of = asked.body.get("best_of")
    if best_of is not None and best_of != asked.choices:
        raise RefusedError("'best_of' is not served; ask for all with 'n'", param="best_of")


def wanted(asked: Asked, prompt: Prompt, choice: int) -> dict[str, Any]:
    """The body for llama.cpp of one answer. choice: which of the ``n``; each has a seed of its own."""
    body = asked.body
    found: dict[str, Any] = {field: body[field] for field in SAMPLING if body.get(field) is not None}
    found |= {"stream": True, "cache_prompt": True}
    if asked.most_tokens is not None:
        found["max_tokens"] = asked.most_tokens
    if body.get("repetition_penalty") is not None:  # vLLM's name
        found["repeat_penalty"] = body["repetition_penalty"]
    seed = body.get("seed")
    if choice and isinstance(seed, int):
        found["seed"] = (seed + choice) % 2**32
    if asked.chat:
        found |= {field: body[field] for field in CHAT if body.get(field) is not None}
        found["stream_options"] = {"include_usage": True}
    else:
        found["prompt"] = list(prompt.ids) or prompt.text
        found |= _schema(body.get("response_format"))
    if len(prompt.text) > LONG_CHARACTERS or len(prompt.ids) > LONG_CHARACTERS // 4:
        found["return_progress"] = True
    return found


def _schema(asked: object) -> Mapping[str, Any]:
    """The form of a completion, which llama.cpp takes as a schema alone."""
    if not isinstance(asked, dict) or asked.get("type") in (None, "text"):
        return {}
    if asked.get("type") == "json_object":
        return {"json_schema": asked.get("schema") or {"type": "object"}}
    inner = asked.get("json_schema")
    schema = inner.get("schema") if isinstance(inner, dict) else None
    if asked.get("type") != "json_schema" or not isinstance(schema, dict):
        raise RefusedError("'response_format' is not of a known form: text, json_object or json_schema", param="response_format")
    return {"json_schema": schema}
