"""Programs for many chips, run one after the other on virtual ones in a process of their own; writes what they left behind."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn

BATCH, WIDTH, BLOCKS = 64, 1024, 4


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(WIDTH, 4 * WIDTH, bias=False)
        self.b = nn.Linear(4 * WIDTH, WIDTH, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        given: torch.Tensor = self.b(torch.relu(self.a(x)))
        return x + given


def model() -> nn.Sequential:
    return nn.Sequential(*[Block() for _ in range(BLOCKS)])


def train(net: nn.Module, device: str, batch: int = BATCH, steps: int = 2) -> Any:
    """Two steps; gives what the program keeps between them."""
    optimizer = torch.optim.AdamW(net.parameters())
    for _ in range(steps):
        net(torch.randn(batch, WIDTH, device=device)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return net, optimizer


def single(device: str) -> Any:
    return train(model().to(device), device)


def ddp(device: str, batch: int = BATCH) -> None:
    dist.init_process_group("nccl" if device == "cuda" else "hccl")
    assert (dist.get_rank(), dist.get_world_size()) == (0, int(os.environ["WORLD_SIZE"]))
    assert dist.get_backend() == ("nccl" if device == "cuda" else "hccl")
    train(nn.parallel.DistributedDataParallel(model().to(device), device_ids=[0]), device, batch)
    dist.destroy_process_group()


def ddp_much_to_compute(device: str) -> None:
    ddp(device, 8192)


def ddp_accumulating(device: str) -> None:
    dist.init_process_group()
    net = nn.parallel.DistributedDataParallel(model().to(device))
    optimizer = torch.optim.AdamW(net.parameters())
    for _ in range(2):
        with net.no_sync():
            net(torch.randn(BATCH, WIDTH, device=device)).mean().backward()
        net(torch.randn(BATCH, WIDTH, device=device)).mean().backward()
        optimizer.step()
        optimizer.zero_grad()


def fsdp(device: str) -> Any:
    from torch.distributed.fsdp import fully_shard

    net = model()
    for block in net:
        fully_shard(block)
    fully_shard(net)
    return train(net.to(device), device)


def fsdp_flat(device: str) -> Any:
    """The older FullyShardedDataParallel, with flat parameters whose storages are freed and made anew."""
    from torch.distributed.fsdp import FullyShardedDataParallel
    from torch.distributed.fsdp.wrap import ModuleWrapPolicy

    dist.init_process_group()
    net = FullyShardedDataParallel(model(), auto_wrap_policy=ModuleWrapPolicy({Block}), device_id=torch.device(0))
    return train(net, device)


def fsdp_from_meta(device: str) -> None:
    """Made without memory, sharded over one dimension of a mesh in bf16, its gradients clipped."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    mesh = init_device_mesh(device, (2, 4), mesh_dim_names=("replicas", "shards"))
    with torch.device("meta"):
        net = model()
    for block in net:
        fully_shard(block, mesh=mesh["shards"], mp_policy=MixedPrecisionPolicy(param_dtype=torch.bfloat16))
    fully_shard(net, mesh=mesh["shards"])
    net.to_empty(device=device)
    for parameter in net.parameters():
        nn.init.normal_(parameter)
    net(torch.randn(BATCH, WIDTH, device=device)).mean().backward()
    nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    torch.optim.SGD(net.parameters()).step()


def tensor_parallel(device: str) -> Any:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

    mesh = init_device_mesh(device, (int(os.environ["WORLD_SIZE"]),))
    net = model().to(device)
    for block in net:
        parallelize_module(block, mesh, {"a": ColwiseParallel(), "b": RowwiseParallel()})
    return train(net, device)


