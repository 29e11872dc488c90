"""A process group of which one rank runs: its collectives take their time on a stream of their own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch.distributed import ProcessGroup

from windtunnel.run.distributed import values
from windtunnel.run.distributed.waiting import Pending, VirtualWork
from windtunnel.run.machine import Machine
from windtunnel.workload.program.call import Call, TensorSpec
from windtunnel.workload.program.observe import plain
from windtunnel.workload.program.work import collective

Tensors = list[torch.Tensor]
WAIT_NOT_MODELLED = (
    "send and receive take the time of their message from when this rank calls them; the wait for another rank that is not "
    "ready yet (a pipeline's bubbles) is not modelled"
)


class VirtualGroup(ProcessGroup):
    """Ranks ``members`` of the world, of which ``rank`` (its place among them) runs. backend: as the program asked for it.

    Launches on the machine's timeline: a stream for the group, one more for each rank that it sends to or receives from.
    """

    supports_coalescing = False
    supports_splitting = False
    bound_device_id = None

    def __init__(self, machine: Machine, rank: int, members: Sequence[int], name: str, backend: str) -> None:
        super().__init__(rank, len(members))  # type: ignore[call-arg]
        self._machine = machine
        self._rank = rank
        self._members = tuple(members)
        self._name = name
        self._backend = backend
        self._description = ""
        self._streams: dict[int, int] = {}
        self._domains = len({member // machine.pricing.costs.links.domain for member in members})

    # --- what PyTorch asks of a group

    def name(self) -> str:
        return self._backend

    def getBackendName(self) -> str:  # noqa: N802 - the core calls it by this name
        return self._backend

    def _get_backend_name(self) -> str:
        return self._backend

    @property
    def pg_name(self) -> str:
        return self._name

    @property
    def group_name(self) -> str:  # type: ignore[override]
        return self._name

    @property
    def group_desc(self) -> str:
        return self._description

    def _set_group_desc(self, description: str) -> None:
        self._description = description

    def _set_group_name(self, name: str) -> None:
        self._name = name

    @property
    def _device_types(self) -> list[torch.device]:
        """The devices whose tensors the asked backend takes."""
        chip = self._machine.chip.device
        asked = dict(part.split(":") for part in self._backend.split(",") if ":" in part)
        if asked:
            return [torch.device(device) for device in asked]
        return [torch.device(d) for d in (("cpu", chip) if self._backend in ("gloo", "undefined", "mpi") else (chip,))]

    def _get_backend(self, device: torch.device) -> VirtualGroup:  # type: ignore[override]
        return self

    def _get_sequence_number_for_group(self) -> int:
        return 0

    def _set_sequence_number_for_group(self) -> None: ...

    def _start_coalescing(self, device: torch.device) -> None: ...

    def _end_coalescing(self, device: torch.device) -> VirtualWork:
        return VirtualWork(Pending(self._machine, self._machine.timeline.done_s(self._stream())), [])

    def _has_hooks(self) -> bool:
        return False

    def _wait_for_pending_works(self) -> None: ...

    def eager_connect_single_device(self, device: torch.device) -> None: ...

    def perform_nocolor_split(self, device: torch.device) -> None: ...

    def set_timeout(self, timeout: Any) -> None: ...

    def shutdown(self) -> None: ...

    def abort(self) -> None: ...

    # --- time

    def _stream(self, peer: int = -1) -> int:
        """The communication stream of the group, or of sending to and receiving from one of its ranks."""
        if peer not in self._streams:
            self._streams[peer] = self._machine.timeline.new_stream()
        return self._streams[peer]

    def exchange(self, op: str, tensors: Iterable[torch.Tensor], args: Sequence[Any], peer: int = -1) -> Pending:
        """Launch the collective ``op`` (a full name) with ``args``; tensors: what it reads and writes."""
        if not any(values.lies_on_chip(t) for t in tensors):
            self._machine.notes.setdefault("collectives of host tensors are counted as taking no time", 0)
            return Pending(self._machine, 0.0)
        moved = collective(Call(op, tuple(plain(a) for a in args)), self.size(), self._domains)
        return Pending(self._machine, self._machine.exchanged(op, moved, self._stream(peer)))

    def _launch(self, name: str, tensors: Tensors, args: Sequence[Any], results: Tensors, peer: int = -1) -> VirtualWork:
        return VirtualWork(self.exchange(f"c10d.{name}.default", tensors, args, peer), results)

    def repeats(self, name: str, happened: bool) -> None:
        """Say that a value which other ranks have a part in is this rank's own."""
        if happened and self.size() > 1:
            self._machine.stood_in(f"{name} with ranks that do not run", "every rank holds the same")

    # --- reductions

    def allreduce(self, tensors: Any, opts: Any = None) -> VirtualWork:  # type: ignore[override]
        given = [tensors] if isinstance(tensors, torch.Tensor) else list(tensors)
        work = self._launch("allreduce_", given, (given,), given)
        self._reduced("all_reduce", given, opts)
        return work

    def allreduce_coalesced(self, tensors: Tensors, opts: Any = None) -> VirtualWork:
        return self.allreduce(tensors, opts)

    def reduce(self, tensors: Any, opts: Any = None, *rest: Any) -> VirtualWork:
        given = [tensors] if isinstance(tensors, torch.Tensor) else list(tensors)
        work = self._launch("reduce_", given, (given,), given)
        self._reduced("reduce", given, opts)
        return work

    def _reduced(self, name: str, tensors: Tensors, opts: Any) -> None:
        known = [values.reduced(tensor, _reduction(opts), self.size()) for tensor in tensors]
        self.repeats(name, any(known))

    def reduce_scatter(self, outputs: Any, inputs: Any, opts: Any = None) -> VirtualWork:  # type: ignore[override]
        """outputs: one tensor; inputs: lists with a tensor for every rank."""
        outputs, inputs = list(outputs), [list(part) for part in inputs]
        work = self._launch("reduce_scatter_", [*outputs, *inputs[0]], (outputs, inputs), outputs)
        for output, parts in zip(outputs, inputs, strict=True):
            self._scattered(output, parts[self._rank], opts)
        return work

    def _reduce_scatter_base(self, output: torch.Tensor, given: torch.Tensor, opts: Any = None) -> VirtualWork:
        work = self._launch("_reduce_scatter_base_", [output, given], (output, given), [output])
        self._scattered(output, values.share(given, self._rank, self.size()), opts)
        return work

    def reduce_scatter_single(self, output: torch.Tensor, given: torch.Tensor, opts: Any = None) -> VirtualWork:
        return self._reduce_scatter_base(output, given, opts)

    def reduce_scatter_tensor_coalesced(self, outputs: Tensors, inputs: Tensors, opts: Any = None) -> VirtualWork:
        name = "reduce_scatter_tensor_coalesced_"
        work = self._launch(name, [*outputs, *inputs], (list(outputs), list(inputs)), list(outputs))
        for output, given in zip(outputs, inputs, strict=True):
            self._scattered(output, values.share(given, self._rank, self.size()), opts)
        return work

    reduce_scatter_single_coalesced = reduce_scatter_tensor_coalesced  # type: ignore[assignment]

    def _scattered(self, output: torch.Tensor, part: torch.Tensor, opts: Any) -> None:
        if values.copied(output, part):
            values.reduced(output, _reduction(opts), self.size())
            self.repeats("reduce_scatter", True)

    # --- gathers

    def allgather(self, outputs: Any, inputs: Any, opts: Any = None) -> VirtualWork:
        """outputs: lists with a tensor for every rank; inputs: one tensor."""
        outputs, inputs = [list(part) for part in outputs], list(inputs)
        flat = [t for part in outputs for t in part]
        work = self._launch("allgather_", [*inputs, *flat], (outputs, inputs), flat)
        for parts, given in zip(outputs, inputs, strict=True):
            self.repeats("all_gather", values.repeated(parts, given))
        return work

    def allgather_coalesced(self, outputs: Any, inputs: Any, opts: Any = None) -> VirtualWork:
        by_tensor = [list(parts) for parts in zip(*outputs, strict=True)]
        return self.allgather(by_tensor, inputs, opts)

    def _allgather_base(self, output: torch.Tensor, given: torch.Tensor, opts: Any = None) -> VirtualWork:
        work = self._launch("_allgather_base_", [output, given], (output, given), [output])
        self.repeats("all_gather", values.copied(output, given))
        return work

    def all_gather_single(self, output: torch.Tensor, given: torch.Tensor, opts: Any = None) -> VirtualWork:
        return self._allgather_base(output, given, opts)

    def allgather_into_tensor_coalesced(self, outputs: Tensors, inputs: Tensors, opts: Any = None) -> VirtualWork:
        name = "allgather_into_tensor_coalesced_"
        work = self._launch(name, [*outputs, *inputs], (list(outputs), list(inputs)), list(outputs))
        for output, given in zip(outputs, inputs, strict=True):
            self.repeats("all_gather", values.copied(output, given))
        return work

    all_gather_single_coalesced = allgather_into_tensor_coalesced  # type: ignore[assignment]

    def gather(self, outputs: Any, inputs: Any, opts: Any = None, *rest: Any) -> VirtualWork:
        outputs = [list(part) if isinstance(part, (list, tuple)) else [part] for part in outputs or ()]
        inputs = [inputs] if isinstance(inputs, torch.Tensor) else list(inputs)
        flat = [t for part in outputs for t in part]
        work = self._launch("gather_", [*inputs, *flat], (outputs, inputs), flat)
        for given in inputs:
            self.repeats("gather", values.repeated(flat, given))
        return work

    # --- from one rank to others

    def broadcast(self, tensors: Any, opts: Any = None, *rest: Any) -> VirtualWork:
        given = [tensors] if isinstance(tensors, torch.Tensor) else list(tensors)
        return self._launch("broadcast_", given, (given,), given)

    def scatter(self, outputs: Any, inputs: Any, opts: Any = None, *rest: Any) -> VirtualWork:
        outputs = [outputs] if isinstance(outputs, torch.Tensor) else list(outputs)
        parts = list(inputs[0]) if inputs and isinstance(inputs[0], (list, tuple)) else list(inputs or ())
        whole = [parts or [outputs[0]] * self.size()]
        work = self._launch("scatter_", [*outputs, *parts], (outputs, whole), outputs)
        if parts:
            values.copied(outputs[0], parts[self._rank])
        return work

    def alltoall_base(
        self, output: torch.Tensor, given: torch.Tensor, output_sizes: Any = (), input_sizes: Any = (), opts: Any = None
    ) -> VirtualWork:
        work = self._launch("alltoall_base_", [output, given], (output, given), [output])
        mine = values.share(given, self._rank, self.size()) if not input_sizes else given
        self.repeats("all_to_all", values.copied(output, mine))
        return work

    def all_to_all_single(self, *args: Any, **kwargs: Any) -> VirtualWork:
        return self.alltoall_base(*args, **kwargs)

    def alltoall(self, outputs: Tensors, inputs: Tensors, opts: Any = None) -> VirtualWork:
        outputs, inputs = list(outputs), list(inputs)
        work = self._launch("alltoall_", [*outputs, *inputs], (outputs, inputs), outputs)
        for output in outputs:
            self.repeats("all_to_all", values.copied(output, inputs[self._rank]))
        return work

    # --- between two ranks

    def send(self, tensors: Tensors, peer: int, tag: int = 0) -> VirtualWork:
        self._machine.notes.setdefault(WAIT_NOT_MODELLED, 0)
        return self._launch("send", list(tensors), (list(tensors),), [], peer)

    def recv(self, tensors: Tensors, peer: int, tag: int = 0) -> VirtualWork:
        self._machine.notes.setdefault(WAIT_NOT_MODELLED, 0)
        return self._launch("recv_", list(tensors), (list(tensors),), list(tensors), peer)

    def recv_anysource(self, tensors: Tensors, tag: int = 0) -> VirtualWork:
        return self.recv(tensors, (self._rank - 1) % self.size(), tag)

    # --- waiting for all

    def barrier(self, opts: Any = None, *rest: Any, **named: Any) -> VirtualWork:  # type: ignore[override]
        one = TensorSpec((1,), "fp32")
        moved = collective(Call("c10d.barrier.default", (one,)), self.size(), self._domains)
        end_s = self._machine.exchanged("c10d.barrier.default", moved, self._stream())
        return VirtualWork(Pending(self._machine, end_s, blocks=True), [])

    def monitored_barrier(self, timeout: Any = None, wait_all_ranks: bool = False) -> None:
        self.barrier().wait()


def _reduction(opts: Any) -> object:
    """The reduction that options of a collective name; a sum where there are none."""
    return getattr(opts, "reduceOp", "sum") if not isinstance(opts, str) else opts
