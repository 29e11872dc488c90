"""Reads the operator tables of aiconfigurator-core (Apache-2.0) into the points that families are fitted on.

Development only: what ships is the parameters. Tables whose caveats make them unusable are left out here, each
with its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd  # type: ignore[import-untyped]

from windtunnel.catalog.chip import Chip, chip
from windtunnel.cost.routing import hottest_rank, touched_experts

CHIPS = {
    "a100_sxm": "a100-sxm-80gb", "h100_sxm": "h100-sxm", "h200_sxm": "h200-sxm", "b200_sxm": "b200-sxm", "b300_sxm": "b300-sxm",
    "gb200": "gb200", "gb300": "gb300", "l40s": "l40s", "rtx_pro_6000_server": "rtx-pro-6000",
}  # fmt: skip
SUPERSEDED = {"0.22.0", "0.20.0", "0.19.0", "1.3.0rc10", "0.5.6.post2", "0.5.9"}
"""Engine versions of which the tables hold a later one of the same operator and chip."""

Table: TypeAlias = pd.DataFrame


def tables(root: Path, operator: str, pattern: str) -> Table:
    """Every table of one operator, with ``chip``, ``engine`` and ``version`` columns; latency in ms > 0."""
    out = []
    for path in sorted(root.glob(f"*/{operator}/*/*/{pattern}")):
        directory, _, engine, version, _ = path.relative_to(root).parts
        if directory in CHIPS and version not in SUPERSEDED:
            out.append(pd.read_parquet(path).assign(chip=CHIPS[directory], engine=engine, version=version))
    joined = pd.concat(out, ignore_index=True)
    return joined[joined["latency"] > 0] if "latency" in joined else joined


def _median(table: Table, keys: list[str]) -> Table:
    """One row a shape: the median over engines, since parameters belong to the chip and not to an engine."""
    return table.groupby(["chip", *keys], dropna=False)["latency"].median().reset_index()


def _fastest(table: Table, keys: list[str]) -> Table:
    """One row a shape: the fastest engine's. For experts and latent attention engines choose between kernels that
    differ up to fourfold, and what they choose is the fast one."""
    return table.groupby(["chip", *keys], dropna=False)["latency"].min().reset_index()


def _with_machine(points: Table, dtype: str) -> Table:
    """Adds the chip's figures; chips that cannot compute ``dtype`` or whose figure is unknown are dropped."""
    known: dict[str, Chip] = {name: chip(name) for name in points["chip"].unique()}
    able = [n for n, c in known.items() if c.has(f"matrix_flops_per_s.{dtype}")]
    points = points[points["chip"].isin(able)].copy()
    points["flops_per_s"] = points["chip"].map({n: known[n].value(f"matrix_flops_per_s.{dtype}") for n in able})
    points["wide_flops_per_s"] = points["chip"].map({n: known[n].value("matrix_flops_per_s.fp16") for n in able})
    points["bytes_per_s"] = points["chip"].map({n: known[n].value("memory_bytes_per_s") for n in able})
    points["cache_bytes"] = points["chip"].map({n: known[n].value("l2_bytes") if known[n].has("l2_bytes") else 0.0 for n in able})
    points["time"] = points["latency"] * 1e-3
    return points


def gemm(root: Path) -> Iterator[tuple[str, Table]]:
    raw = tables(root, "gemm", "*.parquet")
    # vLLM's fp8_block rows include a slow first call (10-20 times the other engines' on every shape)
    raw = raw[~((raw["gemm_dtype"] == "fp8_block") & (raw["engine"] == "vllm"))]
    kinds = {
        "gemm.wide": (["bfloat16"], "bf16", 2.0),
        "gemm.fp8": (["fp8"], "fp8", 1.0),
        "gemm.fp8_block": (["fp8_block"], "fp8", 1.0),
        "gemm.fp4": (["nvfp4"], "fp4", 0.5625),
        "gemm.int8": (["sq"], "int8", 1.0),
        "gemm.w4a16": (["int4_wo"], "bf16", 0.5625),
    }
    for name, (dtypes, compute, width) in kinds.items():
        points = _median(raw[raw["gemm_dtype"].isin(dtypes)], ["m", "n", "k"])
        yield name, _with_machine(points, compute).assign(width=width, batch=1.0, warm=1.0)


