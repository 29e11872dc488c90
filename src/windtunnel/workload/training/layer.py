"""A layer of one micro-batch, forward and backward, as operators of one rank.

The forward pass is that of ``workload.llm`` (what an engine does with a prompt); of every matrix product the backward pass
makes two, one for its input's gradient and one for its weights'. Experts are one product a matrix over all that a rank holds
(grouped), evenly loaded: training balances its router.
"""

from __future__ import annotations

from dataclasses import replace

from windtunnel.catalog.model import AttentionSpec, FfnSpec, Layer, ModelSpec
from windtunnel.workload.llm.attention import attention_blocks
from windtunnel.workload.llm.ffn import ffn_blocks
from windtunnel.workload.llm.grouped import local_kv_heads
from windtunnel.workload.llm.parallel import ParallelPlan
from windtunnel.workload.ops import (
    Attention,
    AttentionBackward,
    Collective,
    Elementwise,
    Gemm,
    LinearAttention,
    Op,
    activation_bytes,
)
from windtunnel.workload.training.collected import Collected, Exchange, LayerWork
from windtunnel.workload.training.cut import Cut
from windtunnel.workload.training.permute import permuting

LINEAR_BACKWARD = 2.5
"""Work of a chunked linear attention's gradient over its own, as of attention: five products where it has two."""


def layer_work(spec: ModelSpec, layer: Layer, cut: Cut) -> LayerWork:
    """One layer of ``spec`` under ``cut``."""
    parts = _Parts(float(spec.hidden), cut)
    if layer.attention is not None:
        parts.attention(layer.attention, spec.hidden)
    if layer.ffn is not None:
        if layer.ffn.experts:
            parts.mixture(layer.ffn, spec.hidden)
        else:
            parts.dense(layer.ffn, spec.hidden)
    return parts.done()


