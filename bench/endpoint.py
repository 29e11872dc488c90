"""The virtual endpoint against its own simulation: the same requests at the same times, over HTTP and without it."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from dataclasses import dataclass
from statistics import quantiles

MODEL, CHIP = "meta-llama/Llama-3.1-8B-Instruct", "h20"
ISL, OSL = 1024, 256
STREAMS = 200
"""About so many at once, by the rate at which they come."""
SECONDS = 30.0

_SERVER = """
import asyncio, sys
from windtunnel.serve.api.app import Api
from windtunnel.serve.api.metrics import Metrics
from windtunnel.serve.server import serve
from windtunnel.serve.virtual.backend import VirtualBackend
from windtunnel.sim.prediction import Deployment
from windtunnel.sim.serving.fleet import Fleet
model, chip, isl, osl = sys.argv[1:]
backend = VirtualBackend(Fleet(Deployment(model, chip), replicas=2), isl=float(isl), osl=float(osl))
asyncio.run(serve(Api(backend, Metrics(backend.gauges)).app(), "127.0.0.1", 0, lambda url: print(url, flush=True)))
"""


@dataclass(frozen=True, slots=True)
class Times:
    """p50 and p99 of the two, in seconds, and the most streams at once."""

    ttft: tuple[float, float]
    tpot: tuple[float, float]
    streams: int


def _middle_and_end(values: list[float]) -> tuple[float, float]:
    cut = quantiles(values, n=100, method="inclusive")
    return cut[49], cut[98]


def arrivals() -> list[float]:
    """Seconds from the start, at random, at a rate at which about ``STREAMS`` are under way."""
    chance, at, found = random.Random(0), 0.0, []
    while at < SECONDS:
        found.append(at)
        at += chance.expovariate(STREAMS / _alone_s())
    return found


def _alone_s() -> float:
    """Seconds of one answer with half of the streams on each replica."""
    from windtunnel import Deployment, Load, predict

    found = predict(Deployment(MODEL, CHIP), Load(ISL, OSL, STREAMS // 2))
    return found.ttft.value + (OSL - 1) * found.tpot.value


def simulated(at: list[float]) -> Times:
    """As the simulation alone has it."""
    from windtunnel.sim.prediction import Deployment
    from windtunnel.sim.serving.fleet import Fleet
    from windtunnel.sim.serving.request import Request, Task
    from windtunnel.sim.serving.simulation import Simulation

    simulation = Simulation(Fleet(Deployment(MODEL, CHIP), replicas=2), ISL, OSL)
    ttft: list[float] = []
    tpot: list[float] = []
    most = 0

    def answered(task: Task, end: float) -> None:
        first = task.first_s + task.late_s + simulation.fixed_s
        ttft.append(first - task.arrival_s)
        tpot.append((end - first) / (OSL - 1))

    simulation.answered = answered
    for arrival in at:
        while simulation.events and simulation.events[0][0] < arrival:
            simulation.step()
        simulation.submit(Request(arrival, ISL, OSL), arrival)
        most = max(most, simulation.tally.in_flight)
    while simulation.tally.in_flight:
        simulation.step()
    return Times(_middle_and_end(ttft), _middle_and_end(tpot), most)


async def _asked(url: str, at: list[float]) -> Times:
    from aiohttp import ClientSession, ClientTimeout, TCPConnector

    ttft: list[float] = []
    tpot: list[float] = []
    flying = most = 0

    async def one(session: ClientSession, number: int) -> None:
        nonlocal flying, most
        flying += 1
        most = max(most, flying)
        first = last = 0.0
        # no two prompts begin alike: the engine shares what does
        body = {"model": MODEL, "prompt": [number] * ISL, "max_tokens": OSL, "stream": True}
        begun = time.perf_counter()
        async with session.post(f"{url}/v1/completions", json=body) as answer:
            async for line in answer.content:
                if line.startswith(b"data: {"):
                    last = time.perf_counter()
                    first = first or last
        flying -= 1
        ttft.append(first - begun)
        tpot.append((last - first) / (OSL - 1))

    async with ClientSession(connector=TCPConnector(limit=0), timeout=ClientTimeout(total=None)) as session:
        async with session.get(f"{url}/health"):
            pass
        begun, tasks = time.perf_counter() + 0.1, []
        for number, arrival in enumerate(at):
            await asyncio.sleep(max(0.0, begun + arrival - time.perf_counter()))
            tasks.append(asyncio.create_task(one(session, number)))
        await asyncio.gather(*tasks)
    return Times(_middle_and_end(ttft), _middle_and_end(tpot), most)


def asked(at: list[float]) -> Times:
    """As a client sees it that streams from an endpoint in a process of its own."""
    command = [sys.executable, "-c", _SERVER, MODEL, CHIP, str(ISL), str(OSL)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            return asyncio.run(_asked(server.stdout.readline().strip(), at))
        finally:
            server.terminate()


def compared() -> tuple[Times, Times]:
    """Simulated, and asked."""
    at = arrivals()
    return simulated(at), asked(at)


if __name__ == "__main__":
    for name, times in zip(("simulated", "asked"), compared(), strict=True):
        shown = ", ".join(f"{1e3 * value:.1f}" for value in (*times.ttft, *times.tpot))
        print(f"{name}: TTFT p50, p99, TPOT p50, p99: {shown} ms; {times.streams} streams at most")
