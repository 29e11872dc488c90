"""What a browser may do: its pages of other origins are told apart from one's own, and refused unless they were let in.

A browser sends any page's requests to any address, this machine's too; it only keeps the answers from the page. So a page on the
internet could have an endpoint on loopback work for it. Its requests say where they come from in ``Origin``. A page whose own
name is made to point at this machine (DNS rebinding) shows in ``Host``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from aiohttp import web

from windtunnel.errors import InvalidInputError
from windtunnel.serve.api.refusal import RefusedError
from windtunnel.serve.door.address import names_this_machine

ANY = "*"
_ORIGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#\s]+")
EXPOSED = ", ".join(
    [
        "Retry-After",
        "x-request-id",
        *(f"x-ratelimit-{a}-{b}" for a in ("limit", "remaining", "reset") for b in ("requests", "tokens")),
    ]
)
PREFLIGHT_S = 600
"""How long a browser may remember what it was allowed."""


def read_origins(said: Iterable[str]) -> frozenset[str]:
    """The origins of ``--cors``: ``https://chat.example.com``, ``http://localhost:3000``, or ``*``. Raises InvalidInputError."""
    origins = set()
    for origin in said:
        if origin != ANY and not _ORIGIN.fullmatch(origin):
            raise InvalidInputError("--cors", f"'{origin}' is no origin; write https://chat.example.com, or * for every one")
        origins.add(origin.lower())
    return frozenset(origins)


def check_origin(request: web.Request, origins: frozenset[str], *, remembered: bool) -> None:
    """Refuses pages of other origins (403). remembered: the browser itself added the key, whatever page asked it to."""
    origin = request.headers.get("Origin")
    if origin is None or (allowed(origin, origins) and not remembered):
        return
    host = request.headers.get("Host", "")
    if origin.partition("://")[2].lower() != host.lower():
        raise RefusedError(
            f"pages of {origin[:100]} may not ask this endpoint; --cors {origin[:100]} lets them",
            status=403,
            code="origin_refused",
        )


def check_host(request: web.Request) -> None:
    """Refuses names that this machine does not give itself (403): for an endpoint on loopback that asks for no key."""
    host = request.headers.get("Host")
    if host and not names_this_machine(host):
        raise RefusedError(
            f"this endpoint asks for no key and answers to localhost and 127.0.0.1, not to {host[:100]}; give it a key",
            status=403,
            code="host_refused",
        )


def allowed(origin: str, origins: frozenset[str]) -> bool:
    """Whether pages of the origin were let in."""
    return ANY in origins or origin.lower() in origins


def is_preflight(request: web.Request) -> bool:
    """Whether a browser asks what it may ask."""
    return request.method == "OPTIONS" and "Origin" in request.headers and "Access-Control-Request-Method" in request.headers


def preflight() -> web.Response:
    """What a page that was let in may send."""
    return web.Response(
        status=204,
        headers={
            "Access-Control-Allow-Methods": "GET, POST",
            "Access-Control-Allow-Headers": "*, Authorization, Content-Type",
            "Access-Control-Max-Age": str(PREFLIGHT_S),
        },
    )


def cors_headers(origin: str | None, origins: frozenset[str]) -> Mapping[str, str]:
    """What lets a page of the origin read the answer."""
    if origin is None or not origins or not allowed(origin, origins):
        return {"Vary": "Origin"} if origins else {}
    return {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": EXPOSED, "Vary": "Origin"}