def exchange(device: str) -> None:
    """Every collective, on values that are known."""
    import torch.distributed._functional_collectives as functional

    dist.init_process_group(f"cpu:gloo,{device}:{'nccl' if device == 'cuda' else 'hccl'}")
    ranks = dist.get_world_size()
    mine = torch.arange(8, device=device)

    def reduced(op: Any) -> list[int]:
        value = mine.clone()
        dist.all_reduce(value, op=op)
        return value.tolist()

    assert reduced(dist.ReduceOp.SUM) == [ranks * i for i in range(8)]
    assert reduced(dist.ReduceOp.MAX) == reduced(dist.ReduceOp.AVG) == list(range(8))
    gathered = torch.empty(8 * ranks, dtype=torch.int64, device=device)
    dist.all_gather_into_tensor(gathered, mine)
    assert gathered.tolist() == list(range(8)) * ranks
    parts = [torch.empty_like(mine) for _ in range(ranks)]
    dist.all_gather(parts, mine)
    assert parts[-1].tolist() == list(range(8))
    part = torch.empty(8, dtype=torch.int64, device=device)
    dist.reduce_scatter_tensor(part, gathered)
    assert part.tolist() == [ranks * i for i in range(8)]
    dist.scatter(part, parts, 0)
    assert part.tolist() == list(range(8))
    dist.gather(mine, parts, 0)
    dist.broadcast(mine, 0)
    dist.reduce(mine.clone(), 0)
    swapped = torch.empty(ranks, dtype=torch.int64, device=device)
    dist.all_to_all_single(swapped, torch.arange(ranks, device=device))
    assert swapped.tolist() == [0] * ranks
    for request in dist.batch_isend_irecv([dist.P2POp(dist.isend, mine, 1), dist.P2POp(dist.irecv, part, 1)]):
        request.wait()
    dist.send(mine, 1)
    dist.recv(part, 1)
    work = dist.all_reduce(mine.clone(), async_op=True)
    assert work.is_completed()
    assert work.wait()
    assert dist.all_reduce(mine, async_op=True).get_future().wait()[0].tolist() == [ranks * i for i in range(8)]
    on_host = torch.ones(2)
    dist.all_reduce(on_host)
    assert on_host.tolist() == [ranks, ranks]
    ones = torch.ones(ranks, device=device)
    everyone: Any = dist.group.WORLD
    assert (functional.all_reduce(ones, "sum", everyone) + 1).tolist() == [ranks + 1.0] * ranks
    assert (functional.all_gather_tensor(ones, 0, everyone) + 0).shape == (ranks * ranks,)
    assert (functional.reduce_scatter_tensor(ones, "sum", 0, everyone) + 0).tolist() == [ranks]
    objects: list[Any] = [None] * ranks
    dist.all_gather_object(objects, {"of": "mine"})
    assert objects == [{"of": "mine"}] * ranks
    dist.broadcast_object_list(objects, 0)
    dist.broadcast_object_list(objects, 1)
    given: list[Any] = [None]
    dist.scatter_object_list(given, list(range(ranks)), 0)
    assert given == [0]
    near, far = dist.new_group([0, 1]), dist.new_group([0, ranks // 2])
    large = torch.ones(1 << 22, device=device)
    for group in (near, far):
        dist.all_reduce(large, group=group)
    assert dist.get_world_size(near) == 2
    dist.barrier()
    dist.destroy_process_group()


def alone(device: str) -> None:
    torch.ones(4, device=device).sum()


def fails_in_backward(device: str) -> None:
    """An error that a hook raises comes out of the backward pass as it is."""
    x = torch.ones(3, device=device, requires_grad=True)
    y = x * 2

    def hook(_: torch.Tensor) -> None:
        torch.empty(1, device=device)
        raise ValueError("raised by a hook")

    y.register_hook(hook)  # type: ignore[no-untyped-call]
    with pytest.raises(ValueError, match="raised by a hook"):
        y.sum().backward()  # type: ignore[no-untyped-call]
    y = x * torch.ones(3, device=device)
    y.sum().backward()  # type: ignore[no-untyped-call]


def spawned(device: str) -> None:
    from torch.multiprocessing import spawn  # type: ignore[attr-defined]  # a program imports it once the chip is there

    spawn(_spawned, (device,), nprocs=8)  # type: ignore[no-untyped-call]


def _spawned(rank: int, device: str) -> None:
    dist.init_process_group("nccl", init_method="tcp://127.0.0.1:1", rank=rank, world_size=8)
    dist.all_reduce(torch.ones(1 << 20, device=device))


PROGRAMS: dict[str, Callable[[str], Any]] = {
    of.__name__: of
    for of in (
        single, ddp, ddp_much_to_compute, ddp_accumulating, fsdp, fsdp_flat, fsdp_from_meta, tensor_parallel, exchange, alone,
        fails_in_backward, spawned,
    )
}  # fmt: skip


def main(found: str, *asked: str) -> None:
    """asked: ``chip/program`` each; writes {asked: (report, bytes of what the program keeps)}."""
    from windtunnel.run.virtual import VirtualChip

    left = {}
    for one in asked:
        on, _, program = one.rpartition("/")
        with VirtualChip(on) as chip:
            kept = PROGRAMS[program](chip.place.chip.device)
            left[one] = (chip.report(program), chip.machine.allocator.allocated)
            del kept
    Path(found).write_bytes(pickle.dumps(left))


if __name__ == "__main__":
    main(*sys.argv[1:])
    sys.stdout.flush()
    os._exit(0)
