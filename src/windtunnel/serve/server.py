"""The process that serves: it listens, says where, and leaves once what it was answering is answered."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

from aiohttp import web

from windtunnel.errors import InvalidInputError

GRACE_S = 30.0
"""How long answers under way are waited for when the server is told to stop."""


async def serve(
    app: web.Application, host: str, port: int, ready: Callable[[str], None], *, stop: asyncio.Event | None = None
) -> None:
    """Serves until SIGINT or SIGTERM, or until ``stop`` is set. port 0: any that is free. ready: called with the address.

    Raises InvalidInputError where the address cannot be listened on.
    """
    stop = stop or asyncio.Event()
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=GRACE_S)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            raise InvalidInputError(f"{host}:{port}", f"cannot be listened on: {error.strerror or error}") from None
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        shown = f"[{host}]" if ":" in host else host
        ready(f"http://{shown}:{runner.addresses[0][1]}")
        await stop.wait()
    finally:
        await runner.cleanup()
