"""What holds of predictions: more of anything is never the wrong way, on better chips nothing gets worse."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cost.made import COMPUTE, LINK, MEMORY, scaled
from windtunnel.catalog import chip
from windtunnel.errors import DoesNotFitError, InvalidInputError
from windtunnel.sim import instance as instances
from windtunnel.sim.instance import instance
from windtunnel.sim.predict import predict
from windtunnel.sim.prediction import Deployment, Load, Prediction

SMALL, MIXTURE, LATENT = "llama-3.1-8b", "qwen3-30b-a3b", "deepseek-r1"
loads = st.builds(
    Load,
    st.integers(1, 20_000).map(float),
    st.integers(1, 2_000).map(float),
    st.integers(1, 500).map(float),
    st.sampled_from([0.0, 0.5, 0.99]),
)
deployments = st.sampled_from(
    [
        Deployment(SMALL, "h100-sxm"),
        Deployment(SMALL, "mi300x", tp=2),
        Deployment(SMALL, "rtx-4090", tp=4, engine="vllm"),
        Deployment(MIXTURE, "h200-sxm", "fp8", tp=2, engine="sglang"),
        Deployment(MIXTURE, "ascend-910b3", tp=2, dp=2, moe_tp=1, moe_ep=4),
        Deployment(LATENT, "b200-sxm", "fp8", tp=8, engine="trtllm"),
        Deployment(LATENT, "h200-sxm", "fp8", dp=16, pp=2, engine="vllm"),
        Deployment("gpt-oss-120b", "b200-sxm", "fp4", tp=2),
    ]
)


def made(of: Deployment, load: Load) -> Prediction | None:
    try:
        return predict(of, load, operators=False)
    except DoesNotFitError:
        return None


@given(deployments, loads)
def test_predictions_are_finite_and_hold_their_value(of: Deployment, load: Load) -> None:
    found = made(of, load)
    if found is None:
        return
    for estimate in (found.ttft, found.tpot, found.output_tokens_per_s):
        assert 0.0 < estimate.low < estimate.value < estimate.high < math.inf
    assert found.memory.used <= found.memory.capacity * (1 + 1e-9)
    assert 0.0 < found.batch <= load.concurrency * (1 + 1e-9)
    assert found == predict(of, load, operators=False), "the same question has the same answer"


@given(deployments, loads, st.sampled_from(["isl", "osl", "concurrency"]), st.sampled_from([1.1, 2.0]))
def test_more_work_makes_no_step_faster(of: Deployment, load: Load, field: str, factor: float) -> None:
    """Of the operators: exactly. Of a decode step at twice the requests: no shorter; of a longer prompt: no shorter."""
    more = Load(**{k: getattr(load, k) * (factor if k == field else 1.0) for k in ("isl", "osl", "concurrency", "prefix_hit")})
    first, second = made(of, load), made(of, more)
    if first is None or second is None:
        return
    if field != "osl":
        assert second.prefill_s >= first.prefill_s * (1 - 1e-9)
    # a longer request leaves room for fewer at once, and so for a shorter step: compare where all of them run
    fits = all("KV cache holds" not in note for note in second.notes)
    if fits and of.dp * of.pp <= load.concurrency:
        assert second.decode_step_s >= first.decode_step_s * (1 - 1e-9)


@pytest.fixture
def better(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Chips named ``ID*FIGURES*FACTOR`` are such chips with those figures multiplied."""
    kinds = {"memory": MEMORY, "compute": COMPUTE, "link": LINK}

    def lookup(name: str) -> object:
        if "*" not in name:
            return chip(name)
        base, kind, factor = name.split("*")
        return scaled(base, kinds[kind], float(factor))

    monkeypatch.setattr(instances, "chip", lookup)
    yield
    instances._KEPT.clear()


