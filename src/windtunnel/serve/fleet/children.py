"""Back ends that are started here: each a ``windtunnel serve`` of its own, kept alive and ended with the fleet."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType

from windtunnel.errors import EngineError, WindtunnelError
from windtunnel.serve.door.keys import VARIABLE
from windtunnel.serve.fleet.endpoint import Endpoint
from windtunnel.serve.fleet.file import BackendEntry
from windtunnel.serve.process.launch import HOST, Launch
from windtunnel.serve.process.process import EngineProcess, State

LOOK_S = 0.1
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
MOST_RESTARTS = 1000
"""A fleet gives up none of its back ends: the others carry the load while it pauses, each time for longer."""
GRACE_S = 5.0


def arguments(entry: BackendEntry) -> tuple[str, ...]:
    """What follows ``windtunnel serve`` for the back end, but for where it listens."""
    said = [entry.model if entry.kind == "virtual" else entry.where]
    if entry.kind == "virtual":
        said += ["--on", entry.where]
        said += ["--engine", entry.engine] if entry.engine else []
        said += ["--engine-version", entry.engine_version] if entry.engine_version else []
    said += ["--name", entry.called] if entry.called else []
    return (*said, *entry.options)


def command(entry: BackendEntry, port: int, python: str = sys.executable) -> tuple[str, ...]:
    """What serves the back end on a port of loopback. -P: whatever lies where the fleet is started is no package."""
    return (python, "-P", "-m", "windtunnel", "serve", *arguments(entry), "--host", HOST, "--port", str(port))


class Children:
    """One process each. key: what lets this fleet in, and nobody else of this machine. tell: takes a line of a log."""

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        key: str,
        *,
        tell: Callable[[str], None],
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._endpoints, self._tell = endpoints, tell
        self._environment = {**environment, VARIABLE: key, "PYTHONUNBUFFERED": "1"}
        self._tasks: list[asyncio.Task[None]] = []
        self.processes: dict[str, EngineProcess] = {}
        for endpoint in endpoints:
            endpoint.headers["Authorization"] = f"Bearer {key}"
            self.processes[endpoint.name] = self._process(endpoint.entry)

    def _process(self, entry: BackendEntry) -> EngineProcess:
        def launch(port: int) -> Launch:
            return Launch(entry.name, command(entry, port), self._environment, port)

        return EngineProcess(launch, self._tell, grace_s=GRACE_S, first_pause_s=FIRST_PAUSE_S, most_restarts=MOST_RESTARTS)

    async def __aenter__(self) -> Children:
        self._tasks = [asyncio.create_task(self._keep(endpoint)) for endpoint in self._endpoints]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(process.stop() for process in self.processes.values()), return_exceptions=True)

    async def _keep(self, endpoint: Endpoint) -> None:
        """Starts it, tries again where it does not start, and says when it comes and goes."""
        process, pause = self.processes[endpoint.name], FIRST_PAUSE_S
        while True:
            try:
                await process.start()
                break
            except (WindtunnelError, OSError) as error:
                endpoint.gone(error.summary if isinstance(error, EngineError) else str(error))
                self._tell(f"{error}")
            await asyncio.sleep(pause)
            pause = min(2.0 * pause, LONGEST_PAUSE_S)
        seen = -1
        while True:
            if process.state is State.UP and seen != process.restarts:
                seen = process.restarts
                endpoint.at(process.url)
            elif process.state is not State.UP and endpoint.base:
                endpoint.gone(process.ill())
            await asyncio.sleep(LOOK_S)
