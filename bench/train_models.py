"""Sizes of published models that rows of training name and the catalogue does not have, as their config.json has them.

Recalled from the published ones; GPT-3 175B is its paper's; no source gives the 15B's, taken are 32 layers of width 6,144.
"""

from __future__ import annotations

from dataclasses import replace

from windtunnel.catalog.model import AttentionSpec, FfnSpec, Layer, ModelSpec
from windtunnel.catalog.models import model

SIZES = {
    # layers, width, heads, key-value heads, inner width, vocabulary
    "aquila2-7b": (32, 4096, 32, 32, 11008, 100_008),
    "baichuan-7b": (32, 4096, 32, 32, 11008, 64_000),
    "chatglm3-6b": (28, 4096, 32, 2, 13696, 65_024),
    "gpt3-15b": (32, 6144, 48, 48, 24576, 50_257),
    "gpt3-175b": (96, 12288, 96, 96, 49152, 50_257),
    "llama-13b": (40, 5120, 40, 40, 13824, 32_000),
    "llama-65b": (80, 8192, 64, 64, 22016, 32_000),
    "llama-2-13b": (40, 5120, 40, 40, 13824, 32_000),
    "llama-2-34b": (48, 8192, 64, 8, 22016, 32_000),
    "mistral-7b": (32, 4096, 32, 8, 14336, 32_000),
    "qwen-72b": (80, 8192, 64, 64, 24576, 152_064),
    "qwen1.5-110b": (80, 8192, 64, 8, 49152, 152_064),
    "qwen1.5-moe-a2.7b": (24, 2048, 16, 16, 1408, 151_936),
    "qwen2-1.5b": (28, 1536, 12, 2, 8960, 151_936),
    "yi-34b": (60, 7168, 56, 8, 20480, 64_000),
}
TIED = ("gpt3-15b", "gpt3-175b", "qwen2-1.5b")


def sized(name: str) -> ModelSpec:
    """The model of a row: of the catalogue, or by SIZES. Contexts are not held against a row's sequence."""
    if name not in SIZES:
        return replace(model(name), max_context=0)
    layers, width, heads, kv, inner, vocabulary = SIZES[name]
    ffn = FfnSpec(inner, gated=not name.startswith("gpt3"))
    if name == "qwen1.5-moe-a2.7b":
        ffn = FfnSpec(inner, experts=60, topk=4, shared_intermediate=5632)
    attention = AttentionSpec("gqa", heads, kv, 128, 128, window=4096 if name == "mistral-7b" else 0)
    return ModelSpec(
        name, "decoder", width, vocabulary, (Layer(layers, attention, ffn),), "bf16", "SIZES", tied_embeddings=name in TIED
    )
