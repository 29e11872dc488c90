"""Which types the parts of a model run in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from windtunnel.catalog.model import ModelSpec
from windtunnel.errors import InvalidInputError
from windtunnel.workload.llm import precision_plan


@pytest.mark.parametrize(
    ("model", "asked", "attention", "dense", "experts"),
    [
        ("llama-3.1-8b", "", "bf16", "bf16", "bf16"),
        ("llama-3.1-8b", "fp8", "fp8", "fp8", "fp8"),
        ("llama-3.1-8b", "fp4", "fp4", "fp4", "fp4"),
        ("llama-3.1-8b", "w4a16", "w4a16", "w4a16", "w4a16"),
        ("deepseek-v3", "", "fp8", "fp8", "fp8"),
        ("deepseek-v3", "fp8", "fp8", "fp8", "fp8"),
        ("deepseek-v3", "bf16", "bf16", "bf16", "bf16"),
        ("deepseek-v3", "w8a8_dynamic", "w8a8_dynamic", "w8a8_dynamic", "w8a8_dynamic"),
        ("deepseek-v3", "fp4", "bf16", "fp4", "fp4"),  # as nvidia/DeepSeek-R1-FP4 is
        ("qwen3-next", "fp4", "bf16", "bf16", "fp4"),  # as nvidia/Qwen3.5-397B-A17B-NVFP4 is
        ("qwen3-next", "fp8", "fp8", "fp8", "fp8"),
        ("gpt-oss-120b", "", "bf16", "bf16", "fp4"),
        ("gpt-oss-120b", "fp4", "bf16", "bf16", "fp4"),
        ("gpt-oss-120b", "fp8", "bf16", "fp8", "fp8"),
        ("gpt-oss-120b", "bf16", "bf16", "bf16", "fp4"),  # what the checkpoint is
    ],
)
def test_parts(specs: dict[str, ModelSpec], model: str, asked: str, attention: str, dense: str, experts: str) -> None:
    plan = precision_plan(specs[model], asked)
    assert (plan.attention, plan.dense, plan.experts) == (attention, dense, experts)
    assert (plan.head, plan.absorbed) == ("bf16", "bf16")


def test_tokens_travel_to_narrow_experts_in_fp8(specs: dict[str, ModelSpec]) -> None:
    assert precision_plan(specs["deepseek-v3"]).dispatch == "fp8"
    assert precision_plan(specs["deepseek-v3"], "fp4").dispatch == "fp8"
    assert precision_plan(specs["deepseek-v3"], "bf16").dispatch == "bf16"
    assert precision_plan(specs["deepseek-v3"], "w4a16").dispatch == "bf16"


def test_the_cache_is_16_bit_unless_asked(llama: ModelSpec) -> None:
    assert precision_plan(llama, "fp8").kv == "bf16"
    assert precision_plan(llama, "fp8", "fp8").kv == "fp8"
    asking = replace(llama, kv_precision="fp8")
    assert precision_plan(asking).kv == "fp8"
    assert precision_plan(asking, "", "bf16").kv == "bf16"


def test_fp32_checkpoints_are_loaded_as_bf16(llama: ModelSpec) -> None:
    assert precision_plan(replace(llama, precision="fp32")).attention == "bf16"


@pytest.mark.parametrize(("asked", "kv", "said"), [("fp9", "", "precision: 'fp9'"), ("", "int3", "kv_precision: 'int3'")])
def test_unknown_types_are_named(llama: ModelSpec, asked: str, kv: str, said: str) -> None:
    with pytest.raises(InvalidInputError) as refusal:
        precision_plan(llama, asked, kv)
    assert str(refusal.value).startswith(said)
    assert "nearest" in str(refusal.value)
