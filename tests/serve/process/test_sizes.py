"""Over how many devices a model is cut: by hand, for devices of 80 GB of which 64 are for weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from windtunnel.errors import DoesNotFitError, InvalidInputError
from windtunnel.serve.process.sizes import Facts, read_facts, tensor_parallel

GB = 10**9


@pytest.mark.parametrize(
    ("weights_gb", "heads", "devices", "groups", "expected"),
    [
        (16, 32, 8, 1, 1),
        (64, 32, 8, 1, 1),
        (65, 32, 8, 1, 2),
        (140, 64, 8, 1, 4),  # three would hold them, and are no power of two
        (140, 40, 8, 1, 4),
        (400, 64, 8, 1, 8),
        (300, 60, 5, 1, 5),  # all that are there, where they divide the heads
        (65, 32, 8, 4, 2),  # two for each of four groups
    ],
)
def test_the_fewest_that_hold_the_weights(weights_gb: int, heads: int, devices: int, groups: int, expected: int) -> None:
    assert tensor_parallel(Facts(weights_gb * GB, heads, False), [80 * GB] * devices, groups) == expected


def test_one_where_the_memory_is_not_told() -> None:
    assert tensor_parallel(Facts(140 * GB, 64, False), [None, None]) == 1
    assert tensor_parallel(Facts(140 * GB, 64, False), []) == 1


def test_weights_that_no_devices_hold_are_refused() -> None:
    with pytest.raises(DoesNotFitError, match="the weights are 140 GB, which takes 3 such devices; 2 with 80 GB each are here"):
        tensor_parallel(Facts(140 * GB, 64, False), [80 * GB, 96 * GB])


@pytest.mark.parametrize(
    ("config", "heads", "experts"),
    [
        ({"num_attention_heads": 32}, 32, False),
        ({"text_config": {"num_attention_heads": 16, "n_routed_experts": 64}}, 16, True),
        ({"num_attention_heads": 8, "num_local_experts": 8}, 8, True),
        ({"num_experts": 0}, 0, False),
    ],
)
def test_facts_of_a_folder(tmp_path: Path, config: dict[str, Any], heads: int, experts: bool) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    for name, size in (("a.safetensors", 300), ("b.safetensors", 200), ("c.bin", 1000)):
        (tmp_path / name).write_bytes(bytes(size))
    assert read_facts(tmp_path) == Facts(500, heads, experts)


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_a_config_that_cannot_be_read_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(InvalidInputError, match=r"config\.json"):
        read_facts(tmp_path)
