"""``torch.distributed`` on a virtual chip, for as long as its device is entered."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.launcher
import torch.distributed.launcher.api
import torch.multiprocessing
from torch._C._distributed_c10d import HashStore, Logger, Store
from torch.distributed import distributed_c10d as c10d

from windtunnel.run.distributed.environment import environment, of_rank
from windtunnel.run.distributed.functional import wrapped
from windtunnel.run.distributed.group import VirtualGroup
from windtunnel.run.distributed.launchers import elastic_launcher, spawner
from windtunnel.run.machine import Machine
from windtunnel.workload.program.device import VirtualDevice

_PLUGIN = "windtunnel"
_machines: list[Machine] = []
"""The machine whose ranks new groups are made of."""

LIBRARIES = {"cuda": "nccl", "npu": "hccl", "xpu": "xccl", "musa": "mccl", "mlu": "cncl"}
"""The communication library that PyTorch uses by default on a device."""

USUAL_SERVER = 8
"""Devices of a server where neither the chip nor a system says: what the common servers take."""


def install_distributed(machine: Machine, device: VirtualDevice, server: int = 0) -> None:
    """Give a program rank ``machine.rank`` of ``machine.ranks``, of which ``server`` (0: not known) sit in one host."""
    _register_kernels()
    device.enter(_backend(machine))
    if machine.ranks > 1:
        local = min(machine.ranks, server or USUAL_SERVER)
        device.enter(environment(of_rank(machine.rank, machine.ranks, local)))
        if not server and machine.ranks > USUAL_SERVER:
            machine.notes.setdefault(f"{USUAL_SERVER} devices to a server are assumed: the catalogue does not know this one", 0)
        machine.notes.setdefault(_alone(machine), 0)
    _patch_groups(machine, device)
    _patch_stores(device)
    _patch_objects(machine, device)
    device.patch(torch.multiprocessing, "spawn", spawner(machine))
    device.patch(torch.multiprocessing, "start_processes", spawner(machine))
    launcher = elastic_launcher(machine)
    for place in (torch.distributed.launcher, torch.distributed.launcher.api):
        device.patch(place, "elastic_launch", launcher)


def _alone(machine: Machine) -> str:
    return (
        f"the program made no process group: it runs on one of the {machine.ranks} devices, and the times are that one's; "
        "see torch.distributed for using them all"
    )


def _world_made(machine: Machine, device: VirtualDevice, size: int) -> None:
    """The program uses many ranks: what was to be said of a program on one of them is not said."""
    # imported only now: it takes PyTorch most of a second
    import torch.distributed._functional_collectives
    from torch.distributed.tensor import _random

    device.recorder._special[torch.ops._c10d_functional._wrap_tensor_autograd.default] = wrapped

    device.patch(_random, "OffsetBasedRNGTracker", _RandomNumbers)
    device.patch(_random, "_rng_tracker", None)
    machine.notes.pop(_alone(machine), None)
    if size != machine.ranks:
        machine.notes.setdefault(f"the program makes a group of {size} ranks, and --on gives {machine.ranks} devices", 0)


_kernels = torch.library.Library("aten", "IMPL")


def _register_kernels() -> None:
    """What PyTorch calls past every mode: the flat parameters of FullyShardedDataParallel."""
    if not torch._C._dispatch_has_kernel_for_dispatch_key("aten::record_stream", "PrivateUse1"):
        _kernels.impl("record_stream", lambda tensor, stream: None, "PrivateUse1")


@contextmanager
def _backend(machine: Machine) -> Iterator[None]:
    """The backend of which every group is, and, on a device that PyTorch's table lacks, the name of its library."""
    defaults = dist.Backend.default_device_backend_map
    before = dict(defaults)
    if _PLUGIN not in dist.Backend.backend_list:
        dist.Backend.register_backend(_PLUGIN, _new_group, extended_api=True, devices=["cpu", *LIBRARIES])
    defaults.clear()
    defaults.update(before)
    if machine.chip.device in LIBRARIES:
        defaults[machine.chip.device] = LIBRARIES[machine.chip.device]
    _machines.append(machine)
    try:
        yield
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
        _machines.pop()
        defaults.clear()
        defaults.update(before)


def _new_group(options: Any, asked: str) -> VirtualGroup:
    """PyTorch's request for a group. asked: the backend's name in the program."""
    members = options.global_ranks_in_group or range(options.group_size)
    return VirtualGroup(_machines[-1], options.group_rank, members, options.group_id, asked)


