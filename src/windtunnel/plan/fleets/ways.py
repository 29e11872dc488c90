"""What a search found for a workload: the ways to run it, and why the others will not do. Plain data, which a cache can keep."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class FoundPart:
    """Instances of one kind. on: the chip or system as the file has it; chips: of one instance; rate: requests/s that one
    carries within the targets; role: both, prefill or decode; deployed: how it runs, in words."""

    on: str
    chips: int
    rate: float
    role: str
    deployed: str


@dataclass(frozen=True, slots=True)
class FoundWay:
    """One way to serve. ttft_s, tpot_s: simulated means at the traffic it was found for; evidence: the weakest of its parts."""

    parts: tuple[FoundPart, ...]
    ttft_s: float
    tpot_s: float
    evidence: str
    transfer_s: float = 0.0

    @property
    def label(self) -> str:
        """``h20 x8``, ``h20 x8 prefill + x16 decode``, ``ascend-910c x4 prefill + h20 x8 decode``: with an instance's chips."""
        if len(self.parts) == 1:
            return f"{self.parts[0].on} x{self.parts[0].chips}"
        named = [f"{part.on} x{part.chips} {part.role}" for part in self.parts]
        if self.parts[0].on == self.parts[1].on:
            named[1] = f"x{self.parts[1].chips} {self.parts[1].role}"
        return " + ".join(named)

    @property
    def deployed(self) -> str:
        """``TP8, FP8, vLLM``; of both parts where there are two."""
        if len(self.parts) == 1:
            return self.parts[0].deployed
        return "; ".join(f"{part.role} {part.deployed}" for part in self.parts)


@dataclass(frozen=True, slots=True)
class FoundRun:
    """One way to train. unit: chips of one replica; tokens_per_s: of one, with failures; chips: of the run it was found for."""

    on: str
    unit: int
    tokens_per_s: float
    chips: int
    mfu: float
    goodput: float
    deployed: str
    evidence: str


@dataclass(frozen=True, slots=True)
class Found:
    """All that was found for one workload. refused: chip (or pair of them) -> why it will not do; notes: a line each."""

    ways: tuple[FoundWay, ...] = ()
    runs: tuple[FoundRun, ...] = ()
    refused: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def as_plain(found: Found) -> dict[str, Any]:
    """A table that JSON can hold."""
    return {
        "ways": [
            {
                "parts": [[p.on, p.chips, p.rate, p.role, p.deployed] for p in way.parts],
                "ttft_s": way.ttft_s, "tpot_s": way.tpot_s, "evidence": way.evidence, "transfer_s": way.transfer_s,
            }
            for way in found.ways
        ],
        "runs": [[r.on, r.unit, r.tokens_per_s, r.chips, r.mfu, r.goodput, r.deployed, r.evidence] for r in found.runs],
        "refused": found.refused,
        "notes": list(found.notes),
    }  # fmt: skip


def from_plain(table: dict[str, Any]) -> Found:
    """What ``as_plain`` made. Raises KeyError, TypeError or ValueError for anything else."""
    ways = tuple(
        FoundWay(
            tuple(FoundPart(str(on), int(n), float(rate), str(role), str(how)) for on, n, rate, role, how in way["parts"]),
            float(way["ttft_s"]), float(way["tpot_s"]), str(way["evidence"]), float(way["transfer_s"]),
        )
        for way in table["ways"]
    )  # fmt: skip
    runs = tuple(
        FoundRun(str(on), int(unit), float(rate), int(chips), float(mfu), float(good), str(how), str(evidence))
        for on, unit, rate, chips, mfu, good, how, evidence in table["runs"]
    )
    refused = {str(key): str(value) for key, value in table["refused"].items()}
    return Found(ways, runs, refused, tuple(str(note) for note in table["notes"]))
