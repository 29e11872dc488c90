"""One role of a deployment as the servers see it: devices instead of chips, and how they are cut into servers."""

from __future__ import annotations

import math
from dataclasses import dataclass

from windtunnel.catalog.chip import Chip
from windtunnel.catalog.model import ModelSpec
from windtunnel.plan.result import Candidate, Targets
from windtunnel.sim.prediction import Deployment, MemoryUse, Prediction


@dataclass(frozen=True, slots=True)
class Instance:
    """``replicas`` equal copies of an engine over ``nodes`` servers each.

    role: serve, or prefill and decode where they are apart. tp, pp, dp count devices, which are dies where a chip
    has two; experts: how they are cut, over all devices, within them, or both.
    """

    role: str
    prediction: Prediction
    replicas: int
    tp: int
    pp: int
    dp: int
    moe_tp: int
    moe_ep: int
    server_devices: int
    nodes: int

    @property
    def deployment(self) -> Deployment:
        return self.prediction.deployment

    @property
    def devices(self) -> int:
        return self.tp * self.pp * self.dp

    @property
    def node_devices(self) -> int:
        return self.devices // self.nodes

    @property
    def shared(self) -> int:
        """How many replicas fit one server side by side."""
        return max(1, self.server_devices // self.devices) if self.nodes == 1 else 1

    @property
    def sequences(self) -> int:
        """Requests in flight of one replica."""
        return max(1, math.ceil(self.prediction.load.concurrency))

    @property
    def group_sequences(self) -> int:
        """Requests in flight of one data-parallel group."""
        return max(1, math.ceil(self.sequences / self.dp))

    @property
    def memory(self) -> MemoryUse:
        return self.prediction.memory


@dataclass(frozen=True, slots=True)
class Service:
    """What is to be launched: the roles, for one model on one kind of chip, and the lengths that they are planned for."""

    candidate: Candidate
    spec: ModelSpec
    targets: Targets
    chip: Chip
    server_chips: int
    chunk_tokens: int
    instances: tuple[Instance, ...]

    @property
    def model(self) -> str:
        return self.candidate.prediction.deployment.model

    @property
    def apart(self) -> bool:
        return self.candidate.prefill is not None

    @property
    def main(self) -> Instance:
        """The role that yields the tokens."""
        return self.instances[-1]

    @property
    def context(self) -> int:
        """Room for a request: input, output and a little for special tokens, in steps of 256, within the model's own limit."""
        asked = self.targets.isl + self.targets.osl
        room = math.ceil((asked + 64) / 256) * 256
        return min(room, self.spec.max_context) if self.spec.max_context >= asked else room

    @property
    def drafted(self) -> int:
        """Tokens that multi-token prediction drafts ahead; both roles have to know, since the cache holds its layer."""
        return max(math.ceil(it.prediction.load.mtp_accept) for it in self.instances)

    @property
    def concurrency(self) -> int:
        """Requests in flight over all replicas."""
        return self.main.sequences * self.main.replicas


def instance(role: str, prediction: Prediction, replicas: int, spec: ModelSpec, chip: Chip, server_chips: int) -> Instance:
    """A role, with the degrees of parallelism in devices.

    Where a chip is two devices, attention is cut twice as often if the heads allow it, else there are twice the groups.
    """
    d = prediction.deployment
    tp, dp, moe_tp, moe_ep = d.tp, d.dp, max(1, d.moe_tp), max(1, d.moe_ep)
    for _ in range(int(math.log2(max(1, chip.devices)))):
        heads = [layer.attention.q_heads for layer in spec.layers if layer.attention is not None]
        tp, dp = (tp * 2, dp) if all(h % (tp * 2) == 0 for h in heads) else (tp, dp * 2)
        moe_tp, moe_ep = (moe_tp, moe_ep * 2) if moe_ep > 1 else (moe_tp * 2, moe_ep)
    server = server_chips * chip.devices
    return Instance(role, prediction, replicas, tp, d.pp, dp, moe_tp, moe_ep, server, _nodes(tp * d.pp, dp, server))


def _nodes(group: int, dp: int, server: int) -> int:
    """The fewest servers that hold ``dp`` groups of ``group`` devices evenly, no group cut that fits one server."""
    devices = group * dp
    for nodes in range(math.ceil(devices / server), devices):
        whole_groups = dp % nodes == 0 or group > server
        if devices % nodes == 0 and whole_groups:
            return nodes
    return devices


def memory_share(memory: MemoryUse, *, without_activations: bool = False) -> float:
    """The share of a device's memory that the engine may take, two digits, rounded down."""
    left_out = memory.reserved + (memory.activations if without_activations else 0.0)
    share = (memory.capacity - left_out) / memory.capacity if memory.capacity > 0 else 0.9
    return min(0.97, max(0.3, math.floor(share * 100) / 100))
