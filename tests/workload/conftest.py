"""Configurations that the tests compute on; those with a known name have that model's published sizes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from windtunnel.catalog.model import AttentionSpec, FfnSpec, Layer, ModelSpec

MLA = AttentionSpec("mla", 128, 128, 192, 128, q_lora_rank=1536, kv_lora_rank=512, nope_dim=128, rope_dim=64)
DSA = replace(MLA, topk=2048, index_heads=64, index_dim=128)
V4_WINDOW = AttentionSpec(
    "gqa", 64, 1, 512, 512, window=128, q_lora_rank=1024, rope_dim=64, shared_kv=True, o_lora_rank=1024, o_groups=8
)
DELTA = AttentionSpec("linear", 16, 32, 128, 128, conv_width=4)


def spec(name: str, hidden: int, vocab: int, layers: tuple[Layer, ...], precision: str = "bf16", **more: object) -> ModelSpec:
    return ModelSpec(name, "Test", hidden, vocab, layers, precision, "test", **more)  # type: ignore[arg-type]


SPECS = {
    s.id: s
    for s in (
        spec("llama-3.1-8b", 4096, 128256, (Layer(32, AttentionSpec("gqa", 32, 8, 128, 128), FfnSpec(14336)),)),
        spec(
            "deepseek-v3",
            7168,
            129280,
            (Layer(3, MLA, FfnSpec(18432)), Layer(58, MLA, FfnSpec(2048, 256, 8, 2048))),
            "fp8",
            mtp_layers=1,
        ),
        spec("deepseek-v3.2", 7168, 129280, (Layer(3, DSA, FfnSpec(18432)), Layer(58, DSA, FfnSpec(2048, 256, 8, 2048))), "fp8"),
        spec("qwen3-235b-a22b", 4096, 151936, (Layer(94, AttentionSpec("gqa", 64, 4, 128, 128), FfnSpec(1536, 128, 8)),)),
        spec(
            "gpt-oss-120b",
            2880,
            201088,
            (
                Layer(18, AttentionSpec("gqa", 64, 8, 64, 64, window=128), FfnSpec(2880, 128, 4)),
                Layer(18, AttentionSpec("gqa", 64, 8, 64, 64), FfnSpec(2880, 128, 4)),
            ),
            expert_precision="fp4",
        ),
        spec(
            "qwen3-next",
            2048,
            151936,
            (
                Layer(36, DELTA, FfnSpec(512, 512, 10, 512)),
                Layer(12, AttentionSpec("gqa", 16, 2, 256, 256, gated=True), FfnSpec(512, 512, 10, 512)),
            ),
            mtp_layers=1,
        ),
        spec(
            "deepseek-v4-like",
            4096,
            129280,
            (
                Layer(2, V4_WINDOW, FfnSpec(2048, 256, 6, 2048)),
                Layer(20, replace(V4_WINDOW, compress=128), FfnSpec(2048, 256, 6, 2048)),
                Layer(21, replace(V4_WINDOW, compress=4, topk=512, index_heads=64, index_dim=128), FfnSpec(2048, 256, 6, 2048)),
            ),
            "fp8",
            expert_precision="fp4",
        ),
        spec("qwen3-next-12", 2304, 151936, (Layer(12, AttentionSpec("gqa", 24, 6, 96, 96, gated=True), FfnSpec(512, 48, 4)),)),
        spec(
            "kimi-linear-like",
            2304,
            163840,
            (
                Layer(
                    20,
                    AttentionSpec("linear", 32, 32, 128, 128, conv_width=4, decay_rank=128, gate_rank=128),
                    FfnSpec(1024, 256, 8, 1024),
                ),
                Layer(7, replace(MLA, q_heads=32, kv_heads=32, q_lora_rank=0, gated=True), FfnSpec(1024, 256, 8, 1024)),
            ),
        ),
        spec(
            "mamba-hybrid-like",
            4096,
            131072,
            (
                Layer(40, AttentionSpec("linear", 8, 128, 128, 64, conv_width=4), None),
                Layer(40, None, FfnSpec(2688, 512, 22, 5376, gated=False, latent=1024)),
                Layer(8, AttentionSpec("gqa", 32, 2, 128, 128), None),
            ),
        ),
        spec(
            "shared-cache-like",
            2560,
            262144,
            (
                Layer(20, AttentionSpec("gqa", 8, 4, 256, 256, window=512), FfnSpec(10240)),
                Layer(4, AttentionSpec("gqa", 8, 2, 512, 512, v_from_k=True), FfnSpec(10240)),
                Layer(8, AttentionSpec("gqa", 8, 4, 256, 256, window=512, reuses_kv=True), FfnSpec(20480)),
            ),
            tied_embeddings=True,
        ),
    )
}


@pytest.fixture(scope="session")
def specs() -> dict[str, ModelSpec]:
    return SPECS


@pytest.fixture(scope="session", params=sorted(SPECS))
def any_spec(request: pytest.FixtureRequest) -> ModelSpec:
    return SPECS[request.param]


@pytest.fixture(scope="session")
def llama(specs: dict[str, ModelSpec]) -> ModelSpec:
    return specs["llama-3.1-8b"]


@pytest.fixture(scope="session")
def deepseek(specs: dict[str, ModelSpec]) -> ModelSpec:
    return specs["deepseek-v3"]


@pytest.fixture(scope="session")
def gpt_oss(specs: dict[str, ModelSpec]) -> ModelSpec:
    return specs["gpt-oss-120b"]
