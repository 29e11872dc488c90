"""One request of a client, from its headers to the last byte of the answer; and what is written down of it."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from aiohttp import web

from windtunnel.serve.door.limits import Allowance

ANSWER_TOKENS = 1024
"""Held for an answer whose length the client leaves open; what it comes to is counted when it ends."""
CLIENT_ID = re.compile(r"[A-Za-z0-9._:/=+-]{1,128}")


@dataclass(slots=True)
class Record:
    """What is written down of a request: whoever answers it fills in what it knows; None is what nobody knows.

    time: when it came, UTC. id: of the header ``x-request-id`` of the answer; client_id: of the request's, where it has one.
    key: the name of the key, empty where none was needed. attempts: how often a backend was asked. tpot_s: mean time per token
    after the first. finish: why the answer ended (``stop``, ``length`` ...), ``left`` where the client hung up. error: what the
    client was told.
    """

    time: str
    id: str
    client_id: str | None = None
    key: str = ""
    path: str = ""
    model: str | None = None
    backend: str | None = None
    attempts: int | None = None
    status: int | None = None
    stream: bool | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    completion_tokens: int | None = None
    ttft_s: float | None = None
    tpot_s: float | None = None
    whole_s: float | None = None
    predicted_ttft_s: float | None = None
    predicted_tpot_s: float | None = None
    finish: str | None = None
    error: str | None = None

    def body(self) -> dict[str, Any]:
        """As it is written."""
        return asdict(self)


class Visit:
    """A request and whose it is. allowance: of its key; None where nothing is counted."""

    __slots__ = ("allowance", "begun_s", "held", "record")

    def __init__(self, record: Record, allowance: Allowance | None = None) -> None:
        self.record, self.allowance = record, allowance
        self.held = 0
        self.begun_s = time.perf_counter()

    def hold(self, prompt_tokens: int, answer_tokens: int | None, answers: int = 1) -> None:
        """Sets aside what the request may come to. answer_tokens: of all its answers, None where the client leaves that open.

        Call it once, when the request is understood and before anything is made for it. Raises RefusedError (429).
        """
        if self.allowance is not None:
            tokens = prompt_tokens + (ANSWER_TOKENS * answers if answer_tokens is None else answer_tokens)
            self.allowance.hold(tokens)
            self.held += tokens

    def end(self) -> None:
        """Counts what the record says was used, and lets go of what was held."""
        self.record.whole_s = round(time.perf_counter() - self.begun_s, 6)
        if self.allowance is not None:
            used = (self.record.prompt_tokens or 0) + (self.record.completion_tokens or 0)
            self.allowance.leave(self.held, used)
            self.allowance, self.held = None, 0


VISIT: web.RequestKey[Visit] = web.RequestKey("visit", Visit)


def new_visit(headers: Mapping[str, str], path: str) -> Visit:
    """The visit of a request that has just come."""
    now_s = time.time()
    came = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now_s))}.{int(now_s % 1 * 1000):03}Z"
    said = headers.get("X-Request-Id") or headers.get("X-Client-Request-Id")
    client_id = said if said and CLIENT_ID.fullmatch(said) else None
    return Visit(Record(came, f"req_{secrets.token_hex(12)}", client_id, path=path[:200]))


def visit_of(request: web.Request) -> Visit:
    """The visit that the door has made of a request, or one that nobody counts where there is no door."""
    visit = request.get(VISIT)
    if visit is None:
        visit = request[VISIT] = new_visit(request.headers, request.path)
    return visit
