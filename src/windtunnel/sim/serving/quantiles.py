"""Quantiles of a stream in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Iterator

RELATIVE_ERROR = 0.005
"""A quantile that was read from buckets lies within this share of a sample of that rank."""
EXACT = 2048
"""Samples up to which all are kept, so that quantiles of short runs are exact."""
FEWEST_BEYOND = 10
"""Samples that should lie beyond a quantile before it is more than an anecdote."""
_SMALLEST = 1e-9


class Quantiles:
    """Count, mean, extremes and quantiles of positive numbers; what is below a nanosecond counts as one.

    Buckets grow by a constant factor, so their number grows with the logarithm of the range, not with the samples.
    **Source:** DDSketch (Masson, Rim and Lee, VLDB 2019): buckets at powers of (1 + a) / (1 - a) for a relative error a.
    """

    __slots__ = ("_buckets", "_kept", "_scale", "count", "largest", "smallest", "total")

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self.smallest, self.largest = math.inf, -math.inf
        self._kept: list[float] | None = []
        self._buckets: dict[int, int] = {}
        self._scale = 1.0 / math.log((1.0 + RELATIVE_ERROR) / (1.0 - RELATIVE_ERROR))

    def add(self, value: float) -> None:
        self.count += 1
        self.total += value
        if value < self.smallest:
            self.smallest = value
        if value > self.largest:
            self.largest = value
        if self._kept is not None:
            self._kept.append(value)
            if len(self._kept) > EXACT:
                self._spill()
            return
        index = math.ceil(math.log(value if value > _SMALLEST else _SMALLEST) * self._scale)
        buckets = self._buckets
        buckets[index] = buckets.get(index, 0) + 1

    @property
    def exact(self) -> bool:
        """Whether quantiles are samples, not buckets."""
        return self._kept is not None

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else math.nan

    def quantile(self, q: float) -> float:
        """The smallest sample that at least a share ``q`` of them does not exceed; nan of no samples."""
        if not self.count:
            return math.nan
        rank = min(max(math.ceil(q * self.count), 1), self.count)
        if self._kept is not None:
            return sorted(self._kept)[rank - 1]
        seen = 0
        for index in sorted(self._buckets):
            seen += self._buckets[index]
            if seen >= rank:
                middle = 2.0 * math.exp(index / self._scale) / (1.0 + math.exp(1.0 / self._scale))
                return min(max(middle, self.smallest), self.largest)
        return self.largest

    def beyond(self, q: float) -> int:
        """Samples above the quantile's rank: what stands behind a tail."""
        return self.count - math.ceil(q * self.count) if self.count else 0

    def cumulative(self) -> Iterator[tuple[float, float]]:
        """(value, share of samples up to it), for a plot: at most as many points as there are buckets."""
        if self._kept is not None:
            for i, value in enumerate(sorted(self._kept)):
                yield value, (i + 1) / self.count
            return
        seen = 0
        for index in sorted(self._buckets):
            seen += self._buckets[index]
            yield min(math.exp(index / self._scale), self.largest), seen / self.count

    def _spill(self) -> None:
        kept, self._kept = self._kept or [], None
        for value in kept:
            index = math.ceil(math.log(max(value, _SMALLEST)) * self._scale)
            self._buckets[index] = self._buckets.get(index, 0) + 1
