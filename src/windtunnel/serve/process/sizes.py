"""Over how many devices a model is cut where nobody says: as few as hold its weights."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from windtunnel.errors import DoesNotFitError, InvalidInputError

SHARE = 0.8
"""Of a device's memory for weights; the rest is for the KV cache, activations, and what the engine leaves alone."""
EXPERTS = ("num_experts", "n_routed_experts", "num_local_experts", "moe_num_experts")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a folder tells of its model. weight_bytes: of its safetensors; heads: of attention, 0 where not told."""

    weight_bytes: int
    heads: int
    experts: bool


def read_facts(folder: Path) -> Facts:
    """The facts of a folder. Raises InvalidInputError where its config.json cannot be read."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInputError(str(folder / "config.json"), f"cannot be read: {error}") from None
    if not isinstance(config, dict):
        raise InvalidInputError(str(folder / "config.json"), "should be a JSON object")
    inner = config.get("text_config")
    text = {**config, **inner} if isinstance(inner, dict) else config
    heads = text.get("num_attention_heads")
    size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    experts = any(isinstance(text.get(name), int) and text[name] > 1 for name in EXPERTS)
    return Facts(size, heads if isinstance(heads, int) else 0, experts)


def tensor_parallel(facts: Facts, memories: list[int | None], groups: int = 1) -> int:
    """The fewest devices that hold the weights and divide the heads. memories: bytes of each device that may be used, None where
    not told; groups: pipeline stages times data-parallel groups, which take their devices too; 1 where the memory is not told.

    Raises DoesNotFitError where all of them do not hold the weights.
    """
    told = [memory for memory in memories if memory]
    if not told or len(told) < len(memories):
        return 1
    each = min(told) * SHARE
    most = max(1, len(told) // groups)
    fits = [n for n in range(1, most + 1) if facts.heads % n == 0 and (n & (n - 1) == 0 or n == most)]
    for n in fits:
        if n * each >= facts.weight_bytes:
            return n
    needed = math.ceil(facts.weight_bytes / each)
    raise DoesNotFitError(
        f"the weights are {facts.weight_bytes / 1e9:.0f} GB, which takes {needed} such devices; "
        f"{len(told)} with {min(told) / 1e9:.0f} GB each are here; --engine transformers on the CPU, or a smaller precision"
    )
