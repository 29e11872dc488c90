"""The feed-forward layers of a step, dense and mixtures of experts, with the collectives that spread tokens."""

from __future__ import annotations

from windtunnel.catalog.model import FfnSpec
from windtunnel.workload.llm.block import Block, quantise
from windtunnel.workload.llm.parallel import ParallelPlan
from windtunnel.workload.llm.precision import QUANTISED_INPUTS, PrecisionPlan
from windtunnel.workload.llm.tokens import StepTokens
from windtunnel.workload.ops import Collective, Elementwise, Gemm, MoE, Op, activation_bytes


def ffn_blocks(
    layers: list[tuple[FfnSpec, float]], hidden: int, parallel: ParallelPlan, precision: PrecisionPlan, prefix: str = ""
) -> list[Block]:
    """Blocks for ``layers`` (a feed-forward and how many layers have it), equal ones merged."""
    merged: dict[FfnSpec, float] = {}
    for spec, count in layers:
        merged[spec] = merged.get(spec, 0.0) + count
    blocks: list[Block] = []
    for spec, count in merged.items():
        if spec.experts:
            blocks.append(MixtureBlock(spec, count, hidden, parallel, precision, prefix))
        else:
            blocks.append(DenseBlock(spec, count, hidden, parallel.tp, precision, prefix))
    return blocks


class _Matrices:
    """Up (and gate), activation, down: of a dense layer or of the shared experts."""

    def __init__(self, name: str, width: float, gated: bool, hidden: int, count: float, dtype: str) -> None:
        self.count, self.dtype, self.hidden, self.width = count, dtype, float(hidden), width
        self.fan = 2.0 if gated else 1.0
        self.quantised = dtype in QUANTISED_INPUTS
        self.up, self.act, self.down = f"{name}_{'gate_up' if gated else 'up'}", f"{name}_act", f"{name}_down"
        self.quant_in, self.quant_mid = f"{name}_quant", f"{name}_act_quant"

    def emit(self, m: float, out: list[Op], times: float) -> None:
        count = self.count * times
        if self.quantised:
            out.append(quantise(self.quant_in, m, self.hidden, self.dtype, count))
        out.append(Gemm(self.up, m, self.fan * self.width, self.hidden, self.dtype, count))
        out.append(Elementwise(self.act, 2.0 * m * (self.fan + 1.0) * self.width, count=count))
        if self.quantised:
            out.append(quantise(self.quant_mid, m, self.width, self.dtype, count))
        out.append(Gemm(self.down, m, self.hidden, self.width, self.dtype, count))


class DenseBlock:
    """A dense feed-forward, cut tp ways and summed over the group."""

    def __init__(self, spec: FfnSpec, count: float, hidden: int, tp: int, precision: PrecisionPlan, prefix: str) -> None:
        self.matrices = _Matrices(f"{prefix}ffn", spec.intermediate / tp, spec.gated, hidden, count, precision.dense)
        self.count, self.hidden, self.tp, self.name = count, float(hidden), tp, f"{prefix}ffn_all_reduce"

    def emit(self, tokens: StepTokens, out: list[Op], times: float = 1.0) -> None:
        m = tokens.tokens
        self.matrices.emit(m, out, times)
        if self.tp > 1:
            out.append(Collective(self.name, "all_reduce", 2.0 * m * self.hidden, float(self.tp), self.count * times))


class MixtureBlock:
    """Router, routed and shared experts, and how tokens get to them and back.

    One data-parallel group: every rank has all tokens, computes what its experts add, and an all-reduce sums.
    Several groups: each rank takes its share of its group's tokens. Where experts are whole (moe_tp 1) it sends
    them to the ranks of the chosen experts and gets results back; where they are cut it gathers all tokens and
    scatters the sums. Shared experts then are whole on every rank and see the rank's share. With a latent width,
    tokens are projected to it before they are sent and back after they return.
    """

    def __init__(
        self, spec: FfnSpec, count: float, hidden: int, parallel: ParallelPlan, precision: PrecisionPlan, prefix: str
    ) -> None:
        self.count, self.hidden, self.spec, self.prefix = count, float(hidden), spec, prefix
        self.tp, self.dp, self.chips = parallel.tp, parallel.dp, float(parallel.stage_chips)
        self.ep, self.moe_tp = float(parallel.moe_ep), float(parallel.moe_tp)
        self.spread = parallel.dp > 1
        self.dtype, self.beside = precision.experts, precision.dense
        self.latent, self.width = float(spec.latent), float(spec.latent or hidden)
        self.experts, self.topk, self.intermediate = float(spec.experts), float(spec.topk), float(spec.intermediate)
        # a token is sent once to each rank that holds one of its experts
        self.targets = self.ep * (1.0 - (1.0 - 1.0 / self.ep) ** spec.topk)
        self.dispatch_bytes = activation_bytes(precision.dispatch)
        shared = spec.shared_intermediate / (1 if self.spread else parallel.tp)
        self.shared = _Matrices(f"{prefix}shared", shared, spec.gated, hidden, count, precision.dense) if shared else None

    def emit(self, tokens: StepTokens, out: list[Op], times: float = 1.0) -> None:
        m, count, prefix, hidden = tokens.tokens, self.count * times, self.prefix, self.hidden
        own = m / self.tp if self.spread else m
        out.append(Gemm(f"{prefix}router", own, self.experts, hidden, "bf16", count))
        out.append(Elementwise(f"{prefix}router_topk", own * (4.0 * self.experts + 8.0 * self.topk), count=count))
        if self.shared:
            self.shared.emit(own, out, times)
        if self.latent:
            out.append(Gemm(f"{prefix}expert_in_proj", own, self.latent, hidden, self.beside, count))
        if self.spread:
            self._emit_spread(m, own, out, count)
        out.append(MoE(f"{prefix}experts", m * self.dp, self.width, self.intermediate, self.experts, self.topk, self.dtype,
                       self.ep, self.moe_tp, self.spec.gated, count))  # fmt: skip
        if self.spread:
            self._emit_gathered(m, own, out, count)
        if self.latent:
            out.append(Gemm(f"{prefix}expert_out_proj", own, hidden, self.latent, self.beside, count))
        if self.tp > 1 and self.spread:
            out.append(Collective(f"{prefix}moe_all_gather_tp", "all_gather", 2.0 * m * hidden, float(self.tp), count))
        elif self.tp > 1:
            out.append(Collective(f"{prefix}moe_all_reduce", "all_reduce", 2.0 * m * hidden, float(self.tp), count))

    def _emit_spread(self, m: float, own: float, out: list[Op], count: float) -> None:
        """Tokens to experts: sent to the chosen ones, or gathered everywhere."""
        if self.moe_tp == 1.0:
            sent = own * self.targets * self.width * self.dispatch_bytes
            out.append(Collective(f"{self.prefix}dispatch", "all_to_all", sent, self.chips, count))
        else:
            gathered = m * self.dp * self.width * self.dispatch_bytes
            out.append(Collective(f"{self.prefix}moe_all_gather", "all_gather", gathered, self.chips, count))

    def _emit_gathered(self, m: float, own: float, out: list[Op], count: float) -> None:
        """Results, in 16 bit, back to the ranks that own the tokens."""
        if self.moe_tp == 1.0:
            sent = 2.0 * own * self.targets * self.width
            out.append(Collective(f"{self.prefix}combine", "all_to_all", sent, self.chips, count))
        else:
            partial = 2.0 * m * self.dp * self.width
            out.append(Collective(f"{self.prefix}moe_reduce_scatter", "reduce_scatter", partial, self.chips, count))
