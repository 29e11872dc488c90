"""The virtual chip under a program: it hears of every operator, keeps clock and memory, and remembers what the report needs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from time import monotonic
from typing import Any, Literal

import torch

from windtunnel.catalog.chip import Chip
from windtunnel.catalog.support import support_for
from windtunnel.cost.evidence import Evidence
from windtunnel.cost.host import Launching, host_cost
from windtunnel.cost.links import Links
from windtunnel.run.allocator import Allocator, AllocatorSettings, Block, OutOfMemory
from windtunnel.run.memory import Holders, MemoryCurve
from windtunnel.run.pricing import Price, Pricing
from windtunnel.run.record import Holder, Launch, StandIn
from windtunnel.run.script import StopProgram
from windtunnel.run.targets import HOST_BYTES_PER_S, HOST_FLOPS_PER_S, HOST_LINK_BYTES_PER_S, refuse_type
from windtunnel.run.timeline import Timeline
from windtunnel.workload.ops import Collective
from windtunnel.workload.program.call import Call, Site, Step
from windtunnel.workload.program.plans import Plan
from windtunnel.workload.program.sites import Origin, Sites

MOST_LAUNCHES = 400_000
"""Launches that are kept one by one; a longer run keeps its first ones, and its steps' times to the end."""

_FUSED, _ATTENTION = "_scaled_dot_product_fused_attention_overrideable", "scaled_dot_product_attention"
SHOWN_AS = {
    f"aten.{_FUSED}.default": f"aten.{_ATTENTION}.default",
    f"aten.{_FUSED}_backward.default": f"aten.{_ATTENTION}_backward.default",
    _FUSED: _ATTENTION,
    f"{_FUSED}_backward": f"{_ATTENTION}_backward",
}
"""Operators that stand for what the program called, under the name by which it called it."""
SHOWN = frozenset(SHOWN_AS.values())

HEEDED_S = 2.0
"""An interrupt after which the program still launches operators so much later was lost on its way, and is raised again."""

_NO_LIMIT = 1 << 60
"""Bytes of a memory that never runs out."""

FUSED_REGIONS: dict[str, Launching] = {"compiled": "compiled", "graph": "graph", "recurrent": "compiled"}


class Mark:
    """The end of a step or of a forward call: when all launched by then is done, and the totals up to it."""

    __slots__ = ("at_s", "busy_s", "launches", "wait_s")

    def __init__(self, timeline: Timeline, launches: int) -> None:
        self.at_s = max(timeline.device_s, timeline.host_s)
        self.busy_s = timeline.busy_s
        self.wait_s = timeline.wait_s
        self.launches = launches


