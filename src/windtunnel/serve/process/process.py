"""``EngineProcess``: an engine that is started, waited for, watched, started again where it dies, and ended with its children."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

import aiohttp

from windtunnel.errors import EngineError, UnsupportedError, WindtunnelError
from windtunnel.serve.process import keeper
from windtunnel.serve.process.launch import HOST, Launch
from windtunnel.serve.process.log import Log

LOG = logging.getLogger("windtunnel.serve")
PATIENCE_S = 1800.0
"""For a start: hundreds of gigabytes of weights from a network's file system, graphs captured, kernels compiled."""
GRACE_S = 20.0
"""Between asking an engine to end and making it."""
MOST_RESTARTS, WITHIN_S = 5, 600.0
"""An engine that dies more often than this within that time is given up."""
LONGEST_PAUSE_S = 60.0
TOLD_EVERY_S = 15.0
HEALTH_S = 25.0
"""One answer of /health: SGLang makes a token for it, which may take it 20 s under load."""


class State(StrEnum):
    """What an engine is at."""

    STARTING = "starting"
    UP = "up"
    PAUSED = "waiting to start again"
    GIVEN_UP = "given up"
    ENDED = "ended"


class EngineProcess:
    """One engine. launch: the command for a port; tell: what is done with a line of the log or of progress; up: called with the
    URL each time that it serves again.

    ``await start()`` returns once it serves, or raises EngineError with its last lines. Later it is started again by itself where
    it dies, after 1, 2, 4 ... seconds, until it has died ``most_restarts`` times within ten minutes; ``url`` stays the same
    unless another program has taken the port. ``async with`` ends it.
    """

    def __init__(
        self,
        launch: Callable[[int], Launch],
        tell: Callable[[str], None],
        *,
        port: int = 0,
        patience_s: float = PATIENCE_S,
        grace_s: float = GRACE_S,
        most_restarts: int = MOST_RESTARTS,
        first_pause_s: float = 1.0,
        up: Callable[[str], None] = lambda url: None,
    ) -> None:
        self._launch, self._tell, self.up = launch, tell, up
        self._port, self._patience_s, self._grace_s = port, patience_s, grace_s
        self._most_restarts, self._first_pause_s = most_restarts, first_pause_s
        self.state, self.why = State.ENDED, "it was not started yet"
        self.restarts = 0
        self._launched: Launch | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._log: Log | None = None
        self._listener: asyncio.Task[None] | None = None
        self._watcher: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where it serves, without ``/v1``; "" before the first start."""
        return self._launched.url if self._launched else ""

    @property
    def key(self) -> str:
        """That it asks for; "" where it asks for none, and before the first start."""
        return self._launched.key if self._launched else ""

    @property
    def last_lines(self) -> tuple[str, ...]:
        """The end of its log."""
        return tuple(self._log.last) if self._log else ()

    def ill(self) -> str:
        """Why it cannot serve now, "" where it can."""
        return "" if self.state is State.UP else f"{self._label} is {self.state}" + (f": {self.why}" if self.why else "")

    async def __aenter__(self) -> EngineProcess:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Starts it, waits until it serves, and watches it from then on.

        Raises EngineError where it ends or does not serve in time, UnsupportedError where the system cannot keep processes.
        """
        if not hasattr(os, "fork"):
            raise UnsupportedError("engines as processes need Linux or macOS; on Windows serve a GGUF file, or use WSL")
        try:
            await self._begin()
        except BaseException:
            await self.stop()
            raise
        self._watcher = asyncio.create_task(self._watch_on())

    async def given_up(self) -> None:
        """Returns once it is started no more: it died too often, or was stopped."""
        if self._watcher is not None:
            await asyncio.wait((self._watcher,))

    async def stop(self) -> None:
        """Ends it and everything that it started; asks first. Does nothing where it is over."""
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.wait((self._watcher,))
            self._watcher = None
        await self._end()
        if self.state is not State.GIVEN_UP:
            self.state, self.why = State.ENDED, ""

    @property
    def _label(self) -> str:
        return self._launched.label if self._launched else "the engine"

    async def _begin(self) -> None:
        self._port = free_port(self._port)
        launched = self._launched = self._launch(self._port)
        self.state, self.why = State.STARTING, ""
        self._log = Log(launched.label, self._tell)
        keep = (sys.executable, "-I", "-S", str(Path(keeper.__file__)), f"{self._grace_s:g}")
        self._process = await asyncio.create_subprocess_exec(
            *keep,
            *launched.command,
            env=dict(launched.environment),
            stdin=asyncio.subprocess.PIPE,  # its end is what tells the keeper that this program is no more
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # so that Ctrl-C reaches this program, which then ends the engine in order
        )
        assert self._process.stdout is not None
        self._listener = asyncio.create_task(self._log.follow(self._process.stdout))
        await self._until_it_serves(launched, self._process)
        self.state = State.UP

    async def _until_it_serves(self, launched: Launch, process: asyncio.subprocess.Process) -> None:
        begun = told = time.monotonic()
        over = asyncio.create_task(process.wait())
        try:
            async with aiohttp.ClientSession() as client:
                pause = 0.1
                while not await _healthy(client, launched, over):
                    if over.done():
                        raise await self._died("while it started")
                    now = time.monotonic()
                    if now - begun > self._patience_s:
                        raise EngineError(f"{launched.label} does not serve after {now - begun:.0f} s", self.last_lines)
                    if now - told >= TOLD_EVERY_S:
                        told = now
                        self._tell(f"{launched.label}: starting since {now - begun:.0f} s")
                    await asyncio.wait((over,), timeout=pause)
                    pause = min(1.0, pause * 1.3)
        finally:
            over.cancel()
        self._tell(f"{launched.label}: serves after {time.monotonic() - begun:.1f} s")

    async def _died(self, when: str) -> EngineError:
        """The error that tells of its end, with the end of its log."""
        status = await self._process.wait() if self._process else 0
        if self._listener is not None:
            await asyncio.wait((self._listener,), timeout=5.0)  # what it said last is on its way
        how = f"was ended by signal {status - 128}" if status > 128 else f"ended with status {status}"
        return EngineError(f"{self._label} {how} {when}", self.last_lines)

    async def _watch_on(self) -> None:
        """Watches it; a bug in that gives it up, and is logged with its traceback."""
        try:
            await self._watch()
        except Exception as error:
            self.state, self.why = State.GIVEN_UP, f"{type(error).__name__}: {error}"
            LOG.exception("%s", self._label)

    async def _watch(self) -> None:
        """Waits for its death, and starts it again."""
        deaths: deque[float] = deque()
        while self._process is not None:
            await self._process.wait()
            error: Exception = await self._died("while it served")
            while True:
                now = time.monotonic()
                deaths.append(now)
                while deaths and now - deaths[0] > WITHIN_S:
                    deaths.popleft()
                await self._end()
                if len(deaths) > self._most_restarts:
                    self.state = State.GIVEN_UP
                    self.why = f"it died {len(deaths)} times in {WITHIN_S / 60:.0f} minutes; the last time: {_summary(error)}"
                    self._tell(f"{self._label}: given up; {self.why}")
                    return
                pause = min(LONGEST_PAUSE_S, self._first_pause_s * 2.0 ** (len(deaths) - 1))
                self.state, self.why = State.PAUSED, _summary(error)
                self._tell(f"{self.why}; starting again in {pause:.1f} s")
                await asyncio.sleep(pause)
                self.restarts += 1
                try:
                    await self._begin()
                    self.up(self.url)
                    break
                except (WindtunnelError, OSError) as again:  # OSError: the system has no more processes, files or memory for it
                    error = again

    async def _end(self) -> None:
        """The keeper ends whatever is left, once its standard input is closed."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), self._grace_s + 10.0)
        except TimeoutError:  # stuck in a driver: nothing more can be done about it
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        if self._listener is not None:
            done, _ = await asyncio.wait((self._listener,), timeout=1.0)
            if not done:
                self._listener.cancel()
            self._listener = None


def _summary(error: Exception) -> str:
    return error.summary if isinstance(error, EngineError) else str(error)


async def _healthy(client: aiohttp.ClientSession, launched: Launch, over: asyncio.Task[int]) -> bool:
    """Whether it answers that it can serve; False at once where it is over."""

    async def ask() -> bool:
        try:
            timeout = aiohttp.ClientTimeout(total=HEALTH_S)
            async with client.get(f"{launched.url}{launched.health}", timeout=timeout) as answer:
                return answer.status == 200
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False

    asking = asyncio.create_task(ask())
    try:
        await asyncio.wait((asking, over), return_when=asyncio.FIRST_COMPLETED)
        return asking.done() and asking.result() and not over.done()
    finally:
        asking.cancel()


def free_port(wanted: int = 0) -> int:
    """``wanted`` where it is free on loopback, else any that is."""
    for port in dict.fromkeys((wanted, 0)):
        with socket.socket() as found, contextlib.suppress(OSError):
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the engines do: one that was just left is free
            found.bind((HOST, port))
            return int(found.getsockname()[1])
    raise EngineError(f"no port of {HOST} is free", ())
