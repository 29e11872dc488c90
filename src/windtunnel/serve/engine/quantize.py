"""A GGUF file written anew in a quantisation that this machine's kernels are faster at, by the engine's own arithmetic.

llama.cpp has kernels for Q4_0 that compute eight rows at once, and none for Q4_1: the same model at 4.5 in place of 5.0 bits a
weight. What a weight loses is told by what it would lose anyway: the error of writing it again, measured as it is written.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import math
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from windtunnel.errors import InvalidInputError, UnsupportedError
from windtunnel.serve.engine.gguf import Head, Tensor, read_head
from windtunnel.serve.engine.llama_server import INSTALL

KINDS = {"q4_0": (2, 2)}
"""Name -> ggml's number of the tensor type, and llama.cpp's of the file."""
FROM = {0: "F32", 1: "F16", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 30: "BF16"}
"""Types that are written anew; others are as small or are kept at more bits on purpose."""
BLOCK = 32
_LARGE = 256 * 256
"""Values from which a matrix of plain numbers is one of weights."""


@dataclass(frozen=True, slots=True)
class Written:
    """The new file. error: root mean square of what the weights changed by, over their own; None where it was there already."""

    path: Path
    tensors: int
    error: float | None


def place_of(path: Path, kind: str) -> Path:
    """Where the new file is kept: the user's cache, under a name that changes with the file it was made from."""
    whole = path.resolve()
    seen = whole.stat()
    mark = hashlib.sha256(f"{whole}|{seen.st_size}|{seen.st_mtime_ns}".encode()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "windtunnel" / "models"
    return cache / f"{path.stem}-{kind}-{mark}.gguf"


def worth(head: Head, kind: str = "q4_0") -> bool:
    """Whether most of the weights are of a type that is written anew."""
    sizes = {True: 0, False: 0}
    for tensor in head.tensors:
        sizes[_changes(tensor, kind)] += math.prod(tensor.shape)
    return sizes[True] > sizes[False]


def quantized(path: Path, kind: str) -> Written:
    """The file in that quantisation, made on the first call. Raises InvalidInputError where there is nothing to gain or it
    cannot be written, UnsupportedError where the engine that does the arithmetic is not there."""
    to, file_type = KINDS[kind]
    head = read_head(path)
    changed = [tensor for tensor in head.tensors if _changes(tensor, kind)]
    if not changed:
        raise InvalidInputError("--quantize", f"{path.name} holds no weights that {kind} would make faster")
    place = place_of(path, kind)
    if place.is_file():
        return Written(place, len(changed), None)
    ggml = _ggml()
    part = place.with_suffix(f".{os.getpid()}.part")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with path.open("rb") as source, part.open("wb") as target:
            error = _write(head, source, target, kind, to, file_type, ggml)
        part.replace(place)
    except OSError as failure:
        part.unlink(missing_ok=True)
        raise InvalidInputError("--quantize", f"{place}: {failure.strerror or failure}") from None
    return Written(place, len(changed), error)


def _changes(tensor: Tensor, kind: str) -> bool:
    """Embeddings and the output stay: they are few of the arithmetic and most of the error."""
    if tensor.kind not in FROM or tensor.kind == KINDS[kind][0] or len(tensor.shape) < 2 or tensor.shape[0] % BLOCK:
        return False
    named = tensor.name.startswith(("token_embd", "output"))
    return not named and math.prod(tensor.shape) >= _LARGE


def _write(head: Head, source: BinaryIO, target: BinaryIO, kind: str, to: int, file_type: int, ggml: Any) -> float:
    """Writes the whole file; the error as ``Written`` has it."""
    changes = {tensor.name for tensor in head.tensors if _changes(tensor, kind)}
    sizes = {t.name: _bytes(ggml, to if t.name in changes else t.kind, t.shape) for t in head.tensors}
    target.write(b"GGUF" + struct.pack("<IQQ", head.version, len(head.tensors), len(head.values)))
    target.write(_with_file_type(head, file_type))
    offset = 0
    for tensor in head.tensors:
        name = tensor.name.encode()
        new = to if tensor.name in changes else tensor.kind
        shape = struct.pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *tensor.shape)
        target.write(struct.pack("<Q", len(name)) + name + shape + struct.pack("<IQ", new, offset))
        offset += -(-sizes[tensor.name] // head.alignment) * head.alignment
    _pad(target, head.alignment)
    lost = whole = 0.0
    for tensor in head.tensors:
        source.seek(head.data + tensor.offset)
        old = source.read(_bytes(ggml, tensor.kind, tensor.shape))
        if tensor.name in changes:
            old, missed, own = _again(ggml, old, tensor, to)
            lost, whole = lost + missed, whole + own
        target.write(old)
        _pad(target, head.alignment)
    return math.sqrt(lost / whole) if whole else 0.0


def _with_file_type(head: Head, file_type: int) -> bytes:
    name = b"general.file_type"
    at = head.keys.find(struct.pack("<Q", len(name)) + name)
    if at < 0:
        return head.keys
    at += 8 + len(name) + 4
    return head.keys[:at] + struct.pack("<I", file_type) + head.keys[at + 4 :]


def _pad(target: BinaryIO, alignment: int) -> None:
    target.write(b"\0" * (-target.tell() % alignment))


class _Traits(ctypes.Structure):
    """The beginning of ggml_type_traits, as ggml.h has it."""

    _fields_ = (
        ("type_name", ctypes.c_char_p),
        ("blck_size", ctypes.c_int64),
        ("blck_size_interleave", ctypes.c_int64),
        ("type_size", ctypes.c_size_t),
        ("is_quantized", ctypes.c_bool),
        ("to_float", ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)),
    )