def head_work(spec: ModelSpec, cut: Cut) -> LayerWork:
    """The last norm, the product with the vocabulary and the loss; logits are kept in FP32 until their gradient."""
    hidden, vocabulary, m = float(spec.hidden), -(-spec.vocab // cut.tp), cut.tokens
    parts = _Parts(hidden, cut)
    parts.norm("final_norm")
    parts.enter()
    head = Gemm("lm_head", m, vocabulary, hidden, "bf16")
    parts.product(head)
    # 16-bit logits become FP32, their largest is found, they are raised and summed, divided; the gradient reads and writes
    parts.forward.append(Elementwise("loss", 18.0 * m * vocabulary))
    parts.backward.append(Elementwise("loss_backward", 6.0 * m * vocabulary))
    parts.keep(4.0 * m * vocabulary)
    return parts.done()


def embedding_work(spec: ModelSpec, cut: Cut) -> LayerWork:
    """Rows of the table read and, of the gradient, added to."""
    hidden, m = float(spec.hidden), cut.tokens
    parts = _Parts(hidden, cut)
    parts.forward.append(Elementwise("embedding", 4.0 * m * hidden))
    parts.weights.append(Elementwise("embedding_gradient", 10.0 * m * hidden))
    parts.leave()
    return parts.done()


class _Parts(Collected):
    """Attention and feed-forward, on top of what all parts of a model share."""

    def attention(self, spec: AttentionSpec, hidden: int) -> None:
        cut = self.cut
        self.norm("attn_norm")
        self.enter()
        ops: list[Op] = []
        for block in attention_blocks([(spec, 1.0)], hidden, cut.tp, cut.precision):
            block.emit(cut.shared, ops)
        first = True
        for op in ops:
            if isinstance(op, Gemm):
                # the first product's input is the norm's result; so is that of others as wide
                normed = op.k == hidden and not op.name.startswith("o_")
                up = op.name in ("q_b_proj", "kv_b_proj") and spec.kind == "mla"
                if up:
                    self.again.append(op)
                self.product(op, keep=first or not normed, spared=normed or up, own=normed)
                first = False
            elif isinstance(op, Attention):
                self._core(op, spec)
            elif isinstance(op, LinearAttention):
                self.forward.append(op)
                self.backward.append(replace(op, name=f"{op.name}_backward", count=op.count * LINEAR_BACKWARD))
                self.keep(2.0 * op.tokens * (2.0 * op.k_heads * op.k_dim + op.v_heads * op.v_dim))
            elif isinstance(op, Elementwise):
                self.pointwise(op, _kept_of(op))
        if cut.dropout and cut.tp == 1:
            self.keep(cut.own * self.hidden)
        self.leave()

    def _core(self, op: Attention, spec: AttentionSpec) -> None:
        cut = self.cut
        self.forward.append(op)
        self.backward.append(AttentionBackward(f"{op.name}_backward", op, op.count))
        if op.name.startswith("index"):
            return
        q = 2.0 * op.batch * op.q_len * op.q_heads * op.qk_dim
        kv = 2.0 * op.batch * op.q_len * op.kv_heads * (op.qk_dim + op.v_dim)
        self.keep((q + kv) * op.count, (q + kv) * op.count if spec.kind == "mla" else 0.0)
        if cut.flash:
            self.keep(4.0 * op.batch * op.q_len * op.q_heads * op.count)
        else:
            # softmax's result and what follows its dropout, 16 bit, and a mask: all run again where recomputed
            scores = op.batch * op.q_heads * op.q_len * cut.length * op.count
            size = scores * (5.0 if cut.dropout else 2.0)
            self.keep(size, size)
        if cut.cp > 1:
            heads = local_kv_heads(spec, cut.tp) if spec.kind == "gqa" else op.kv_heads
            gathered = 2.0 * cut.sequences * cut.length * heads * (op.qk_dim + op.v_dim) * op.count
            ranks = float(cut.cp)
            self.exchanges += [
                Exchange(Collective("cp_gather", "all_gather", gathered, ranks), "cp", True),
                Exchange(Collective("cp_gather_again", "all_gather", gathered, ranks), "cp", False),
                Exchange(Collective("cp_gradient_scatter", "reduce_scatter", gathered, ranks), "cp", False),
            ]

    def dense(self, spec: FfnSpec, hidden: int) -> None:
        self.norm("ffn_norm")
        self.enter()
        self._matrices(spec, hidden)
        if self.cut.dropout and self.cut.tp == 1:
            self.keep(self.cut.own * self.hidden)
        self.leave()

    def _matrices(self, spec: FfnSpec, hidden: int, *, keep_input: bool = True) -> None:
        cut = self.cut
        ops: list[Op] = []
        for block in ffn_blocks([(spec, 1.0)], hidden, ParallelPlan(tp=cut.tp), cut.precision):
            block.emit(cut.shared, ops)
        for op in ops:
            if isinstance(op, Gemm):
                up = not op.name.endswith("_down")
                self.product(op, keep=keep_input or not up, spared=True, own=up)
            elif isinstance(op, Elementwise):
                self.pointwise(op, _kept_of(op, spec.gated), again=op.name.endswith("_act"))

    def mixture(self, spec: FfnSpec, hidden: int) -> None:
        """Router, shared experts, tokens to experts and back, grouped products."""
        cut, width = self.cut, float(spec.latent or hidden)
        own = cut.tokens / cut.tp
        self.norm("ffn_norm")
        self.product(Gemm("router", own, float(spec.experts), float(hidden), "bf16"), spared=True)
        self.pointwise(Elementwise("router_topk", own * (4.0 * spec.experts + 8.0 * spec.topk)), 4.0 * own * spec.experts)
        gathered = bool(spec.shared_intermediate) or cut.etp > 1
        if gathered:
            self.enter()
        if spec.shared_intermediate:
            self._matrices(FfnSpec(spec.shared_intermediate, gated=spec.gated), hidden, keep_input=False)
        if spec.latent:
            self.product(Gemm("expert_in_proj", own, width, float(hidden), cut.precision.dense), keep=False)
        rows = own * spec.topk * cut.etp
        self._send(own, spec.topk, width)
        self._order(rows, width, spec)
        local, inner = spec.experts / cut.ep, spec.intermediate / cut.etp
        each, fan = rows / local, 2.0 if spec.gated else 1.0
        dtype = cut.precision.experts
        self.product(Gemm("experts_up", each, fan * inner, width, dtype, 1.0, local))
        act = Elementwise("experts_act", 2.0 * rows * (fan + 1.0) * inner)
        inputs = _kept_of(act, spec.gated)
        self.pointwise(act, inputs, again=True)
        if activation_bytes(dtype) < 2.0:
            # where memory is saved, what the activation function needs is kept as narrow as the products' inputs
            self.keep(0.0, spared=inputs * (1.0 - activation_bytes(dtype) / 2.0))
        self.product(Gemm("experts_down", each, width, inner, dtype, 1.0, local), spared=True)
        if spec.latent:
            self.product(Gemm("expert_out_proj", own, float(hidden), width, cut.precision.dense))
        if gathered:
            self.leave()

    def _order(self, rows: float, width: float, spec: FfnSpec) -> None:
        """``rows`` copies of tokens put in the order of experts, and back; what is in order is kept as the products' input."""
        fused = self.cut.permute
        forward, backward = permuting(rows * width, spec.topk, fused=fused, sort=1 < self.cut.ep < spec.experts)
        self.forward += forward
        self.backward += backward
        if not fused:
            # the gradient of probabilities needs what the experts answered
            self.keep(2.0 * rows * width)

    def _send(self, own: float, topk: int, width: float) -> None:
        cut = self.cut
        if cut.ep == 1:
            return
        # copies to the own rank do not travel: the cost model's all-to-all takes them off
        ranks = float(cut.ep)
        copies = ranks * (1.0 - (1.0 - 1.0 / ranks) ** topk) if cut.once else float(topk)
        there = own * copies * width * activation_bytes(cut.precision.dispatch)
        back = 2.0 * own * copies * width
        for forward in (True, False):
            name = "" if forward else "_backward"
            self.exchanges += [
                Exchange(Collective(f"dispatch{name}", "all_to_all", there, ranks), "ep", forward),
                Exchange(Collective(f"combine{name}", "all_to_all", back, ranks), "ep", forward),
            ]


_INPUTS = {"latent_norm": 1.0 / 2.0, "attn_gate": 2.0 / 3.0, "linear_conv": 1.0 / 2.0, "linear_norm_gate": 2.0 / 3.0}
"""Of an element-wise operator's bytes, the share that it read and its gradient needs."""


def _kept_of(op: Elementwise, gated: bool = True) -> float:
    share = (2.0 / 3.0 if gated else 1.0 / 2.0) if op.name.endswith("_act") else _INPUTS.get(op.name, 0.0)
    return op.bytes * share * op.count
