"""What a client asks: the body of a completion or of a chat, read field by field; what is wrong is named by its field."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from windtunnel.serve.api.refusal import RefusedError

MOST_CHOICES = 128
MOST_ANSWERS = 1024
"""Of one request: its prompts, each answered as often as asked."""
MOST_DEPTH = 128
"""Of arrays and objects within each other; whoever writes the body again needs stack for each."""
MOST_STOPS = 16
MOST_NAME = 512
MOST_TOKENS = 10_000_000
"""Above any model's context: what is larger is a mistake, whoever serves."""
MOST_ID = 2**31 - 1
"""Of a token; engines keep them in 32 bits."""
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
"""What may be half of a character that JSON writes as two."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt. text: as given, or the messages of a chat in order; ids: its tokens, where the client sent those instead."""

    text: str
    ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to make tokens.

    prompts: one, or several of a completion; each gets ``choices`` answers. most_tokens: None where the client left the length
    to the model; least_tokens and ignore_end: as vLLM has ``min_tokens`` and ``ignore_eos``. body: everything, as it came.
    """

    chat: bool
    model: str
    prompts: tuple[Prompt, ...]
    choices: int
    most_tokens: int | None
    least_tokens: int
    ignore_end: bool
    stream: bool
    usage_in_stream: bool
    stop: tuple[str, ...]
    echo: bool
    body: Mapping[str, Any]


def read_body(raw: bytes) -> Mapping[str, Any]:
    """The JSON object of a request. Raises RefusedError."""
    try:
        body = json.loads(raw.decode(), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        where = f" ({error})" if isinstance(error, json.JSONDecodeError) else ""
        raise RefusedError(f"the body is not JSON{where}") from None
    if not isinstance(body, dict):
        raise RefusedError(f"the body has to be a JSON object, not {_kind(body)}")
    if raw.count(b"[") + raw.count(b"{") > MOST_DEPTH and _is_deep(body):
        raise RefusedError(f"the body has more than {MOST_DEPTH} arrays and objects within each other")
    if _HALF.search(raw):
        try:
            json.dumps(body, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise RefusedError("the body has half of a surrogate pair, which is no text") from None
    return body


def _is_deep(body: Mapping[str, Any]) -> bool:
    level: list[Any] = [body]
    for _ in range(MOST_DEPTH):
        level = [
            item
            for holder in level
            for item in (holder.values() if isinstance(holder, dict) else holder)
            if isinstance(item, (dict, list))
        ]
        if not level:
            return False
    return True


def _no_number(name: str) -> float:
    raise ValueError(name)  # NaN and Infinity: Python's JSON has them, nobody else's does


def read_asked(body: Mapping[str, Any], *, chat: bool) -> Asked:
    """What the body of ``/v1/chat/completions`` (chat) or ``/v1/completions`` asks. Raises RefusedError.

    Fields that choose among tokens (temperature, top_p, seed ...) are left to whoever makes them, in ``body``.
    """
    model = _get(body, "model", str, required=True)
    if not model or len(model) > MOST_NAME:
        raise RefusedError(f"'model' has to be the name of a model, of at most {MOST_NAME} characters", param="model")
    most, field = _whole(body, "max_tokens", 1, MOST_TOKENS), "max_tokens"
    longest = _whole(body, "max_completion_tokens", 1, MOST_TOKENS) if chat else None
    if longest is not None:
        most, field = longest, "max_completion_tokens"
    least = _whole(body, "min_tokens", 0, MOST_TOKENS) or 0
    if most is not None and least > most:
        raise RefusedError(f"'min_tokens' is {least}, above '{field}', which is {most}", param="min_tokens")
    stream = _get(body, "stream", bool) or False
    options = _get(body, "stream_options", dict)
    if options and not stream:
        raise RefusedError("'stream_options' is for requests with 'stream': true", param="stream_options")
    choices = _whole(body, "n", 1, MOST_CHOICES) or 1
    prompts = (Prompt(_messages(body)),) if chat else _prompts(body)
    if len(prompts) * choices > MOST_ANSWERS:
        raise RefusedError(f"{len(prompts):,} prompts with {choices} answers each; {MOST_ANSWERS:,} answers at most", param="n")
    return Asked(
        chat=chat,
        model=model,
        prompts=prompts,
        choices=choices,
        most_tokens=most,
        least_tokens=least,
        ignore_end=_get(body, "ignore_eos", bool) or False,
        stream=stream,
        usage_in_stream=bool(options and _get(options, "include_usage", bool)),
        stop=_stops(body),
        echo=not chat and (_get(body, "echo", bool) or False),
        body=body,
    )


def _kind(value: object) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), "null")


def _get(body: Mapping[str, Any], field: str, kind: type, *, required: bool = False) -> Any:
    """The field, of the type asked; None where it is absent or null."""
    value = body.get(field)
    if value is None:
        if required:
            raise RefusedError(f"'{field}' is missing", param=field)
        return None
    if not isinstance(value, kind):
        raise RefusedError(f"'{field}' has to be {_kind(kind())}, not {_kind(value)}", param=field)
    return value


def _whole(body: Mapping[str, Any], field: str, least: int, most: int) -> int | None:
    value = body.get(field)
    if value is None:
        return None
    if not _is_whole(value):
        shown = json.dumps(value) if isinstance(value, (bool, float)) else _kind(value)
        raise RefusedError(f"'{field}' has to be a whole number, not {shown}", param=field)
    if not least <= value <= most:
        raise RefusedError(f"'{field}' has to be from {least} to {most}, not {str(value)[:40]}", param=field)
    return int(value)


def _is_whole(value: object) -> bool:
    """JSON has one kind of number: 2.0 is a whole one."""
    return type(value) is int or (type(value) is float and value.is_integer())


def _stops(body: Mapping[str, Any]) -> tuple[str, ...]:
    value = body.get("stop")
    if value is None:
        return ()
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, list) or not all(isinstance(stop, str) for stop in stops) or len(stops) > MOST_STOPS:
        raise RefusedError(f"'stop' has to be a string or at most {MOST_STOPS} of them", param="stop")
    return tuple(stop for stop in stops if stop)


def _prompts(body: Mapping[str, Any]) -> tuple[Prompt, ...]:
    value = body.get("prompt")
    if value is None:
        raise RefusedError("'prompt' is missing", param="prompt")
    if isinstance(value, str):
        return (Prompt(value),)
    if isinstance(value, list) and value:
        if all(isinstance(item, str) for item in value):
            return tuple(Prompt(item) for item in value)
        if _are_ids(value):
            return (Prompt("", tuple(map(int, value))),)
        if all(isinstance(item, list) and item and _are_ids(item) for item in value):
            return tuple(Prompt("", tuple(map(int, item))) for item in value)
    raise RefusedError("'prompt' has to be a string, token ids, or an array of either, and not empty", param="prompt")


def _are_ids(values: Sequence[Any]) -> bool:
    return all(_is_whole(value) and 0 <= value <= MOST_ID for value in values)


def _messages(body: Mapping[str, Any]) -> str:
    """The messages' text, each with its role before it, as a template of no particular model would write it."""
    messages = _get(body, "messages", list, required=True)
    if not messages:
        raise RefusedError("'messages' is empty", param="messages")
    lines = []
    for i, message in enumerate(messages):
        at = f"messages[{i}]"
        if not isinstance(message, dict):
            raise RefusedError(f"'{at}' has to be an object, not {_kind(message)}", param=at)
        role, content = message.get("role"), message.get("content")
        if not isinstance(role, str) or not role:
            raise RefusedError(f"'{at}.role' is missing", param=f"{at}.role")
        if isinstance(content, list):
            content = "\n".join(_part(part, f"{at}.content[{j}]") for j, part in enumerate(content))
        elif content is None and message.get("tool_calls"):
            content = json.dumps(message["tool_calls"])
        elif not isinstance(content, str):
            raise RefusedError(
                f"'{at}.content' has to be a string or an array of parts, not {_kind(content)}", param=f"{at}.content"
            )
        lines.append(f"{role}: {content}")
    return "\n".join(lines)


def _part(part: object, at: str) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(part, dict) or not isinstance(kind, str):
        raise RefusedError(f"'{at}' has to be an object with a 'type'", param=at)
    if kind != "text" or not isinstance(part.get("text"), str):
        raise RefusedError(f"'{at}' is of type '{kind[:40]}'; only text is served", param=at)
    return str(part["text"])
