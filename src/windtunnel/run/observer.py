"""Watches a program on a real device: its operators in some steps, whole steps undisturbed in the others.

Measuring every operator slows a program down, so a step is either measured operator by operator or timed as a whole with
nothing of ours between its operators; the two take turns.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

import torch
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode_stack

from windtunnel.run.devices import Device
from windtunnel.run.script import StopProgram
from windtunnel.workload.program.call import Call
from windtunnel.workload.program.observe import call_of

StepKind = Literal["optimizer step", "forward", "program"]


_NO_WORK = ("profiler", "prim")
"""Namespaces of operators that ask or mark something and compute nothing."""


@dataclass(slots=True)
class Ran:
    """One operator that ran: its call, and its seconds (NaN until the device's events are read)."""

    call: Call
    seconds: float


@dataclass(slots=True)
class Span:
    """One step. seconds: from its start to its end, the device waited for; own_s: this tool's part of that (0 where operators
    were not measured); operators: None where they were not."""

    key: str
    seconds: float
    own_s: float = 0.0
    operators: list[Ran] | None = None


@cache
def _made_of_others(func: Any) -> bool:
    """Whether an operator only calls others: inference mode brings such here whole."""
    return func.namespace == "aten" and torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd")


class _Operators(TorchDispatchMode):
    """Times each operator that reaches the dispatcher while it is on; views do nothing and are not timed."""

    def __init__(self, device: Device) -> None:
        super().__init__()
        self.device = device
        self.ran: list[Ran] = []
        self.own_s = 0.0
        self._open: list[tuple[Ran, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        if func.is_view or func.namespace in _NO_WORK:
            return func(*args, **kwargs)
        if _made_of_others(func):
            with self:
                return func.decompose(*args, **kwargs)
        entered = time.perf_counter()
        if self.device.asynchronous:
            start, end = self.device.mark(), self.device.mark()
            start.record()
            before = time.perf_counter()
            out = func(*args, **kwargs)
            after = time.perf_counter()
            end.record()
            one = Ran(call_of(func, args, kwargs, out), float("nan"))
            self._open.append((one, start, end))
        else:
            before = time.perf_counter()
            out = func(*args, **kwargs)
            after = time.perf_counter()
            one = Ran(call_of(func, args, kwargs, out), after - before)
        self.ran.append(one)
        self.own_s += (before - entered) + (time.perf_counter() - after)
        return out

    def take(self) -> tuple[list[Ran], float]:
        """What ran since the last time, with the device's times read, and our own seconds."""
        if self._open:
            self.device.wait()
            for one, start, end in self._open:
                one.seconds = start.elapsed_time(end) * 1e-3
        found, own = self.ran, self.own_s
        self.ran, self._open, self.own_s = [], [], 0.0
        return found, own


@dataclass
class Observer:
    """The steps of a program. limit: after so many it is ended (StopProgram).

    Steps end with those of the first optimizer that steps; without one, a step is a call of an outermost ``nn.Module``.
    clock: seconds, to be replaced in tests.
    """

    device: Device
    limit: int | None = None
    clock: Callable[[], float] = time.perf_counter
    optimizer_steps: list[Span] = field(default_factory=list)
    forwards: list[Span] = field(default_factory=list)
    program: Span | None = None
    _trains: bool = False
    _on: bool = False
    _depth: int = 0
    _since: float = 0.0
    _last: float = 0.0
    _optimizer: int | None = None
    _seen: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._mode: Any = _Operators(self.device)
        self._base: list[Any] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        """While the program runs. Operators are measured from the start: nobody knows yet where its first step ends."""
        made = torch.optim.Optimizer.__init__
        observer = self

        def noted(optimizer: Any, *args: Any, **kwargs: Any) -> None:
            observer._trains = True
            made(optimizer, *args, **kwargs)

        hooks = [
            register_module_forward_pre_hook(self._enters),
            register_module_forward_hook(self._leaves, always_call=True),
            register_optimizer_step_post_hook(self._stepped),
        ]
        torch.optim.Optimizer.__init__ = noted  # type: ignore[method-assign, assignment]
        self._base = _get_current_dispatch_mode_stack()
        self.device.wait()
        began = self._since = self.clock()
        self._switch(True)
        try:
            yield
        finally:
            self._switch(False)
            torch.optim.Optimizer.__init__ = made  # type: ignore[method-assign]
            for hook in hooks:
                hook.remove()
            self.device.wait()
            seconds = self.clock() - began
            ran, own = self._mode.take()
            self.program = Span("program", seconds, own, ran)

    def steps(self) -> tuple[StepKind, list[Span]]:
        """What a step of this program is, and its steps: of forwards, those of the module that took most of the time."""
        if self.optimizer_steps:
            return "optimizer step", self.optimizer_steps
        if self.forwards:
            total: dict[str, float] = {}
            for span in self.forwards:
                total[span.key] = total.get(span.key, 0.0) + span.seconds
            longest = max(total, key=lambda key: total[key])
            return "forward", [span for span in self.forwards if span.key == longest]
        return "program", [self.program] if self.program else []

    def _switch(self, on: bool) -> None:
        """Operators measured from here on, or not; as it was where the program has modes of its own around this place."""
        stack = _get_current_dispatch_mode_stack()
        if on and not self._on and len(stack) == len(self._base):
            self._mode.__enter__()
            self._on = True
        elif not on and self._on and stack[-1:] == [self._mode]:
            self._mode.__exit__(None, None, None)
            self._on = False

    def _span(self, key: str) -> Span:
        """The step that ends now."""
        self.device.wait()
        seconds = self._last = self.clock() - self._since
        ran, own = self._mode.take()
        return Span(key, seconds, own, ran) if self._on else Span(key, seconds)

    def _stepped(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        if self._optimizer is None:
            self._optimizer = id(optimizer)
        if id(optimizer) != self._optimizer:
            return
        self.optimizer_steps.append(self._span("optimizer step"))
        if self.limit is not None and len(self.optimizer_steps) >= self.limit:
            raise StopProgram
        self._begin(len(self.optimizer_steps))

    def _begin(self, step: int) -> None:
        """A step starts: every other one, the first among them, is measured by operator."""
        self._mode.take()  # what ran between two steps belongs to neither
        self._switch(step % 2 == 0)
        self.device.wait()
        self._since = self.clock()
        if self._on and step:
            self.device.head_start(self._last)

    def _enters(self, module: Any, inputs: Any) -> None:
        self._depth += 1
        if self._depth > 1 or self._trains:
            return
        self._begin(self._seen.get(id(module), 0))

    def _leaves(self, module: Any, inputs: Any, outputs: Any) -> None:
        self._depth = max(self._depth - 1, 0)
        if self._depth or self._trains:
            return
        self.forwards.append(self._span(f"{type(module).__name__} {id(module)}"))
        self._seen[id(module)] = self._seen.get(id(module), 0) + 1
        if self.limit is not None and self._seen[id(module)] >= self.limit:
            raise StopProgram
