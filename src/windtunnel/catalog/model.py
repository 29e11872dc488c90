"""What a language model is, as far as its speed goes: layers, widths, experts, and how its weights are stored.

Legend of letters used below: h hidden size, s tokens of context.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class AttentionSpec:
    """One layer's token mixer.

    gqa: q_heads share kv_heads, head widths qk_dim and v_dim, window 0 means full attention.
      q_lora_rank and o_lora_rank: the query and output projections go through a narrower width (per group of
      heads for the output; o_groups of them); 0 means directly.
    mla: multi-head latent attention; per-head query width is nope_dim + rope_dim, the cache holds
      kv_lora_rank + rope_dim numbers a token; q_lora_rank 0 means that queries are projected directly.
    linear: gated delta rule, Mamba-2 and kin; no cache but a state of kv_heads * qk_dim * v_dim a sequence;
      q_heads are the key heads (Mamba-2: groups), kv_heads the value heads; qk_dim is Mamba's state size.
      conv_width: taps of the short convolution before it. decay_rank: one decay a channel, projected through
      this rank (Kimi delta attention), 0: one a head. gate_rank: rank of the output gate, 0: full width.
    topk: with sparse attention, the number of keys that each query is allowed to see; the indexer
      that chooses them has index_heads of index_dim and caches index_dim numbers a token. index_heads 0 with
      topk > 0: the choice of an earlier layer is used again.
    gated: the output is multiplied by a learned gate (doubles the query projection).
    compress: DeepSeek-V4's compressed attention: one cache entry stands for ``compress`` tokens; a query sees
      the last ``window`` tokens themselves and the compressed entries (the best ``topk`` of them, where > 0). 0: none.
    shared_kv: one cached vector of qk_dim serves as key and as value.
    v_from_k: values are the unprojected keys (no value projection), yet both are cached.
    reuses_kv: the layer reads an earlier layer's keys and values: it has neither projections for them nor a cache.
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
    compress: int = 0
    shared_kv: bool = False
    v_from_k: bool = False
    reuses_kv: bool = False
    o_lora_rank: int = 0
    o_groups: int = 1
    decay_rank: int = 0
    gate_rank: int = 0

    @property
    def entry_numbers(self) -> int:
        """Numbers in one cache entry of this layer, the indexer's key left out."""
        if self.kind == "linear" or self.reuses_kv:
            return 0
        if self.kind == "mla":
            return self.kv_lora_rank + self.rope_dim
        return self.kv_heads * (self.qk_dim if self.shared_kv else self.qk_dim + self.v_dim)

    @property
    def cache_numbers(self) -> float:
        """Numbers that the KV cache keeps for one token of one layer (0 where the state does not grow).

        A sliding window is not taken into account here, compression is: see ``cache_numbers_of``.
        """
        index = self.index_dim if self.index_heads else 0
        return (self.entry_numbers + index) / (self.compress or 1)

    def cache_numbers_of(self, context: float) -> float:
        """Numbers that this layer keeps for one sequence of ``context`` tokens, without the recurrent state."""
        if self.compress:
            return min(context, self.window) * self.entry_numbers + context * self.cache_numbers
        return (min(context, self.window) if self.window else context) * self.cache_numbers

    def keys_seen(self, context: float) -> float:
        """Keys that the query of token ``context`` looks at."""
        if self.kind == "linear":
            return 0.0
        if self.compress:
            entries = context / self.compress
            return min(context, self.window) + (min(entries, self.topk) if self.topk else entries)
        return min(context, self.window or context, self.topk or context)

    @property
    def state_numbers(self) -> int:
        """Numbers of recurrent state that one sequence keeps in this layer."""
        return self.kv_heads * self.qk_dim * self.v_dim if self.kind == "linear" else 0


@dataclass(frozen=True, slots=True)
class FfnSpec:
    """One layer's feed-forward: dense (experts 0) or a mixture with topk of ``experts`` and shared ones.

    intermediate: width of the dense layer or of one routed expert; shared_intermediate: total width of the
    shared experts, or of a dense layer that runs beside the routed ones; gated: three matrices (SwiGLU)
    rather than two. latent: the routed experts work on a projection of this width instead of h (two more
    matrices, h x latent and back); 0: on h itself.
    """

    intermediate: int
    experts: int = 0
    topk: int = 0
    shared_intermediate: int = 0
    gated: bool = True
    latent: int = 0


