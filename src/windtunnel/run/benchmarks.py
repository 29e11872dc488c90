"""The microbenchmarks of ``measure``: operators of the shapes that programs have, as functions that run them once.

A row's fields are the columns of an operators file; what a row means stands in docs and in the reader of such files.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

Run = Callable[[], Any]
DTYPES: Mapping[str, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_WIDTH = {"fp32": 4.0, "bf16": 2.0, "fp16": 2.0}

TOKENS = (1, 16, 64, 256, 1024, 4096, 16384)
WEIGHTS = ((512, 512), (1024, 1024), (4096, 1024), (1024, 4096), (4096, 4096), (14336, 4096), (4096, 14336), (8192, 8192))
MISALIGNED = ((1000, 1000), (4097, 4095), (1021, 769))
"""Widths that fill no tile: class counts, and vocabularies that nobody rounded up."""
BATCHED = ((8, 128, 128, 64), (64, 256, 256, 64), (64, 256, 64, 256), (256, 512, 512, 64))
HEADS = ((8, 8, 64), (16, 16, 64), (32, 32, 128), (32, 8, 128))
"""Query heads, key and value heads, width."""
PREFILL = ((1, 128), (1, 512), (8, 512), (1, 2048), (4, 2048), (1, 8192))
DECODE = ((1, 512), (16, 1024), (1, 8192), (64, 2048))
"""Sequences and their length."""
ROWS = ((1, 1), (64, 256), (256, 1024), (1024, 1024), (2048, 4096), (8192, 4096), (16384, 8192))
CONVOLUTIONS = (
    (8, 3, 64, 224, 7, 2), (8, 64, 64, 56, 3, 1), (8, 256, 64, 56, 1, 1), (8, 128, 128, 28, 3, 1), (8, 256, 256, 14, 3, 1),
    (8, 512, 512, 7, 3, 1), (32, 256, 1024, 14, 1, 1), (1, 320, 320, 64, 3, 1),
)  # fmt: skip
"""Images, channels in and out, their side, the kernel's side, the stride."""


_FIRST = {
    *(("gemm", f"{dtype}-1x1024x1024x1024") for dtype in DTYPES),
    *(("copy", f"{dtype}-8192x4096") for dtype in DTYPES),
}
"""What tells a device's peaks nearly: measured before all else, that an early end leaves a chip that makes sense."""


@dataclass(frozen=True)
class Case:
    """One measurement to make. row: the fields that say what it is; flops and bytes: of one run, to know what will not do on
    this device; build: its operands anew, and a function that runs it on them."""

    id: str
    row: Mapping[str, Any]
    flops: float
    bytes: float
    build: Callable[[torch.device], Run]


def cases(dtypes: tuple[str, ...], *, quick: bool) -> list[Case]:
    """All measurements, in an order in which any beginning has something of every kind."""
    kinds = [
        list(kind) for kind in (_gemms(dtypes, quick), _attention(dtypes, quick), _passes(dtypes, quick), _convolutions(dtypes))
    ]
    placed: list[tuple[float, Case]] = []
    for number, kind in enumerate(kinds):
        random.Random(number).shuffle(kind)
        placed += [((i + 0.5) / len(kind), case) for i, case in enumerate(kind)]
    return [case for _, case in sorted(placed, key=lambda pair: (pair[1].id.partition("-")[0::2] not in _FIRST, pair[0]))]


def _randn(dtype: str, *size: int) -> Callable[[torch.device], torch.Tensor]:
    return lambda device: torch.randn(size, device=device, dtype=torch.float32).to(DTYPES[dtype])


def _gemm(dtype: str, m: int, n: int, k: int, batch: int = 1) -> Case:
    def build(device: torch.device) -> Run:
        if batch > 1:
            x, y = _randn(dtype, batch, m, k)(device), _randn(dtype, batch, k, n)(device)
            return lambda: torch.bmm(x, y)
        x, w = _randn(dtype, m, k)(device), _randn(dtype, n, k)(device)
        return lambda: torch.mm(x, w.t())

    flops = 2.0 * batch * m * n * k
    moved = batch * (m * k + n * k + m * n) * _WIDTH[dtype]
    row = {"op": "gemm", "dtype": dtype, "m": m, "n": n, "k": k, **({"batch": batch} if batch > 1 else {})}
    return Case(f"gemm-{dtype}-{batch}x{m}x{n}x{k}", row, flops, moved, build)


def _gemms(dtypes: tuple[str, ...], quick: bool) -> Iterator[Case]:
    for dtype in dtypes:
        for n, k in (WEIGHTS[:4] if quick else WEIGHTS) + (MISALIGNED[:1] if quick else MISALIGNED):
            for m in (1, 64, 1024) if quick else TOKENS:
                yield _gemm(dtype, m, n, k)
        for batch, m, n, k in BATCHED[:2] if quick else BATCHED:
            yield _gemm(dtype, m, n, k, batch)


