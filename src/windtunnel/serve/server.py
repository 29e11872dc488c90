"""The process that serves: it listens, says where, and leaves once what it was answering is answered."""

from __future__ import annotations

import asyncio
import functools
import gzip
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from windtunnel.errors import InvalidInputError
from windtunnel.serve.api.refusal import RefusedError
from windtunnel.serve.door.address import is_loopback
from windtunnel.serve.door.door import Door

GRACE_S = 30.0
"""How long answers under way are waited for when the server is told to stop."""
IDLE_S = 75.0
"""How long a connection may be without a whole request: idle between two, or with headers that do not end."""
UNREAD_S = 60.0
"""How long a client may leave an answer unread before its connection is cut."""
LINGER_S = 5.0
"""How long the rest of a refused body is read, so that its sender hears the refusal."""
HANDSHAKE_S = 15.0
MOST_CONNECTIONS = 4096
MOST_FILES = 65_536
INTERRUPTED = 130
"""Exit status of a process that is interrupted twice: as shells have it for SIGINT."""


class Connection(web.RequestHandler):
    """One client's connection. What is not HTTP gets an error in the form of all others, and no traceback in the log."""

    __slots__ = ()

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """The answer to what is not HTTP."""
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun: it cannot become another")
        if status >= 500:
            self.log_exception("a request failed", exc_info=exc)
        refusal = RefusedError("the request is not HTTP as this server reads it", status=status)
        response = web.json_response(refusal.body(), status=status, headers={"Server": "windtunnel"})
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """The log is for what goes wrong here, not for bodies that are not as their headers say."""
        if not isinstance(kw.get("exc_info"), web.RequestPayloadError):
            super().log_exception(*args, **kw)


class _Full(asyncio.Protocol):
    """A connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


async def serve(
    app: web.Application,
    host: str,
    port: int,
    ready: Callable[[str], None],
    *,
    door: Door | None = None,
    stop: asyncio.Event | None = None,
    grace_s: float = GRACE_S,
    page: str = "",
) -> None:
    """Serves until SIGINT or SIGTERM, or until ``stop`` is set; a second SIGINT ends the process at once.

    port 0: any that is free. ready: called with the address. door: who may come in; without one, whoever is on this machine.
    grace_s: how long answers under way are waited for. Raises InvalidInputError where the address cannot be listened on, or
    where it is open to the network and the door asks for no key.
    """
    door, stop = door or Door(), stop or asyncio.Event()
    door.loopback = is_loopback(host, port)
    if not (door.loopback or door.keys):
        raise InvalidInputError("--host", f"{host} is open to the network and asks for a key")
    if page:
        app.router.add_get("/", _shown(page))
    door.guard(app)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=grace_s)
    await runner.setup()
    loop = asyncio.get_running_loop()
    most = min(MOST_CONNECTIONS, _most_files() // 2)
    options: dict[str, Any] = {"access_log": None, "keepalive_timeout": IDLE_S, "lingering_time": LINGER_S}

    def connection() -> asyncio.Protocol:
        server = runner.server
        if server is None or len(server.connections) >= most:
            return _Full()
        return Connection(server, loop=loop, **options)

    listening: asyncio.Server | None = None
    try:
        try:
            listening = await loop.create_server(
                connection, host, port, backlog=1024, ssl=door.tls, ssl_handshake_timeout=HANDSHAKE_S if door.tls else None
            )
        except OSError as error:
            raise InvalidInputError(f"{host}:{port}", f"cannot be listened on: {error.strerror or error}") from None
        for sock in listening.sockets:
            _cut_the_unread(sock)
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        loop.add_signal_handler(signal.SIGINT, _interrupted, stop)
        shown = f"[{host}]" if ":" in host else host
        ready(f"{'https' if door.tls else 'http'}://{shown}:{listening.sockets[0].getsockname()[1]}")
        await stop.wait()
    finally:
        if listening is not None:
            listening.close()
        await runner.cleanup()


def _interrupted(stop: asyncio.Event) -> None:
    """Ctrl-C asks it to end in order; again, whoever is there waits for nothing any more."""
    if stop.is_set():
        os._exit(INTERRUPTED)
    stop.set()


def _shown(page: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    body = page.encode()
    packed = functools.cache(lambda: gzip.compress(body, mtime=0))  # who never looks need not wait for it

    async def show(request: web.Request) -> web.Response:
        """``GET /``"""
        headers = {"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            return web.Response(body=packed(), headers={**headers, "Content-Encoding": "gzip"})
        return web.Response(body=body, headers=headers)

    return show


def _cut_the_unread(sock: socket.socket) -> None:
    """Where the system can: connections that are accepted end when what was sent stays unread."""
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(UNREAD_S * 1000))


def _most_files() -> int:
    """How many files and connections this process may have open, once it has asked for more than it was given."""
    try:
        import resource
    except ImportError:  # a system that counts neither
        return MOST_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(MOST_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return MOST_FILES if soft == resource.RLIM_INFINITY else soft
