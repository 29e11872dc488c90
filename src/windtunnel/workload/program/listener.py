"""Who is told what happens on the virtual device: ``run`` listens and keeps the clock and the memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import torch

from windtunnel.workload.program.plans import Plan
from windtunnel.workload.program.tensors import Memory


class Listener(Memory, Protocol):
    """What the recorder tells, in the order in which the program does it."""

    def launched(self, plan: Plan, tensors: Sequence[torch.Tensor], outputs: Sequence[Any]) -> None:
        """An operator was called on the device; ``plan.launches`` is False for those that only look at memory anew."""

    def copied(self, nbytes: int, way: Literal["to device", "to host"], blocking: bool) -> None:
        """Bytes crossed between the host and the device; blocking: the host waits until they are there."""

    def waited(self) -> None:
        """The host waits until all that was launched is done (a value was asked for)."""

    def stood_in(self, what: str, given: str) -> None:
        """A value that nothing computed was asked for and something was given instead."""
