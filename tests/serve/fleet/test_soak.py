"""A short soak with chaos: back ends come, go, lie and stall while clients ask and leave; nothing is lost or left behind."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import time
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp

from tests.serve.fleet.fake import Answer, Fake, Running, answer_well, ask, body, fleet
from tests.serve.fleet.test_lying import GOOD, raw

SECONDS = 4.0
MOODS: list[Answer] = [
    answer_well, answer_well, answer_well, raw(body(503, b"")), raw(b""), raw(GOOD), raw(body(429, b"", Retry_After="0")),
]  # fmt: skip


async def chaos(fakes: list[Fake], until: float, chance: random.Random) -> None:
    """All but the last lie, die and come back."""
    while time.monotonic() < until:
        fake = chance.choice(fakes[:-1])
        fake.answer = chance.choice(MOODS)
        if chance.random() < 0.4:
            await fake.stop()
            await asyncio.sleep(0.05)
            await fake.start()
        await asyncio.sleep(0.03)


async def client(running: Running, until: float, chance: random.Random, seen: Counter[str]) -> None:
    while time.monotonic() < until:
        told: dict[str, Any] = ask(f"{chance.random()}", max_tokens=chance.randint(1, 8), stream=chance.random() < 0.7)
        leaves = chance.random() < 0.1
        try:
            async with running.post(told) as answer:
                if leaves:
                    answer.close()
                    seen["left"] += 1
                    continue
                text = await answer.read()
        except aiohttp.ClientError as error:
            seen[f"{type(error).__name__}"] += 1
            continue
        seen["broken" if b'"error"' in text and answer.status == 200 else str(answer.status)] += 1


def open_files() -> int:
    folder = Path("/proc/self/fd")
    return len(os.listdir(folder)) if folder.exists() else 0  # noqa: PTH208


def test_a_soak_with_chaos_loses_nothing_and_leaves_nothing() -> None:
    async def run() -> None:
        fakes = {name: Fake(gap_s=0.002) for name in ("a", "b", "c", "steady")}
        more: dict[str, Any] = {"retries": 6, "retry_share": 9.0, "queue_time": 5.0, "break_for": 0.05}
        async with fleet(fakes, **more) as running:
            seen: Counter[str] = Counter()
            sizes: list[int] = []
            begun = time.monotonic()
            tracemalloc.start()
            for third in range(1, 4):
                until = begun + SECONDS * third / 3
                clients = [client(running, until, random.Random(f"{third} {n}"), seen) for n in range(8)]
                await asyncio.gather(chaos(list(fakes.values()), until, random.Random(third)), *clients)
                await asyncio.sleep(0.2)
                gc.collect()
                sizes.append(tracemalloc.get_traced_memory()[0])
            tracemalloc.stop()
            for fake in fakes.values():
                fake.answer = answer_well
            await asyncio.sleep(0.6)
            admission = running.router.admission
            assert (admission.in_flight, admission.waiting) == (0, 0)
            assert all(endpoint.in_flight == 0 for endpoint in running.router.endpoints.values())
            assert all(running.router.steering.seen(name).in_flight == 0 for name in fakes)
            assert set(seen) <= {"200", "broken", "left"}, seen
            assert seen["200"] > 20
            assert seen["broken"] > 0
            assert sizes[2] < sizes[0] + 1_500_000, sizes
            # a task for each look at a back end, the samples, the fakes' open connections and this test
            assert len(asyncio.all_tasks()) < 60
            assert (await running.status())["totals"]["in_flight"] == 0

    before = open_files()
    asyncio.run(run())
    gc.collect()
    assert open_files() <= before + 3
