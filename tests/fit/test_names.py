"""Names of models, engines and number types as people write them, and those that are left unknown."""

from __future__ import annotations

import pytest

from windtunnel.catalog.models import model, models
from windtunnel.errors import UnknownNameError
from windtunnel.fit.names import engine_named, model_named, number_type


@pytest.mark.parametrize("name", [*models(), "deepseek-ai/DeepSeek-R1", "nvidia/DeepSeek-R1-FP4", "zhipuai/GLM-5"])
def test_a_name_of_the_catalogue_is_never_read_otherwise(name: str) -> None:
    assert model_named(name) == (name, "", False)


@pytest.mark.parametrize(
    ("name", "expected", "stored"),
    [
        ("DeepSeek-V3-671B", "deepseek-v3", ""),
        ("nvidia/DeepSeek-R1-0528-NVFP4-v2", "deepseek-r1-fp4", ""),
        ("nvidia/DeepSeek-V3-0324-NVFP4", "deepseek-v3", "fp4"),
        ("vllm-ascend/DeepSeek-R1-W8A8", "deepseek-r1", "w8a8_dynamic"),
        ("nvidia/Kimi-K2-Thinking-NVFP4", "kimi-k2-thinking", "fp4"),
        ("openPangu-Pro-MoE-72B-A16B", "pangu-pro-moe-72b", ""),
        ("RedHatAI/Meta-Llama-3.1-8B-Instruct-FP8", "llama-3-1-8b", "fp8"),
        ("amd/Llama-3.1-405B-Instruct-FP8-KV", "llama-3-1-405b-instruct-fp8", ""),
        ("hugging-quants/Meta-Llama-3.1-70B-Instruct-AWQ-INT4", "llama-3-1-70b", "w4a16"),
        ("Qwen/Qwen3-30B-A3B-Instruct-2507-FP8", "qwen3-30b-a3b", "fp8"),
        ("QWEN3_235B", "qwen3-235b-a22b", ""),
        ("Qwen3.5-397B", "qwen3-5-397b-a17b", ""),
        ("amd/gpt-oss-120b-w-mxfp4-a-fp8", "gpt-oss-120b", "fp4"),
        ("GLM-4.5-Air-106B-A12B", "glm-4-5-air", ""),
        ("glm5", "glm-5", ""),
    ],
)
def test_a_model_by_another_name(name: str, expected: str, stored: str) -> None:
    found, told, other = model_named(name)
    assert (model(found).id, told, other) == (model(expected).id, stored, True)


@pytest.mark.parametrize(
    "name",
    [
        "deepseek-r1-70b",  # a distillation, not the model with the name before its size
        "cerebras/MiniMax-M2.5-REAP-172B-A10B",  # pruned
        "nobody/Instruct",
        "fp8",
        "qwen",
        "-".join(["fp8"] * 500),
    ],
)
def test_what_is_another_model_stays_unknown(name: str) -> None:
    with pytest.raises(UnknownNameError, match="unknown model"):
        model_named(name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FP8", "fp8"),
        ("W8A8", "w8a8_dynamic"),
        ("w8a8-dynamic", "w8a8_dynamic"),
        ("NVFP4", "fp4"),
        ("mxfp4", "fp4"),
        ("AWQ", "w4a16"),
        ("int4", "w4a16"),
        ("bfloat16", "bf16"),
        (" auto ", ""),
        ("", ""),
        ("q9", "q9"),
    ],
)
def test_number_types(text: str, expected: str) -> None:
    assert number_type(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ("", False)),
        ("TensorRT_LLM", ("trtllm", False)),
        ("vllm-ascend", ("vllm-ascend", False)),
        ("sglang-ascend", ("sglang", True)),
        ("xLLM", ("", True)),
    ],
)
def test_engines(text: str, expected: tuple[str, bool]) -> None:
    assert engine_named(text) == expected
