"""The engine that moves from event to event against one that counts every step."""

from __future__ import annotations

import math
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sim.serving.literal import Even, Literal
from windtunnel.sim.serving.engine import Engine
from windtunnel.sim.serving.request import Request, Task
from windtunnel.sim.serving.settings import Settings
from windtunnel.sim.serving.step_times import StepTimes

Times = dict[int, tuple[float, float]]


def played(of: Engine, requests: list[Request]) -> Times:
    """First token and end of each request, as a single engine without a fleet around it gives them."""
    found: Times = {}
    tasks = [Task(i, request) for i, request in enumerate(requests)]

    def finished(engine: Engine, task: Task, at: float) -> None:
        found[task.id] = (task.first_s + task.late_s, at)

    of.finished = finished
    coming = list(tasks)
    while coming or of.end_s < math.inf:
        if coming and coming[0].arrival_s <= of.end_s:
            task = coming.pop(0)
            of.submit(task, task.arrival_s)
            continue
        of.complete()
        while coming and coming[0].arrival_s <= of.start_s:
            task = coming.pop(0)
            of.submit(task, task.arrival_s)
        of.plan()
    return found


def engine(times: Even, of: Settings) -> Engine:
    return Engine(cast(StepTimes, times), of)


lengths = st.integers(1, 40)


@st.composite
def streams(draw: Any, prefixes: bool = False) -> list[Request]:
    """Requests that come close together, so that they meet, and now and then at the same moment."""
    now, found = 0.0, []
    for _ in range(draw(st.integers(1, 14))):
        now += draw(st.sampled_from([0.0, 0.001, 0.0137, 0.1, 0.9]))
        tokens = draw(lengths)
        chain: tuple[int, ...] = ()
        segment = 0
        if prefixes and draw(st.booleans()):
            segment = draw(st.sampled_from([4, 8]))
            family = draw(st.integers(0, 2))
            segments = min(draw(st.integers(1, 4)), -(-tokens // segment))
            # a segment that the input's end cuts short is another text than a whole one
            cut = [min(tokens - i * segment, segment) for i in range(segments)]
            chain = tuple(family * 1000 + segment * 100 + i * 10 + n for i, n in enumerate(cut))
        found.append(Request(now, tokens, draw(lengths), chain, segment))
    return found


@st.composite
def setups(draw: Any, caching: bool = False) -> Settings:
    size = draw(st.sampled_from([1, 4]))
    return Settings(
        chunk_tokens=draw(st.sampled_from([16, 64])),
        max_running=draw(st.sampled_from([1, 3, 1 << 40])),
        blocks=-(-80 // size) + draw(st.sampled_from([1, 10, 1000])),
        block_tokens=size,
        fixed_blocks=draw(st.sampled_from([0, 1])),
        prefix_caching=caching,
        chunked_prefill=draw(st.booleans()),
        mixed_steps=draw(st.booleans()),
    )


def check(requests: list[Request], of: Settings) -> None:
    fast, slow = engine(Even(), of), Literal(Even(), of)
    slow.run(requests)
    found = played(fast, requests)
    assert len(found) == len(requests)
    for job in slow.jobs:
        first, end = found[job.number]
        assert first == pytest.approx(job.first_s + job.late_s, rel=1e-9), job
        assert end == pytest.approx(job.end_s, rel=1e-9), job
    assert fast.preemptions == slow.preemptions
    assert fast.hits == slow.hits
    assert fast.free_blocks() == of.blocks  # whatever is left behind can be evicted
    assert fast.load == fast.context == fast.shared == fast.reserved == 0


@given(streams(), setups())
@settings(deadline=None, max_examples=250)
def test_it_agrees_with_an_engine_that_counts_steps(requests: list[Request], of: Settings) -> None:
    check(requests, of)


@given(streams(prefixes=True), setups(caching=True))
@settings(deadline=None, max_examples=250)
def test_it_agrees_where_prompts_begin_alike(requests: list[Request], of: Settings) -> None:
    check(requests, of)


def test_a_lone_request_by_hand() -> None:
    # 10 tokens in one prompt: 2 ms + 10 x 0.1 ms + 50 x 10 ns, and 1 ms until the token is out; then 3 steps that see
    # 11, 12 and 13 keys: 10 ms + 1 ms + 1 us a key
    times = Even(base=0.01, each=0.001, key=1e-6, token=1e-4)
    found = played(engine(times, Settings()), [Request(5.0, 10, 4)])
    prompt = 5.0 + 0.002 + 0.001 + 50e-8
    assert found[0] == pytest.approx((prompt + 0.001, prompt + 0.001 + 3 * 0.011 + 36e-6))


def test_who_comes_during_a_step_waits_for_its_end() -> None:
    times = Even(base=1.0, each=0.0, key=0.0, token=0.0)
    found = played(engine(times, Settings()), [Request(0.0, 1, 10), Request(3.5, 1, 1)])
    # steps of the first end at 0.002 + n; the second is prefilled from 4.002 on
    assert found[1][0] == pytest.approx(4.002 + 0.002 + 0.003, abs=1e-6)


def test_the_last_to_come_is_the_first_to_be_preempted() -> None:
    # twelve blocks of four: both fit as prompts (4 + 4), not with twelve more tokens each
    of = Settings(blocks=12, block_tokens=4, chunk_tokens=64)
    fast = engine(Even(), of)
    found = played(fast, [Request(0.0, 16, 20), Request(0.0, 16, 20)])
    assert fast.preemptions == 1
    assert found[0][1] < found[1][1]
    assert fast.prefilled == 16 + 16 + 16 + 9  # the second is computed again, with the nine tokens it had made


def test_a_prefix_is_computed_once() -> None:
    of = Settings(blocks=100, block_tokens=4, prefix_caching=True)
    fast = engine(Even(), of)
    played(fast, [Request(0.0, 20, 2, (7,), 16), Request(1.0, 20, 2, (7,), 16), Request(2.0, 20, 2, (8,), 16)])
    assert fast.prefilled == 20 + 4 + 20
    assert fast.hits == 16


def test_what_is_evicted_is_what_was_used_longest_ago() -> None:
    # ten blocks: two prefixes of four blocks do not both stay beside a request of three
    of = Settings(blocks=10, block_tokens=4, prefix_caching=True)
    fast = engine(Even(), of)
    first, second = (1,), (2,)
    requests = [Request(0.0, 16, 1, first, 16), Request(1.0, 16, 1, second, 16), Request(2.0, 12, 1)]
    played(fast, [*requests, Request(3.0, 17, 1, second, 16), Request(4.0, 17, 1, first, 16)])
    assert fast.hits == 16
