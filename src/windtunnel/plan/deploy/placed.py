"""Which copy of which role runs on which server, on which of its devices, at which port."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from windtunnel.plan.deploy.instance import Instance, Service

ROUTER_PORT = 8080
PAIR_PORT = 8090
"""Of the engine's own router, which hands a prompt from prefill to decode."""
RPC_PORTS = {"serve": 13345, "prefill": 13345, "decode": 13445}
_SETTING = re.compile(r"^(\w+)=\$\{\w+:([-?])", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Part:
    """One container: server ``rank`` of copy ``copy`` of a role.

    server: the number of the machine, from 0; head: that of the copy's first machine; first: the number of its first device
    there; ports: how many ports from ``port`` on its copies of the engine listen on.
    """

    it: Instance
    copy: int
    rank: int
    server: int
    head: int
    first: int
    port: int
    ports: int
    rpc_port: int

    @property
    def instance(self) -> str:
        """The copy's name."""
        return f"{self.it.role}-{self.copy}"

    @property
    def name(self) -> str:
        return self.instance if self.it.nodes == 1 else f"{self.instance}-{self.rank}"

    @property
    def devices(self) -> range:
        return range(self.first, self.first + self.it.node_devices)

    @property
    def answers(self) -> bool:
        """Whether it has an API of its own: the first server of a copy, or every one where each group is a server."""
        return self.rank == 0 or self.ports > 1


def placed(service: Service, ports: Mapping[str, int], *, each_rank: bool = False, packed: bool = True) -> tuple[Part, ...]:
    """Every container of the deployment, server by server.

    ports: the first port of each role; each_rank: every data-parallel group listens on a port of its own; packed: copies of
    unlike roles may share a server, which asks that a container sees no device but its own.
    """
    used: list[int] = []
    """Devices taken on each server."""
    copies: dict[tuple[int, str], int] = {}
    parts = []
    for it in service.instances:
        local = it.dp // it.nodes if each_rank and it.dp > 1 and it.dp % it.nodes == 0 else 1
        for copy in range(it.replicas):
            head = _server_for(it, used, packed)
            first = used[head] if it.nodes == 1 and head < len(used) else 0
            used.extend([0] * (head + it.nodes - len(used)))
            beside = copies.get((head, it.role), 0)
            copies[head, it.role] = beside + 1
            for rank in range(it.nodes):
                used[head + rank] += it.node_devices
                parts.append(
                    Part(
                        it, copy, rank, head + rank, head, first, ports[it.role] + beside * local, local,
                        RPC_PORTS[it.role] + beside,
                    )
                )  # fmt: skip
    return tuple(parts)


def _server_for(it: Instance, used: list[int], packed: bool) -> int:
    """The first server that has room for a copy that fits one; fresh ones for a copy over several."""
    if it.nodes == 1 and (packed or it.shared > 1):
        for server, taken in enumerate(used):
            if taken + it.devices <= it.server_devices and (packed or taken % it.devices == 0):
                return server
    return len(used)


def asked_by(script: str) -> dict[str, bool]:
    """The variables that a script takes from its caller, and whether it stops without them."""
    return {name: kind == "?" for name, kind in _SETTING.findall(script)}
