"""What a client is told where its request cannot be answered, in the form that the OpenAI API gives an error."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from windtunnel.errors import nearest

INVALID = "invalid_request_error"


class RefusedError(Exception):
    """A request that cannot be answered. status: of HTTP; param: the field at fault; code: for programs to tell by; allow: the
    methods that the path takes."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = INVALID,
        param: str | None = None,
        code: str | None = None,
        retry_after_s: float | None = None,
        allow: str = "",
    ) -> None:
        super().__init__(message)
        self.allow = allow
        self.status, self.kind, self.param, self.code, self.retry_after_s = status, kind, param, code, retry_after_s

    def body(self) -> dict[str, Any]:
        """The JSON of the answer."""
        return {"error": {"message": str(self), "type": self.kind, "param": self.param, "code": self.code}}

    def headers(self) -> dict[str, str]:
        """The headers of the answer: when to ask again, or that it is of no use to, or how."""
        if self.allow:
            return {"Allow": self.allow}
        if self.retry_after_s is not None:
            return {"Retry-After": str(max(1, math.ceil(self.retry_after_s)))}
        return {"x-should-retry": "false"} if self.status == 429 else {}


def unknown_model(name: str, known: Iterable[str]) -> RefusedError:
    """The model that was asked for is not served here."""
    names = list(known)
    near = nearest(name, names) or names
    return RefusedError(
        f"the model '{name[:200]}' is not served here; served: {', '.join(near)}",
        status=404,
        param="model",
        code="model_not_found",
    )


def too_long(tokens: int, answer: int, context: int, param: str = "prompt") -> RefusedError:
    """The prompt and the answer are longer than the context. param: the field of the prompt."""
    return RefusedError(
        f"{tokens} tokens of the prompt and {answer} of the answer are more than the model's context of {context}",
        param=param if tokens >= context else "max_tokens",
        code="context_length_exceeded",
    )


def overloaded(message: str, retry_after_s: float | None = None) -> RefusedError:
    """Nobody can take the request now; it may be sent again."""
    return RefusedError(message, status=503, kind="server_error", code="overloaded", retry_after_s=retry_after_s)
