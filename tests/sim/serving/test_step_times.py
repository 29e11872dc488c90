"""The tables of step times against the cost model that they stand for."""

from __future__ import annotations

from random import Random

import pytest

from windtunnel.sim.instance import instance
from windtunnel.sim.prediction import Deployment, Load
from windtunnel.sim.serving.step_times import StepTimes
from windtunnel.sim.working_point import decode_time, prefill_times, prompt

CLOSE = 0.005
AT_A_BEND = 0.02
"""Where the keys that are selected at most are reached in the middle of a chunk, which lies askew to the table."""
DEPLOYMENTS = [
    Deployment("Qwen/Qwen3-8B", "h100-sxm"),
    Deployment("deepseek-ai/DeepSeek-R1", "b200-sxm", tp=8),
    Deployment("deepseek-ai/DeepSeek-R1", "ascend-910c", precision="w8a8_dynamic", tp=1, dp=16),
    Deployment("deepseek-ai/DeepSeek-V3.2-Exp", "h200-sxm", tp=8),
    Deployment("openai/gpt-oss-120b", "h20"),
    Deployment("meta-llama/Llama-3.1-70B-Instruct", "mi300x", tp=2, pp=2),
]


@pytest.mark.parametrize("of", DEPLOYMENTS, ids=lambda d: f"{d.model} {d.chip}")
def test_tables_are_within_half_a_percent_of_the_cost_model(of: Deployment) -> None:
    times, chance = StepTimes(instance(of)), Random(7)
    errors = []
    for _ in range(150):
        running, context = int(2.0 ** chance.uniform(0, 10)), 2.0 ** chance.uniform(2, 17)
        exact = times.exact_decode_s(running, context)
        errors.append(abs(times.decode_s(running, context) / exact - 1.0))
        sequences = int(2.0 ** chance.uniform(0, 4))
        tokens, held = sequences * int(2.0 ** chance.uniform(4, 12)), chance.choice([0.0, 2.0 ** chance.uniform(4, 16)])
        exact = times.exact_prefill_s(tokens, held, sequences)
        errors.append(abs(times.prefill_s(tokens, held, sequences) / exact - 1.0))
    errors.sort()
    bent = any(layer.attention is not None and layer.attention.topk for layer in times.of.spec.layers)
    assert errors[len(errors) // 2] < CLOSE / 10
    assert errors[int(0.99 * len(errors))] < CLOSE
    assert errors[-1] < (AT_A_BEND if bent else CLOSE)


@pytest.mark.parametrize("of", DEPLOYMENTS, ids=lambda d: f"{d.model} {d.chip}")
def test_a_step_is_what_the_prediction_takes_it_for(of: Deployment) -> None:
    resolved, load = instance(of), Load(2048, 512, 32)
    times = StepTimes(resolved)
    assert times.exact_decode_s(32, 2048 + 256) == pytest.approx(decode_time(resolved, load, 32)[1], rel=1e-12)
    first = prompt(resolved, load)
    busy, late = times.prompts_s(2048, 2048 * 1024.0, 1, True)
    if first.together == 1.0:
        told = prefill_times(resolved, first)
        assert (busy, busy + late) == pytest.approx((told[0], max(told)), rel=CLOSE)
    else:
        # the prediction lets it share the step's weights with others; alone it takes no less than its share
        assert busy >= 0.99 * prefill_times(resolved, first)[0]


def test_what_is_asked_twice_is_priced_once() -> None:
    times = StepTimes(instance(DEPLOYMENTS[0]))
    first = times.decode_s(20, 1000.0), times.prefill_s(1000, 0.0, 1)
    priced = len(times._priced), len(times._prefill)
    assert (times.decode_s(20, 1000.0), times.prefill_s(1000, 0.0, 1)) == first
    assert (len(times._priced), len(times._prefill)) == priced
