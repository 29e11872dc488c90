"""A file written anew: the same model, its matrices at four bits."""

from __future__ import annotations

import importlib.util
import math
import random
import struct
from pathlib import Path

import pytest

from tests.serve.engine.made_up import LLAMA, gguf
from windtunnel.errors import InvalidInputError, UnsupportedError
from windtunnel.serve.engine import quantize
from windtunnel.serve.engine.gguf import read_head

needs_engine = pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="not installed: xllamacpp")


def made(folder: Path) -> Path:
    chance = random.Random(0)
    weights = [chance.gauss(0, 1) for _ in range(256 * 256)]
    raw = struct.pack(f"<{len(weights)}f", *weights)
    norm = struct.pack("<256f", *[1.0] * 256)
    tensors = {
        "blk.0.ffn.weight": ((256, 256), 0, raw),
        "blk.0.norm.weight": ((256,), 0, norm),
        "token_embd.weight": ((256, 256), 0, raw),
    }
    return gguf(folder / "it.gguf", {**LLAMA, "general.file_type": 0}, tensors)


def four_bits(block: list[float]) -> list[float]:
    """Q4_0 by its definition: the value of the largest size becomes -8 steps, and the others the nearest step below 8."""
    largest = max(block, key=abs)
    step = struct.unpack("<e", struct.pack("<e", largest / -8))[0]
    exact = largest / -8
    return [step * (min(15, int(value / exact + 8.5)) - 8) for value in block]


@needs_engine
def test_matrices_become_what_the_definition_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = made(tmp_path)
    before = read_head(source)
    found = quantize.quantized(source, "q4_0")
    after = read_head(found.path)
    assert found.tensors == 1
    assert [(t.name, t.kind) for t in after.tensors] == [
        ("blk.0.ffn.weight", 2),
        ("blk.0.norm.weight", 0),
        ("token_embd.weight", 0),
    ]
    assert {**after.values, "general.file_type": 0} == before.values
    raw, old = found.path.read_bytes(), source.read_bytes()
    for kept, size in ((1, 1024), (2, 4 * 256 * 256)):
        a, b = before.data + before.tensors[kept].offset, after.data + after.tensors[kept].offset
        assert raw[b : b + size] == old[a : a + size]
    lost = whole = 0.0
    for row in range(0, 256 * 256, 32):
        block = list(struct.unpack_from("<32f", old, before.data + 4 * row))
        at = after.data + after.tensors[0].offset + row // 32 * 18
        (step,) = struct.unpack_from("<e", raw, at)
        nibbles = raw[at + 2 : at + 18]
        written = [step * ((byte & 15) - 8) for byte in nibbles] + [step * ((byte >> 4) - 8) for byte in nibbles]
        assert written == pytest.approx(four_bits(block), abs=abs(step) * 1.001)
        lost += sum((x - y) ** 2 for x, y in zip(block, written, strict=True))
        whole += sum(x * x for x in block)
    # told by a sixteenth of the values
    assert found.error == pytest.approx(math.sqrt(lost / whole), rel=0.05)
    again = quantize.quantized(source, "q4_0")
    assert (again.path, again.error) == (found.path, None)
    assert [file.name for file in found.path.parent.iterdir()] == [found.path.name]


def test_it_is_offered_where_most_weights_would_change(tmp_path: Path) -> None:
    file = made(tmp_path)
    head = read_head(file)
    assert not quantize.worth(head)  # the embedding is as large, and stays
    assert quantize.place_of(file, "q4_0").name.startswith("it-q4_0-")
    small = gguf(tmp_path / "small.gguf", LLAMA, {"w": ((256, 256), 2, b"\0" * (256 * 256 // 32 * 18))})
    with pytest.raises(InvalidInputError, match=r"--quantize: small.gguf holds no weights that q4_0 would make faster"):
        quantize.quantized(small, "q4_0")


def test_without_the_engine_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file = made(tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UnsupportedError, match="pip install xllamacpp"):
        quantize.quantized(file, "q4_0")
