"""What the parts of a layer have in common: blocks that emit operators, attention cores, quantisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from windtunnel.catalog.model import AttentionSpec
from windtunnel.workload.llm.tokens import StepTokens
from windtunnel.workload.ops import Attention, Elementwise, Op, activation_bytes


class Block(Protocol):
    """Equal layers that turn a step's tokens into one rank's operators; ``times`` multiplies how often they run."""

    def emit(self, tokens: StepTokens, out: list[Op], times: float = 1.0) -> None: ...


def quantise(name: str, rows: float, width: float, dtype: str, count: float) -> Elementwise:
    """Turns rows x width of 16 bit into the matrix unit's input type."""
    return Elementwise(name, rows * width * (2.0 + activation_bytes(dtype)), count=count)


@dataclass(frozen=True, slots=True)
class Core:
    """What a query sees, in ``count`` layers: a window, chosen keys, compressed entries (see AttentionSpec)."""

    window: float
    topk: float
    compress: float
    count: float
    label: str = ""

    @classmethod
    def of(cls, spec: AttentionSpec, count: float) -> Core:
        label = f"_compressed{spec.compress}" if spec.compress else "_window" if spec.window else ""
        return cls(float(spec.window), float(spec.topk), float(spec.compress), count, label)


@dataclass(frozen=True, slots=True)
class Heads:
    """The heads of an attention core on one rank; mla: keys serve as values."""

    q_heads: float
    kv_heads: float
    qk_dim: float
    v_dim: float
    kv_dtype: str
    mla: bool = False

    def decode(self, name: str, tokens: StepTokens, core: Core, times: float) -> Attention:
        return Attention(
            name, "decode", tokens.decode_batch, tokens.decode_q, tokens.decode_kv,
            self.q_heads, self.kv_heads, self.qk_dim, self.v_dim, self.kv_dtype, self.mla,
            core.window, core.topk, core.count * times, core.compress,
        )  # fmt: skip

    def prefill(self, name: str, tokens: StepTokens, core: Core, times: float) -> Attention:
        return Attention(
            name, "prefill", tokens.sequences, tokens.chunk, tokens.prefill_kv,
            self.q_heads, self.kv_heads, self.qk_dim, self.v_dim, self.kv_dtype, self.mla,
            core.window, core.topk, core.count * times, core.compress,
        )  # fmt: skip
