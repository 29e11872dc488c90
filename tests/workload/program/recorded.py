"""Calls as PyTorch's dispatcher makes them, recorded from real, meta or fake tensors for tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils import _python_dispatch
from torch.utils.flop_counter import FlopCounterMode

from windtunnel.workload.ops import Op, Pass
from windtunnel.workload.program.call import Call
from windtunnel.workload.program.observe import call_of
from windtunnel.workload.program.work import work


def declare_torchvision() -> None:
    """The two schemas that torchvision's Python code wants, where its wheel carries no operators."""
    for name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, name):
            torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


TorchDispatchMode: Any = _python_dispatch.TorchDispatchMode


class Recorder(TorchDispatchMode):  # type: ignore[misc]
    """Every dispatcher call within it, in order, as ``calls``."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        self.calls.append(call_of(func, args, kwargs or {}, made))
        return made


def record(program: Callable[[], Any]) -> list[Call]:
    """The calls that a program makes."""
    recorder = Recorder()
    with recorder:
        program()
    return recorder.calls


def counted(program: Callable[[], Any]) -> tuple[list[Call], float]:
    """(calls, FLOPs by PyTorch's own counter)."""
    recorder = Recorder()
    with FlopCounterMode(display=False) as counter, recorder:
        program()
    return recorder.calls, float(counter.get_total_flops())


def ops_of(calls: list[Call]) -> list[Op]:
    return [op for call in calls for op in work(call)]


def matrix_flops(calls: list[Call]) -> float:
    """FLOPs of everything but passes over memory, which PyTorch's counter leaves out too."""
    return sum(op.flops * op.count for op in ops_of(calls) if not isinstance(op, Pass))
