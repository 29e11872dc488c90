"""Parameters against PyTorch's own count of the same configuration, built without memory."""

from __future__ import annotations

from typing import Any

import pytest

from windtunnel.catalog.models import MAX_BASES, SHELF, _config, record

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


@pytest.mark.parametrize(
    "key",
    [
        "llama-3-1-8b",
        "qwen3-30b-a3b",
        "qwen3-5-27b",
        "deepseek-v2-lite",
        "deepseek-v4-flash",
        "gemma-4-26b-a4b",
        "glm-5-2",
        "gpt-oss-20b",
        "kimi-linear-48b-a3b-instruct",
        "minimax-m2-5",
        "nvidia-nemotron-3-nano-30b-a3b-bf16",
    ],
)
def test_parameters_are_those_of_the_model_class(key: str) -> None:
    """Within 0.3 percent: norms, biases, sinks and hyper-connections are what we leave out."""
    config: dict[str, Any] = SHELF.load(key, lambda table: _config(table, MAX_BASES))
    text = {name: value for name, value in config.get("text_config", config).items() if name != "quantization_config"}
    kind = text.pop("model_type")
    text.pop("architectures", None)
    try:
        built = transformers.AutoConfig.for_model(kind, **text)
    except ValueError:
        pytest.skip(f"this transformers does not know {kind}")
    with torch.device("meta"):
        network = transformers.AutoModelForCausalLM.from_config(built)
    counted = sum(weight.numel() for weight in network.parameters())
    assert record(key).spec.parameters == pytest.approx(counted, rel=0.003)
