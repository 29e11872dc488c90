"""Recurrent layers where values are computed: the device's own cells for the clock, the CPU's own layer for the numbers.

The CPU has kernels of its own for whole layers and none for the cells that accelerators run, so that numbers equal to a CPU's
come from running the layer there: forward, and backward by the graph that it recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils import _pytree as pytree

from windtunnel.workload.program.recorder import Recorder, adopt
from windtunnel.workload.program.tensors import held, native_device_of, value_of


@contextmanager
def _shapes_alone(recorder: Recorder) -> Iterator[None]:
    """Operators of the device are launched and not computed."""
    values, recorder.values = recorder.values, False
    try:
        yield
    finally:
        recorder.values = values


def with_values(recorder: Recorder, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """``func``, one of torch.lstm, torch.gru, torch.rnn_tanh, torch.rnn_relu and torch's cells, on tensors of the device."""
    leaves, spec = pytree.tree_flatten((args, kwargs))
    places = [i for i, leaf in enumerate(leaves) if _on_device(recorder, leaf)]

    def call(tensors: Any) -> Any:
        given = list(leaves)
        for place, tensor in zip(places, tensors, strict=True):
            given[place] = tensor
        again, options = pytree.tree_unflatten(given, spec)
        result = func(*again, **options)
        return result if isinstance(result, tuple) else (result,)

    found: Any = _Layer.apply(recorder, call, *(leaves[i] for i in places))
    return found if len(found) > 1 else found[0]


def _on_device(recorder: Recorder, leaf: Any) -> bool:
    return isinstance(leaf, torch.Tensor) and bool(native_device_of(leaf).type == recorder.device.type)


class _Layer(torch.autograd.Function):
    """Both runs of the layer as one node of the program's graph."""

    @staticmethod
    def forward(ctx: Any, recorder: Recorder, call: Callable[[Any], Any], *tensors: torch.Tensor) -> Any:
        wanted = ctx.needs_input_grad[2:]
        on_device = [t.detach().requires_grad_(w) for t, w in zip(tensors, wanted, strict=True)]
        on_cpu = [_value(t).detach().requires_grad_(w) for t, w in zip(tensors, wanted, strict=True)]
        with torch.set_grad_enabled(any(wanted)):
            with _shapes_alone(recorder):
                shaped = call(on_device)
            computed = call(on_cpu)
        for one, other in zip(shaped, computed, strict=True):
            _put(one, other)
        ctx.recorder, ctx.ends = recorder, (shaped, computed)
        ctx.starts = [(i, d, c) for i, (d, c, w) in enumerate(zip(on_device, on_cpu, wanted, strict=True)) if w]
        ctx.inputs = len(tensors)
        return tuple(t.detach() for t in shaped)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        shaped, computed = ctx.ends
        _, on_device, on_cpu = zip(*ctx.starts, strict=True)
        with _shapes_alone(ctx.recorder):
            found = torch.autograd.grad(shaped, on_device, gradients, allow_unused=True)
        values = torch.autograd.grad(computed, on_cpu, [_value(g) for g in gradients], allow_unused=True)
        given: list[Any] = [None] * ctx.inputs
        for (i, _, _), one, other in zip(ctx.starts, found, values, strict=True):
            if one is not None and other is not None:
                _put(one, other)
                given[i] = one
        return None, None, *given


def _value(tensor: torch.Tensor) -> torch.Tensor:
    with torch._C.DisableTorchFunction():
        value = value_of(tensor)
    assert value is not None
    return value


def _put(tensor: torch.Tensor, value: torch.Tensor) -> None:
    """The values behind a tensor that was made without."""
    with torch._C.DisableTorchFunction(), torch.no_grad():
        held(tensor).value = None
        adopt(tensor, value.detach().clone(memory_format=torch.preserve_format))
