"""What a client asks of the fleet, read no further than forwarding needs: engines differ in what they take, so it passes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from windtunnel.serve.api.asked import MOST_ANSWERS, MOST_NAME, Prompt, read_body
from windtunnel.serve.api.refusal import RefusedError
from windtunnel.serve.virtual.tokens import count

What = Literal["chat", "completion", "embeddings"]
PATHS: dict[What, str] = {"chat": "/v1/chat/completions", "completion": "/v1/completions", "embeddings": "/v1/embeddings"}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to forward. usage_in_stream: the client wants the event that tells usage; answers: how many it asks for;
    prompt: what counts as its beginning and length, the first of several; prompt_tokens: of all of them, as far as they can be
    told; body: everything, as it came."""

    what: What
    model: str
    stream: bool
    usage_in_stream: bool
    answers: int
    most_tokens: int | None
    prompt: Prompt
    prompt_tokens: int
    body: Mapping[str, Any]

    @property
    def path(self) -> str:
        return PATHS[self.what]

    def sent(self, model: str) -> bytes:
        """The body for a back end that calls the model so, and that is to tell usage."""
        body = {**self.body, "model": model}
        if self.stream:
            body["stream_options"] = {**(self.body.get("stream_options") or {}), "include_usage": True}
        return json.dumps(body, separators=(",", ":")).encode()


def read_asked(raw: bytes, what: What) -> Asked:
    """What a body asks. Raises RefusedError, which names the field, for what no engine could make sense of."""
    body = read_body(raw)
    model = body.get("model")
    if model is None or model == "":
        raise RefusedError("'model' is missing", param="model")
    if not isinstance(model, str) or len(model) > MOST_NAME:
        raise RefusedError("'model' has to be a string, the name of a model", param="model")
    if what == "embeddings":
        if not body.get("input") or not isinstance(body["input"], (str, list)):
            raise RefusedError("'input' has to be a string or an array, and not empty", param="input")
        return Asked(what, model, False, False, 1, None, _input(body["input"]), _tokens(body["input"]), body)
    stream = body.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise RefusedError("'stream' has to be true or false", param="stream")
    options = body.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise RefusedError("'stream_options' has to be an object", param="stream_options")
    if options and not stream:
        raise RefusedError("'stream_options' is for requests with 'stream': true", param="stream_options")
    answers = body.get("n")
    answers = answers if isinstance(answers, int) and not isinstance(answers, bool) and answers > 0 else 1
    if what == "chat":
        prompt = _messages(body)
        tokens = count(prompt)
    else:
        prompt, prompts = _prompt(body)
        answers *= prompts
        tokens = _tokens(body["prompt"])
    if answers > MOST_ANSWERS:
        raise RefusedError(f"more than {MOST_ANSWERS:,} answers are asked for, which is the limit", param="n")
    return Asked(
        what=what,
        model=model,
        stream=bool(stream),
        usage_in_stream=bool(options and options.get("include_usage")),
        answers=answers,
        most_tokens=_most(body),
        prompt=prompt,
        prompt_tokens=tokens,
        body=body,
    )


def _most(body: Mapping[str, Any]) -> int | None:
    for name in ("max_completion_tokens", "max_tokens"):
        value = body.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return None


def _messages(body: Mapping[str, Any]) -> Prompt:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        told = "is missing" if messages is None else "has to be an array of messages, and not empty"
        raise RefusedError(f"'messages' {told}", param="messages")
    lines: list[str] = []
    if body.get("tools"):
        lines.append(json.dumps(body["tools"]))  # templates write them before the messages
    for i, message in enumerate(messages):
        if not isinstance(message, dict):
            raise RefusedError(f"'messages[{i}]' has to be an object", param=f"messages[{i}]")
        content = message.get("content")
        if isinstance(content, list):
            content = "\n".join(str(part["text"]) for part in content if isinstance(part, dict) and "text" in part)
        if message.get("tool_calls"):
            content = f"{content or ''}{json.dumps(message['tool_calls'])}"
        lines.append(f"{message.get('role')}: {content if isinstance(content, str) else ''}")
    return Prompt("\n".join(lines))


def _prompt(body: Mapping[str, Any]) -> tuple[Prompt, int]:
    """The first prompt, and how many there are."""
    value = body.get("prompt")
    if value is None:
        raise RefusedError("'prompt' is missing", param="prompt")
    if value == [] or not isinstance(value, (str, list)):
        raise RefusedError("'prompt' has to be a string, token ids, or an array of either, and not empty", param="prompt")
    if isinstance(value, list) and not _are_ids(value):
        return _input(value[0]), len(value)
    return _input(value), 1


def _input(value: Any) -> Prompt:
    if isinstance(value, str):
        return Prompt(value)
    if isinstance(value, list) and _are_ids(value):
        return Prompt("", tuple(value))
    if isinstance(value, list):
        return Prompt("\n".join(item for item in value if isinstance(item, str)))
    return Prompt("")


def _tokens(value: Any) -> int:
    """Of all prompts together."""
    if isinstance(value, list) and not _are_ids(value):
        ids = sum(len(item) for item in value if isinstance(item, list))
        text = "".join(item for item in value if isinstance(item, str))
        return ids + count(Prompt(text)) if text else ids
    return count(_input(value))


def _are_ids(values: list[Any]) -> bool:
    return all(type(value) is int for value in values)
