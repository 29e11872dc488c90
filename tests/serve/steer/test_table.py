"""A backend's speed as a small table: near the simulation's own times, and built in well under a second."""

from __future__ import annotations

import math
import time

import pytest

from windtunnel.serve.steer.speed import Undescribed
from windtunnel.serve.steer.steering import Steering
from windtunnel.serve.steer.table import Table, table_of
from windtunnel.serve.steer.wanted import SEGMENT_TOKENS, Lane, Targets, Wanted
from windtunnel.sim.prediction import Deployment
from windtunnel.sim.serving.fleet import Fleet, pools
from windtunnel.sim.serving.settings import NO_LIMIT, Options

MODEL = "Qwen/Qwen3-8B"
FLEET = Fleet(Deployment(MODEL, "h20"))


def test_built_in_less_than_a_second() -> None:
    began = time.process_time()
    table_of(Fleet(Deployment(MODEL, "ascend-910c")), 1000, 200)
    assert time.process_time() - began < 1.0


@pytest.mark.parametrize("chip", ["h20", "ascend-910c", "rtx-4090"])
def test_near_the_times_of_the_simulation(chip: str) -> None:
    main, _ = pools(Fleet(Deployment(MODEL, chip)), 1000, 200)
    table = Table(main)
    for running in (1, 5, 17, 100, 250):
        for context in (20, 700, 3000, 12_000):
            assert table.decode_s(running, context) == pytest.approx(main.times.decode_s(running, context), rel=0.05)
    chunk = main.settings.chunk_tokens
    for tokens in (100, 700, 1500):
        assert tokens <= chunk
        for held in (0, 700, 5000):
            exact, late = main.times.prompts_s(tokens, tokens * (held + 0.5 * tokens), 1, False)
            assert table.prefill_s(tokens, held) == pytest.approx(exact + late, rel=0.08)


def test_a_long_prompt_is_the_sum_of_its_chunks() -> None:
    main, _ = pools(Fleet(Deployment(MODEL, "h20"), options=Options(chunk_tokens=2048)), 1000, 200)
    table, times = Table(main), main.times
    chunks = [times.prompts_s(2048, 2048 * (2048 * i + 1024.0), 1, False)[0] for i in range(4)]
    assert table.prefill_s(8192, 0) == pytest.approx(sum(chunks), rel=0.01)


def test_times_never_fall_with_more_to_do() -> None:
    table = table_of(FLEET, 1000, 200)
    assert table.prefill_s(1, 0) > 0.0
    for a, b in ((1, 16), (16, 100), (1000, 1001), (30_000, 40_000), (40_000, 400_000)):
        assert table.prefill_s(a, 0) <= table.prefill_s(b, 0)
        assert table.prefill_s(500, a) <= table.prefill_s(500, b)
        assert table.decode_s(10, a) <= table.decode_s(10, b)
    for a, b in ((1, 2), (7, 8), (500, 1000), (1024, 1500), (3000, 6000)):
        assert table.decode_s(a, 1000) <= table.decode_s(b, 1000)


def test_replicas_and_two_pools_are_counted() -> None:
    one, three = table_of(FLEET, 1000, 200), table_of(Fleet(Deployment(MODEL, "h20"), replicas=3), 1000, 200)
    assert (three.engines, three.kv_tokens, three.most_running) == (3, 3 * one.kv_tokens, 3 * one.most_running)
    apart = table_of(Fleet(Deployment(MODEL, "h20"), 2, Deployment(MODEL, "ascend-910c"), 4), 1000, 200)
    assert (apart.engines, apart.prefillers) == (2, 4)
    assert apart.prefill_s(2000, 0) < one.prefill_s(2000, 0)


def test_a_cache_that_does_not_share_and_one_without_end() -> None:
    closed = table_of(Fleet(Deployment(MODEL, "h20"), options=Options(prefix_caching=False)), 1000, 200)
    assert closed.prefix_tokens == 0.0
    assert math.isfinite(closed.kv_tokens)


def test_what_a_cache_without_end_is_thought_to_hold_has_an_end() -> None:
    """A thousand prompts of 1,024 tokens that share nothing, to a lane whose cache has no end: no more is remembered of them
    than of a lane that is not described."""
    endless = Fleet(Deployment(MODEL, "h20"), options=Options(kv_tokens=NO_LIMIT, block_tokens=1, prefix_caching=True))
    table = table_of(endless, 1000, 200)
    assert table.kv_tokens == math.inf
    of = Steering({"a": Lane(table)}, Targets())
    for i in range(1000):
        of.ended(of.sent("a", Wanted("m", 1024, tuple(range(16 * i, 16 * i + 16)))), True, 1)
    most = Undescribed().prefix_tokens
    assert 0.9 * most < of.seen("a").cached_tokens <= most
    assert len(of._prefixes._lanes) <= most / SEGMENT_TOKENS
