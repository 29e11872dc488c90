"""What PyTorch's core asks of the virtual device while autograd's engine runs, and how an error leaves a backward pass."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack

_PRIVATE_USE_1 = torch._C._autograd.DeviceType.PrivateUse1
_raise_what_is_set: Callable[[], Any] = ctypes.pythonapi.Py_GetRecursionLimit
"""Any function of Python's C interface: ctypes raises the error that is set when one returns."""


_UNWINDING_S = 0.02
"""For the engine's thread to drop what it holds of the error: a process that ends meanwhile would be aborted."""

_leaving: list[BaseException] = []
"""The error that was on its way out of the engine when the guard was asked."""


class Guard(torch._C._acc.DeviceGuard):
    """The device's guard.

    Autograd's engine asks for the device's type while an error of a kernel or a hook unwinds its frames. Python refuses a
    call that returns while an error is set, and the process would end there; so the error is taken, kept, and raised again
    once the engine has returned. The guard has no attributes of its own: looking for one would fail at the same place.
    """

    __slots__ = ()

    def type_(self) -> Any:
        try:
            _raise_what_is_set()
        except BaseException as problem:  # whatever it is, it is raised again
            _leaving.append(problem)
        return _PRIVATE_USE_1


def engine(run: Callable[..., Any], functions: TorchFunctionMode) -> Callable[..., Any]:
    """``run``, autograd's engine, that raises the error that ended it. functions: on in hooks and in what is computed again."""

    def run_backward(*args: Any, **kwargs: Any) -> Any:
        _leaving.clear()
        try:
            if functions in _get_current_function_mode_stack():
                return run(*args, **kwargs)
            with functions:  # the mode is off while it passes on the program's call of backward
                return run(*args, **kwargs)
        except SystemError as lost:
            problem = _leaving[0] if _leaving else lost
            _leaving.clear()
            time.sleep(_UNWINDING_S)
            raise problem from None

    return run_backward


class _Probe(torch.autograd.Function):
    """Gives a tensor of the device out of one of the CPU; its gradient is the device's business."""

    @staticmethod
    def forward(ctx: Any, *_: Any) -> Any:
        return torch._C._acc.create_empty_tensor((0,), torch.float32)

    @staticmethod
    def backward(ctx: Any, *_: Any) -> Any:
        return torch.zeros(0)


def backward_runs() -> bool:
    """Whether autograd's engine has a queue for the device. It makes its queues at the first backward pass of the process, for
    the devices that are known by then, and never again."""
    with torch.inference_mode(False), torch.enable_grad():
        made = _Probe.apply(torch.zeros(0, requires_grad=True))
        try:
            torch.autograd.backward(made, torch._C._acc.create_empty_tensor((0,), torch.float32))
        except RuntimeError:
            return False
    return True
