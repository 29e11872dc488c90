"""What prompts take from those that decode, and how many requests fit, against sums made by hand."""

from __future__ import annotations

import pytest

from windtunnel.sim.instance import Instance, instance
from windtunnel.sim.prediction import Deployment, Load
from windtunnel.sim.steady import Steady
from windtunnel.sim.working_point import decode_time, held_up, prefill_times, prompt, room
from windtunnel.workload.llm import StepTokens

LOAD = Load(1024, 512, 16)


def of(engine: str, model: str = "llama-3.1-8b", tp: int = 1) -> Instance:
    return instance(Deployment(model, "h100-sxm", engine=engine, tp=tp))


@pytest.mark.parametrize("engine", ["vllm", "trtllm"])
@pytest.mark.parametrize(("isl", "together"), [(1024, 8.0), (64, 128.0)])
def test_a_prompt_beside_others_takes_what_it_adds_to_their_step(engine: str, isl: int, together: float) -> None:
    found, load = of(engine), Load(isl, 512, 16)
    first = prompt(found, load)
    bare = decode_time(found, load, 16.0)[0]
    held = held_up(found, load, first, 16.0, bare)
    # a dense model on one chip: one launch a step, half of it hidden since several prompts fit a step
    b = found.behaviour
    both = found.step(StepTokens(16.0, isl + 256.0, float(isl), 0.0, 1.0)).seconds
    added = (both - bare.seconds) * b.prefill * b.mix + b.prefill_step_us * 1e-6 / 2.0
    assert held.step_s + held.prompt_s == pytest.approx(added)
    # of a full step, what the first prompt costs more than each of the others is what a step costs, never less than nothing
    full = found.step(StepTokens(prefill_tokens=isl * together, prefill_sequences=together)).seconds
    assert first.together == together
    each = min((full - first.alone.seconds) / (together - 1.0), both - bare.seconds)
    assert held.prompt_s == pytest.approx(each * b.prefill * b.mix)
    # the weights are read once for both
    assert both < bare.seconds + first.alone.seconds


def test_an_engine_whose_prompts_have_steps_of_their_own_hides_nothing() -> None:
    found = of("sglang")
    first = prompt(found, LOAD)
    held = held_up(found, LOAD, first, 16.0, decode_time(found, LOAD, 16.0)[0])
    assert (held.step_s, held.prompt_s, held.own_s) == (0.0, *prefill_times(found, first))


def test_a_prompt_of_several_chunks_takes_what_each_adds() -> None:
    found, load = of("vllm"), Load(20_000, 512, 16)
    first = prompt(found, load)
    chunks = first.steps
    assert chunks > 1
    bare = decode_time(found, load, 16.0)[0]
    held = held_up(found, load, first, 16.0, bare)
    per = 20_000 / chunks
    both = sum(found.step(StepTokens(16.0, 20_256.0, per, i * per, 1.0)).seconds for i in range(chunks))
    b = found.behaviour
    told = (both - chunks * bare.seconds) * b.prefill * b.mix + b.prefill_step_us * 1e-6
    assert held.step_s == pytest.approx(told)
    assert held.prompt_s == 0.0


def test_steady_requests_that_end_together_share_a_step() -> None:
    found, load = of("vllm"), Load(1024, 8, 16)
    first = prompt(found, load)
    steady = Steady(found, load, room(found, load), first)
    for running, shared in ((4.0, 1.0), (16.0, 2.0), (40.0, 5.0), (800.0, 8.0)):
        operators, decode = steady.decode(running)
        step = held_up(found, load, first, running, operators)
        cycle = 8 * decode + running * (step.step_s / shared + step.prompt_s)
        assert steady.running(running).requests_per_s == pytest.approx(running / cycle)


def test_an_engine_that_reserves_outputs_starts_fewer_requests() -> None:
    load = Load(1024, 8192, 64)
    paged, reserved = of("vllm", "llama-3.1-70b", tp=4), of("trtllm", "llama-3.1-70b", tp=4)
    a, b = room(paged, load), room(reserved, load)
    # half-way through its output a request holds 1,024 + 4,096 tokens, at its end 1,024 + 8,192
    left = paged.capacity * a.fraction - paged.weights - a.activations
    assert a.slots == pytest.approx(left / paged.kv_bytes(5120))
    # nine tenths are taken of what weights and activations leave, not of all
    left = 0.9 * (reserved.capacity - reserved.weights - b.activations)
    assert b.slots == pytest.approx(left / reserved.kv_bytes(9216))
    assert reserved.capacity * b.fraction - reserved.weights - b.activations == pytest.approx(left)
    assert not b.raised
