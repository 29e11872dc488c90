"""A backend's speed from the cost model: a small table, built once in well under a second, read in about a microsecond."""

from __future__ import annotations

import math
from itertools import pairwise

from windtunnel.serve.steer.speed import Undescribed
from windtunnel.sim.serving.fleet import Fleet, Pool, pools
from windtunnel.sim.serving.settings import NO_LIMIT

_LEAST, _MOST = 4, 20
"""Powers of two between which times are kept: 16 tokens to a million."""
_ROWS = 1024
"""Requests of one engine up to which each number has a row of its own; beyond, time grows as between the last two knots."""


class Table:
    """Times of one fleet (one deployment and its replicas, or two pools); see ``Speed`` for the fields.

    Times are kept at powers of two and are straight between them, in the context, in new tokens and in tokens held.
    """

    def __init__(self, main: Pool, before: Pool | None = None) -> None:
        first = before or main
        self.engines, self.prefillers = main.replicas, before.replicas if before is not None else 0
        self.chunk_tokens = float(first.settings.chunk_tokens * first.times.ranks)
        self.most_running = _limit(main.settings.max_running * main.replicas)
        self.kv_tokens = _limit(main.settings.blocks) * main.settings.block_tokens * main.replicas
        caches = _limit(first.settings.blocks) * first.settings.block_tokens * first.replicas
        if not math.isfinite(caches):
            caches = Undescribed().prefix_tokens  # what has no known end is not thought to hold all that was ever sent
        self.prefix_tokens = caches if first.settings.prefix_caching else 0.0
        self.beside = min(main.times.mix, 1.0) if before is None else 1.0
        self.fixed_s = main.of.behaviour.fixed_ms * 1e-3
        longest = main.of.spec.max_context or 1 << _MOST
        top = min(max(math.ceil(math.log2(longest)), _LEAST + 1), _MOST)
        self._prefill = [
            [_prompt_s(first, 1 << n, 1 << h if h >= 0 else 0) for h in (-1, *range(_LEAST, top + 1))]
            for n in range(_LEAST, top + 1)
        ]
        self._decode = _decode_rows(main, top)
        self._top = top

    def prefill_s(self, tokens: float, held: float) -> float:
        n = int(tokens).bit_length() - 1
        n = _LEAST if n < _LEAST else n if n < self._top else self._top - 1
        low, high = self._prefill[n - _LEAST], self._prefill[n - _LEAST + 1]
        share = tokens / (1 << n) - 1.0
        if share < 0.0:
            share = 0.0  # a step has a least length
        if held < 1.0:
            return low[0] + share * (high[0] - low[0])
        h = int(held).bit_length() - 1
        h = _LEAST if h < _LEAST else h if h < self._top else self._top - 1
        of, i = held / (1 << h) - 1.0, h - _LEAST + 1
        if of < 0.0:
            of, i = held / (1 << _LEAST), 0
        a, b = low[i] + of * (low[i + 1] - low[i]), high[i] + of * (high[i + 1] - high[i])
        return a + share * (b - a)

    def decode_s(self, running: float, context: float) -> float:
        rows = self._decode
        b, over = math.ceil(running), 1.0
        if b >= len(rows):
            over, b = b / (len(rows) - 1), len(rows) - 1
        row = rows[b]
        c = int(context).bit_length() - 1
        c = _LEAST if c < _LEAST else c if c < self._top else self._top - 1
        low, share = row[c - _LEAST], context / (1 << c) - 1.0
        return over * (low + share * (row[c - _LEAST + 1] - low)) if share > 0.0 else over * low


def table_of(fleet: Fleet, isl: float, osl: float) -> Table:
    """The speed of a fleet whose requests are of about isl tokens in and osl out. Raises the errors of ``windtunnel.errors``."""
    return Table(*pools(fleet, isl, osl))


def _limit(value: float) -> float:
    return math.inf if value >= NO_LIMIT else float(value)


def _prompt_s(pool: Pool, tokens: int, held: int) -> float:
    """A whole prompt, in as many steps as it takes."""
    chunk = pool.settings.chunk_tokens if pool.settings.chunked_prefill else tokens
    seconds, late, done = 0.0, 0.0, 0
    while done < tokens:
        new = min(chunk, tokens - done)
        busy, late = pool.times.prompts_s(new, new * (held + done + 0.5 * new), 1, False)
        seconds += busy * pool.times.ranks  # one prompt keeps one rank busy for so long
        done += new
    return seconds / pool.times.ranks + (late if tokens <= chunk else 0.0)


def _decode_rows(pool: Pool, top: int) -> list[list[float]]:
    """For each number of requests that run, times at the knots of the context; straight between knots a factor apart."""
    most = int(min(pool.settings.max_running, _ROWS))
    knots = sorted({1, most, *(round(2.0 ** (k / 2.0)) for k in range(21) if 2.0 ** (k / 2.0) < most)})
    at = {b: [pool.times.decode_s(b, float(1 << c)) for c in range(_LEAST, top + 1)] for b in knots}
    rows = [at[1]]
    for low, high in pairwise(knots):
        for b in range(low, high):
            share = (b - low) / (high - low)
            rows.append([x + share * (y - x) for x, y in zip(at[low], at[high], strict=True)])
    rows.append(at[most])
    return rows
