"""What a step of any batch takes, from the cost model by way of tables that are filled where they are read.

A price of the cost model takes about a hundred microseconds, and a simulation asks for several a request. Times are smooth
in the batch, the context and the chunk, so they are priced at knots a constant factor apart and interpolated between.
"""

from __future__ import annotations

from bisect import bisect_right

from windtunnel.catalog.model import AttentionSpec
from windtunnel.cost.evidence import Evidence
from windtunnel.sim.instance import Instance, StepTime
from windtunnel.sim.steady import Role
from windtunnel.sim.working_point import CHUNK_TOKENS, OWN_STEPS, token_time
from windtunnel.workload.llm import StepTokens

_PER_DOUBLING = 4
_TOP = 24  # doublings: sixteen million tokens or requests


def _knots(first: int, per_doubling: int, start: tuple[float, ...]) -> list[float]:
    """``start``, then a constant factor apart from ``first`` on, whole numbers."""
    found = {*start, *(float(round(first * 2.0 ** (k / per_doubling))) for k in range(_TOP * per_doubling))}
    return sorted(found)


_FEW = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0)
BATCHES = _knots(8, _PER_DOUBLING, _FEW)
CONTEXTS = _knots(16, 2, (1.0, 2.0, 4.0, 8.0))
CHUNKS = _knots(8, _PER_DOUBLING, _FEW)
HELD = _knots(64, 2, (0.0,))

TOKENS_A_LAUNCH = 2048.0
"""Tokens of a step to each of its launches at least: two of the shortest prompts, 1,024 tokens, that most measurements had."""

_Row = tuple[list[float | None], list[float | None]]


def _bends(attention: AttentionSpec) -> tuple[int, ...]:
    """Contexts at which a layer's work stops to grow as it did: its window, the keys that it selects at most."""
    return tuple(n for n in (attention.window, attention.topk) if n)


