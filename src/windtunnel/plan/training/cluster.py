"""What a run is cut over: the devices of a place's chips, their links, and how many the network joins."""

from __future__ import annotations

from dataclasses import dataclass, replace

from windtunnel.catalog import Chip, chips, system, systems
from windtunnel.cost.links import Links
from windtunnel.cost.model import CostModel
from windtunnel.errors import InfeasibleError
from windtunnel.plan.place import Place


@dataclass(frozen=True, slots=True)
class Cluster:
    """A place with what one rank of a run is: a chip, or one of its ``devices`` where a package of dies shows PyTorch several.

    joined: chips (packages) that the network is known to join, 0 where no source says; told: whether the user said so.
    """

    at: Place
    device: Chip
    devices: int
    links: Links
    joined: int
    told: bool = False

    @classmethod
    def of(cls, at: Place, *, network_chips: int = 0, network_bytes_per_s: float = 0.0) -> Cluster:
        """network_chips, network_bytes_per_s (of a chip, one direction): as the user knows them, 0 where nothing was said."""
        device = next((c for c in chips() if at.chip.devices > 1 and c.part_of == at.chip.id), at.chip)
        devices = at.chip.devices if device is not at.chip else 1
        whole = system(at.system) if at.system else None
        links = Links.of(device, whole, devices if whole is not None else 1)
        if network_bytes_per_s:
            links = replace(links, scaleout_bytes_per_s=network_bytes_per_s / devices)
        return cls(at, device, devices, links, network_chips or _joined(at), bool(network_chips))

    @property
    def costs(self) -> CostModel:
        """Prices on one device."""
        return CostModel(self.device, self.links)

    @property
    def power_w(self) -> tuple[float, bool] | None:
        """(the most that one chip of the place draws, whether with its share of host and network): of the system, of the chip's
        own server, else of the chip alone; None where no source says."""
        own = [self.at.whole] if self.at.whole else [s for s in systems() if s.chip == self.at.chip.id and s.nodes == 1]
        known = [s.value("power_w") / s.chips for s in own if s.has("power_w")]
        if known:
            return min(known), True
        return (self.at.chip.value("tdp_w"), False) if self.at.chip.has("tdp_w") else None

    def check(self, count: int) -> None:
        """Raises InfeasibleError for more chips than the network is known to join."""
        if not self.joined or count <= self.joined:
            return
        if self.told:
            raise InfeasibleError(f"{count:,} chips, and --network-chips says that the network joins {self.joined:,}")
        name = self.at.system or self.at.chip.id
        raise InfeasibleError(
            f"the network of {name} is described for {self.joined:,} chips, not {count:,}; "
            f"--network-chips {count} says that yours joins them"
        )


def _joined(at: Place) -> int:
    """Chips that the network of the place, or of the servers that its chip stands in, is known to join; 0: no source says."""
    own = [each for each in systems() if each.id == at.system or (at.whole is None and each.chip == at.chip.id)]
    return max((int(each.value("scaleout_chips")) for each in own if each.has("scaleout_chips")), default=0)
