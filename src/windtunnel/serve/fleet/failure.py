"""What goes wrong between the fleet and a back end: whether another may try, who is to blame, and what the client is told."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from windtunnel.serve.api.refusal import INVALID, RefusedError

RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
"""Statuses that another back end, or the same one later, may not give."""
MISCONFIGURED = frozenset({401, 403, 404, 405})
"""Statuses that tell of the fleet's own settings (a key, a path, a model's name) where the fleet has checked the request."""
LONGEST_HOLD_S = 120.0
MOST_MESSAGE = 2000
GONE = 499
"""The client left before its answer was whole; as nginx writes it."""


class FailedError(Exception):
    """One try that did not give an answer. refusal: what the client is told if it was the last; again: another may try;
    blame: the back end is at fault; at_once: so surely that nobody else need try it now; hold_s: how long it asked for quiet."""

    def __init__(
        self,
        why: str,
        refusal: RefusedError | None = None,
        *,
        again: bool = True,
        blame: bool = True,
        at_once: bool = False,
        hold_s: float = 0.0,
    ) -> None:
        super().__init__(why)
        self.refusal = refusal or bad_gateway("the back end failed before its answer was whole")
        self.again, self.blame, self.at_once, self.hold_s = again, blame, at_once, hold_s


def bad_gateway(message: str) -> RefusedError:
    return RefusedError(message, status=502, kind="server_error", code="bad_gateway")


def too_slow(message: str) -> RefusedError:
    return RefusedError(message, status=504, kind="server_error", code="timeout")


def hold_s(headers: Mapping[str, str], now: float) -> float:
    """Seconds of a Retry-After, at most ``LONGEST_HOLD_S``; 0 where there is none. now: seconds since 1970."""
    text = headers.get("Retry-After", "").strip()
    seconds = 0.0
    if text.isdigit():
        seconds = float(text[:9])
    elif text:
        with contextlib.suppress(ValueError, TypeError):
            seconds = parsedate_to_datetime(text).timestamp() - now
    return min(max(seconds, 0.0), LONGEST_HOLD_S)


def of_status(status: int, body: bytes, quiet_s: float, secrets: tuple[str, ...], rename: tuple[str, str]) -> FailedError:
    """The failure of an answer with a status other than 200. secrets: what no client may read; rename: the model's names."""
    why = f"status {status}"
    if status in RETRIED:
        told = _message(body, secrets, rename)
        if status == 429:
            refusal = RefusedError(
                told or "the back ends take no more requests now",
                status=429,
                kind="rate_limit_exceeded",
                code="rate_limit_exceeded",
                retry_after_s=quiet_s or 1.0,
            )
        elif status == 503:
            refusal = RefusedError(
                "the back ends cannot take the request now", status=503, kind="server_error", code="overloaded",
                retry_after_s=quiet_s or 1.0,
            )  # fmt: skip
        elif status in (408, 504):
            refusal = too_slow("the back end did not answer in time")
        else:
            refusal = bad_gateway("the back end failed at the request")
        busy = status in (409, 425, 429) or (status == 503 and quiet_s > 0)
        return FailedError(f"{why}: {told}" if told else why, refusal, blame=not busy, hold_s=quiet_s)
    if status in MISCONFIGURED or not 400 <= status < 500:
        return FailedError(why, bad_gateway("the back end is not set up to answer the request"))
    fields = _fields(body)
    message = _message(body, secrets, rename) or "the back end refused the request"
    kind, param, code = (_short(fields.get(name)) for name in ("type", "param", "code"))
    refusal = RefusedError(message, status=status, kind=kind or INVALID, param=param, code=code)
    return FailedError(why, refusal, again=False, blame=False)


def of_event(error: Mapping[str, Any], secrets: tuple[str, ...], rename: tuple[str, str]) -> FailedError:
    """The failure that an event of a stream tells of."""
    code = error.get("code")
    status = int(code) if isinstance(code, int | str) and str(code).isdigit() and 400 <= int(code) <= 599 else 500
    return of_status(status, json.dumps({"error": error}).encode(), 0.0, secrets, rename)


def _fields(body: bytes) -> dict[str, Any]:
    """The error of a body, as OpenAI, older vLLM or FastAPI write it."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(told, dict):
        return {}
    error = told.get("error", told)
    if isinstance(error, str):
        return {"message": error}
    if not isinstance(error, dict):
        return {}
    if "message" not in error and "detail" in error:
        detail = error["detail"]
        return {**error, "message": detail if isinstance(detail, str) else json.dumps(detail)}
    return error


def _message(body: bytes, secrets: tuple[str, ...], rename: tuple[str, str]) -> str:
    """What the back end says of the request; empty where it says nothing that a client may read."""
    message = _fields(body).get("message")
    if not isinstance(message, str):
        return ""
    model, called = rename
    if model and model != called:
        message = message.replace(model, called)
    text = "".join(c if c.isprintable() else " " for c in message[:MOST_MESSAGE]).strip()
    if "Traceback (" in text or 'File "' in text or any(secret and secret in text for secret in secrets):
        return ""
    return text


def _short(value: Any) -> str | None:
    return str(value)[:100] if isinstance(value, str | int) and not isinstance(value, bool) else None
