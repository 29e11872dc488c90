"""What a client's request means for ``transformers``: the prompt's tokens, how to choose among tokens, and when to stop."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from windtunnel.serve.api.asked import Asked, Prompt
from windtunnel.serve.api.refusal import RefusedError, too_long
from windtunnel.serve.engine.transformers.loaded import Loaded

UNSERVED = ("audio", "best_of", "frequency_penalty", "function_call", "functions", "grammar", "logit_bias", "logprobs", "min_p",
            "presence_penalty", "suffix", "top_logprobs", "typical_p")  # fmt: skip
"""Fields that would change the answer and that this engine does not serve."""
HARMLESS = {"best_of": 1}


@dataclass(frozen=True, slots=True)
class Wanted:
    """One answer. ids: of the prompt; most, least: tokens of the answer; top_k: 0 for all; seed: None for any; tools: the client
    offers some."""

    ids: tuple[int, ...]
    most: int
    least: int
    temperature: float
    top_p: float
    top_k: int
    repetition_penalty: float
    seed: int | None
    ends: tuple[int, ...]
    stops: tuple[str, ...]
    tools: bool

    @property
    def alone(self) -> bool:
        """Whether it asks for what is not known of an answer among others of a batch."""
        return self.seed is not None or self.least > 0 or self.repetition_penalty != 1.0


def refuse_unserved(asked: Asked, loaded: Loaded) -> None:
    """Raises RefusedError for what would change the answer and is not served."""
    body = asked.body
    for field in UNSERVED:
        if body.get(field) and body[field] != HARMLESS.get(field):
            raise RefusedError(f"'{field}' is not served by transformers; leave it out", param=field)
    form = body.get("response_format")
    if form is not None and not (isinstance(form, dict) and form.get("type") == "text"):
        raise RefusedError("'response_format' other than text is not served by transformers", param="response_format")
    if not asked.chat:
        return
    if not loaded.template:
        raise RefusedError("the model has no chat template; use /v1/completions", param="messages")
    if body.get("tools") and body.get("tool_choice") not in (None, "auto", "none"):
        raise RefusedError("'tool_choice' is served as auto or none alone by transformers", param="tool_choice")
    if _tools(body) and "tools" not in loaded.template:
        raise RefusedError("the model's chat template takes no tools; leave 'tools' out", param="tools")


def wanted(asked: Asked, prompt: Prompt, choice: int, loaded: Loaded, context: int) -> Wanted:
    """One answer as asked for. choice: which of the ``n``; each has a seed of its own. context: tokens that fit, 0 for any.

    Raises RefusedError, for a prompt that is too long too. Runs the chat template, which takes milliseconds.
    """
    ids = _chat(asked, loaded) if asked.chat else _tokens(prompt, loaded)
    body, room = asked.body, context - len(ids)
    if context and room < (asked.most_tokens or 1):
        raise too_long(len(ids), asked.most_tokens or 1, context, "messages" if asked.chat else "prompt")
    seed = _number(body, "seed", -(2.0**63), 2.0**64)
    top_k = _number(body, "top_k", -1, 1e9)
    own = loaded.sampling
    return Wanted(
        ids,
        asked.most_tokens or (room if context else 2**20),
        asked.least_tokens,
        _else(_number(body, "temperature", 0.0, 100.0), own.get("temperature", 1.0)),
        _else(_number(body, "top_p", 0.0, 1.0), own.get("top_p", 1.0)),
        max(0, int(_else(top_k, own.get("top_k", 0)))),
        _else(_number(body, "repetition_penalty", 0.01, 100.0), own.get("repetition_penalty", 1.0)),
        None if seed is None else (int(seed) + choice) % 2**63,
        () if asked.ignore_end else loaded.ends,
        asked.stop,
        asked.chat and bool(_tools(body)),
    )


def _else(value: float | None, other: float) -> float:
    return other if value is None else value


def _number(body: Mapping[str, Any], field: str, low: float, high: float) -> float | None:
    value = body.get(field)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or not low <= value <= high:
        raise RefusedError(f"'{field}' has to be a number from {low:g} to {high:g}", param=field)
    return value


def _tools(body: Mapping[str, Any]) -> Any:
    return None if body.get("tool_choice") == "none" else body.get("tools") or None


def _tokens(prompt: Prompt, loaded: Loaded) -> tuple[int, ...]:
    size = len(loaded.tokenizer)
    if any(one >= size for one in prompt.ids):
        raise RefusedError(f"the prompt holds token {max(prompt.ids)}; the model has {size} tokens", param="prompt")
    ids = prompt.ids or tuple(loaded.tokenizer(prompt.text)["input_ids"])
    if not ids:
        raise RefusedError("the prompt has no tokens", param="prompt")
    return ids


def _chat(asked: Asked, loaded: Loaded) -> tuple[int, ...]:
    body = asked.body
    more = body.get("chat_template_kwargs") or {}
    if not isinstance(more, dict):
        raise RefusedError("'chat_template_kwargs' has to be an object", param="chat_template_kwargs")
    tools = _tools(body)
    if tools is not None and not (isinstance(tools, list) and all(isinstance(tool, dict) for tool in tools)):
        raise RefusedError("'tools' has to be an array of objects", param="tools")
    try:
        messages = [_message(message) for message in body["messages"]]
        text = loaded.tokenizer.apply_chat_template(
            messages, tools=tools, tokenize=False, **{"add_generation_prompt": True, **more}
        )
        return tuple(loaded.tokenizer(text, add_special_tokens=False)["input_ids"])
    except Exception as error:  # a template raises what it likes
        why = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise RefusedError(f"the model's chat template does not take the messages: {why}", param="messages") from None


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message as templates take it: parts of text as one text, arguments of calls as objects."""
    made = dict(message)
    if isinstance(made.get("content"), list):
        made["content"] = "\n".join(part["text"] for part in made["content"])
    if isinstance(made.get("tool_calls"), list):
        made["tool_calls"] = [_call(call) for call in made["tool_calls"]]
    return made


def _call(call: Any) -> Any:
    function = call.get("function") if isinstance(call, dict) else None
    if isinstance(function, dict) and isinstance(function.get("arguments"), str):
        arguments = json.loads(function["arguments"] or "{}")
        return {**call, "function": {**function, "arguments": arguments}}
    return call
