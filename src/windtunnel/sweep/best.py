"""The best points of a sweep by one measure."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from windtunnel.sweep.journal import Row


@dataclass(frozen=True, slots=True)
class Measure:
    """column: what is compared; told: the measure in words; most: whether more of it is better."""

    column: str
    told: str
    most: bool = False


MEASURES: Mapping[str, Measure] = {
    "cost": Measure("usd_per_mtok_within_targets", "USD per million output tokens, of answers within the targets"),
    "cost without targets": Measure("usd_per_mtok", "USD per million output tokens"),
    "goodput": Measure("goodput_requests_per_s", "requests/s within the targets", most=True),
    "ttft": Measure("ttft_p99_s", "p99 of the time to the first token"),
}


@dataclass
class Best:
    """Of the rows that pass by, how many came to what, why some have no result, and the ``most`` best.

    reasons: how many points each explains; why: the outcome that it explains; note: on how far prices can be compared.
    """

    measure: Measure
    most: int = 5
    note: str = ""
    outcomes: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)
    _kept: list[tuple[float, int, Row]] = field(default_factory=list)

    def watch(self, rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            outcome = row["outcome"]
            self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
            if row.get("reason") and outcome != "saturated":
                self.reasons[row["reason"]] = self.reasons.get(row["reason"], 0) + 1
                self.why[row["reason"]] = outcome
            value = row.get(self.measure.column)
            if outcome == "simulated" and value is not None:
                heapq.heappush(self._kept, (value if self.measure.most else -value, -row["point"], row))
                if len(self._kept) > self.most:
                    heapq.heappop(self._kept)
            yield row

    @property
    def rows(self) -> list[Row]:
        """The best first; of equals, the one that stands first in the sweep."""
        return [row for _, _, row in sorted(self._kept, key=lambda kept: kept[:2], reverse=True)]