@pytest.mark.usefixtures("better")
@pytest.mark.parametrize("kind", ["memory", "compute", "link"])
@pytest.mark.parametrize(
    "of",
    [
        Deployment(SMALL, "h100-sxm"),
        Deployment(SMALL, "mi300x", tp=2),
        Deployment(MIXTURE, "l40s", tp=2, dp=2, moe_tp=1, moe_ep=4),
        Deployment(LATENT, "b200-sxm", "fp8", tp=8),
        Deployment(LATENT, "h200-sxm", "fp8", tp=8, dp=2),
    ],
    ids=lambda d: f"{d.model}-{d.chip}",
)
@pytest.mark.parametrize("load", [Load(1024, 512, 1), Load(4096, 512, 64), Load(128, 1024, 300)], ids=str)
def test_a_better_chip_serves_no_worse(of: Deployment, kind: str, load: Load) -> None:
    """Steps are exactly no longer. A loop is more than its steps: with prompts done sooner more requests decode at
    once, so a token may take longer while more tokens come out; requests of a run end in another order, which is worth 2 %."""
    chain = [predict(replace(of, chip=f"{of.chip}*{kind}*{by}"), load) for by in (0.5, 1.0, 2.0, 8.0)]
    for worse, now in pairwise(chain):
        assert now.decode_step_s <= worse.decode_step_s * (1 + 1e-9)
        assert now.prefill_s <= worse.prefill_s * (1 + 1e-9)
        assert now.ttft.value <= worse.ttft.value * 1.02
        assert now.output_tokens_per_s.value >= worse.output_tokens_per_s.value * 0.98


@pytest.mark.parametrize("model", [SMALL, MIXTURE, LATENT, "gpt-oss-120b", "qwen3.5-397b-a17b"])
@pytest.mark.parametrize("kind", ["tp", "ep", "dp", "pp"])
def test_more_chips_never_need_more_memory_each(model: str, kind: str) -> None:
    plain = Deployment(model, "b200-sxm", engine="vllm")
    needs: list[tuple[float, ...]] = []
    for n in (1, 2, 4, 8):
        cut = {
            "tp": replace(plain, tp=n),
            "ep": replace(plain, tp=n, moe_tp=1, moe_ep=n),
            "dp": replace(plain, dp=n),
            "pp": replace(plain, pp=n),
        }
        try:
            of = instance(cut[kind])
        except InvalidInputError:
            continue
        # the fullest rank: its weights, its part of eight requests' cache, what a full chunk of a prompt needs
        cache = of.kv_bytes(2560.0) * max(8.0 / of.parallel.dp, 1.0)
        needs.append((of.weights, cache, of.activations(8192.0)))
    assert len(needs) >= 2
    for fewer, more in pairwise(needs):
        for before, after in zip(fewer, more, strict=True):
            assert after <= before * (1 + 1e-9)


def test_every_rank_must_hold_a_request() -> None:
    of = Deployment("llama-3.1-70b", "h200-sxm", dp=8, engine="vllm")
    with pytest.raises(DoesNotFitError):
        predict(of, Load(100_000, 100, 8))


def test_data_parallel_ranks_serve_more_at_once() -> None:
    rates = [predict(Deployment(SMALL, "h100-sxm", dp=n), Load(1024, 256, 256)).output_tokens_per_s.value for n in (1, 2, 4, 8)]
    assert rates == sorted(rates)


@pytest.mark.parametrize(
    ("load", "field"),
    [
        (Load(0, 1, 1), "isl"),
        (Load(float("nan"), 1, 1), "isl"),
        (Load(1, float("inf"), 1), "osl"),
        (Load(1, 1, 0), "concurrency"),
        (Load(1, 1, 1e9), "concurrency"),
        (Load(1, 1, 1, prefix_hit=1.0), "prefix_hit"),
        (Load(1, 1, 1, mtp_accept=-0.1), "mtp_accept"),
        (Load("1", 1, 1), "isl"),  # type: ignore[arg-type]
        (Load(200_000, 1, 1), "isl"),
    ],
)
def test_a_load_that_makes_no_sense_names_the_field(load: Load, field: str) -> None:
    with pytest.raises(InvalidInputError, match=f"^{field}: "):
        predict(Deployment(SMALL, "h100-sxm"), load)


@pytest.mark.parametrize("waves", [0, -1, 10**9])
def test_a_run_of_no_waves_is_refused(waves: int) -> None:
    with pytest.raises(InvalidInputError, match=r"^waves: "):
        predict(Deployment(SMALL, "h100-sxm"), Load(1, 1, 1), waves=waves)