class Machine:
    """One chip (of ``ranks`` alike) with its clock, its streams and its memory. Hears the recorder (a ``Listener``).

    launching: how operators reach the device where the program does not say (eager, or graph to price as replayed).
    steps: stop the program after so many. limit_memory: run out of memory where the chip would.
    """

    def __init__(
        self, chip: Chip, links: Links | None = None, *, ranks: int = 1, rank: int = 0, launching: Launching = "eager",
        steps: int | None = None, limit_memory: bool = True,
        parameters: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self.chip = chip
        self.ranks = ranks
        self.rank = rank
        self.sites = Sites()
        self.pricing = Pricing(chip, links, parameters)
        self.timeline = Timeline()
        self.launching: Launching = launching
        self.host = {kind: host_cost(chip.device, kind) for kind in ("eager", "compiled", "graph")}
        self.support = support_for(chip)
        self.capacity = int(chip.value("memory_bytes"))
        settings = AllocatorSettings.from_environment(chip.device, os.environ)
        self.allocator = Allocator(self.capacity if limit_memory else _NO_LIMIT, settings, clock=self.timeline)
        self.curve = MemoryCurve()
        self.holders = Holders()
        self.holders_at_failure: tuple[Holder, ...] = ()
        self.launches: list[Launch] = []
        self.dropped = 0
        self.calls: dict[str, list[Any]] = {}
        self.views: dict[str, list[Any]] = {}
        self.dtypes: dict[str, set[str]] = {}
        self.stand_ins: dict[tuple[str, str], list[Any]] = {}
        self.began: Mark | None = None
        self.step_marks: list[Mark] = []
        self.forward_marks: list[Mark] = []
        self.operators = 0
        self.interrupted_at_s: float | None = None  # by the real clock
        self.launched_as: set[str] = set()
        self.notes: dict[str, int] = {}
        self._most_steps = steps
        self._buffer: list[tuple[Plan, Step, Origin]] = []
        self._buffered: tuple[str, int, str] | None = None
        self._versions: dict[int, int] = {}
        self._checked: set[tuple[str, Any]] = set()
        self.sites.on_step = self._step_ended
        self.sites.on_forward = self._forward_ended
        self.sites.on_root = self._found_root

    # --- memory

    def allocate(self, nbytes: int) -> Block:
        """Memory for a storage. Raises torch.OutOfMemoryError as the chip's allocator would."""
        try:
            block = self.allocator.allocate(nbytes, self.timeline.stream)
        except OutOfMemory as problem:
            self.holders_at_failure = tuple(self.holders.at_present())
            raise torch.OutOfMemoryError(problem.message(self.chip.device, 0)) from None
        if nbytes:
            self.holders.add(id(block), nbytes, self._tag())
            self.curve.add(self.timeline.host_s, self.allocator.allocated, self.allocator.reserved)
        return block

    def free(self, block: Block) -> None:
        """A storage has gone."""
        if block.requested:
            self.holders.remove(id(block))
        self.allocator.free(block)
        self.curve.add(self.timeline.host_s, self.allocator.allocated, self.allocator.reserved)

    def _tag(self) -> tuple[str, str, Site | None]:
        if self.sites.in_backward():
            return "gradient", "", None
        site = self.sites.site()
        if self.sites.optimizing:
            return "optimizer state", "", site
        module = self.sites.module()
        return ("activation", module, site) if module is not None else ("other", "", site)

    def _found_root(self, module: torch.nn.Module) -> None:
        """A module was called from outside any other: its parameters and buffers are known by name from here on.

        What came before the first such call (models made and moved, data made) is no part of the first step.
        """
        if self.began is None:
            self.flush()
            self.began = Mark(self.timeline, len(self.launches))
        for kind, named in (("parameter", module.named_parameters()), ("buffer", module.named_buffers())):
            for name, tensor in named:
                if torch._C._functorch.is_functorch_wrapped_tensor(tensor):
                    continue  # a function transform's stand-in has no storage
                block = getattr(getattr(tensor.untyped_storage(), "_held", None), "block", None)
                if block is not None and block.requested:
                    self.holders.retag(id(block), (kind, name, None))

    # --- operators

    def launched(self, plan: Plan, tensors: Sequence[torch.Tensor], outputs: Sequence[Any]) -> None:
        """An operator was called on the device."""
        if self.interrupted_at_s is not None and monotonic() - self.interrupted_at_s > HEEDED_S:
            self.interrupted_at_s = None
            raise KeyboardInterrupt
        self.operators += 1
        origin = self.sites.origin()
        if not plan.launches:
            viewed = self.views.get(plan.call.op)
            if viewed is None:
                self.views[plan.call.op] = [1, 0.0, origin.site]
            else:
                viewed[0] += 1
            if origin.region not in FUSED_REGIONS:
                self.timeline.host_s += self.host[self.launching].view_s
            return
        price: Price | None = plan.price
        if price is None:
            price = plan.price = self._first_seen(plan.call)
        self._count(plan.call.op, origin.site, price)
        if origin.region in FUSED_REGIONS:
            key = (origin.region, origin.entry, origin.phase)
            if key != self._buffered:
                self.flush()
                self._buffered = key
            self._buffer.append((plan, self._step(plan, tensors, outputs), origin))
            return
        if self._buffer:
            self.flush()
        if price.where == "cpu":
            self._fall_back(plan.call, price, origin)
        else:
            self._launch(plan.call.op, price, origin, self.host[self.launching].call_s)

    def _first_seen(self, call: Call) -> Price:
        """The price of a call with these operands; raises RuntimeError where the chip lacks their number type."""
        self.dtypes.setdefault(SHOWN_AS.get(call.op, call.op), set()).update(t.dtype for t in (*call.inputs, *call.outputs))
        refuse_type(self.chip, call)
        price = self.pricing.call(call)
        if self.support.of(call.op).status == "cpu fallback" and self.support.of(call.op).always:
            price.where = "cpu"
        return price

    def _launch(self, op: str, price: Price, origin: Origin, host_s: float, calls: int = 1, stream: int | None = None) -> None:
        start, end, wait = self.timeline.launch(price.seconds, host_s, stream)
        if len(self.launches) >= MOST_LAUNCHES:
            self.dropped += 1
            return
        self.launches.append(
            Launch(
                SHOWN_AS.get(op, op), price.family, origin.module, origin.site, origin.phase, len(self.step_marks),
                self.timeline.stream if stream is None else stream, start, end, wait, price.bound, price.flops, price.bytes,
                price.evidence, price.where, calls,
            )
        )  # fmt: skip

    def _fall_back(self, call: Call, price: Price, origin: Origin) -> None:
        """The chip's plugin runs the operator on the host: operands go there, the result comes back, and everything waits."""
        self.timeline.synchronize()
        moved = sum(t.bytes for t in call.inputs) + sum(t.bytes for t in call.outputs)
        seconds = moved / HOST_LINK_BYTES_PER_S + max(moved / HOST_BYTES_PER_S, price.flops / HOST_FLOPS_PER_S)
        there = Price(seconds, "host", "cpu fallback", price.flops, price.bytes, Evidence.DATASHEET, 1.0, "cpu")
        self._launch(call.op, there, origin, self.host["eager"].call_s)
        self.timeline.synchronize()

    def _step(self, plan: Plan, tensors: Sequence[torch.Tensor], outputs: Sequence[Any]) -> Step:
        """The call with numbers for the values that it takes and makes."""
        reads = tuple(self._value(t) for t in tensors)
        for i in plan.written:
            storage = _number(tensors[i])
            self._versions[storage] = self._versions.get(storage, 0) + 1
        writes = tuple(self._value(t) for t in outputs if isinstance(t, torch.Tensor))
        return Step(plan.call, reads, writes)

    def _value(self, tensor: torch.Tensor) -> int:
        storage = _number(tensor)
        return hash((storage, self._versions.get(storage, 0)))

    def flush(self) -> None:
        """Price and launch what has been gathered of a compiled region."""
        if not self._buffer:
            return
        buffer, self._buffer, self._buffered = self._buffer, [], None
        launching = FUSED_REGIONS[buffer[0][2].region]
        self.launched_as.add(buffer[0][2].region)
        cost = self.host[launching]
        self.timeline.host_s += cost.step_s
        for kernel in self.pricing.region([step for _, step, _ in buffer]):
            plans = [buffer[i] for i in kernel.calls]
            origin = max(plans, key=lambda entry: entry[0].price.bytes)[2]
            name = kernel.name if len(kernel.calls) == 1 else f"fused {kernel.name}"
            self._launch(name, kernel.price, origin, cost.call_s, len(kernel.calls))
        self._versions.clear()

    def _count(self, op: str, site: Site | None, price: Price) -> None:
        op = SHOWN_AS.get(op, op)
        known = self.calls.get(op)
        if known is None:
            self.calls[op] = [1, price.seconds, site]
        else:
            known[0] += 1
            known[1] += price.seconds

    # --- the host and the device

    def copied(self, nbytes: int, way: Literal["to device", "to host"], blocking: bool) -> None:
        """Bytes crossed between host and device."""
        self.flush()
        origin = self.sites.origin()
        seconds = nbytes / HOST_LINK_BYTES_PER_S
        price = Price(seconds, "host", "copy", 0.0, float(nbytes), Evidence.DATASHEET, 0.5)
        self._launch(f"copy {way}", price, origin, self.host["eager"].call_s)
        if blocking:
            self.timeline.synchronize_stream(self.timeline.stream)

    def exchanged(self, op: str, moved: Collective | None, stream: int) -> float:
        """A collective was launched on a communication stream, to start when all on the current stream is done: when it ends.

        moved: None where nothing is exchanged (a group of one rank).
        """
        self.flush()
        self.operators += 1
        origin = self.sites.origin()
        price = self.pricing.ops((moved,) if moved is not None else ())
        self._count(op, origin.site, price)
        host_s = self.host[self.launching].call_s
        # a communication stream that lies idle does not wait for the host alone: its wait is counted where the work is
        self.timeline.hold(stream, max(self.timeline.done_s(self.timeline.stream), self.timeline.host_s + host_s))
        self._launch(op, price, origin, host_s, stream=stream)
        return self.timeline.done_s(stream)

    def waited(self) -> None:
        """The host waits for the device."""
        self.flush()
        self.timeline.synchronize()

    def stood_in(self, what: str, given: str) -> None:
        """A value that nothing computed was asked for."""
        known = self.stand_ins.setdefault((what, given), [0, self.sites.site()])
        known[0] += 1

    def told_stand_ins(self) -> tuple[StandIn, ...]:
        """The stand-ins so far, most often used first."""
        found = [StandIn(what, given, n, site) for (what, given), (n, site) in self.stand_ins.items()]
        return tuple(sorted(found, key=lambda s: -s.calls))

    # --- the program's steps

    def region(self, kind: str) -> AbstractContextManager[None]:
        """A stretch whose operators belong together."""
        return self.sites.region(kind)

    def _step_ended(self) -> None:
        self.flush()
        self.step_marks.append(Mark(self.timeline, len(self.launches)))
        if self._most_steps is not None and len(self.step_marks) >= self._most_steps:
            raise StopProgram

    def _forward_ended(self) -> None:
        self.flush()
        self.forward_marks.append(Mark(self.timeline, len(self.launches)))
        # with an optimizer about, this is an evaluation before the first step, or a game played to learn from
        only_forwards = not self.step_marks and not torch.is_grad_enabled() and not self.sites.trains
        if self._most_steps is not None and only_forwards and len(self.forward_marks) >= self._most_steps:
            raise StopProgram


def _number(tensor: torch.Tensor) -> int:
    """What tells a tensor's storage from every other: a number of its own on the device, below zero on the host."""
    storage = tensor.untyped_storage()
    number: int | None = getattr(getattr(storage, "_held", None), "number", None)
    return -storage._cdata if number is None else number
