"""What ranks exchange: ``c10d`` operators, functional and not, as collectives of the cost model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from windtunnel.workload.ops import Collective
from windtunnel.workload.program.call import Call, TensorSpec
from windtunnel.workload.program.work.traffic import size

Kind = Literal["all_reduce", "all_gather", "reduce_scatter", "all_to_all", "p2p"]

NAMESPACES = frozenset({"c10d", "_c10d_functional", "_c10d_functional_autograd", "_dtensor", "symm_mem"})

_KINDS: Mapping[str, tuple[Kind, str]] = {
    "allreduce_": ("all_reduce", "given"),
    "allreduce_coalesced_": ("all_reduce", "given"),
    "all_reduce": ("all_reduce", "given"),
    "all_reduce_": ("all_reduce", "given"),
    "all_reduce_coalesced": ("all_reduce", "given"),
    "all_reduce_coalesced_": ("all_reduce", "given"),
    "barrier": ("all_reduce", "given"),
    "_allgather_base_": ("all_gather", "parts"),
    "allgather_": ("all_gather", "parts"),
    "allgather_coalesced_": ("all_gather", "parts"),
    "allgather_into_tensor_coalesced_": ("all_gather", "parts"),
    "all_gather_into_tensor": ("all_gather", "parts"),
    "all_gather_into_tensor_out": ("all_gather", "parts"),
    "all_gather_into_tensor_coalesced": ("all_gather", "parts"),
    "gather_": ("all_gather", "parts"),
    "broadcast": ("all_gather", "given"),
    "broadcast_": ("all_gather", "given"),
    "_reduce_scatter_base_": ("reduce_scatter", "whole"),
    "reduce_scatter_": ("reduce_scatter", "whole"),
    "reduce_scatter_tensor_coalesced_": ("reduce_scatter", "whole"),
    "reduce_scatter_tensor": ("reduce_scatter", "given"),
    "reduce_scatter_tensor_out": ("reduce_scatter", "given"),
    "reduce_scatter_tensor_coalesced": ("reduce_scatter", "given"),
    "reduce_": ("reduce_scatter", "given"),
    "scatter_": ("reduce_scatter", "whole"),
    "alltoall_": ("all_to_all", "second"),
    "alltoall_base_": ("all_to_all", "second"),
    "all_to_all_single": ("all_to_all", "given"),
    "shard_dim_alltoall": ("all_to_all", "given"),
    "send": ("p2p", "given"),
    "isend": ("p2p", "given"),
    "recv_": ("p2p", "given"),
    "irecv": ("p2p", "given"),
    "recv_any_source_": ("p2p", "given"),
}
"""The collective that moves as much, and whose bytes count: what is given (first argument), every rank's part of what is
gathered (the input, which for the operators that write into an argument comes second), the whole that is scattered, or the
second argument. A broadcast passes the whole through every link once, as an all-gather of that size does; a reduction to one
rank as a reduce-scatter does."""


def _bytes(value: object) -> float:
    """Bytes of a tensor, or of all in lists of lists."""
    if isinstance(value, TensorSpec):
        return float(value.bytes)
    return sum(map(_bytes, value)) if isinstance(value, tuple) else 0.0


def collective(call: Call, ranks: int, domains: int = 0) -> Collective | None:
    """What a call exchanges within a group of ``ranks``; None where it exchanges nothing (``wait_tensor``, a group of one).

    bytes follow the convention of ``ops.Collective``: the tensor of an all-reduce, the gathered result, what is scattered, what
    one rank sends. domains: the scale-up domains in which the ranks lie, 0 for neighbouring ranks.
    """
    found = _KINDS.get(call.name) if is_collective(call.op) else None
    if found is None or ranks <= 1:
        return None
    kind, which = found
    functional = not call.op.startswith("c10d.")
    if which == "parts":
        moved = ranks * _bytes(call.args[0 if functional else 1])
    elif which in ("whole", "second"):
        moved = _bytes(call.args[1]) or size(call.inputs[1:])
    else:
        moved = _bytes(call.args[0])
    return Collective(call.name, kind, moved, float(ranks), domains=float(domains))


def is_collective(op: str) -> bool:
    """Whether the operator belongs to a process group: it exchanges, waits, or checks."""
    return op.split(".", 1)[0] in NAMESPACES
