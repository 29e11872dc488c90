"""A virtual chip in this process: ``with virtual("ascend-910c") as chip: ...``."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any

from windtunnel.run.clock import script_clock
from windtunnel.run.distributed import COLLECTIVES, install_distributed
from windtunnel.run.forwards import Forwards
from windtunnel.run.machine import Machine
from windtunnel.run.places import place
from windtunnel.run.record import RunReport
from windtunnel.run.script import Ended
from windtunnel.run.summary import report_of
from windtunnel.run.surface import Surface
from windtunnel.workload.program.device import VirtualDevice

_active: list[VirtualChip] = []


class VirtualChip:
    """While entered, PyTorch programs on this chip's device (``cuda``, ``npu`` ...) run on the virtual chip.

    on: a chip, a number of them (``h20:8``) or a system. values: compute real numbers on the CPU. virtual_clock: timers of
    ``time`` read the chip's clock. graph: launches as from a captured graph. steps: stop the program after so many.
    limit_memory: run out of memory where the chip would. parameters: tables of a parameter file for the chip.
    served: what an engine would run for the forwards of a language model of transformers is in the report.
    """

    def __init__(
        self,
        on: str,
        *,
        values: bool = False,
        virtual_clock: bool = False,
        graph: bool = False,
        steps: int | None = None,
        limit_memory: bool = True,
        parameters: Mapping[str, Any] | None = None,
        served: bool = False,
    ) -> None:
        self.place = place(on)
        self.values = values
        self.machine = Machine(
            self.place.chip,
            self.place.links,
            ranks=self.place.ranks,
            launching="graph" if graph else "eager",
            steps=steps,
            limit_memory=limit_memory,
            parameters=parameters,
        )
        self.forwards = Forwards(self.machine) if served else None
        self._virtual_clock = virtual_clock
        self._stack = ExitStack()

    def __enter__(self) -> VirtualChip:
        if _active:
            raise RuntimeError(f"a virtual {_active[0].place.name} is entered already; leave it first")
        with ExitStack() as undo:
            surface = Surface(self.machine)
            device = VirtualDevice(
                self.place.chip.device, self.machine, self.machine.sites, values=self.values,
                special={**surface.special, **COLLECTIVES},
                module=surface.module,
            )  # fmt: skip
            undo.enter_context(device)
            surface.install(device)
            install_distributed(self.machine, device, self.place.server)
            if self._virtual_clock:
                undo.enter_context(script_clock(self.machine))
            self._stack = undo.pop_all()
        _active.append(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None) -> None:
        _active.remove(self)
        self._stack.__exit__(kind, problem, trace)

    def report(self, program: str = "", ended: Ended | None = None, *, keep_launches: bool = True) -> RunReport:
        """What ran up to now."""
        return report_of(
            self.machine, ended or Ended("finished", 0), program=program, name=self.place.name, values=self.values,
            keep_launches=keep_launches, forwards=self.forwards,
        )  # fmt: skip


def virtual(
    on: str,
    *,
    values: bool = False,
    virtual_clock: bool = False,
    graph: bool = False,
    steps: int | None = None,
    limit_memory: bool = True,
    served: bool = False,
) -> VirtualChip:
    """A chip that is not there, to be entered with ``with``. Raises UnknownNameError with the nearest name,
    MissingFactError where the chip's memory or bandwidth is not known."""
    return VirtualChip(
        on, values=values, virtual_clock=virtual_clock, graph=graph, steps=steps, limit_memory=limit_memory, served=served
    )
