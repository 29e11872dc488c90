"""What a language model is, as far as its speed goes: layers, widths, experts, and how its weights are stored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class AttentionSpec:
    """One layer's token mixer.

    gqa: q_heads share kv_heads, head widths qk_dim and v_dim, window 0 means full attention.
    mla: multi-head latent attention; per-head query width is nope_dim + rope_dim, the cache holds
      kv_lora_rank + rope_dim numbers a token; q_lora_rank 0 means that queries are projected directly.
    linear: gated delta rule, Mamba-2 and kin; no cache but a state of v_heads * qk_dim * v_dim a sequence;
      q_heads are the key heads, kv_heads the value heads.
    topk: with sparse attention, the number of keys that each query is allowed to see; the indexer
      that chooses them has index_heads of index_dim and caches index_dim numbers a token.
    gated: the output is multiplied by a learned gate (doubles the query projection).
    """

    kind: Literal["gqa", "mla", "linear"]
    q_heads: int
    kv_heads: int
    qk_dim: int
    v_dim: int
    window: int = 0
    q_lora_rank: int = 0
    kv_lora_rank: int = 0
    nope_dim: int = 0
    rope_dim: int = 0
    topk: int = 0
    index_heads: int = 0
    index_dim: int = 0
    conv_width: int = 0
    gated: bool = False

    @property
    def cache_numbers(self) -> int:
        """Numbers that the KV cache keeps for one token of one layer (0 where the state does not grow)."""
        if self.kind == "linear":
            return 0
        if self.kind == "mla":
            return self.kv_lora_rank + self.rope_dim + self.index_dim
        return self.kv_heads * (self.qk_dim + self.v_dim) + self.index_dim

    @property
    def state_numbers(self) -> int:
        """Numbers of recurrent state that one sequence keeps in this layer."""
        return self.kv_heads * self.qk_dim * self.v_dim if self.kind == "linear" else 0


@dataclass(frozen=True, slots=True)
class FfnSpec:
    """One layer's feed-forward: dense (experts 0) or a mixture with topk of ``experts`` and shared ones.

    intermediate: width of the dense layer or of one routed expert; shared_intermediate: total width of the
    shared experts; gated: three matrices (SwiGLU) rather than two.
    """

    intermediate: int
    experts: int = 0
    topk: int = 0
    shared_intermediate: int = 0
    gated: bool = True


@dataclass(frozen=True, slots=True)
class Layer:
    """``count`` equal layers; a missing mixer or feed-forward is None (hybrid models alternate)."""

    count: int
    attention: AttentionSpec | None
    ffn: FfnSpec | None


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A decoder-only language model.

    precision: how the checkpoint stores most weights (bf16, fp8, fp4, int8, w4a16);
    attention_precision, expert_precision: where these parts differ from it; the embedding and the output
    head stay 16 bit. mtp_layers: layers of multi-token prediction that the checkpoint carries.
    source: where the configuration was read.
    """

    id: str
    architecture: str
    hidden: int
    vocab: int
    layers: tuple[Layer, ...]
    precision: str
    source: str
    attention_precision: str = ""
    expert_precision: str = ""
    tied_embeddings: bool = False
    max_context: int = 0
    mtp_layers: int = 0
    aliases: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def n_layers(self) -> int:
        return sum(layer.count for layer in self.layers)

    def attention_parameters(self, spec: AttentionSpec) -> int:
        """Weights of one layer's mixer."""
        h = self.hidden
        if spec.kind == "mla":
            qk = spec.nope_dim + spec.rope_dim
            query = h * spec.q_lora_rank + spec.q_lora_rank * spec.q_heads * qk if spec.q_lora_rank else h * spec.q_heads * qk
            latent = h * (spec.kv_lora_rank + spec.rope_dim) + spec.kv_lora_rank * spec.q_heads * (spec.nope_dim + spec.v_dim)
            total = query + latent + spec.q_heads * spec.v_dim * h
        elif spec.kind == "linear":
            width = 2 * spec.q_heads * spec.qk_dim + 2 * spec.kv_heads * spec.v_dim + 2 * spec.kv_heads
            total = h * width + spec.kv_heads * spec.v_dim * h
        else:
            query = spec.q_heads * spec.qk_dim * (2 if spec.gated else 1)
            total = h * (query + spec.kv_heads * (spec.qk_dim + spec.v_dim)) + spec.q_heads * spec.v_dim * h
        if spec.index_heads:
            total += (spec.q_lora_rank or h) * spec.index_heads * spec.index_dim + h * (spec.index_dim + spec.index_heads)
        return total

    def ffn_parameters(self, spec: FfnSpec, *, active: bool = False) -> int:
        """Weights of one layer's feed-forward; active: only those that one token passes through."""
        matrices = 3 if spec.gated else 2
        if not spec.experts:
            return matrices * self.hidden * spec.intermediate
        routed = (spec.topk if active else spec.experts) * spec.intermediate
        return matrices * self.hidden * (routed + spec.shared_intermediate) + self.hidden * spec.experts

    def _parts(self) -> Iterator[tuple[int, AttentionSpec | None, FfnSpec | None]]:
        for layer in self.layers:
            yield layer.count, layer.attention, layer.ffn

    @property
    def embedding_parameters(self) -> int:
        """Weights of the embedding and of the output head."""
        return self.vocab * self.hidden * (1 if self.tied_embeddings else 2)

    def _parameters(self, active: bool) -> int:
        total = self.embedding_parameters
        for count, attention, ffn in self._parts():
            if attention is not None:
                total += count * self.attention_parameters(attention)
            if ffn is not None:
                total += count * self.ffn_parameters(ffn, active=active)
        return total

    @property
    def parameters(self) -> int:
        """All weights of the main model (without multi-token-prediction layers), norms left out."""
        return self._parameters(active=False)

    @property
    def active_parameters(self) -> int:
        """Weights that one token passes through, embedding and head included."""
        return self._parameters(active=True)

    @property
    def is_moe(self) -> bool:
        return any(ffn is not None and ffn.experts for _, _, ffn in self._parts())

    def precision_of(self, part: Literal["attention", "experts", "rest"]) -> str:
        """The storage type of the checkpoint's attention projections, routed experts, or other matrices."""
        chosen = {"attention": self.attention_precision, "experts": self.expert_precision, "rest": ""}[part]
        return chosen or self.precision
