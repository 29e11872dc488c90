"""Schemathesis asks both fronts whatever their description allows, and what it does not: they keep to it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

import windtunnel
from tests.serve.door.served import Counting, Front, ask, at_the_door
from windtunnel.serve.api.app import Api
from windtunnel.serve.api.metrics import Metrics
from windtunnel.serve.door.door import Door
from windtunnel.serve.door.keys import Key, digest
from windtunnel.serve.fleet.file import BackendEntry, Limits
from windtunnel.serve.fleet.router import Router
from windtunnel.serve.virtual.backend import VirtualBackend
from windtunnel.sim.prediction import Deployment
from windtunnel.sim.serving.fleet import Fleet

KEY = "wt-a-key-for-schemathesis"
EXAMPLES = 6
"""Of each operation; the boundaries of every field come beside them."""


@contextlib.asynccontextmanager
async def virtual(backend: Counting, **options: int) -> AsyncIterator[web.Application]:
    """The front that makes its own answers, simulated."""
    deployment = Deployment(model="meta-llama/Llama-3.1-8B-Instruct", chip="h20", precision="bf16")
    simulated = VirtualBackend(Fleet(deployment), isl=256, osl=16, name="m", speed=10_000.0)
    yield Api(simulated, Metrics(simulated.gauges)).app(**options)


@contextlib.asynccontextmanager
async def forwarded(backend: Counting, **options: int) -> AsyncIterator[web.Application]:
    """The front before an engine that takes whatever it is sent."""
    engine = web.Application(client_max_size=64 * 1024**2)
    engine.router.add_get("/v1/models", _models)
    engine.router.add_get("/health", _models)
    engine.router.add_post("/v1/{what:.+}", _answer)
    runner = web.AppRunner(engine, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        entry = BackendEntry("a", "url", f"http://127.0.0.1:{runner.addresses[0][1]}")
        yield Router([entry], Limits()).app(**options)
    finally:
        await runner.cleanup()


async def _models(request: web.Request) -> web.Response:
    return web.json_response({"object": "list", "data": [{"id": "m", "object": "model", "created": 1, "owned_by": "x"}]})


async def _answer(request: web.Request) -> web.Response:
    asked, what = await request.json(), request.match_info["what"]
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    told: dict[str, Any] = {"id": "x", "created": 1, "model": asked["model"], "usage": usage}
    if what == "embeddings":
        return web.json_response({**told, "object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}]})
    chat = what == "chat/completions"
    said: dict[str, Any] = {"message": {"role": "assistant", "content": "a"}} if chat else {"text": "a"}
    told["choices"] = [{"index": 0, "finish_reason": "stop", **said}]
    if not asked.get("stream"):
        return web.json_response({**told, "object": "chat.completion" if chat else "text_completion"})
    if chat:
        told["choices"] = [{"index": 0, "finish_reason": "stop", "delta": {"content": "a"}}]
    events = web.json_response({**told, "object": "chat.completion.chunk" if chat else "text_completion"}).text
    return web.Response(text=f"data: {events}\n\ndata: [DONE]\n\n", content_type="text/event-stream")


@pytest.mark.parametrize("front", [virtual, forwarded])
def test_the_fronts_keep_to_their_description(front: Front) -> None:
    door = Door([Key("one", digest(KEY), admin=True)])

    async def body(port: int) -> None:
        described = await ask(port, path="/openapi.json")
        assert described.status == 200
        command = ["-m", "schemathesis.cli", "run", f"http://127.0.0.1:{port}/openapi.json", "--checks", "all"]
        command += [
            "-H",
            f"Authorization: Bearer {KEY}",
            "--max-examples",
            str(EXAMPLES),
            "--seed",
            "7",
            "--no-color",
            "--phases",
            "coverage,fuzzing",
        ]
        paths = [str(Path(windtunnel.__file__).parents[1]), str(Path(__file__).parents[3])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "SCHEMATHESIS_HOOKS": "tests.serve.door.schema_hooks"}
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env=environment
        )
        told, _ = await process.communicate()
        assert process.returncode == 0, told.decode()

    at_the_door(front, door, body)
    assert door.allowances["one"].in_flight == 0