def _attend(dtype: str, batch: int, seq: int, heads: tuple[int, int, int], decode: bool) -> Case:
    q_heads, kv_heads, width = heads
    queries = 1 if decode else seq

    def build(device: torch.device) -> Run:
        q = _randn(dtype, batch, q_heads, queries, width)(device)
        k, v = (_randn(dtype, batch, kv_heads, seq, width)(device) for _ in "kv")
        grouped = q_heads != kv_heads
        return lambda: functional.scaled_dot_product_attention(q, k, v, is_causal=not decode, enable_gqa=grouped)

    seen = seq if decode else (seq + 1) / 2
    flops = 4.0 * batch * queries * seen * q_heads * width
    moved = 2.0 * batch * width * (queries * q_heads + seq * kv_heads) * _WIDTH[dtype]
    op = "attn_decode" if decode else "attn_prefill_causal"
    row = {"op": op, "dtype": dtype, "batch": batch, "seq": seq, "q_heads": q_heads, "kv_heads": kv_heads, "head_dim": width}
    return Case(f"{op}-{dtype}-{batch}x{seq}-{q_heads}-{kv_heads}-{width}", row, flops, moved, build)


def _attention(dtypes: tuple[str, ...], quick: bool) -> Iterator[Case]:
    for dtype in dtypes:
        for heads in HEADS[:2] if quick else HEADS:
            for batch, seq in PREFILL[1:3] if quick else PREFILL:
                yield _attend(dtype, batch, seq, heads, decode=False)
            for batch, seq in DECODE[:2] if quick else DECODE:
                yield _attend(dtype, batch, seq, heads, decode=True)


def _scaled(x: torch.Tensor) -> Run:
    y = torch.empty_like(x)
    return lambda: torch.mul(x, 1.5, out=y)


PASSES: Mapping[str, tuple[Callable[[torch.Tensor], Run], float]] = {
    "elementwise": (_scaled, 2.0),
    "pointwise": (lambda x: lambda: torch.relu(x), 2.0),
    "copy": (lambda x: lambda: x.clone(), 2.0),
    "transpose": (lambda x: lambda: x.t().contiguous(), 2.0),
    "reduction": (lambda x: lambda: x.sum(-1), 1.0),
    "norm": (lambda x: lambda: functional.layer_norm(x, x.shape[-1:]), 2.0),
    "softmax": (lambda x: lambda: torch.softmax(x, -1), 2.0),
}
"""By the name of the kind of pass: what runs it over a tensor, and how often its elements cross the memory. elementwise
writes into memory that is there, as engines do; the others into new memory, as programs do."""


def _pass(kind: str, dtype: str, m: int, n: int) -> Case:
    run, times = PASSES[kind]
    make = _randn(dtype, m, n)
    row = {"op": kind, "dtype": dtype, "m": m, "n": n}
    return Case(f"{kind}-{dtype}-{m}x{n}", row, 0.0, times * m * n * _WIDTH[dtype], lambda device: run(make(device)))


def _passes(dtypes: tuple[str, ...], quick: bool) -> Iterator[Case]:
    for dtype in dtypes[:1] if quick else dtypes:
        for kind in PASSES:
            for m, n in ROWS[:1] + ROWS[2:6] if quick else ROWS:
                yield _pass(kind, dtype, m, n)


def _convolution(dtype: str, images: int, inner: int, outer: int, side: int, kernel: int, stride: int) -> Case:
    after = (side + 2 * (kernel // 2) - kernel) // stride + 1

    def build(device: torch.device) -> Run:
        x = _randn(dtype, images, inner, side, side)(device)
        w = _randn(dtype, outer, inner, kernel, kernel)(device)
        return lambda: functional.conv2d(x, w, stride=stride, padding=kernel // 2)

    row = {
        "op": "convolution", "dtype": dtype, "batch": images, "in_channels": inner, "out_channels": outer, "image": side,
        "result": after, "kernel": kernel,
    }  # fmt: skip
    flops = 2.0 * images * after * after * outer * kernel * kernel * inner
    moved = (images * (inner * side * side + outer * after * after) + outer * inner * kernel * kernel) * _WIDTH[dtype]
    return Case(f"convolution-{dtype}-{images}x{inner}x{side}-{outer}-{kernel}-{stride}", row, flops, moved, build)


def _convolutions(dtypes: tuple[str, ...]) -> Iterator[Case]:
    for shape in CONVOLUTIONS:
        yield _convolution(dtypes[0], *shape)
