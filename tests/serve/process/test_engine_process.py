"""An engine as a process: started, waited for, started again, ended, and never left behind. Fake engines; real processes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.serve.process.fake_engine import make_fakes
from windtunnel.errors import EngineError, UnsupportedError
from windtunnel.serve.process import keeper
from windtunnel.serve.process.launch import Launch
from windtunnel.serve.process.process import EngineProcess, State, free_port

SRC = Path(keeper.__file__).parents[3]


def living(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] not in "ZX"
    return False


def gone(pid: int, within_s: float = 5.0) -> bool:
    until = time.monotonic() + within_s
    while living(pid):
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


class Fake:
    """A fake engine's launch, and what it wrote down."""

    def __init__(self, folder: Path) -> None:
        self.packages, self.seen = make_fakes(folder / "packages"), folder / "seen"
        self.told: list[str] = []

    def launch(self, **behaviour: Any) -> Callable[[int], Launch]:
        behaviour["seen"] = str(self.seen)
        environment = {**os.environ, "PYTHONPATH": str(self.packages), "FAKE_ENGINE": json.dumps(behaviour)}
        flags = ("serve", "m", "--served-model-name", "tiny", "--host", "127.0.0.1", "--port")
        command = (sys.executable, "-m", "vllm.entrypoints.cli.main", *flags)
        return lambda port: Launch("vllm", (*command, str(port)), environment, port)

    @property
    def starts(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.seen.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    return Fake(tmp_path)


def go(what: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(what, 30.0))


async def until(true: Callable[[], bool]) -> None:
    while not true():
        await asyncio.sleep(0.02)


async def names(url: str) -> list[str]:
    async with aiohttp.ClientSession() as client, client.get(f"{url}/v1/models") as answer:
        return [model["id"] for model in (await answer.json())["data"]]


def test_it_is_waited_for_and_its_log_passed_on(fake: Fake) -> None:
    async def run() -> None:
        begun = time.monotonic()
        async with EngineProcess(fake.launch(slow_s=0.6), fake.told.append) as engine:
            assert time.monotonic() - begun >= 0.6
            assert (engine.state, engine.ill()) == (State.UP, "")
            assert await names(engine.url) == ["tiny"]
            port = engine.url.rpartition(":")[2]
            assert fake.starts[0]["argv"][-1] == port
        assert engine.state is State.ENDED
        assert engine.ill()

    go(run())
    assert fake.told[:2] == ["[vllm] loading weights: 50%", "[vllm] loading weights: 100%"]
    assert any(line.startswith("vllm: serves after ") for line in fake.told)
    assert gone(fake.starts[0]["pid"])


def test_one_that_dies_at_its_start_is_told_with_its_last_words(fake: Fake) -> None:
    async def run() -> None:
        engine = EngineProcess(fake.launch(die_at_start=3), fake.told.append)
        with pytest.raises(EngineError) as caught:
            await engine.start()
        assert str(caught.value) == "vllm ended with status 3 while it started: RuntimeError: no kernel image is available"
        assert caught.value.last_lines == ("loading weights: 50%", "loading weights: 100%", caught.value.last_lines[-1])
        assert engine.state is State.ENDED

    go(run())
    assert len(fake.starts) == 1  # a mistake is not tried again


def test_what_cannot_be_run_is_told(fake: Fake) -> None:
    async def run() -> None:
        launch = fake.launch()
        engine = EngineProcess(
            lambda port: Launch("vllm", ("/nowhere/python",), launch(port).environment, port), fake.told.append
        )
        with pytest.raises(EngineError, match=r"status 127 while it started: /nowhere/python: No such file"):
            await engine.start()

    go(run())


def test_one_that_never_serves_is_not_waited_for_for_ever(fake: Fake) -> None:
    async def run() -> None:
        engine = EngineProcess(fake.launch(slow_s=60), fake.told.append, patience_s=0.5)
        with pytest.raises(EngineError, match=r"vllm does not serve after \d+ s"):
            await engine.start()

    go(run())
    assert gone(fake.starts[0]["pid"])


def test_one_that_dies_is_started_again_at_the_same_place(fake: Fake) -> None:
    async def run() -> None:
        async with EngineProcess(fake.launch(), fake.told.append, first_pause_s=0.05) as engine:
            url = engine.url
            os.kill(fake.starts[0]["pid"], signal.SIGKILL)
            await until(lambda: engine.state is not State.UP)
            assert engine.ill()
            await until(lambda: engine.state is State.UP)
            assert (engine.restarts, engine.url, len(fake.starts)) == (1, url, 2)
            assert await names(engine.url) == ["tiny"]

    go(run())
    assert any("vllm was ended by signal 9 while it served; starting again in 0.1 s" in line for line in fake.told)


def test_one_that_dies_again_and_again_is_given_up(fake: Fake) -> None:
    async def run() -> None:
        options = {"first_pause_s": 0.01, "most_restarts": 2}
        async with EngineProcess(fake.launch(die_after_s=0.4), fake.told.append, **options) as engine:  # type: ignore[arg-type]
            await until(lambda: engine.state is State.GIVEN_UP)
            assert "given up: it died 3 times in 10 minutes; the last time: vllm ended with status 9" in engine.ill()
        assert engine.state is State.GIVEN_UP

    go(run())
    assert len(fake.starts) == 3


def test_a_restart_that_the_system_refuses_is_tried_again(fake: Fake) -> None:
    """As where it has no more processes, or no more files."""

    async def run() -> None:
        launch, refused = fake.launch(), [OSError(11, "Resource temporarily unavailable"), UnsupportedError("not now")]

        def launched(port: int) -> Launch:
            if len(fake.told) > 2 and refused:  # it has served
                raise refused.pop(0)
            return launch(port)

        async with EngineProcess(launched, fake.told.append, first_pause_s=0.01) as engine:
            os.kill(fake.starts[0]["pid"], signal.SIGKILL)
            await until(lambda: engine.restarts == 3 and engine.state is State.UP)
        assert refused == []
        assert any("Resource temporarily unavailable; starting again" in line for line in fake.told)

    go(run())


def test_one_whose_restart_is_refused_for_ever_is_given_up(fake: Fake) -> None:
    async def run() -> None:
        launch = fake.launch(die_after_s=0.2)

        def launched(port: int) -> Launch:
            if len(fake.told) > 2:
                raise OSError(12, "Cannot allocate memory")
            return launch(port)

        engine = EngineProcess(launched, fake.told.append, first_pause_s=0.01, most_restarts=2)
        await engine.start()
        await engine.given_up()
        assert engine.state is State.GIVEN_UP
        assert engine.ill().endswith("the last time: [Errno 12] Cannot allocate memory")
        await engine.stop()

    go(run())


def test_a_bug_where_it_is_watched_gives_it_up_and_stops_nothing_else(fake: Fake) -> None:
    async def run() -> None:
        def up(url: str) -> None:
            raise ZeroDivisionError("a bug")

        engine = EngineProcess(fake.launch(), fake.told.append, first_pause_s=0.01, up=up)
        await engine.start()
        os.kill(fake.starts[0]["pid"], signal.SIGKILL)
        await engine.given_up()
        assert engine.ill() == "vllm is given up: ZeroDivisionError: a bug"
        await engine.stop()
        assert gone(fake.starts[-1]["pid"])

    go(run())


def test_its_children_end_with_it_wherever_they_are(fake: Fake) -> None:
    """One in a session of its own too, and an engine that does not listen."""

    async def run() -> None:
        async with EngineProcess(fake.launch(child=True, deaf=True), fake.told.append, grace_s=0.3):
            pass

    go(run())
    start = fake.starts[0]
    assert gone(start["pid"])
    assert gone(start["child"])


def test_its_children_end_where_it_dies_itself(fake: Fake) -> None:
    async def run() -> None:
        async with EngineProcess(fake.launch(child=True), fake.told.append, first_pause_s=30.0):
            os.kill(fake.starts[0]["pid"], signal.SIGKILL)
            await until(lambda: not living(fake.starts[0]["child"]))

    go(run())


def test_stopping_during_a_start_leaves_nothing(fake: Fake) -> None:
    async def run() -> None:
        engine = EngineProcess(fake.launch(slow_s=60), fake.told.append)
        starting = asyncio.create_task(engine.start())
        await until(lambda: bool(fake.told))
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert engine.state is State.ENDED

    go(run())
    assert gone(fake.starts[0]["pid"])


PARENT = """
import asyncio, json, os, sys
from windtunnel.serve.process.launch import Launch
from windtunnel.serve.process.process import EngineProcess

command = json.loads(sys.argv[1])

async def main():
    await EngineProcess(lambda port: Launch("vllm", (*command, str(port)), dict(os.environ), port), print).start()
    print("up", flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("who", ["parent", "keeper"])
def test_no_orphans_where_who_holds_it_is_killed(fake: Fake, who: str) -> None:
    launch = fake.launch(child=True)(0)
    environment = {**launch.environment, "PYTHONPATH": f"{fake.packages}{os.pathsep}{SRC}"}
    ask = [sys.executable, "-c", PARENT, json.dumps(launch.command[:-1])]
    parent = subprocess.Popen(ask, stdout=subprocess.PIPE, env=environment, text=True)
    try:
        assert parent.stdout is not None
        assert "up\n" in iter(parent.stdout.readline, "")
        start = fake.starts[0]
        assert living(start["pid"])
        if who == "parent":
            parent.kill()
            assert gone(start["child"])
        else:
            holder = int(Path(f"/proc/{start['pid']}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[1])
            os.kill(holder, signal.SIGKILL)  # the kernel ends the engine; what it started outside its group, nobody can
        assert gone(start["pid"])
    finally:
        parent.kill()
        parent.communicate()
        for pid in (fake.starts[0]["pid"], fake.starts[0]["child"]):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)


def test_a_port_is_kept_while_it_is_free() -> None:
    port = free_port()
    assert free_port(port) == port
