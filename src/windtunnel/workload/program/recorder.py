"""The dispatch mode that runs a program's operators on the virtual device: shapes for all, values where they are known."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import cache
from typing import Any

import torch
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from windtunnel.errors import UnsupportedError
from windtunnel.workload.program.host import makes_large, shaped
from windtunnel.workload.program.kinds import BY_NUMBERS, MIXED, OVERWRITING
from windtunnel.workload.program.listener import Listener
from windtunnel.workload.program.observe import call_of
from windtunnel.workload.program.plans import Made, Plan, Same, Viewed, infer
from windtunnel.workload.program.tensors import (
    held,
    is_host,
    native_device,
    native_device_of,
    new_tensor,
    set_geometry,
    value_of,
    view_of,
)

CPU = torch.device("cpu")
_COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd
_WRITTEN = torch._C.DispatchKey.CompositeExplicitAutograd
_DEVICE = torch._C.DispatchKey.PrivateUse1
_OWN = frozenset({"aten", "prims", "prim", "c10d", "_c10d_functional", "_dtensor", "npu"})
"""Namespaces whose operators are kernels of the device, or are handled here."""

_FAKE = torch._C._TorchDispatchModeKey.FAKE
_mode_of = torch._C._get_dispatch_mode
_PLAIN = frozenset({torch.Tensor, torch.nn.Parameter, torch.nn.Buffer})
Handler = Callable[["Recorder", Any, tuple[Any, ...], dict[str, Any], list[torch.Tensor]], Any]
Special = dict[Any, Handler]


class Recorder(TorchDispatchMode):
    """Runs operators on virtual tensors and tells ``listener``. values: compute everything on the CPU behind the device.

    special: operators that need more than a shape rule (see ``dynamic`` and ``transfers``).
    """

    def __init__(self, listener: Listener, special: Special, shapes: dict[Any, Callable[..., Any]], *, values: bool) -> None:
        super().__init__()
        self.listener = listener
        self.values = values
        self.keeps_shapes_of_host = not values
        self.device = native_device()
        self._special = special
        self._shapes = shapes
        self._plans: dict[Any, Plan] = {}
        self._composite: dict[Any, Any] = {}
        self.functions: Any = None  # the function mode that goes with this one
        self.threads = torch.get_num_threads()  # of the thread that asked for the running backward pass
        self.generator = torch.Generator(device="cpu")
        self.generator.manual_seed(0)
        self.drawn: dict[Any, torch.Tensor] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here, and asking would import the compiler

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        if _mode_of(_FAKE) is not None:  # PyTorch asks for shapes alone, in a mode that lies below this one
            if kwargs and "device" in kwargs and self.functions is not None:  # which it may name as the program does
                kwargs = {**kwargs, "device": self.functions.place(kwargs["device"])}
            return func(*args, **(kwargs or {}))
        if types and not _PLAIN.issuperset(types):
            return NotImplemented  # a tensor subclass (DTensor ...) unpacks itself first; its parts come here
        with torch._C.DisableTorchFunction():  # a program's default device must not reach what is done here
            return self._dispatch(func, args, kwargs or {})

    def _dispatch(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        tensors: list[torch.Tensor] = []
        key: list[Any] = [func]
        on = 0
        for value in args:
            on |= self._scan(value, tensors, key)
        for name, value in kwargs.items():
            key.append(name)
            on |= self._scan(value, tensors, key)
        if on & 1:
            return self._on_device(func, args, kwargs, tensors, tuple(key))
        if on & 2 or (self.keeps_shapes_of_host and makes_large(func, args, kwargs)):
            result = self._handled(func, args, kwargs, tensors)
            return shaped(func, args, kwargs, tensors) if result is NotImplemented else result
        return func(*args, **kwargs)

    def _scan(self, value: Any, tensors: list[torch.Tensor], key: list[Any]) -> int:
        """Collect tensors and what identifies the call; 1: something lies on the device, 2: on the host without values."""
        if isinstance(value, torch.Tensor):
            tensors.append(value)
            place = native_device_of(value).type
            if place == "cpu":
                key.append((value.shape, value.dtype, "cpu"))
                return 0
            if value.layout is torch.strided:
                key.append((value.shape, value.stride(), value.dtype, place))
            if place == self.device.type:
                return 1
            return 2 if place == "meta" and is_host(value) else 0
        if isinstance(value, (list, tuple)):
            on = 0
            key.append(len(value))
            for item in value:
                on |= self._scan(item, tensors, key)
            return on
        if isinstance(value, float):
            key.append(float)  # shapes do not depend on it; the few whose do are not remembered
            return 0
        if isinstance(value, torch.device):
            key.append(value)
            return 1 if value.type == self.device.type else 0
        key.append(value if isinstance(value, (int, str, bool, type(None), torch.dtype)) else id(value))
        return 0

    # --- on the device

    def _handled(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], tensors: list[torch.Tensor]) -> Any:
        """What a special operator gives back; NotImplemented for all others, and where its handler leaves it to the rule."""
        handler = self._special.get(func)
        return NotImplemented if handler is None else handler(self, func, args, kwargs, tensors)

    def _on_device(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], tensors: list[torch.Tensor], key: tuple[Any, ...]
    ) -> Any:
        result = self._handled(func, args, kwargs, tensors)
        if result is not NotImplemented:
            return result
        plan = self._plans.get(key)
        if plan is None:
            whole = self._composite_key(func)
            if whole is not None:
                # what it calls goes through both modes again, the operator itself does not
                with self, torch._C._EnableTorchFunction(), self.functions or nullcontext():
                    return torch._C._skip_one_hop_torch_function(func._op_dk, (), (whole, *args), kwargs)
            plan = self.plan(func, args, kwargs, tensors)
            if func not in BY_NUMBERS:
                self._plans[key] = plan
        return self.carry_out(plan, func, args, kwargs, tensors)

    def _composite_key(self, func: Any) -> Any:
        """Where to find what an operator is made of, if it is made of others wherever it runs: PyTorch's own composites (which
        arrive whole under inference mode only) and operators that somebody wrote in Python. None for all others."""
        if func not in self._composite:
            found = None
            for key in (_COMPOSITE, None if func.namespace in _OWN else _WRITTEN):
                if key is not None and torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), key):
                    found = key
                    break
            own = func in self._shapes or torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), _DEVICE)
            self._composite[func] = None if own else found
        return self._composite[func]

    def plan(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], tensors: list[torch.Tensor]) -> Plan:
        """What the call gives back; raises as PyTorch would where its operands lie on different devices."""
        strangers = [t for t in tensors if native_device_of(t).type != self.device.type and t.dim()]
        if strangers and func not in MIXED:
            raise RuntimeError(
                "Expected all tensors to be on the same device, but found at least two devices, "
                f"{next((t.device for t in tensors if native_device_of(t).type == self.device.type), self.device)} and "
                f"{strangers[0].device}! (when checking argument in method {func})"
            )
        return infer(func, args, kwargs, tensors, self._shapes.get(func))

    def carry_out(self, plan: Plan, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], tensors: list[torch.Tensor]) -> Any:
        """Make the outputs, compute what is known, tell the listener."""
        made: list[torch.Tensor] = []
        flat: list[Any] = []
        for output in plan.outputs:
            if type(output) is Made:
                fresh = new_tensor(self.listener, output.size, output.stride, output.dtype, output.nbytes)
                made.append(fresh)
                flat.append(fresh)
            elif type(output) is Viewed:
                base = tensors[output.base]
                offset = int(base.storage_offset())
                if output.dtype is not base.dtype:
                    offset = offset * base.dtype.itemsize // output.dtype.itemsize
                flat.append(view_of(base, output.size, output.stride, offset + output.offset, output.dtype))
            elif type(output) is Same:
                base = tensors[output.base]
                if output.reshaped is not None:
                    self._reshape(base, *output.reshaped)
                flat.append(base)
            else:
                flat.append(output.value)  # type: ignore[union-attr]
        if self.values or made or plan.written:
            self._compute(plan, func, args, kwargs, tensors, made)
        self.listener.launched(plan, tensors, flat)
        return flat[0] if len(flat) == 1 and plan.spec.is_leaf() else pytree.tree_unflatten(flat, plan.spec)

    def generic(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], tensors: list[torch.Tensor]) -> Any:
        """The call by its shape rule, for a special operator that adds to it."""
        return self.carry_out(self.plan(func, args, kwargs, tensors), func, args, kwargs, tensors)

    def by_value(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], tensors: list[torch.Tensor], told: Any = None
    ) -> Any:
        """Run the call on the CPU's values, all of them known; its results' shapes come from them. told: the call as the
        program wrote it, as (args, kwargs), where values were put in its place."""
        results = func(*self.on_cpu(args), **self.on_cpu(kwargs))
        made = pytree.tree_map_only(torch.Tensor, self.from_cpu, results)
        flat = pytree.tree_leaves(made)
        given = told or (args, kwargs)
        call = call_of(func, given[0], given[1], made)
        self.listener.launched(Plan(call, (), None, (), computable=True, launches=True), tensors, flat)
        return made

    def _reshape(self, tensor: torch.Tensor, size: tuple[int, ...], stride: tuple[int, ...], offset: int) -> None:
        """Give a tensor its new geometry, over larger memory where it needs that."""
        offset += int(tensor.storage_offset())
        need = (
            (offset + 1 + sum((n - 1) * s for n, s in zip(size, stride, strict=True))) * tensor.dtype.itemsize
            if 0 not in size
            else 0
        )
        storage = tensor.untyped_storage()
        if need > storage.nbytes():
            storage = new_tensor(self.listener, size, stride, tensor.dtype, need).untyped_storage()
        set_geometry(tensor, storage, size, stride, offset)

    def _compute(
        self,
        plan: Plan,
        func: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        tensors: list[torch.Tensor],
        made: list[torch.Tensor],
    ) -> None:
        """Compute on the CPU where every operand is known; else what was written is not known from here on."""
        overwritten = plan.written if plan.written and (func in OVERWRITING or _gives_out(func)) else ()
        computable = (self.values or plan.computable) and all(
            self.is_known(t) for i, t in enumerate(tensors) if i not in overwritten
        )
        if computable and overwritten:
            computable = all(self._renewed(tensors[i]) for i in overwritten)
        if not computable:
            if self.values:
                raise UnsupportedError(f"{func}: an operand has no value, so it cannot be computed")
            self._forget(plan, tensors)
            return
        if not made and not plan.written:
            return  # a view: its storage has the value already
        if self.values and torch._C._current_graph_task_id() != -1 and torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)  # sums over as many shares as on the CPU, where that thread computes by itself
        try:
            results = pytree.tree_leaves(func(*self.on_cpu(args), **self.on_cpu(kwargs)))
        except NotImplementedError:
            if self.values:
                raise
            self._forget(plan, tensors)  # the CPU has no kernel for these types
            return
        for output, result in zip((o for o in plan.outputs), results, strict=True):
            if type(output) is Made:
                adopt(made.pop(0), result)

    def _forget(self, plan: Plan, tensors: list[torch.Tensor]) -> None:
        """What was written is not known from here on."""
        for i in plan.written:
            if native_device_of(tensors[i]).type == self.device.type:
                held(tensors[i]).value = None

    def _renewed(self, tensor: torch.Tensor) -> bool:
        """Whether an overwritten tensor is known afterwards: it already is, or is small and fills its whole storage."""
        if self.is_known(tensor):
            return True
        behind = held(tensor)
        if self.values or (tensor.numel() * tensor.dtype.itemsize == behind.bytes and tensor.numel() <= 1 << 12):
            behind.value = torch.UntypedStorage(behind.bytes)
            return True
        return False

    def is_known(self, tensor: torch.Tensor) -> bool:
        """Whether the values of an operand are there."""
        place = native_device_of(tensor).type
        if place == self.device.type:
            return held(tensor).value is not None
        return place == "cpu"

    def on_cpu(self, value: Any) -> Any:
        """An argument with the CPU's tensors behind those of the device. Every one must be known."""
        if isinstance(value, torch.Tensor):
            return value_of(value) if native_device_of(value).type == self.device.type else value
        if isinstance(value, torch.device):
            return CPU if value.type == self.device.type else value
        if isinstance(value, (list, tuple)):
            return type(value)(self.on_cpu(v) for v in value)
        if isinstance(value, dict):
            return {k: self.on_cpu(v) for k, v in value.items()}
        return value

    def from_cpu(self, value: torch.Tensor) -> torch.Tensor:
        """A tensor of the device with the values of one of the CPU, whose memory it takes over."""
        made = new_tensor(self.listener, value.shape, value.stride(), value.dtype, value.untyped_storage().nbytes())
        if value.storage_offset():
            value = value.clone()
        held(made).value = value.untyped_storage()
        return made


@cache
def _gives_out(func: Any) -> bool:
    """Whether what an operator writes is its ``out=``."""
    return bool(func._schema.arguments[-1].is_out)


def adopt(tensor: torch.Tensor, value: torch.Tensor) -> None:
    """Put ``value`` of the CPU behind a fresh tensor of the device, copying only where the layouts differ."""
    behind = held(tensor)
    if value.shape != tensor.shape:
        # what the CPU's kernel leaves empty since nobody asks for it (saved statistics of a norm in inference)
        behind.value = torch.UntypedStorage(behind.bytes)
        return
    same = value.stride() == tensor.stride() and not value.storage_offset() and value.untyped_storage().nbytes() >= behind.bytes
    if same:
        behind.value = value.untyped_storage()
        return
    behind.value = torch.UntypedStorage(behind.bytes)
    target = value_of(tensor)
    assert target is not None
    target.copy_(value)
