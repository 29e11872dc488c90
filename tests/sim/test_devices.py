"""Packages of several devices, the links of systems, and what precision an engine runs in."""

from __future__ import annotations

import pytest

from windtunnel.catalog import chip, system
from windtunnel.errors import InvalidInputError, MissingFactError, ParallelismError, UnknownNameError
from windtunnel.sim.instance import instance
from windtunnel.sim.predict import predict
from windtunnel.sim.prediction import Deployment, Load
from windtunnel.sim.working_point import decode_tokens
from windtunnel.workload.llm import parallel_plan, weights_bytes

LOAD = Load(1024, 256, 32)


def test_a_910c_is_two_devices_and_is_counted_as_one_chip() -> None:
    of = instance(Deployment("llama-3.1-8b", "ascend-910c", tp=4))
    assert (of.device.id, of.devices_per_chip, of.parallel.tp, of.deployment.chips) == ("ascend-910c-die", 2, 8, 4)
    assert of.capacity == chip("ascend-910c-die").value("memory_bytes")


def test_weights_halve_on_the_two_dies_of_a_package() -> None:
    package, die = (instance(Deployment("llama-3.1-8b", name)) for name in ("ascend-910c", "ascend-910c-die"))
    assert package.weights == pytest.approx(die.weights / 2, rel=1e-6)
    found = predict(package.deployment, LOAD)
    assert found.memory.weights == pytest.approx(die.weights, rel=1e-6)
    assert found.memory.capacity == 2 * chip("ascend-910c-die").value("memory_bytes")
    assert any(note == "one ascend-910c is 2 devices: the model is cut over 2" for note in found.notes)


def test_packages_and_dies_are_the_same_machine() -> None:
    package = predict(Deployment("llama-3.1-8b", "ascend-910c", tp=2), LOAD)
    dies = predict(Deployment("llama-3.1-8b", "ascend-910c-die", tp=4), LOAD)
    assert package.tpot.value == dies.tpot.value
    assert package.output_tokens_per_s_per_chip == pytest.approx(2 * dies.output_tokens_per_s_per_chip)


def test_where_heads_do_not_divide_the_dies_share_the_requests() -> None:
    of = instance(Deployment("qwen3-8b", "ascend-910c", tp=32))
    assert (of.parallel.tp, of.parallel.dp) == (32, 2)


def test_expert_degrees_count_dies_too() -> None:
    of = instance(Deployment("deepseek-r1", "ascend-910c", "int8", dp=16, moe_tp=1, moe_ep=16, tp=1))
    assert of.parallel.stage_chips == of.parallel.moe_tp * of.parallel.moe_ep == 32
    with pytest.raises(ParallelismError, match=r"^tp: "):
        instance(Deployment("llama-3.1-8b", "ascend-910c", tp=3))


def test_experts_that_are_whole_on_a_package_are_whole_on_its_dies() -> None:
    said = instance(Deployment("deepseek-r1", "ascend-910c", "w8a8_dynamic", dp=16, moe_ep=16, moe_tp=1))
    unsaid = instance(Deployment("deepseek-r1", "ascend-910c", "w8a8_dynamic", dp=16, moe_ep=16))
    assert (unsaid.parallel.moe_ep, unsaid.parallel.moe_tp) == (said.parallel.moe_ep, said.parallel.moe_tp) == (32, 1)


def test_a_supernode_is_one_domain() -> None:
    of = instance(Deployment("deepseek-r1", "ascend-910c", "int8", dp=32, system="cloudmatrix-384"))
    assert of.costs.links.domain == 768
    # one server of eight packages: sixteen devices, and its network beyond
    server = instance(Deployment("deepseek-r1", "ascend-910c", "int8", dp=32, system="atlas-800t-a3"))
    assert server.costs.links.domain == 16
    full = Load(1024, 256, 4096)
    assert predict(server.deployment, full).tpot.value > predict(of.deployment, full).tpot.value


def test_a_system_serves_its_own_chip_under_any_of_its_names() -> None:
    named = instance(Deployment("llama-3.1-8b", chip("h100-sxm").name, tp=2, system="HGX H100"))
    assert named.costs.links == instance(Deployment("llama-3.1-8b", "h100-sxm", tp=2)).costs.links
    die = instance(Deployment("llama-3.1-8b", "ascend-910c-die", tp=2, system="cloudmatrix-384"))
    assert die.costs.links.domain == 768
    with pytest.raises(InvalidInputError, match="system: cloudmatrix-384 is built of ascend-910c, not of h100-sxm"):
        instance(Deployment("llama-3.1-8b", "h100-sxm", system="cloudmatrix-384"))
    with pytest.raises(UnknownNameError, match="cloudmatrix-384"):
        instance(Deployment("llama-3.1-8b", "ascend-910c", system="cloudmatrix-385"))


