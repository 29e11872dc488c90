"""Chips with other figures than they have, and operators of every family."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from windtunnel.catalog import Chip, chip
from windtunnel.errors import WindtunnelError
from windtunnel.workload.ops import Attention, Collective, Elementwise, Gemm, LinearAttention, MoE, Op

COMPUTE = ("matrix_flops_per_s.", "vector_flops_per_s.")
MEMORY = ("memory_bytes_per_s",)
LINK = ("scaleup_bytes_per_s", "scaleout_bytes_per_s")

FITTED = ("h100-sxm", "b200-sxm", "l40s", "a100-sxm-80gb")
OTHERS = ("mi300x", "ascend-910b3", "rtx-4090", "h800-sxm", "gaudi3", "br100", "ascend-310p")


def scaled(name: str, prefixes: tuple[str, ...], factor: float) -> Chip:
    """The chip with the figures that start so multiplied."""
    of = chip(name)
    figures = {
        key: replace(fact, value=fact.value * factor) if key.startswith(prefixes) else fact for key, fact in of.figures.items()
    }
    return replace(of, figures=figures)


def explains(refusal: WindtunnelError, of: Chip) -> bool:
    """Whether an error is one line that names the chip."""
    return of.id in str(refusal) and "\n" not in str(refusal)


def _whole(low: int, high: int) -> st.SearchStrategy[float]:
    return st.integers(low, high).map(float)


DTYPES = st.sampled_from(["bf16", "fp8", "int8", "w4a16", "fp4", "w8a8_dynamic"])
ROWS = st.one_of(_whole(1, 64), _whole(1, 20_000))
WIDTHS = st.sampled_from([64.0, 128.0, 512.0, 1536.0, 4096.0, 7168.0, 16384.0])

gemms = st.builds(Gemm, st.just("g"), ROWS, WIDTHS, WIDTHS, DTYPES, batch=st.sampled_from([1.0, 16.0]))
passes = st.builds(Elementwise, st.just("e"), _whole(1, 10**10))
mixtures = st.builds(
    MoE, st.just("m"), ROWS, WIDTHS, st.sampled_from([256.0, 768.0, 2048.0]), st.sampled_from([8.0, 64.0, 128.0, 256.0]),
    st.sampled_from([1.0, 4.0, 8.0]), DTYPES, st.sampled_from([1.0, 2.0, 8.0]), st.sampled_from([1.0, 2.0, 8.0]),
)  # fmt: skip
_SEEN = {
    "qk_dim": st.sampled_from([64.0, 128.0, 192.0]),
    "v_dim": st.sampled_from([64.0, 128.0]),
    "kv_dtype": st.sampled_from(["bf16", "fp8"]),
    "window": st.sampled_from([0.0, 128.0, 4096.0]),
    "topk": st.sampled_from([0.0, 2048.0]),
}
decodes = st.builds(
    Attention, st.just("d"), st.just("decode"), _whole(1, 512), st.sampled_from([1.0, 2.0]), _whole(2, 200_000),
    st.sampled_from([8.0, 32.0, 128.0]), st.sampled_from([1.0, 8.0]), mla=st.just(False), **_SEEN,
)  # fmt: skip
latents = st.builds(
    Attention, st.just("l"), st.just("decode"), _whole(1, 512), st.just(1.0), _whole(1, 200_000),
    st.sampled_from([16.0, 128.0]), st.just(1.0), st.just(576.0), st.just(512.0), st.sampled_from(["bf16", "fp8"]), st.just(True),
)  # fmt: skip


def _prompt(batch: float, new: float, past: float, heads: float, mla: bool, seen: dict[str, float | str]) -> Attention:
    return Attention(
        "p", "prefill", batch, new, past + new, heads, 1.0 if mla else heads / 8.0, float(seen["qk_dim"]), float(seen["v_dim"]),
        str(seen["kv_dtype"]), mla, float(seen["window"]), float(seen["topk"]),
    )  # fmt: skip


prompts = st.builds(
    _prompt, _whole(1, 8), _whole(1, 16_384), _whole(0, 100_000), st.sampled_from([8.0, 64.0]), st.booleans(),
    st.fixed_dictionaries(_SEEN),
)  # fmt: skip
states = st.builds(
    LinearAttention, st.just("s"), st.sampled_from(["prefill", "decode"]), _whole(1, 64), _whole(64, 16_384),
    st.just(16.0), st.sampled_from([16.0, 32.0]), st.just(128.0), st.just(128.0),
)  # fmt: skip
computing = st.one_of(gemms, passes, mixtures, decodes, latents, prompts, states)
"""Operators of every family but the collectives."""
sent = st.builds(
    Collective, st.just("c"), st.sampled_from(["all_reduce", "all_gather", "reduce_scatter", "all_to_all", "p2p"]),
    _whole(1, 10**9), st.sampled_from([2.0, 4.0, 8.0]),
)  # fmt: skip

ONE_OF_EACH: tuple[Op, ...] = (
    Gemm("g", 64.0, 4096.0, 4096.0, "bf16"),
    Elementwise("e", 1e6),
    MoE("m", 64.0, 4096.0, 768.0, 128.0, 8.0, "bf16"),
    Attention("p", "prefill", 1.0, 512.0, 512.0, 32.0, 8.0, 128.0, 128.0),
    Attention("d", "decode", 16.0, 1.0, 2048.0, 32.0, 8.0, 128.0, 128.0),
    Attention("pl", "prefill", 1.0, 512.0, 512.0, 16.0, 16.0, 192.0, 128.0, mla=True),
    Attention("l", "decode", 16.0, 1.0, 2048.0, 16.0, 1.0, 576.0, 512.0, mla=True),
    LinearAttention("sp", "prefill", 1.0, 512.0, 16.0, 32.0, 128.0, 128.0),
    LinearAttention("sd", "decode", 16.0, 16.0, 16.0, 32.0, 128.0, 128.0),
    *(Collective(kind, kind, 1e6, 8.0) for kind in ("all_reduce", "all_gather", "reduce_scatter", "all_to_all", "p2p")),
)
