"""Whole simulations: nothing is lost, the same seed gives the same, and simple queues come out as theory has them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from windtunnel.errors import InvalidInputError, MissingFactError, UnknownNameError, WindtunnelError
from windtunnel.sim.predict import predict
from windtunnel.sim.prediction import Deployment, Load
from windtunnel.sim.serving.arrivals import AtRandom, ClosedLoop, Lengths, Listed, Sharing, parse_lengths
from windtunnel.sim.serving.fleet import Failures, Fleet
from windtunnel.sim.serving.request import Request
from windtunnel.sim.serving.result import Result
from windtunnel.sim.serving.settings import Options
from windtunnel.sim.serving.simulate import simulate
from windtunnel.sim.serving.simulation import TOO_BIG, TOO_LONG, Simulation

SMALL = Deployment("Qwen/Qwen3-8B", "h100-sxm")
H20 = Deployment("Qwen/Qwen3-8B", "h20")


@st.composite
def fleets(draw: Any) -> Fleet:
    apart = draw(st.booleans())
    tight = draw(st.sampled_from([None, 6_000]))
    return Fleet(
        SMALL,
        draw(st.integers(1, 3)),
        H20 if apart else None,
        draw(st.integers(1, 2)) if apart else 0,
        router=draw(st.sampled_from(["round-robin", "least-loaded", "prefix"])),
        options=Options(kv_tokens=tight, max_running=draw(st.sampled_from([None, 4])), prefix_caching=draw(st.booleans())),
        failures=draw(st.sampled_from([None, Failures(3.0, 0.5)])),
    )


@st.composite
def loads(draw: Any) -> AtRandom | ClosedLoop:
    read, write = Lengths(500.0, 1, draw(st.sampled_from([1000, 5000]))), Lengths(30.0, 1, 60)
    sharing = draw(st.sampled_from([None, Sharing(256, 3)]))
    if draw(st.booleans()):
        return ClosedLoop(draw(st.integers(1, 40)), read, write, 120, sharing)
    return AtRandom(draw(st.sampled_from([5.0, 50.0, 500.0])), read, write, 120, draw(st.sampled_from([1.0, 3.0])), sharing)


def counted(result: Result) -> dict[str, Any]:
    """What two equal runs must agree in."""
    metrics = (result.ttft, result.tpot, result.e2e)
    return {
        "counts": (result.arrived, result.answered, result.refused, result.restarted, result.transfers, result.seconds),
        "times": [(m.mean_s, m.most_s, *(q.value_s for q in m.quantiles)) for m in metrics],
        "pool": result.pool,
    }


@given(fleets(), loads(), st.integers(0, 3))
@settings(deadline=None, max_examples=60)
def test_every_request_is_answered_or_refused(fleet: Fleet, arrivals: AtRandom | ClosedLoop, seed: int) -> None:
    run = Simulation(fleet, arrivals.isl, arrivals.osl, seed=seed)
    out: dict[int, tuple[int, float]] = {}
    run.answered = lambda task, at: out.update({task.id: (task.output_tokens, at - task.arrival_s)})
    wanted: dict[int, Request] = {}
    source = arrivals.source(seed)
    take = source.take

    def taking() -> Request:
        request = take()
        wanted[len(wanted) + 1] = request
        return request

    source.take = taking  # type: ignore[method-assign]
    assert run.run(source)
    tally = run.tally
    assert tally.arrived == 120 == tally.answered + sum(tally.refused.values())
    assert tally.input_tokens == sum(r.input_tokens for r in wanted.values())
    assert tally.output_tokens == sum(wanted[number].output_tokens for number in out)
    assert len(out) == tally.answered == tally.e2e.count == tally.ttft.count
    assert all(tokens == wanted[number].output_tokens and took > 0.0 for number, (tokens, took) in out.items())
    assert set(tally.refused) <= {TOO_BIG}
    if tally.refused:
        assert all(wanted[n].input_tokens + wanted[n].output_tokens > 5_800 for n in wanted if n not in out)
    for engine in (*run.engines, *run.prefillers):
        if engine.up:
            assert engine.load == engine.coming == engine.context == engine.reserved == engine.shared == 0
            assert engine.free_blocks() == engine.settings.blocks
            assert engine.cache.active == 0
    assert counted(simulate(fleet, arrivals, seed=seed)) == counted(simulate(fleet, arrivals, seed=seed))


def test_another_seed_gives_another_run() -> None:
    arrivals = AtRandom(20.0, Lengths(500.0), Lengths(20.0), 200)
    assert counted(simulate(Fleet(SMALL), arrivals, seed=1)) != counted(simulate(Fleet(SMALL), arrivals, seed=2))


def test_prompts_alone_wait_as_pollaczek_and_khinchine_say() -> None:
    # one token each and one prompt a step: an M/D/1 queue. Its service time is what a lone request takes; the mean wait is
    # utilisation x service / (2 (1 - utilisation))
    fleet = Fleet(SMALL, options=Options(chunk_tokens=2048))
    lone = simulate(fleet, Listed((Request(0.0, 2048, 1),)))
    engine_s = lone.pool.busy * lone.seconds
    arrivals = AtRandom(0.7 / engine_s, Lengths(2048.0), Lengths(1.0), 40_000)
    found = simulate(fleet, arrivals, seed=3)
    wait = 0.7 * engine_s / (2.0 * 0.3)
    assert found.ttft.mean_s - lone.ttft.mean_s == pytest.approx(wait, rel=0.05)
    assert found.pool.busy == pytest.approx(0.7, rel=0.02)


def test_what_is_in_flight_is_rate_times_time() -> None:
    # Little's law, of the requests that decode
    found = simulate(Fleet(SMALL, 2), AtRandom(30.0, Lengths(800.0), Lengths(100.0), 10_000), seed=1)
    decoding = found.e2e.mean_s - found.ttft.mean_s
    assert 2 * found.pool.running == pytest.approx(found.answered_per_s * decoding, rel=0.02)


@pytest.mark.parametrize("concurrency", [4, 32])
@pytest.mark.parametrize(
    ("of", "close"),
    [
        (SMALL, 0.03),
        # the prediction takes prompts to share a step as far as they fit; here they come one by one, and each reads all
        # experts for itself
        (Deployment("deepseek-ai/DeepSeek-R1", "b200-sxm", tp=8, engine="sglang"), 0.08),
    ],
)
def test_a_closed_loop_agrees_with_the_prediction(of: Deployment, close: float, concurrency: int) -> None:
    told = predict(of, Load(1024, 512, concurrency), operators=False)
    loop = ClosedLoop(concurrency, Lengths(1024.0), Lengths(512.0, 461, 563), 10 * concurrency)
    found = simulate(Fleet(of), loop)
    assert found.tpot.mean_s == pytest.approx(told.tpot.value, rel=close)
    assert found.ttft.mean_s == pytest.approx(told.ttft.value, rel=0.2)


def test_too_much_is_called_saturated_with_what_could_be_carried() -> None:
    fleet, read, write = Fleet(SMALL, 2), Lengths(1024.0), Lengths(256.0)
    flood = simulate(fleet, AtRandom(90.0, read, write, 6_000), seed=1)
    assert flood.saturated
    most = flood.carried_requests_per_s
    assert most is not None
    # closed loop with as many in flight as there is room for
    loop = simulate(fleet, ClosedLoop(800, read, write, 8_000))
    assert most == pytest.approx(loop.answered_per_s, rel=0.08)
    assert not simulate(fleet, AtRandom(0.9 * most, read, write, 6_000), seed=1).saturated
    assert simulate(fleet, AtRandom(1.1 * most, read, write, 6_000), seed=1).saturated


def test_a_burst_that_passes_is_not_saturation() -> None:
    requests = [Request(0.1 * i, 1024, 64) for i in range(600)] + [Request(61.0 + 0.002 * i, 1024, 64) for i in range(200)]
    assert not simulate(Fleet(SMALL), Listed(tuple(requests))).saturated


def test_failures_cost_answers_time_but_lose_none() -> None:
    arrivals = AtRandom(10.0, Lengths(800.0), Lengths(100.0), 3_000)
    well = simulate(Fleet(SMALL, 2), arrivals)
    ill = simulate(Fleet(SMALL, 2, failures=Failures(30.0, 5.0)), arrivals)
    assert ill.answered == well.answered == 3_000
    assert ill.restarted > 0
    assert ill.e2e.mean_s > well.e2e.mean_s
    assert ill.pool.downtime == pytest.approx(5.0 / 35.0, rel=0.4)


def test_a_prefix_router_finds_more_in_the_caches() -> None:
    arrivals = AtRandom(30.0, Lengths(2048.0), Lengths(32.0), 2_000, 1.0, Sharing(1792, 60))
    options = Options(kv_tokens=60_000)  # sixty prefixes of 1,792 do not fit on one, a third of them do
    rates = {}
    for name in ("round-robin", "prefix"):
        found = simulate(Fleet(SMALL, 3, router=name, options=options), arrivals)
        rates[name] = found.pool.hit_rate or 0.0
    assert rates["prefix"] > rates["round-robin"] + 0.1


def test_the_cache_crosses_the_slower_of_two_links() -> None:
    arrivals = Listed(tuple(Request(10.0 * i, 4096, 8) for i in range(20)))
    slow = simulate(Fleet(SMALL, 1, H20, 1, kv_link_bytes_per_s=1e9), arrivals)
    # 36 layers x 8 heads x 128 x 2 (key and value) x 2 bytes a token, at 85 % of the line rate
    expected = 4096 * 36 * 8 * 128 * 2 * 2 / (1e9 * 0.85)
    assert slow.transfers == 20
    assert slow.transfer_s == pytest.approx(expected, rel=1e-3)
    fast = simulate(Fleet(SMALL, 1, H20, 1), arrivals)
    assert slow.ttft.mean_s - fast.ttft.mean_s == pytest.approx(slow.transfer_s - fast.transfer_s, rel=1e-6)


def test_drafted_tokens_make_the_rest_come_sooner() -> None:
    of = Deployment("deepseek-ai/DeepSeek-R1", "b200-sxm", tp=8)
    loop = ClosedLoop(8, Lengths(1024.0), Lengths(256.0), 80)
    plain, drafted = simulate(Fleet(of), loop), simulate(Fleet(of, options=Options(mtp_accept=0.8)), loop)
    assert 0.5 < drafted.tpot.mean_s / plain.tpot.mean_s < 0.8
    with pytest.raises(InvalidInputError, match="no multi-token-prediction"):
        simulate(Fleet(SMALL, options=Options(mtp_accept=0.8)), loop)


def test_what_no_engine_can_hold_is_refused() -> None:
    of = Fleet(SMALL, options=Options(kv_tokens=4_096))
    found = simulate(of, Listed((Request(0.0, 5_000, 1), Request(0.0, 100, 5), Request(0.0, 10_000_000, 5))))
    assert (found.answered, found.refused) == (1, {TOO_BIG: 1, TOO_LONG: 1})


def test_a_run_can_be_stopped_and_says_so() -> None:
    arrivals = AtRandom(20.0, Lengths(500.0), Lengths(200.0), 50_000)
    found = simulate(Fleet(SMALL), arrivals, progress=lambda run: run.tally.answered < 2_000)
    assert found.partial
    assert 2_000 <= found.answered < 5_000
    cut = simulate(Fleet(SMALL), arrivals, until=50.0)
    assert cut.partial
    assert cut.in_flight > 0
    assert cut.seconds <= 60.0
    short = simulate(Fleet(SMALL), arrivals, arrive_until=50.0)
    assert not short.partial
    assert short.in_flight == 0
    assert short.arrived == pytest.approx(1_000, rel=0.15)


@pytest.mark.parametrize(
    ("fleet", "error", "says"),
    [
        (Fleet(SMALL, router="fastest"), UnknownNameError, "unknown router 'fastest'"),
        (Fleet(SMALL, 0), InvalidInputError, "replicas: 0"),
        (Fleet(SMALL, 1, Deployment("Qwen/Qwen3-32B", "h20"), 1), InvalidInputError, "prefills"),
        (Fleet(SMALL, failures=Failures(0.0, 1.0)), InvalidInputError, "mean time between failures"),
        (Fleet(replace(SMALL, chip="rtx-4090"), 1, replace(SMALL, chip="rtx-4090"), 1), MissingFactError, "scaleout_bytes_per_s"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(fleet: Fleet, error: type[WindtunnelError], says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        simulate(fleet, ClosedLoop(1, Lengths(100.0), Lengths(10.0), 10))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "0", "-5", "5-", "9-3", "1e400", "nan", "100~0", "100~99", "1~", "many", "12345678901"])
def test_lengths_that_are_none(text: str) -> None:
    with pytest.raises(InvalidInputError, match="--isl"):
        parse_lengths(text, "--isl")


def test_lengths_are_drawn_as_they_are_told() -> None:
    from random import Random

    chance = Random(0)
    assert {parse_lengths("7", "x").draw(chance) for _ in range(5)} == {7}
    drawn = [parse_lengths("3-5", "x").draw(chance) for _ in range(300)]
    assert set(drawn) == {3, 4, 5}
    drawn = [parse_lengths("1000~0.8", "x").draw(chance) for _ in range(40_000)]
    mean = sum(drawn) / len(drawn)
    assert mean == pytest.approx(1000, rel=0.02)
    assert math.sqrt(sum((x - mean) ** 2 for x in drawn) / len(drawn)) / mean == pytest.approx(0.8, rel=0.05)


def test_a_request_beyond_the_context_is_refused_and_the_rest_is_served() -> None:
    from windtunnel.sim.serving.arrivals import Listed
    from windtunnel.sim.serving.request import Request

    found = simulate(Fleet(SMALL), Listed((Request(0.0, 10_000_000, 10), Request(1.0, 10, 10))))
    assert found.refused == {"longer than the model's context": 1}
    assert found.answered == 1