def _attention(raw: Table, prefill: bool) -> Iterator[tuple[str, Table]]:
    raw = raw.assign(window_size=raw["window_size"].fillna(0))
    keys = [
        "batch_size",
        "isl",
        "step",
        "num_heads",
        "num_key_value_heads",
        "head_dim",
        "window_size",
        "attn_dtype",
        "kv_cache_dtype",
    ]
    for narrow in (False, True):
        chosen = raw[(raw["attn_dtype"] == "fp8") == narrow]
        if chosen.empty:
            continue
        t = _with_machine(_median(chosen, keys), "fp8" if narrow else "bf16")
        length = (t["isl"] if prefill else t["step"] + 1).astype(float)
        reach = np.where(t["window_size"] > 0, np.minimum(t["window_size"], length), length)
        b, h, kv, d = (t[c].astype(float) for c in ("batch_size", "num_heads", "num_key_value_heads", "head_dim"))
        width = np.where(t["kv_cache_dtype"] == "fp8", 1.0, 2.0)
        seen = (reach * (reach + 1) / 2 + (length - reach) * reach) / length if prefill else reach
        queries = length if prefill else 1.0
        cache = b * (length if prefill else reach) * kv * 2 * d * width
        t = t.assign(seen=seen, keys=reach, head=d, flops=4 * b * queries * seen * h * d, moved=cache + 4 * b * queries * h * d)
        yield (
            ("attention_prefill" if prefill else "attention_decode") + (".fp8" if narrow else ""),
            t.assign(cache=cache, rows=b * kv),
        )


def attention(root: Path) -> Iterator[tuple[str, Table]]:
    yield from _attention(tables(root, "attention", "context_attention_perf.parquet"), True)
    yield from _attention(tables(root, "attention", "generation_attention_perf.parquet"), False)


def latent(root: Path) -> Iterator[tuple[str, Table]]:
    """DeepSeek-V3's widths: 128 + 64 per query head, values 128, a latent of 512 + 64."""
    keys = ["batch_size", "isl", "step", "num_heads", "kv_cache_dtype"]
    t = _with_machine(_fastest(tables(root, "mla", "context_mla_perf.parquet"), keys), "bf16")
    b, s, h = (t[c].astype(float) for c in ("batch_size", "isl", "num_heads"))
    flops = 2 * b * s * (s + 1) / 2 * h * (192 + 128)
    yield "mla_prefill", t.assign(flops=flops, moved=4 * b * s * h * 320, seen=(s + 1) / 2, keys=s, head=192.0)
    t = _with_machine(_fastest(tables(root, "mla", "generation_mla_perf.parquet"), keys), "bf16")
    b, s, h = t["batch_size"].astype(float), t["step"].astype(float) + 1, t["num_heads"].astype(float)
    cache = b * s * 576 * np.where(t["kv_cache_dtype"] == "fp8", 1.0, 2.0)
    flops = 2 * b * s * h * (576 + 512)
    yield "mla_decode", t.assign(flops=flops, cache=cache, moved=cache + 2 * b * h * 1088, keys=s, rows=b)


def moe(root: Path) -> Iterator[tuple[str, Table]]:
    raw = tables(root, "moe", "moe_perf.parquet")
    # "balanced" rows imply more than the chip's bandwidth: grouped top-k always chose the first experts
    raw = raw[raw["distribution"] == "power_law_1.01"]
    kinds = {
        "moe.wide": (["bfloat16"], "bf16", 2.0),
        "moe.fp8": (["fp8", "fp8_block"], "fp8", 1.0),
        "moe.fp4": (["nvfp4", "w4a8_mxfp4_mxfp8"], "fp4", 0.5625),
        "moe.w4a16": (["int4_wo"], "bf16", 0.5625),
        "moe.fp4_wide": (["w4a16_mxfp4"], "bf16", 0.5625),
    }
    # SGLang's kernel for MXFP4 on Hopper is three times slower than the others', and vLLM runs Kimi K3 through Marlin, as
    # it does INT4; what is left is the kernel that serves gpt-oss
    widened = raw["moe_dtype"] == "w4a16_mxfp4"
    raw = raw[~(widened & ((raw["engine"] == "sglang") | raw["kernel_source"].str.contains("marlin")))]
    keys = ["num_tokens", "hidden_size", "inter_size", "topk", "num_experts", "moe_tp_size", "moe_ep_size"]
    for name, (dtypes, compute, width) in kinds.items():
        t = _with_machine(_fastest(raw[raw["moe_dtype"].isin(dtypes)], keys), compute)
        tokens, topk, experts, ep = (t[c].astype(float) for c in ("num_tokens", "topk", "num_experts", "moe_ep_size"))
        touched = touched_experts(np, tokens, topk, experts, 0.0) / ep
        hottest = hottest_rank(np, tokens, experts, ep)
        yield name, t.assign(
            rank_tokens=tokens * topk / ep, hottest=hottest, active=np.minimum(touched * hottest, experts / ep),
            local=experts / ep, tokens=tokens, hidden=t["hidden_size"].astype(float),
            inner=t["inter_size"].astype(float) / t["moe_tp_size"],
            matrices=3.0, width=width,
        )  # fmt: skip


