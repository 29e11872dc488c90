"""Every chip with a few models: a sane prediction, or one line that says what stands in the way."""

from __future__ import annotations

import math

import pytest

from windtunnel.catalog import Chip, chip, chips
from windtunnel.cost.evidence import Evidence
from windtunnel.errors import DoesNotFitError, MissingFactError, UnsupportedError, WindtunnelError
from windtunnel.sim.instance import Instance, instance
from windtunnel.sim.predict import predict
from windtunnel.sim.prediction import Deployment, Estimate, Load, Prediction
from windtunnel.sim.working_point import decode_tokens
from windtunnel.workload.ops import Collective, Gemm, MoE

MODELS = {"llama-3.1-8b": (1, 2), "deepseek-r1": (8,), "gpt-oss-120b": (1, 8), "qwen3.5-397b-a17b": (8,), "qwen3-30b-a3b": (1, 4)}
LOADS = (Load(1024, 256, 16), Load(8000, 100, 1), Load(128, 1024, 300))


def least(of: Instance, load: Load, running: float) -> tuple[float, float]:
    """What a decode step takes at the very least, and what its operators' bytes and FLOPs alone would take.

    The first leaves out the experts' weights: which of them are touched is the model's own estimate.
    """
    floor = whole = 0.0
    bandwidth = of.device.value("memory_bytes_per_s")
    for op in of.workload.step(decode_tokens(of, load, running)):
        if isinstance(op, Collective) or op.name.endswith("_quant"):
            continue
        dtype = of.costs.running(op.dtype) if isinstance(op, Gemm | MoE) else of.costs.wide
        compute = op.flops / of.costs.machine(dtype).flops_per_s
        whole += op.count * max(compute, op.bytes / bandwidth)
        floor += op.count * (compute if isinstance(op, MoE) else max(compute, op.bytes / bandwidth))
    return floor * of.stages, whole * of.stages


def holds(of: Estimate) -> bool:
    return 0.0 < of.low < of.value < of.high < math.inf


def check(found: Prediction) -> None:
    of = instance(found.deployment)
    for estimate in (found.ttft, found.tpot, found.output_tokens_per_s):
        assert holds(estimate)
    floor, whole = least(of, found.load, max(min(found.load.concurrency, found.batch), 1.0))
    # a batch of which not all decode at once: the step that many requests see is that of the mean batch or larger
    assert found.tpot.value >= 0.999 * least(of, found.load, 1.0)[0]
    assert found.decode_step_s >= 0.999 * floor
    assert found.tpot.value <= 100 * whole + 2 * found.prefill_s
    assert found.ttft.value >= 0.5 * found.prefill_s
    assert found.memory.used <= found.memory.capacity * (1 + 1e-9)
    assert found.evidence == min(row.evidence for row in found.operators)
    assert found.tpot.evidence == found.evidence
    assert found.ttft.evidence == min(row.evidence for row in found.operators if row.phase == "prefill")
    assert 0.0 < found.batch <= found.load.concurrency
    assert found.batch + found.queued == pytest.approx(found.load.concurrency)
    assert found.energy_j_per_token is None or 0.0 < found.energy_j_per_token < math.inf
    assert found.bound in ("matrix unit", "memory", "link", "host")
    assert all(row.time_s > 0.0 and not row.name.endswith("_quant") for row in found.operators)
    decode = sum(row.time_s for row in found.operators if row.phase == "decode")
    assert decode > 0.0
    assert all("\n" not in note for note in found.notes)


def refused(problem: WindtunnelError, deployment: Deployment) -> bool:
    """Whether the message is one line that names the chip (or the device in it), or the field that is wrong."""
    text = str(problem)
    return "\n" not in text and len(text) < 400 and deployment.chip in text


@pytest.mark.parametrize("of", chips(), ids=lambda c: c.id)
def test_a_sane_prediction_or_one_line(of: Chip) -> None:
    parts = {c.id for c in chips() if c.part_of == of.id}
    for model, degrees in MODELS.items():
        for tp in degrees:
            for precision in ("", "bf16", "fp8"):
                for load in LOADS:
                    deployment = Deployment(model, of.id, precision, tp=tp)
                    try:
                        found = predict(deployment, load)
                    except WindtunnelError as problem:
                        assert refused(problem, deployment) or any(part in str(problem) for part in parts)  # noqa: PT017
                    else:
                        check(found)


@pytest.mark.parametrize("engine", ["vllm", "sglang", "trtllm"])
@pytest.mark.parametrize("name", ["h100-sxm", "h200-sxm", "b200-sxm", "b300-sxm", "gb200"])
def test_engines_do_not_beat_the_roofline_either(name: str, engine: str) -> None:
    for load in LOADS:
        check(predict(Deployment("deepseek-r1", name, "fp4" if "b" in name else "fp8", tp=8, pp=2, engine=engine), load))
        check(predict(Deployment("llama-3.1-8b", name, engine=engine), load))


@pytest.mark.parametrize("name", ["ascend-910b1", "ascend-910b2", "ascend-910b3", "ascend-910b4"])
def test_no_eight_bit_floats_on_a_910b(name: str) -> None:
    with pytest.raises(UnsupportedError, match=f"{name} cannot compute fp8; it can: fp32, bf16, fp16, int8"):
        predict(Deployment("llama-3.1-8b", name, "fp8"), LOADS[0])


def test_a_chip_of_which_little_is_published_names_what_is_missing() -> None:
    with pytest.raises(MissingFactError, match=r"not known: \w+ of br106; known of Biren's br10"):
        predict(Deployment("llama-3.1-8b", "br106"), LOADS[0])


@pytest.mark.parametrize("of", [c for c in chips() if not c.has("memory_bytes_per_s")], ids=lambda c: c.id)
def test_no_bandwidth_no_prediction(of: Chip) -> None:
    with pytest.raises(MissingFactError, match=of.id):
        predict(Deployment("llama-3.1-8b", of.id, engine="vllm"), LOADS[0])


def test_how_far_to_trust_it() -> None:
    def evidence(name: str) -> Evidence:
        return predict(Deployment("llama-3.1-8b", name), LOADS[0]).evidence

    assert evidence("h100-sxm") == Evidence.FITTED
    assert evidence("h800-sxm") == evidence("a800-sxm") == Evidence.TRANSFERRED
    assert evidence("mi300x") == Evidence.DATASHEET


def test_what_is_trusted_less_says_a_wider_interval() -> None:
    def width(name: str) -> float:
        tpot = predict(Deployment("llama-3.1-8b", name), LOADS[0]).tpot
        return tpot.high / tpot.low

    assert width("h100-sxm") < width("h800-sxm") < width("mi300x")


def test_what_does_not_fit_says_what_it_needs() -> None:
    with pytest.raises(
        DoesNotFitError, match=r"deepseek-r1 needs \d+\.\d GiB a device on 1 x h100-sxm .* it has 8\d\.\d: use more"
    ):
        predict(Deployment("deepseek-r1", "h100-sxm"), LOADS[0])


def test_the_same_figure_is_named_every_time() -> None:
    with pytest.raises(MissingFactError, match=r"matrix_flops_per_s.bf16 of cloudblazer-l600"):
        predict(Deployment("gpt-oss-120b", "cloudblazer-l600"), LOADS[0])
    assert not chip("cloudblazer-l600").has("matrix_flops_per_s.bf16")
