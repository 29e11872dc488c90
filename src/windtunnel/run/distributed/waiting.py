"""Waiting for a collective: the current stream waits for the communication stream, the host only where PyTorch makes it."""

from __future__ import annotations

from typing import Any

import torch
from torch.distributed import Work

from windtunnel.run.machine import Machine


class Pending:
    """A collective that ends at ``end_s`` of the virtual clock; the host waits for it too if ``blocks``."""

    __slots__ = ("_blocks", "_end_s", "_machine")

    def __init__(self, machine: Machine, end_s: float, *, blocks: bool = False) -> None:
        self._machine = machine
        self._end_s = end_s
        self._blocks = blocks

    def wait(self) -> None:
        """What is launched from here on, on the current stream, comes after the collective."""
        self._machine.flush()
        timeline = self._machine.timeline
        timeline.hold(timeline.stream, self._end_s)
        if self._blocks:
            timeline.host_s = max(timeline.host_s, self._end_s)

    @property
    def done(self) -> bool:
        """Whether the collective is done at the host's time."""
        return self._machine.timeline.host_s >= self._end_s


class VirtualWork(Work):
    """What PyTorch gives a program to wait for; results: the tensors that the collective wrote."""

    def __init__(self, pending: Pending, results: list[torch.Tensor]) -> None:
        super().__init__()
        self._pending = pending
        self._results = results

    def wait(self, timeout: Any = None) -> bool:
        self._pending.wait()
        return True

    def synchronize(self) -> None:
        self._pending.wait()

    def block_current_stream(self) -> None:
        self._pending.wait()

    def is_completed(self) -> bool:
        # a program that polls does so until it is done: give it the time
        if not self._pending.done:
            self._pending._machine.timeline.host_s = self._pending._end_s
        return True

    def is_success(self) -> bool:
        return True

    def exception(self) -> None:
        return None

    def result(self) -> list[torch.Tensor]:
        return self._results

    def get_future(self) -> VirtualFuture:
        if torch._C._current_graph_task_id() != -1:
            # DistributedDataParallel waits for its buckets in C++, at the end of the backward pass
            torch.autograd.Variable._execution_engine.queue_callback(self._pending.wait)
        future = VirtualFuture()
        future.pending = self._pending
        future.set_result(self._results)
        return future


class VirtualFuture(torch.futures.Future[Any]):
    """A future of a collective: its value is there at once, and waiting for it holds the stream."""

    pending: Pending | None = None

    def wait(self) -> Any:
        if self.pending is not None:
            self.pending.wait()
        return super().wait()

    def value(self) -> Any:
        return super().value()