def linear(root: Path) -> Iterator[tuple[str, Table]]:
    raw = tables(root, "linear_attention", "gdn_perf.parquet")
    raw = raw[~raw["kernel_source"].str.contains("conv")]
    keys = ["phase", "batch_size", "seq_len", "num_k_heads", "num_v_heads", "head_k_dim", "head_v_dim"]
    t = _with_machine(_median(raw, keys), "bf16")
    b, s, hk, hv, dk, dv = (
        t[c].astype(float) for c in ("batch_size", "seq_len", "num_k_heads", "num_v_heads", "head_k_dim", "head_v_dim")
    )
    tokens = b * s
    decode = (t["phase"] == "generation").to_numpy()
    state, io = 4 * hv * dk * dv, 2 * tokens * (2 * hk * dk + 2 * hv * dv)
    flops = 6 * tokens * hv * dk * dv + np.where(decode, 0, 2 * tokens * 64 * hv * (3 * dk + 2 * dv))
    passes = np.where(decode, tokens, np.maximum(b, tokens / 64))
    t = t.assign(flops=flops, moved=2 * state * passes + io, per_sequence=s)
    yield "linear_attention_prefill", t[~decode]
    yield "linear_attention_decode", t[decode]


def elementwise(root: Path) -> Iterator[tuple[str, Table]]:
    t = _with_machine(_median(tables(root, "quantize", "scale_matrix_perf.parquet"), ["m", "k"]), "bf16")
    yield "elementwise", t.assign(moved=3.0 * t["m"] * t["k"])


def collectives(root: Path) -> Iterator[tuple[str, Table]]:
    links = {name: chip(name).value("scaleup_bytes_per_s") for name in CHIPS.values()}
    raw = tables(root, "comm", "custom_allreduce_perf.parquet")
    # eager rows time the host's launch; engines replay graphs
    raw = raw[~raw["kernel_source"].str.contains("eager")].rename(columns={"num_gpus": "ranks", "message_size": "elements"})
    t = _median(raw, ["ranks", "elements"])
    n = t["ranks"].astype(float)
    yield (
        "all_reduce",
        t.assign(
            time=t["latency"] * 1e-3, message=t["elements"] * 2.0, factor=2 * (n - 1) / n, link=t["chip"].map(links), ranks=n
        ),
    )
    raw = tables(root, "comm", "nccl_perf.parquet").rename(columns={"num_gpus": "ranks", "message_size": "elements"})
    raw = raw[raw["nccl_dtype"] == "half"]
    for op, kind in (("all_gather", "all_gather"), ("reduce_scatter", "reduce_scatter"), ("alltoall", "all_to_all")):
        t = _median(raw[raw["op_name"] == op], ["ranks", "elements"])
        n = t["ranks"].astype(float)
        yield (
            kind,
            t.assign(
                time=t["latency"] * 1e-3, message=t["elements"] * 2.0, factor=(n - 1) / n, link=t["chip"].map(links), ranks=n
            ),
        )


READERS: tuple[Callable[[Path], Iterator[tuple[str, Table]]], ...] = (
    gemm, attention, latent, moe, linear, elementwise, collectives,
)  # fmt: skip
