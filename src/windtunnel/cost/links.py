"""The links between the ranks of a deployment: how fast, and where a domain ends."""

from __future__ import annotations

from dataclasses import dataclass

from windtunnel.catalog.chip import Chip
from windtunnel.catalog.system import System

PCIE_SLOTS = 8
"""Cards that reach each other over the PCIe of one host, where there is no other link: what the common servers take.
**Source:** Nvidia's L40S and RTX PRO server designs (eight cards), on which the collectives of l40s were measured."""


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
    def of(cls, chip: Chip, system: System | None = None, devices: int = 1) -> Links:
        """The chip's own links, or a system's where it says more; devices: how many ``chip`` make one chip of the system."""

        def figure(key: str) -> float:
            if system is not None and system.has(key):
                return system.value(key) / devices
            return chip.value(key) if chip.has(key) else 0.0

        speed, topology = figure("scaleup_bytes_per_s"), (system.topology if system else "") or chip.topology
        whole = system.value("scaleup_chips") * devices if system is not None and system.has("scaleup_chips") else 0.0
        domain = int(whole or (chip.value("scaleup_chips") if chip.has("scaleup_chips") else 1.0))
        if topology == "pcie" and speed:
            domain = max(domain, PCIE_SLOTS)
        peers = 1.0
        if topology == "mesh":
            peers = next((of.value("mesh_links") for of in (system, chip) if of is not None and of.has("mesh_links")), 1.0)
        return cls(max(domain, 1), speed, speed / peers, figure("scaleout_bytes_per_s"))
