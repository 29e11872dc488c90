"""The bodies of answers: whole, or event by event as they stream."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from windtunnel.serve.api.asked import Asked
from windtunnel.serve.api.backend import Model, Piece

DONE = b"data: [DONE]\n\n"


@dataclass
class Choice:
    """One answer as far as it has come."""

    text: str = ""
    tokens: int = 0
    finish: str = ""


@dataclass
class Usage:
    """Tokens of one request, over all its prompts and answers."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0

    def body(self) -> dict[str, Any]:
        """As the API writes it."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens},
        }


class Writer:
    """Writes what is sent for one request. created: seconds since 1970."""

    def __init__(self, asked: Asked, created: int) -> None:
        self.asked = asked
        chat = asked.chat
        self.head = {
            "id": f"{'chatcmpl' if chat else 'cmpl'}-{secrets.token_hex(12)}",
            "object": "chat.completion" if chat else "text_completion",
            "created": created,
            "model": asked.model,
        }
        chunk = {**self.head, "object": "chat.completion.chunk"} if chat else self.head
        self._chunk = json.dumps(chunk)[:-1]

    def event(self, index: int, piece: Piece, *, first: bool = False) -> bytes:
        """A piece as a server-sent event."""
        finish = json.dumps(piece.finish or None)
        if self.asked.chat:
            said: dict[str, str] = {"role": "assistant"} if first else {}
            if piece.text or first:
                said["content"] = piece.text
            text = f'"delta": {json.dumps(said)}'
        else:
            text = f'"text": {json.dumps(piece.text)}'
        choice = f'{{"index": {index}, {text}, "logprobs": null, "finish_reason": {finish}}}'
        return f'data: {self._chunk}, "choices": [{choice}]}}\n\n'.encode()

    def usage_event(self, usage: Usage) -> bytes:
        """The last event but ``DONE``, for those who asked for it."""
        return f'data: {self._chunk}, "choices": [], "usage": {json.dumps(usage.body())}}}\n\n'.encode()

    def whole(self, choices: Sequence[Choice], usage: Usage) -> dict[str, Any]:
        """The answer that does not stream."""
        return {**self.head, "choices": [self._choice(i, choice) for i, choice in enumerate(choices)], "usage": usage.body()}

    def _choice(self, index: int, choice: Choice) -> dict[str, Any]:
        told: dict[str, Any] = {"index": index, "logprobs": None, "finish_reason": choice.finish}
        if self.asked.chat:
            return {**told, "message": {"role": "assistant", "content": choice.text, "refusal": None}}
        return {**told, "text": choice.text}


def model_body(model: Model) -> dict[str, Any]:
    """One model as ``/v1/models`` tells of it."""
    return {
        "id": model.id,
        "object": "model",
        "created": model.created,
        "owned_by": model.owner,
        **({"max_model_len": model.most_tokens} if model.most_tokens else {}),
    }
