"""The head of a GGUF file: what the model is, and where its tensors lie. The tensors themselves are not read.

**Source:** the file format as ggml's documentation has it (docs/gguf.md), versions 2 and 3.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from windtunnel.errors import InvalidInputError

MAGIC = b"GGUF"
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_MOST_ITEMS = 10_000_000
"""Keys, tensors, or items of an array: what says more is no such file."""
_MOST_DIMENSIONS = 8


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor. shape: innermost dimension first; kind: ggml's number of its type; offset: bytes from the file's data."""

    name: str
    shape: tuple[int, ...]
    kind: int
    offset: int


@dataclass(frozen=True, slots=True)
class Head:
    """Everything before the tensors' data.

    values: the metadata; arrays of strings are lists of bytes. keys: their bytes as they stand in the file, for a file that is
    written from this one. alignment: bytes. data: where the tensors' data begins, in bytes.
    """

    version: int
    values: Mapping[str, Any]
    keys: bytes
    tensors: tuple[Tensor, ...]
    alignment: int
    data: int

    @property
    def architecture(self) -> str:
        return str(self.values.get("general.architecture", ""))

    def of_model(self, key: str) -> Any:
        """A value that the file keeps under its architecture's name; None where it has none."""
        return self.values.get(f"{self.architecture}.{key}")

    @property
    def context(self) -> int | None:
        """Tokens that the model was made for."""
        value = self.of_model("context_length")
        return int(value) if isinstance(value, int) else None

    @property
    def vocabulary(self) -> int:
        """Tokens that it knows; 0 where the file does not say."""
        return len(self.values.get("tokenizer.ggml.tokens") or ())

    def kv_bytes(self, bytes_per_value: float = 2.0) -> float | None:
        """Bytes of KV cache that a token takes over all layers; None where the file does not say enough."""
        layers, heads, width = (self.of_model(key) for key in ("block_count", "attention.head_count", "embedding_length"))
        shared = self.of_model("attention.head_count_kv")
        if not (isinstance(layers, int) and layers > 0):
            return None
        if isinstance(shared, list):  # one figure a layer
            each = sum(shared)
        else:
            each = layers * (shared if isinstance(shared, int) else heads if isinstance(heads, int) else 0)
        narrow = width // heads if isinstance(heads, int) and heads and isinstance(width, int) else 0
        key = self.of_model("attention.key_length") or narrow
        value = self.of_model("attention.value_length") or narrow
        return float(each * (key + value) * bytes_per_value) or None


def is_gguf(path: Path) -> bool:
    """Whether the file begins as one. Raises OSError where it cannot be read."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def read_head(path: Path) -> Head:
    """The head of the file. Raises InvalidInputError where it cannot be read or is no such file."""
    try:
        told = path.stat()
        return _read(path, told.st_ino, told.st_size, told.st_mtime_ns)
    except OSError as error:
        raise InvalidInputError(str(path), error.strerror or str(error)) from None


@lru_cache(maxsize=1)  # several ask for the one that is served
def _read(path: Path, number: int, size: int, changed_ns: int) -> Head:
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
            return _head(_Reader(whole))
    except OSError as error:
        raise InvalidInputError(str(path), error.strerror or str(error)) from None
    except struct.error:
        raise InvalidInputError(str(path), "is no whole GGUF file (it ends early)") from None
    except ValueError as error:
        raise InvalidInputError(str(path), f"is no whole GGUF file ({error})") from None


def _head(read: _Reader) -> Head:
    if read.bytes(len(MAGIC)) != MAGIC:
        raise ValueError("it does not begin with GGUF")
    version, tensors, keys = read.numbers("IQQ")
    if version not in (2, 3):
        raise ValueError(f"version {version} is not read")
    _bounded(max(tensors, keys))
    begin = read.at
    values = {}
    for _ in range(keys):
        name = read.string()
        (kind,) = read.numbers("I")
        values[name] = read.value(kind)
    end = read.at
    infos = []
    for _ in range(tensors):
        name = read.string()
        (count,) = read.numbers("I")
        if count > _MOST_DIMENSIONS:
            raise ValueError(f"a tensor has {count} dimensions")
        *shape, kind, offset = read.numbers(f"{count}QIQ")
        infos.append(Tensor(name, tuple(shape), kind, offset))
    alignment = values.get("general.alignment", 32)
    if not isinstance(alignment, int) or alignment <= 0:
        raise ValueError(f"an alignment of {alignment}")
    return Head(version, values, read.whole[begin:end], tuple(infos), alignment, -(-read.at // alignment) * alignment)


def _bounded(count: int) -> None:
    if count > _MOST_ITEMS:
        raise ValueError(f"it says that it holds {count} items")


class _Reader:
    """Reads on from where it is; struct.error or ValueError where the file ends early."""

    def __init__(self, whole: mmap.mmap) -> None:
        self.whole, self.at = whole, 0

    def numbers(self, form: str) -> tuple[Any, ...]:
        found = struct.unpack_from(f"<{form}", self.whole, self.at)
        self.at += struct.calcsize(f"<{form}")
        return found

    def bytes(self, size: int) -> bytes:
        end = self.at + size
        if end > len(self.whole):
            raise ValueError("it ends early")
        found = self.whole[self.at : end]
        self.at = end
        return found

    def string(self) -> str:
        return self.bytes(self.numbers("Q")[0]).decode("utf-8", "replace")

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.string()
        if kind == _ARRAY:
            inner, count = self.numbers("IQ")
            _bounded(count)
            if inner == _STRING:
                return self._strings(count)
            return list(self.numbers(f"{count}{_scalar(inner)}"))
        return self.numbers(_scalar(kind))[0]

    def _strings(self, count: int) -> list[Any]:
        """A vocabulary has a hundred thousand of them, which a start waits for."""
        size, whole, at, last = struct.Struct("<Q").unpack_from, self.whole, self.at, len(self.whole)
        found = []
        for _ in range(count):
            begin = at + 8
            at = begin + size(whole, at)[0]
            if at > last:
                raise ValueError("it ends early")
            found.append(whole[begin:at])
        self.at = at
        return found


def _scalar(kind: int) -> str:
    if kind not in _SCALARS:
        raise ValueError(f"a value of type {kind}")
    return _SCALARS[kind]
