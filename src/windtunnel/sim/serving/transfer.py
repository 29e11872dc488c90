"""The KV cache on its way from where a prompt was prefilled to where it is decoded."""

from __future__ import annotations

from dataclasses import dataclass

from windtunnel.cost.model import NETWORK_EFFICIENCY, NETWORK_START_S
from windtunnel.errors import MissingFactError
from windtunnel.sim.instance import Instance


@dataclass(frozen=True, slots=True)
class End:
    """One side of a transfer: bytes that one rank holds of a context (per token, and beside), and its link's bytes/s.

    Ranks of a data-parallel group hold parts of one request, which move side by side; ``groups`` move requests side by side.
    """

    token_bytes: float
    fixed_bytes: float
    bytes_per_s: float
    groups: int

    @classmethod
    def of(cls, instance: Instance, link_bytes_per_s: float = 0.0) -> End:
        """link_bytes_per_s: of one device, where the network's own figure is not to be used. Raises MissingFactError."""
        speed = link_bytes_per_s or instance.costs.links.scaleout_bytes_per_s
        if not speed:
            hint = "the KV cache moves over it; say it with --kv-link GB/s"
            raise MissingFactError(instance.device.id, "scaleout_bytes_per_s", hint)
        near, far = instance.kv_bytes(1000.0), instance.kv_bytes(11000.0)
        growth = (far - near) / 10000.0
        return cls(growth, near - 1000.0 * growth, speed, instance.parallel.dp)

    def seconds(self, tokens: float) -> float:
        return (self.fixed_bytes + tokens * self.token_bytes) / (self.bytes_per_s * NETWORK_EFFICIENCY)


class Links:
    """Every engine's link, busy until a time: a transfer waits for both of its ends, and takes as long as the slower."""

    def __init__(self, sender: End, receiver: End) -> None:
        self.sender, self.receiver = sender, receiver
        self._free: dict[tuple[str, int], float] = {}
        self.busy_s = self.waited_s = self.moved_s = 0.0
        self.transfers = 0

    def send(self, tokens: int, source: int, target: int, now: float) -> float:
        """When a cache of so many tokens that leaves engine ``source`` now has come to engine ``target``."""
        out, into = ("out", source), ("in", target)
        start = max(now, self._free.get(out, 0.0), self._free.get(into, 0.0))
        send_s, receive_s = self.sender.seconds(tokens), self.receiver.seconds(tokens)
        # groups send side by side: one request takes its part of the instance's link, and its own group's time
        slower = max(send_s, receive_s)
        self._free[out] = start + slower / self.sender.groups
        self._free[into] = start + slower / self.receiver.groups
        self.transfers += 1
        self.waited_s += start - now
        self.moved_s += slower + NETWORK_START_S
        return start + slower + NETWORK_START_S
