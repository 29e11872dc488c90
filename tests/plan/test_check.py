"""Finalists under the traffic that was asked for: what a plan promises is what a simulation of its own sees."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import pytest

from windtunnel.plan.check import settled, simulated
from windtunnel.plan.option import BUSIEST, Option
from windtunnel.plan.result import Candidate, Targets
from windtunnel.plan.search import plan
from windtunnel.plan.services import together
from windtunnel.sim.prediction import Deployment
from windtunnel.sim.serving.arrivals import AtRandom, Lengths
from windtunnel.sim.serving.fleet import Fleet
from windtunnel.sim.serving.simulate import simulate

SMALL, LARGE = "meta-llama/Llama-3.1-8B", "deepseek-ai/DeepSeek-R1"


def best(model: str, on: str, targets: Targets) -> Candidate:
    (chip,) = plan(model, [on], targets).chips
    assert chip.best is not None, chip.why_not
    return chip.best


@pytest.mark.parametrize(("model", "on", "rate"), [(SMALL, "h20", 40.0), (LARGE, "h20", 20.0), (LARGE, "ascend-910c", 10.0)])
def test_a_long_simulation_of_the_plan_sees_what_it_says(model: str, on: str, rate: float) -> None:
    found = best(model, on, Targets(4096, 512, 2.0, 0.05, rate))
    assert found.simulated is not None
    own, before = found.prediction.deployment, found.prefill.deployment if found.prefill else None
    fleet = Fleet(own, found.replicas, before, found.prefill_replicas)
    seen = simulate(fleet, AtRandom(rate, Lengths(4096.0), Lengths(512.0), 30_000), seed=7)
    assert not seen.saturated
    # near its limit a queue differs from seed to seed
    assert found.simulated.ttft_p50_s == pytest.approx(seen.ttft.at(0.5), rel=0.3)
    assert seen.ttft.mean_s <= 2.0
    assert found.simulated.tpot_p50_s == pytest.approx(seen.tpot.at(0.5), rel=0.1)
    assert found.simulated.ttft_s <= 2.0
    assert found.simulated.ttft_p50_s <= found.simulated.ttft_p90_s <= found.simulated.ttft_p99_s


def test_no_instance_that_prefills_could_be_left_out() -> None:
    targets = Targets(4096, 1024, 2.0, 0.05, 20.0)
    found = best(LARGE, "h20", targets)
    assert found.prefill is not None
    fleet = Fleet(found.prediction.deployment, found.replicas, found.prefill.deployment, found.prefill_replicas - 1)
    seen = simulate(fleet, AtRandom(20.0, Lengths(4096.0), Lengths(1024.0), 5_000))
    assert (
        seen.saturated
        or seen.ttft.mean_s > targets.ttft_s
        or (seen.prefill_pool is not None and seen.prefill_pool.busy > BUSIEST)
    )


def test_too_few_instances_get_more_until_the_target_is_met() -> None:
    targets = Targets(1000, 200, 0.4, 0.2, 60.0)
    option = Option(Deployment(SMALL, "h20"), targets)
    short = replace(together(option, option.most(), targets.requests_per_s), replicas=4)
    before = simulated(short, targets)
    assert before is not None
    assert before.ttft_s > 0.4
    kept = settled(short, targets)
    assert kept is not None
    assert kept[0].replicas > 4
    assert kept[1].ttft_s <= 0.4
    assert kept[1].tpot_s <= 0.2
    one_less = simulated(replace(kept[0], replicas=kept[0].replicas - 1), targets)
    assert one_less is not None
    assert one_less.ttft_s > 0.4 or one_less.tpot_s > 0.2


def test_what_no_number_of_instances_can_do_is_not_planned() -> None:
    targets = Targets(1000, 200, 1e-4, 0.05, 60.0)
    option = Option(Deployment(SMALL, "h20"), targets)
    assert settled(together(option, option.most(), targets.requests_per_s), targets) is None
    (chip,) = plan(SMALL, ["h20"], targets).chips
    assert chip.best is None
    assert chip.why_not


def test_without_a_rate_nothing_is_simulated() -> None:
    found = best(SMALL, "h20", Targets(1000, 200, 1.0, 0.05))
    assert found.simulated is None
    assert math.isfinite(found.ttft_s)


def test_large_traffic_is_settled_by_a_part_of_the_instances() -> None:
    """Ten times the traffic takes about ten times the instances, and no longer to plan than a few simulations of a part."""
    small = best(SMALL, "h20", Targets(1000, 200, 1.0, 0.05, 200.0))
    begun = time.process_time()
    large = best(SMALL, "h20", Targets(1000, 200, 1.0, 0.05, 2000.0))
    assert time.process_time() - begun < 30.0
    assert large.simulated is not None
    assert large.simulated.ttft_s <= 1.0
    assert large.chips == pytest.approx(10 * small.chips, rel=0.1)