def test_a_rack_keeps_what_a_server_sends_to_the_network() -> None:
    rack, server = (predict(Deployment("deepseek-r1", n, "fp8", tp=4, dp=8, engine="vllm"), LOAD) for n in ("gb200", "b200-sxm"))
    sent = [sum(row.time_s for row in p.operators if row.family == "collective") for p in (rack, server)]
    assert sent[0] < 0.7 * sent[1]


def test_beyond_its_domain_a_chip_needs_a_network() -> None:
    with pytest.raises(MissingFactError, match="scaleout_bytes_per_s of kunlun-p800"):
        predict(Deployment("deepseek-r1", "kunlun-p800", "int8", tp=16), LOAD)


def test_weights_are_those_of_the_workload() -> None:
    of = instance(Deployment("deepseek-r1", "h200-sxm", "fp8", tp=8))
    assert of.weights == weights_bytes(of.spec, parallel_plan(of.spec, of.deployment), of.precision)
    assert system("hgx-h200").chips * of.weights == pytest.approx(671e9, rel=0.1)


def test_tensorrt_keeps_a_narrow_cache_for_narrow_weights() -> None:
    def cache(engine: str, precision: str, kv: str = "") -> str:
        return instance(Deployment("llama-3.1-8b", "h100-sxm", precision, kv, engine=engine)).precision.kv

    assert [cache("trtllm", "fp8"), cache("trtllm", "bf16"), cache("vllm", "fp8")] == ["fp8", "bf16", "bf16"]
    assert cache("trtllm", "fp8", "bf16") == "bf16"
    assert cache("vllm", "fp8", "fp8") == "fp8"


def test_four_bits_on_hopper_save_bytes_and_not_compute() -> None:
    four, sixteen = (predict(Deployment("llama-3.1-70b", "h200-sxm", p, tp=4), LOAD) for p in ("fp4", "bf16"))
    assert four.memory.weights < 0.35 * sixteen.memory.weights
    assert four.prefill_s > 0.8 * sixteen.prefill_s
    assert instance(four.deployment).costs.running("fp4") == "fp4_wide"


def test_quantising_is_not_priced_twice() -> None:
    found = predict(Deployment("llama-3.1-8b", "h100-sxm", "fp8"), LOAD)
    of = instance(found.deployment)
    ops = of.workload.step(decode_tokens(of, LOAD, 32.0))
    assert any(op.name.endswith("_quant") for op in ops)
    assert not any(row.name.endswith("_quant") for row in found.operators)


def test_what_was_asked_before_is_kept() -> None:
    of = Deployment("llama-3.1-8b", "h100-sxm")
    assert instance(of) is instance(Deployment("llama-3.1-8b", "h100-sxm"))
    assert instance(of) is not instance(Deployment("llama-3.1-8b", "h100-sxm", tp=2))


def test_the_table_is_the_step() -> None:
    found = predict(Deployment("deepseek-r1", "b200-sxm", "fp8", tp=8), LOAD)
    of = instance(found.deployment)
    whole = of.step(decode_tokens(of, LOAD, 32.0))
    assert sum(row.time_s for row in found.operators if row.phase == "decode") == pytest.approx(whole.seconds)
    assert sum(row.time_s for row in found.operators if row.phase == "prefill") == pytest.approx(found.prefill_s)
    assert predict(found.deployment, LOAD, operators=False).operators == ()


def test_prompts_beyond_a_chunk_take_several_steps_and_a_hit_prefix_none() -> None:
    def prefill(isl: float, hit: float = 0.0) -> float:
        return predict(Deployment("llama-3.1-8b", "h100-sxm", engine="vllm"), Load(isl, 16, 1, prefix_hit=hit)).prefill_s

    assert prefill(64_000) > 4 * prefill(16_000)  # attention grows faster than the prompt
    assert prefill(16_000, 0.5) < 0.75 * prefill(16_000)
    assert prefill(16_000, 0.5) > prefill(8_000)  # what was hit is still attended to


def test_drafted_tokens_cost_and_save() -> None:
    def step(accept: float) -> float:
        return predict(Deployment("deepseek-r1", "h200-sxm", "fp8", tp=8), Load(1024, 256, 8, mtp_accept=accept)).decode_step_s

    assert step(0.8) < step(0.5) < step(0.01)
    assert step(0.01) > step(0.0)