def _ggml() -> Any:
    """ggml's library, inside xllamacpp's. Raises UnsupportedError."""
    spec = importlib.util.find_spec("xllamacpp")
    places = [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
    for library in sorted(file for place in places for file in place.glob("xllamacpp*.so")):
        found = ctypes.CDLL(str(library))
        try:
            found.ggml_get_type_traits.restype = ctypes.POINTER(_Traits)
            found.ggml_quantize_chunk.restype = ctypes.c_size_t
            found.ggml_row_size.restype = ctypes.c_size_t
        except AttributeError:
            break
        return found
    raise UnsupportedError(f"--quantize needs the arithmetic of xllamacpp, which is not here; {INSTALL}")


def _bytes(ggml: Any, kind: int, shape: tuple[int, ...]) -> int:
    return int(ggml.ggml_row_size(kind, ctypes.c_int64(shape[0]))) * math.prod(shape[1:])


def _again(ggml: Any, old: bytes, tensor: Tensor, to: int) -> tuple[bytes, float, float]:
    """The tensor's new bytes; the sum of squares of what changed, and of what was there, by a part of the values."""
    values = math.prod(tensor.shape)
    rows = values // tensor.shape[0]
    first, second = (ctypes.c_float * values)(), (ctypes.c_float * values)()
    _to_float(ggml, tensor.kind)(old, first, values)
    new = ctypes.create_string_buffer(_bytes(ggml, to, tensor.shape))
    ggml.ggml_quantize_chunk(to, first, new, ctypes.c_int64(0), ctypes.c_int64(rows), ctypes.c_int64(tensor.shape[0]), None)
    _to_float(ggml, to)(new, second, values)
    step = max(1, values // 4096) | 1  # odd, so that it is no multiple of a block
    a, b = first[::step], second[::step]
    return new.raw, sum((x - y) ** 2 for x, y in zip(a, b, strict=True)), sum(x * x for x in a)


def _to_float(ggml: Any, kind: int) -> Callable[[Any, Any, int], None]:
    if kind == 0:

        def copy(source: Any, target: Any, count: int) -> None:
            ctypes.memmove(target, source, 4 * count)

        return copy
    function: Callable[[Any, Any, int], None] = ggml.ggml_get_type_traits(kind).contents.to_float
    return function
