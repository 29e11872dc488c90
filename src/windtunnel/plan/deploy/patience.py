"""How long a start may take before it counts as failed, and how much room the weights need on a disk."""

from __future__ import annotations

import math

from windtunnel.plan.deploy.instance import Instance

SLOWEST_READ_BYTES_PER_S = 200e6
"""A slow network disk. Not a prediction: a start that reads no faster than this is still waited for."""
COMPILE_S = 900
"""For the engine's own part of a start: processes, kernels that are compiled, graphs that are captured."""


def weight_bytes(it: Instance) -> float:
    """Bytes of one copy of the weights, as the chips of one data-parallel group hold them."""
    groups = 1 if it.moe_ep > 1 else max(1, it.deployment.dp)
    return it.memory.weights * it.deployment.chips / groups


def patience_s(it: Instance) -> int:
    """Seconds until a start has failed, in whole minutes."""
    return 60 * math.ceil((COMPILE_S + weight_bytes(it) / SLOWEST_READ_BYTES_PER_S) / 60)


def disk_gib(it: Instance) -> int:
    """Room for the weights, the tokenizer and what the engine compiles: a fifth more than the weights, in steps of 10 GiB."""
    return 10 * math.ceil(1.2 * weight_bytes(it) / 2**30 / 10)