class StepTimes:
    """Seconds of decode steps and of prompts' parts of steps, of one instance.

    mtp_accept: tokens that a decode step yields beyond the first. role: a prefill instance decodes nothing, so none of
    a prompt's time is hidden.
    """

    def __init__(self, of: Instance, mtp_accept: float = 0.0, role: Role = "both", chunk_tokens: float = 0.0) -> None:
        self.of, self.mtp_accept, self.role = of, mtp_accept, role
        self.chunk_tokens = chunk_tokens or of.traits.get("chunk_tokens", CHUNK_TOKENS)
        b = of.behaviour
        self.ranks, self.stages = of.parallel.dp, of.stages
        launched = b.host_us * of.mixture_layers + b.latent_us * of.latent_layers
        self.launch_s = (launched / of.stages + b.prefill_step_us) * 1e-6
        self.factor, self.mix = b.prefill, b.mix if role == "both" else 1.0
        bends = {
            float(n + more) for layer in of.spec.layers if layer.attention for n in _bends(layer.attention) for more in (0, 1)
        }
        self.contexts, self.chunks = (sorted({*knots, *bends}) for knots in (CONTEXTS, CHUNKS))
        self.evidence, self.spread = Evidence.MEASURED, 0.0  # of what was priced so far: the weakest, the widest
        self._rows: dict[int, _Row] = {}
        self._priced: dict[tuple[int, int], float] = {}
        self._prefill: dict[tuple[int, int, int], float] = {}

    def _saw(self, step: StepTime) -> None:
        self.evidence, self.spread = min(self.evidence, step.evidence), max(self.spread, step.spread)

    # decode

    def exact_decode_s(self, running: float, context: float) -> float:
        """Seconds from one token of each of ``running`` requests to its next, from the cost model itself."""
        share = running / self.ranks / self.stages
        tokens = StepTokens(
            decode_batch=max(share, 1.0 / self.ranks), decode_context=context, decode_q=2.0 if self.mtp_accept > 0 else 1.0
        )
        step, seconds = token_time(self.of, tokens, self.mtp_accept)
        self._saw(step)
        return seconds

    def decode_s(self, running: int, context: float) -> float:
        """The same from the table; context: mean keys that a token of the step sees, at least one."""
        row = self._rows.get(running)
        if row is None:
            row = self._rows[running] = ([None] * len(self.contexts), [None] * len(self.contexts))
        i = bisect_right(self.contexts, context) - 1
        slope = row[1][i]
        if slope is None:
            slope = self._fill(running, row, i)
        return row[0][i] + slope * (context - self.contexts[i])  # type: ignore[operator]  # filled together with the slope

    def _fill(self, running: int, row: _Row, i: int) -> float:
        low, high = self._at(running, i), self._at(running, i + 1)
        row[0][i] = low
        row[1][i] = slope = (high - low) / (self.contexts[i + 1] - self.contexts[i])
        return slope

    def _at(self, running: int, i: int) -> float:
        """At a knot of contexts and any batch."""
        b = bisect_right(BATCHES, running) - 1
        low = self._knot(b, i)
        if BATCHES[b] == running:
            return low
        share = (running - BATCHES[b]) / (BATCHES[b + 1] - BATCHES[b])
        return low + share * (self._knot(b + 1, i) - low)

    def _knot(self, b: int, i: int) -> float:
        found = self._priced.get((b, i))
        if found is None:
            found = self._priced[(b, i)] = self.exact_decode_s(BATCHES[b], self.contexts[i])
        return found

    # prefill

    def exact_prefill_s(self, tokens: float, held: float, sequences: float) -> float:
        """Operators of one stage for ``tokens`` new tokens of ``sequences`` prompts on one rank, each with ``held`` tokens
        in the cache already, from the cost model itself."""
        step = self.of.step(StepTokens(prefill_tokens=tokens, prefill_context=held, prefill_sequences=sequences))
        self._saw(step)
        return step.seconds

    def prefill_s(self, tokens: float, held: float, sequences: float) -> float:
        """The same from the table, whose knots are numbers of prompts and lengths of each."""
        s = bisect_right(BATCHES, sequences) - 1
        low = self._of_length(s, tokens / sequences, held)
        if BATCHES[s] == sequences:
            return low
        share = (sequences - BATCHES[s]) / (BATCHES[s + 1] - BATCHES[s])
        return low + share * (self._of_length(s + 1, tokens / sequences, held) - low)

    def _of_length(self, s: int, new: float, held: float) -> float:
        chunks = self.chunks
        n = max(bisect_right(chunks, new) - 1, 0)
        low = self._over_held(s, n, held)
        if chunks[n] == new:
            return low
        return low + (new - chunks[n]) / (chunks[n + 1] - chunks[n]) * (self._over_held(s, n + 1, held) - low)

    def _over_held(self, s: int, n: int, held: float) -> float:
        h = bisect_right(HELD, held) - 1
        low = self._prefill_knot(s, n, h)
        if HELD[h] == held:
            return low
        return low + (held - HELD[h]) / (HELD[h + 1] - HELD[h]) * (self._prefill_knot(s, n, h + 1) - low)

    def _prefill_knot(self, s: int, n: int, h: int) -> float:
        found = self._prefill.get((s, n, h))
        if found is None:
            tokens = BATCHES[s] * self.chunks[n]
            found = self._prefill[(s, n, h)] = self.exact_prefill_s(tokens, HELD[h], BATCHES[s])
        return found

    def prompts_s(self, tokens: int, work: float, sequences: int, decoding: bool) -> tuple[float, float]:
        """(Seconds by which prompts hold up the instance's step, seconds by which their first tokens come later still).

        tokens: new ones of ``sequences`` prompts over all data-parallel ranks; work: tokens times the keys that each
        sees, summed; decoding: whether the step also decodes, so that a part of the prompts' time is hidden.
        """
        ranks = min(sequences, self.ranks)
        mean = tokens / sequences
        held = max(work / tokens - mean / 2.0, 0.0)
        own = self.prefill_s(tokens / ranks, held, sequences / ranks) * self.factor
        mix = self.mix if decoding or self.mix > 1.0 else 1.0
        launch = self.launch_s * self._launches(tokens / ranks, sequences / ranks)
        busy = (own * mix + launch) * ranks / self.ranks
        return busy, max((own + self.launch_s) * self.stages - busy, 0.0)

    def _launches(self, tokens: float, sequences: float) -> float:
        """How often a rank's step pays for the launches of prompts, counted as the engines' times were fitted: half of once
        where a step could take several prompts (``working_point.held_up``), and of an engine that gives prompts steps of
        their own (``working_point.prefill_times``) by one for two prompts, but no more than prompts of the lengths that were
        measured would pay."""
        if 2.0 * tokens > self.chunk_tokens * sequences:
            return 1.0
        if self.of.engine not in OWN_STEPS:
            return 0.5
        return max(min(0.5 * sequences, tokens / TOKENS_A_LAUNCH), 0.5)