@dataclass(frozen=True, slots=True)
class Layer:
    """``count`` equal layers; a missing mixer or feed-forward is None (hybrid models alternate)."""

    count: int
    attention: AttentionSpec | None
    ffn: FfnSpec | None


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A decoder-only language model.

    layers: equal layers are counted together, wherever they stand; the order in the model is not kept.
    precision: how the checkpoint stores its matrices (bf16, fp16, fp32, fp8, fp4, int8, w4a16, w4a8);
    attention_precision, expert_precision: where these parts differ from it; the embedding and the output
    head stay 16 bit. fp4 does not say that a chip computes in four bits: it is the stored type (NVFP4, MXFP4),
    w4a16 is integer or weight-only four bit. kv_precision: what the checkpoint asks of the cache; empty: nothing.
    mtp_layers: layers of multi-token prediction that the checkpoint carries.
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
    kv_precision: str = ""

    @property
    def n_layers(self) -> int:
        return sum(layer.count for layer in self.layers)

    def attention_parameters(self, spec: AttentionSpec) -> int:
        """Weights of one layer's mixer; norms, biases and per-head scalars are left out."""
        total = {"mla": self._mla_parameters, "linear": self._linear_parameters, "gqa": self._gqa_parameters}[spec.kind](spec)
        if spec.index_heads:
            # the indexer: its queries from the latent query where there is one, one key, one weight a head
            keys = spec.index_dim * (4 if spec.compress else 1)
            total += (spec.q_lora_rank or self.hidden) * spec.index_heads * spec.index_dim
            total += self.hidden * (keys + spec.index_heads)
        return total

    def _query_parameters(self, spec: AttentionSpec, width: int) -> int:
        if spec.q_lora_rank:
            return spec.q_lora_rank * (self.hidden + width)
        return self.hidden * width

    def _mla_parameters(self, spec: AttentionSpec) -> int:
        h = self.hidden
        query = self._query_parameters(spec, spec.q_heads * (spec.nope_dim + spec.rope_dim))
        latent = h * (spec.kv_lora_rank + spec.rope_dim) + spec.kv_lora_rank * spec.q_heads * (spec.nope_dim + spec.v_dim)
        return query + latent + spec.q_heads * spec.v_dim * h * (2 if spec.gated else 1)

    def _linear_parameters(self, spec: AttentionSpec) -> int:
        h, value = self.hidden, spec.kv_heads * spec.v_dim
        mixed = 2 * spec.q_heads * spec.qk_dim + value  # what the short convolution runs over
        gate = spec.gate_rank * (h + value) if spec.gate_rank else h * value
        scalars = h * spec.kv_heads * (1 if spec.decay_rank else 2)
        decay = spec.decay_rank * (h + spec.kv_heads * spec.qk_dim)
        return h * mixed + gate + scalars + decay + spec.conv_width * mixed + value * h

    def _gqa_parameters(self, spec: AttentionSpec) -> int:
        h = self.hidden
        out = spec.q_heads * spec.v_dim
        total = self._query_parameters(spec, spec.q_heads * spec.qk_dim) + (h * out if spec.gated else 0)
        single = spec.shared_kv or spec.v_from_k
        if not spec.reuses_kv:
            total += h * spec.kv_heads * (spec.qk_dim if single else spec.qk_dim + spec.v_dim)
        if spec.compress:
            # the compressor: an entry and its mixing weights a token, twice over where entries overlap (sparse)
            total += 2 * h * spec.qk_dim * (2 if spec.topk else 1)
        if spec.o_lora_rank:
            return total + out * spec.o_lora_rank + spec.o_groups * spec.o_lora_rank * h
        return total + out * h

    def ffn_parameters(self, spec: FfnSpec, *, active: bool = False) -> int:
        """Weights of one layer's feed-forward; active: only those that one token passes through."""
        matrices = 3 if spec.gated else 2
        if not spec.experts:
            return matrices * self.hidden * spec.intermediate
        routed = (spec.topk if active else spec.experts) * matrices * (spec.latent or self.hidden) * spec.intermediate
        beside = self.hidden * (matrices * spec.shared_intermediate + spec.experts + 2 * spec.latent)
        return routed + beside

    @property
    def embedding_parameters(self) -> int:
        """Weights of the embedding and of the output head."""
        return self.vocab * self.hidden * (1 if self.tied_embeddings else 2)

    def _parameters(self, active: bool) -> int:
        total = self.embedding_parameters
        for layer in self.layers:
            if layer.attention is not None:
                total += layer.count * self.attention_parameters(layer.attention)
            if layer.ffn is not None:
                total += layer.count * self.ffn_parameters(layer.ffn, active=active)
        return total

    @property
    def parameters(self) -> int:
        """All weights of the main model (without multi-token-prediction layers), norms and biases left out."""
        return self._parameters(active=False)

    @property
    def active_parameters(self) -> int:
        """Weights that one token passes through, embedding and head included."""
        return self._parameters(active=True)

    @property
    def is_moe(self) -> bool:
        return any(layer.ffn is not None and layer.ffn.experts for layer in self.layers)

    @property
    def cache_numbers_per_token(self) -> float:
        """Numbers that each further token of a long context adds to the KV cache, over all layers."""
        mixers = [(layer.count, layer.attention) for layer in self.layers if layer.attention is not None]
        return sum(count * spec.cache_numbers for count, spec in mixers if spec.compress or not spec.window)

    def cache_numbers_of(self, context: float) -> float:
        """Numbers that the KV cache keeps for one sequence of ``context`` tokens, over all layers."""
        mixers = [(layer.count, layer.attention) for layer in self.layers if layer.attention is not None]
        return sum(count * spec.cache_numbers_of(context) for count, spec in mixers)

    @property
    def state_numbers(self) -> int:
        """Numbers of recurrent state of one sequence, over all layers."""
        return sum(layer.count * layer.attention.state_numbers for layer in self.layers if layer.attention is not None)

    def precision_of(self, part: Literal["attention", "experts", "rest"]) -> str:
        """The storage type of the checkpoint's attention projections, routed experts, or other matrices."""
        chosen = {"attention": self.attention_precision, "experts": self.expert_precision, "rest": ""}[part]
        return chosen or self.precision