def _patch_groups(machine: Machine, device: VirtualDevice) -> None:
    """Groups of every backend are ours, under the name that the program asked for."""
    make = c10d._new_process_group_helper

    def new_group(size: int, rank: int, members: Any, backend: Any, store: Any, *rest: Any, **named: Any) -> Any:
        asked = str(backend)
        for place, key in ((1, "backend_options"), (4, "device_id")):
            if key in named or len(rest) < place:
                named[key] = asked if key == "backend_options" else None
        group, prefix = make(size, rank, members, _PLUGIN, store, *rest, **named)
        if isinstance(group, VirtualGroup):
            world = c10d._world
            world.pg_map[group] = (dist.Backend(asked), world.pg_map[group][1])
            world.pg_backend_config[group] = asked if ":" in asked else f"{machine.chip.device}:{asked}"
            if not members:
                _world_made(machine, device, group.size())
        return group, prefix

    device.patch(c10d, "_new_process_group_helper", new_group)
    begin = dist.init_process_group

    def init_process_group(backend: Any = None, *rest: Any, device_id: Any = None, **named: Any) -> None:
        if backend is None and device_id is not None:
            backend = LIBRARIES.get(machine.chip.device)
        begin(backend, *rest, **named)

    for owner in (dist, c10d):
        device.patch(owner, "init_process_group", init_process_group)
        if LIBRARIES.get(machine.chip.device) == "nccl":
            device.patch(owner, "is_nccl_available", lambda: True)
    if hasattr(c10d, "default_pg_nccl_timeout"):
        device.patch(c10d, "default_pg_nccl_timeout", c10d.default_pg_nccl_timeout or c10d.default_pg_timeout)
    if not hasattr(dist, "ProcessGroupNCCL") and machine.chip.device == "cuda":
        device.patch(dist, "ProcessGroupNCCL", _ProcessGroupNCCL)
    # DistributedDataParallel's logger would say at each start that it has no timer for the device
    device.patch(Logger, "set_runtime_stats_and_log", lambda logger: None)
    # PyTorch puts the rank before every line of a traceback; the program's own ends as it would without ranks
    device.patch(sys, "excepthook", sys.excepthook)


class _RandomNumbers:
    """In place of what keeps the random numbers of a distributed tensor's shards apart: they are not computed."""

    distribute_region_enabled = False

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def _distribute_region(self, *_: Any, **__: Any) -> AbstractContextManager[None]:
        return nullcontext()

    def _manual_seed(self, parallel_seed: int) -> None: ...


class _ProcessGroupNCCL:
    """What programs for NCCL name before they make a group; the CPU's PyTorch lacks it."""

    class Options:
        def __init__(self, is_high_priority_stream: bool = False) -> None:
            self.is_high_priority_stream = is_high_priority_stream
            self.config: Any = type("Config", (), {})()


class _LocalStore(HashStore):
    """A store of this process alone in place of one that the ranks share."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()


def _patch_stores(device: VirtualDevice) -> None:
    module = sys.modules["torch.distributed.rendezvous"]  # the package has a function of that name
    rendezvous = module.rendezvous

    def meet(url: str, rank: int = -1, world_size: int = -1, **named: Any) -> Iterator[tuple[Store, int, int]]:
        own_rank = rank if rank >= 0 else int(os.environ.get("RANK", -1))
        size = world_size if world_size > 0 else int(os.environ.get("WORLD_SIZE", -1))
        if own_rank < 0 or size < 1:
            yield from rendezvous(url, rank, world_size, **named)  # says what is missing
        yield _LocalStore(), own_rank, size

    for owner in (c10d, module, dist):
        device.patch(owner, "rendezvous", meet)
        if hasattr(owner, "TCPStore"):
            device.patch(owner, "TCPStore", _LocalStore)


def _patch_objects(machine: Machine, device: VirtualDevice) -> None:
    """Objects that another rank would send: this one's own stay."""
    broadcast = dist.broadcast_object_list

    def broadcast_object_list(objects: list[Any], src: int | None = None, *rest: Any, **named: Any) -> None:
        source = src if src is not None else named.get("group_src")
        if source in (None, dist.get_rank()):
            broadcast(objects, src, *rest, **named)
        else:
            machine.stood_in("objects that another rank sends", "this rank's own")

    def recv_object_list(objects: list[Any], src: int | None = None, *rest: Any, **named: Any) -> int:
        machine.stood_in("objects that another rank sends", "this rank's own")
        return src if src is not None else 0

    for owner in (dist, c10d):
        device.patch(owner, "broadcast_object_list", broadcast_object_list)
        device.patch(owner, "recv_object_list", recv_object_list)
