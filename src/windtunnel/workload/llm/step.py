"""One engine step of a language model as the operators of one rank."""

from __future__ import annotations

from windtunnel.catalog.model import Layer, ModelSpec
from windtunnel.errors import InvalidInputError, UnsupportedError
from windtunnel.workload.llm.attention import attention_blocks
from windtunnel.workload.llm.block import Block
from windtunnel.workload.llm.ffn import ffn_blocks
from windtunnel.workload.llm.parallel import ParallelPlan, draft_layer, stage_layers
from windtunnel.workload.llm.precision import PrecisionPlan
from windtunnel.workload.llm.tokens import StepTokens
from windtunnel.workload.ops import Collective, Elementwise, Gemm, Op


class Workload:
    """A model as it is cut and quantised; ``step`` turns tokens into operators.

    Build it once for a deployment: layers are grouped here, and a step only fills in the token counts.
    """

    def __init__(self, spec: ModelSpec, parallel: ParallelPlan, precision: PrecisionPlan) -> None:
        self.spec, self.parallel, self.precision = spec, parallel, precision
        self._layers = _Layers(stage_layers(spec, parallel.pp), spec.hidden, parallel, precision, "")
        self._drafts: _Layers | None = None
        if spec.mtp_layers:
            self._drafts = _Layers([(1.0, draft_layer(spec))], spec.hidden, parallel, precision, "mtp_")

    def step(self, tokens: StepTokens, *, head: bool = True) -> list[Op]:
        """The operators of one rank of the fullest pipeline stage, in the order they run; none for no tokens.

        head: whether the stage also embeds, projects to the vocabulary and samples (with pipeline stages one does).
        """
        _check(tokens)
        m = tokens.tokens
        if not m:
            return []
        tp, hidden = self.parallel.tp, float(self.spec.hidden)
        out: list[Op] = []
        if head:
            out.append(Elementwise("embedding", 4.0 * m * hidden))
            if tp > 1:
                out.append(Collective("embed_all_reduce", "all_reduce", 2.0 * m * hidden, float(tp)))
        self._layers.emit(tokens, out, 1.0)
        if head:
            out.append(Elementwise("final_norm", 8.0 * m * hidden))
            self._emit_head("", tokens.logit_rows, out, 1.0)
        if tokens.decode_q > 1.0 and tokens.decode_batch and head:
            self._emit_drafts(tokens, out)
        if self.parallel.pp > 1:
            # to the rank of equal place in the next stage, which is a whole stage away
            out.append(Collective("pp_send", "p2p", 2.0 * m * hidden, float(self.parallel.stage_chips + 1)))
        return out

    def _emit_head(self, prefix: str, rows: float, out: list[Op], times: float) -> None:
        """Logits over a vocabulary cut tp ways, gathered, and one token drawn from each row."""
        vocab, hidden, tp = float(self.spec.vocab), float(self.spec.hidden), self.parallel.tp
        out.append(Gemm(f"{prefix}lm_head", rows, -(-vocab // tp), hidden, self.precision.head, times))
        if tp > 1:
            out.append(Collective(f"{prefix}logits_gather", "all_gather", 2.0 * rows * vocab, float(tp), times))
        # 16-bit logits become fp32, and are read again to draw from
        out.append(Elementwise(f"{prefix}sampling", 10.0 * rows * vocab, count=times))

    def _emit_drafts(self, tokens: StepTokens, out: list[Op]) -> None:
        """Each drafted token: the multi-token-prediction layer and the head once more; prompts pass it once."""
        if self._drafts is None:
            raise UnsupportedError(f"{self.spec.id} has no multi-token-prediction layer to draft with; use 1 token a step")
        hidden, drafts = float(self.spec.hidden), tokens.decode_q - 1.0
        runs = [(StepTokens(tokens.decode_batch, tokens.decode_context), drafts)]
        if tokens.prefill_tokens:
            runs.append((StepTokens(0.0, 0.0, tokens.prefill_tokens, tokens.prefill_context, tokens.prefill_sequences), 1.0))
        for run, times in runs:
            m = run.tokens
            out.append(Elementwise("mtp_embedding", 4.0 * m * hidden, count=times))
            out.append(Elementwise("mtp_join_norm", 8.0 * m * hidden, count=times))
            out.append(Gemm("mtp_join_proj", m, hidden, 2.0 * hidden, self.precision.attention, times))
            self._drafts.emit(run, out, times)
            self._emit_head("mtp_", run.logit_rows, out, times)


class _Layers:
    """Blocks of a run of layers, with the norms between them and the sums after attention."""

    def __init__(
        self, layers: list[tuple[float, Layer]], hidden: int, parallel: ParallelPlan, precision: PrecisionPlan, prefix: str
    ) -> None:
        mixers = [(layer.attention, n) for n, layer in layers if layer.attention is not None]
        feeds = [(layer.ffn, n) for n, layer in layers if layer.ffn is not None]
        self.attention: list[Block] = attention_blocks(mixers, hidden, parallel.tp, precision, prefix)
        self.ffn: list[Block] = ffn_blocks(feeds, hidden, parallel, precision, prefix)
        self.hidden, self.tp, self.prefix = float(hidden), float(parallel.tp), prefix
        self.norms = sum(n for _, n in mixers) + sum(n for _, n in feeds)
        # with data-parallel groups, a mixture takes over each rank's share of the tokens, so a scatter is enough
        spread = parallel.dp > 1
        scattered = [n for n, x in layers if x.attention is not None and x.ffn is not None and x.ffn.experts and spread]
        self.scattered = sum(scattered)
        self.reduced = sum(n for _, n in mixers) - self.scattered

    def emit(self, tokens: StepTokens, out: list[Op], times: float) -> None:
        # residual added, normalised: two tensors read, two written
        message = 2.0 * tokens.tokens * self.hidden
        out.append(Elementwise(f"{self.prefix}norm", 4.0 * message, count=self.norms * times))
        for block in self.attention:
            block.emit(tokens, out, times)
        if self.tp > 1.0:
            if self.reduced:
                out.append(Collective(f"{self.prefix}attn_all_reduce", "all_reduce", message, self.tp, self.reduced * times))
            if self.scattered:
                out.append(
                    Collective(f"{self.prefix}attn_reduce_scatter", "reduce_scatter", message, self.tp, self.scattered * times)
                )
        for block in self.ffn:
            block.emit(tokens, out, times)


def _check(tokens: StepTokens) -> None:
    for field in ("decode_batch", "decode_context", "prefill_tokens", "prefill_context", "prefill_sequences", "decode_q"):
        value = getattr(tokens, field)
        if not 0.0 <= value < 1e12:
            raise InvalidInputError(field, f"{value} is not a number of tokens between 0 and 1e12")
    if tokens.decode_q < 1.0:
        raise InvalidInputError("decode_q", f"{tokens.decode_q} is less than the 1 token that each sequence decodes")


def step_ops(spec: ModelSpec, parallel: ParallelPlan, precision: PrecisionPlan, tokens: StepTokens) -> list[Op]:
    """The operators of one step; for many steps of one deployment keep a Workload."""
    return Workload(spec, parallel, precision).step(tokens)
