"""Looks at each back end from time to time: whether it answers, and which models it has."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import aiohttp

from windtunnel.serve.fleet.endpoint import Endpoint
from windtunnel.serve.fleet.file import Limits

LOOK_S = 10.0
"""How long an answer about its health is waited for; engines under load are slow to say that they are well."""
FIRST_S = 3.0
"""The same before the first request is taken."""
ILL_AFTER = 2
"""Looks in a row that fail before a back end counts as down; at once where nothing listens."""
MOST_BYTES = 4 * 1024**2
MOST_MODELS = 4096


class Health:
    """The looks at all back ends, one task each."""

    def __init__(self, session: aiohttp.ClientSession, endpoints: Mapping[str, Endpoint], limits: Limits) -> None:
        self.session, self.endpoints, self.limits = session, endpoints, limits
        self._tasks: list[asyncio.Task[None]] = []
        self._nudges = {name: asyncio.Event() for name in endpoints}
        self._failed = dict.fromkeys(endpoints, 0)

    async def first(self) -> None:
        """Looks at all once, so that requests find out nothing that could be known."""
        await asyncio.gather(*(self._look(endpoint, FIRST_S) for endpoint in self.endpoints.values() if endpoint.base))

    async def __aenter__(self) -> Health:
        self._tasks = [asyncio.create_task(self._watch(endpoint)) for endpoint in self.endpoints.values()]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def look_at(self, endpoint: Endpoint) -> None:
        """Something went wrong there: looks now."""
        self._nudges[endpoint.name].set()

    async def _watch(self, endpoint: Endpoint) -> None:
        nudge = self._nudges[endpoint.name]
        while True:
            # not all at the same moment; a down one is looked at as often as any, since it may come back
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.limits.health_every * random.uniform(0.9, 1.1)):
                    await nudge.wait()
            nudge.clear()
            if endpoint.base:
                await self._look(endpoint, LOOK_S)

    async def _look(self, endpoint: Endpoint, patience_s: float) -> None:
        base = endpoint.base
        try:
            async with asyncio.timeout(patience_s):
                why = await self._asked(endpoint)
            refused = False
        except TimeoutError:
            why, refused = "does not answer", not endpoint.begun
        except aiohttp.ClientConnectorError as error:
            why, refused = f"cannot be reached: {reason(error)}", True
        except (aiohttp.ClientError, OSError, ValueError, RecursionError) as error:
            why, refused = f"answers nonsense: {type(error).__name__}", False
        if endpoint.base != base:
            return  # it is elsewhere by now
        if not why:
            self._failed[endpoint.name] = 0
            endpoint.seen_well()
            return
        self._failed[endpoint.name] += 1
        if refused or self._failed[endpoint.name] >= ILL_AFTER or not endpoint.healthy:
            endpoint.seen_ill(why)

    async def _asked(self, endpoint: Endpoint) -> str:
        """What is wrong with it; empty where nothing is."""
        status, _ = await self._got(endpoint, "/health")
        if status >= 500:
            return f"says that it is ill: status {status}"
        if endpoint.healthy and status < 300 and endpoint.names:
            return ""
        status, body = await self._got(endpoint, "/v1/models")
        if status in (401, 403):
            return f"refuses the fleet's key: status {status}"
        if status >= 500:
            return f"says that it is ill: status {status}"
        found = _models(body) if status == 200 else {}
        entry = endpoint.entry
        if entry.called:
            own = endpoint.names[entry.called]
            if found and own not in found:
                known = ", ".join(list(found)[:3])
                return f"has no model '{own}'; it has {known}"
            endpoint.most_tokens = {entry.called: found[own]} if found.get(own) else {}
        elif found:
            endpoint.names = {name: name for name in found}
            endpoint.most_tokens = {name: length for name, length in found.items() if length}
        elif not endpoint.names:
            return 'does not say which models it has; name one: model = "..."'
        return ""

    async def _got(self, endpoint: Endpoint, path: str) -> tuple[int, bytes]:
        async with self.session.get(endpoint.url(path), headers=endpoint.headers, allow_redirects=False) as answer:
            parts: list[bytes] = []
            while data := await answer.content.readany():
                parts.append(data)
                if sum(map(len, parts)) > MOST_BYTES:
                    raise ValueError("too long")
            return answer.status, b"".join(parts)


def reason(error: aiohttp.ClientConnectorError) -> str:
    """Why there is no connection, without the address."""
    number = error.os_error.errno
    return os.strerror(number).lower() if number and number > 0 else "no such address"


def _models(body: bytes) -> dict[str, int]:
    """The names that ``/v1/models`` lists, each with the length of its context, 0 where it is not told."""
    told: Any = json.loads(body)
    data = told.get("data") if isinstance(told, dict) else None
    found: dict[str, int] = {}
    for model in data[:MOST_MODELS] if isinstance(data, list) else ():
        if isinstance(model, dict) and isinstance(model.get("id"), str) and model["id"].isprintable():
            length = model.get("max_model_len")
            found[model["id"]] = length if type(length) is int and length > 0 else 0
    return found
