"""What is measured against what was predicted: a straight line, learned from one answer after another."""

from __future__ import annotations

KEPT = 0.93
"""Of what was learned before, with each new answer: the last fifteen or so count. **Source:** chosen."""
NOISE = 0.2
"""Of a single measurement, as a share of it. **Source:** chosen."""
FARTHEST = 4.0
"""A measurement counts as at most so many times the expected one, and at least that part of it: one outlier cannot turn the
line, ten can. **Source:** chosen."""


class Line:
    """measured = start + factor * predicted, as a mean over recent answers in shares of each, drawn towards what was believed
    before any was seen.

    start_s, factor: believed at first, and how sure: their standard deviations. A factor alone cannot tell a backend that
    is far away from one that is slow.
    """

    __slots__ = ("_fs", "_least_s", "_ss", "_start", "_sums", "factor", "seen", "start_s")

    def __init__(self, start_s: float, start_within_s: float, factor: float, factor_within: float) -> None:
        self._start = (start_s, factor)
        self._least_s = start_within_s
        self._ss, self._fs = start_within_s**-2.0, factor_within**-2.0
        self.start_s, self.factor = start_s, factor
        self._sums = [0.0] * 5
        self.seen = 0

    def at(self, predicted_s: float) -> float:
        """Seconds to be expected."""
        slope = self.factor * predicted_s
        found = self.start_s + slope
        return found if found > 0.05 * slope else 0.05 * slope

    def learn(self, predicted_s: float, measured_s: float, beside_s: float = 0.0) -> None:
        """One answer; beside_s: of it, what the line does not speak of."""
        expected = self.at(predicted_s) + beside_s
        if expected <= 0.0:
            return
        measured_s = min(max(measured_s, expected / FARTHEST), expected * FARTHEST)
        y = measured_s - beside_s
        x = predicted_s
        weight = (NOISE * (x + beside_s + self._least_s)) ** -2.0  # of what was predicted: slow answers count like fast ones
        sums = self._sums
        for i, new in enumerate((weight, weight * x, weight * x * x, weight * y, weight * x * y)):
            sums[i] = KEPT * sums[i] + new
        self.seen += 1
        self._solve()

    def fade(self, share: float) -> None:
        """Only this share of what was learned is still believed."""
        self._sums = [share * value for value in self._sums]
        self._solve()

    def _solve(self) -> None:
        (start, factor), (w, wx, wxx, wy, wxy) = self._start, self._sums
        a, b, c = w + self._ss, wx, wxx + self._fs
        p, q = wy + self._ss * start, wxy + self._fs * factor
        determinant = a * c - b * b
        self.start_s = (p * c - b * q) / determinant
        self.factor = max((a * q - b * p) / determinant, 0.02)
