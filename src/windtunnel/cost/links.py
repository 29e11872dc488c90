"""The links between the ranks of a deployment: how fast, and where a domain ends."""

from __future__ import annotations

from dataclasses import dataclass

from windtunnel.catalog.chip import Chip


@dataclass(frozen=True, slots=True)
class Links:
    """One chip's bandwidths in bytes/s, one direction: within its scale-up domain of ``domain`` chips (of which two
    alone share ``pair_bytes_per_s``) and across domains. 0: not known, or there is none."""

    domain: int
    scaleup_bytes_per_s: float
    pair_bytes_per_s: float
    scaleout_bytes_per_s: float

    def across(self, ranks: float) -> bool:
        """Whether ``ranks`` neighbouring ranks leave the scale-up domain."""
        return ranks > self.domain

    def among(self, ranks: float) -> float:
        """Bytes/s that one of ``ranks`` neighbours can send to the others: in a mesh, over the links to these alone."""
        return min(self.scaleup_bytes_per_s, self.pair_bytes_per_s * max(ranks - 1.0, 1.0))

    @classmethod
    def of(cls, chip: Chip, *, domain: int = 0, scaleup_bytes_per_s: float = 0.0) -> Links:
        """The chip's own links, or a system's where it says more."""
        own = scaleup_bytes_per_s or (chip.value("scaleup_bytes_per_s") if chip.has("scaleup_bytes_per_s") else 0.0)
        size = domain or (int(chip.value("scaleup_chips")) if chip.has("scaleup_chips") else 1)
        peers = chip.value("mesh_links") if chip.topology == "mesh" and chip.has("mesh_links") else 1.0
        out = chip.value("scaleout_bytes_per_s") if chip.has("scaleout_bytes_per_s") else 0.0
        return cls(max(size, 1), own, own / peers, out)
