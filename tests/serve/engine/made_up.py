"""GGUF files of a few numbers."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def _value(value: Any) -> bytes:
    if isinstance(value, str):
        return struct.pack("<I", 8) + text(value)
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if value and isinstance(value[0], str):
        return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(text, value))
    return struct.pack(f"<IIQ{len(value)}i", 9, 5, len(value), *value)


def gguf(path: Path, values: Mapping[str, Any], tensors: Mapping[str, tuple[tuple[int, ...], int, bytes]] | None = None) -> Path:
    """A file with those values, and tensors by name: shape, ggml's type, bytes."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors or {}), len(values))
    head += b"".join(text(name) + _value(value) for name, value in values.items())
    data = b""
    for name, (shape, kind, raw) in (tensors or {}).items():
        head += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, len(data))
        data += raw + b"\0" * (-len(raw) % 32)
    path.write_bytes(head + b"\0" * (-len(head) % 32) + data)
    return path


LLAMA = {
    "general.architecture": "llama",
    "general.file_type": 0,
    "llama.block_count": 30,
    "llama.context_length": 8192,
    "llama.embedding_length": 576,
    "llama.attention.head_count": 9,
    "llama.attention.head_count_kv": 3,
}
"""SmolLM2-135M's own: a token's cache is 30 layers x 3 heads x 64 values, twice, of two bytes."""
