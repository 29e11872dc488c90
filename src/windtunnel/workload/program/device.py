"""The virtual device as a part of PyTorch: registered once a process, active while it is entered."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from types import TracebackType
from typing import Any, Literal

import torch
from torch.utils import _device, backend_registration

from windtunnel.errors import UnsupportedError
from windtunnel.workload.program import autocast
from windtunnel.workload.program.compiled import compiler
from windtunnel.workload.program.dynamic import DYNAMIC
from windtunnel.workload.program.functions import Functions
from windtunnel.workload.program.guard import Guard, backward_runs, engine
from windtunnel.workload.program.listener import Listener
from windtunnel.workload.program.recorder import CPU, Recorder, Special
from windtunnel.workload.program.recurrent import with_values
from windtunnel.workload.program.shapes import SHAPES
from windtunnel.workload.program.sites import Sites
from windtunnel.workload.program.storages import STORAGES, install_storages
from windtunnel.workload.program.tensors import DISGUISE, held, is_host, native_device, native_device_of, native_type, value_of
from windtunnel.workload.program.transfers import TRANSFERS

IN_CORE = frozenset({"cuda", "xpu", "hpu", "xla", "mps", "mtia", "maia", "ipu", "ve"})
"""Device names that PyTorch's core knows as devices of their own. The virtual device answers to them without being renamed."""

_BEHIND_CORE = "npu"
"""What PyTorch's core calls the device while the program calls it by a name of the core's own. It must have been given a name,
once a process, for autograd to run; with this one, CUDA chips and NPUs can follow each other in one process."""

_WHOLE = ("silu_backward", "mish_backward", "native_channel_shuffle")
"""Operators that accelerators have kernels for and that PyTorch's core takes apart for a device that registers none: all that
have a composite form beside their kernels, in PyTorch 2.13."""

_registered: list[Any] = []
_guard = Guard()


class _Module:
    """What PyTorch's core asks of a device's module where no better one was given."""

    __name__ = "torch.virtual"
    """Whoever asks PyTorch for the module of the accelerator reads its name, as transformers does."""

    def is_initialized(self) -> bool:
        return True

    def is_available(self) -> bool:
        return True

    def current_device(self) -> int:
        return 0

    def device_count(self) -> int:
        return 1

    def _is_in_bad_fork(self) -> bool:
        return False

    def manual_seed_all(self, seed: int) -> None:
        pass

    def _lazy_init(self) -> None:
        pass

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.float16, torch.bfloat16]


class _Absent(_Module):
    """The same where no virtual device is entered."""

    def is_available(self) -> bool:
        return False

    def device_count(self) -> int:
        return 0


def _announce() -> None:
    """Tell PyTorch that there will be a device, which it must know before the process's first backward pass."""
    hooks = backend_registration._DummyPrivateUse1Hook()
    torch._C._acc.register_python_privateuseone_hook(hooks)
    torch._C._acc.register_python_privateuseone_device_guard(_guard)
    kernels = torch.library.Library("aten", "IMPL")
    for name in _WHOLE:
        kernels.impl(name, _never_reached, "PrivateUse1")
    _registered.extend((hooks, kernels))
    autocast.register()


def _never_reached(*_: Any, **__: Any) -> Any:
    """The recorder's mode takes the call before it comes to a kernel."""
    raise RuntimeError("a tensor of a virtual device was used after the device was left")


_announce()


def register(name: str, module: Any = None) -> None:
    """Make the virtual device known to PyTorch under ``name``. Names outside PyTorch's core can be given once a process.

    Raises UnsupportedError where the process has another such name already, or ran a backward pass before it imported this.
    """
    known, wanted = torch._C._get_privateuse1_backend_name(), _BEHIND_CORE if name in IN_CORE else name
    if known == "privateuseone":
        torch.utils.backend_registration.rename_privateuse1_backend(wanted)
        backend_registration.generate_methods_for_privateuse1_backend(for_storage=False)
        torch._register_device_module(wanted, _Module())
        if not backward_runs():
            _registered.clear()
    elif name not in IN_CORE and name != known:
        raise UnsupportedError(f"this process has a virtual {known} device already; a virtual {name} needs a process of its own")
    if not _registered:
        raise UnsupportedError(
            "this process ran a backward pass before it knew of virtual chips, and PyTorch takes in no device after that; "
            "import windtunnel.run.virtual first"
        )
    native = torch._C._get_privateuse1_backend_name()
    _answer_by(native, module or _Module())
    if name in IN_CORE:
        delattr(torch, native)  # the core looks among the imported modules; the program shall not find it


def _answer_by(native: str, module: Any) -> None:
    """Make ``module`` the device's in PyTorch's core."""
    if hasattr(torch, native):
        delattr(torch, native)
    torch._register_device_module(native, module)


class VirtualDevice:
    """While entered, the programs of this thread (and the threads that they start) run on the virtual device.

    name: what the program calls it (``cuda``, ``npu`` ...). special: further operators that need more than a shape rule.
    module: answers for ``torch.<name>``.
    """

    def __init__(
        self,
        name: str,
        listener: Listener,
        sites: Sites,
        *,
        values: bool = False,
        special: Special | None = None,
        module: Any = None,
    ) -> None:
        register(name, module)
        self.name = name
        self.values = values
        self.sites = sites
        self.visible = torch.device(name, 0)
        self.recorder = Recorder(listener, {**TRANSFERS, **DYNAMIC, **STORAGES, **(special or {})}, SHAPES, values=values)
        self.functions = self.recorder.functions = Functions(name, sites.region, values=values)
        if values:
            self.functions.layer = partial(with_values, self.recorder)
        self._undo = ExitStack()

    def modes(self) -> ExitStack:
        """Enters the two modes on the calling thread."""
        stack = ExitStack()
        stack.enter_context(self.functions)
        stack.enter_context(self.recorder)
        return stack

    def __enter__(self) -> VirtualDevice:
        self._undo.callback(_answer_by, native_device().type, _Absent())
        self.sites.follow()
        self._undo.callback(self.sites.leave)
        swap = torch.__future__.get_swap_module_params_on_conversion()
        torch.__future__.set_swap_module_params_on_conversion(True)
        self._undo.callback(torch.__future__.set_swap_module_params_on_conversion, swap)
        # tensors made from Python's numbers come to the modes on their way to the device
        lifted = torch._C._only_lift_cpu_tensors()
        torch._C._set_only_lift_cpu_tensors(True)
        self._undo.callback(torch._C._set_only_lift_cpu_tensors, lifted)
        self._patch_tensors()
        self._patch_autocast()
        run_backward = engine(torch.autograd.graph._engine_run_backward, self.functions)

        def run_with_threads(*args: Any, **kwargs: Any) -> Any:
            self.recorder.threads = torch.get_num_threads()
            return run_backward(*args, **kwargs)

        for owner in (torch.autograd, torch.autograd.graph):
            self.patch(owner, "_engine_run_backward", run_with_threads)
        install_storages(self)
        self.patch(torch, "compile", compiler(self.sites.region))
        run = threading.Thread.run

        def run_with_modes(thread: threading.Thread) -> None:
            with self.modes():
                run(thread)

        self.patch(threading.Thread, "run", run_with_modes)
        self._undo.enter_context(self.modes())
        return self

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None) -> None:
        self._undo.__exit__(kind, problem, trace)

    def patch(self, owner: Any, name: str, value: Any) -> None:
        """Replace an attribute until the device is left."""
        own = name in vars(owner)
        old = vars(owner).get(name)
        setattr(owner, name, value)
        self._undo.callback((lambda: setattr(owner, name, old)) if own else (lambda: delattr(owner, name)))

    def enter(self, context: AbstractContextManager[Any]) -> None:
        """Keep a context entered until the device is left."""
        self._undo.enter_context(context)

    def _patch_tensors(self) -> None:
        """Tensors tell the program the device that it asked for."""
        native, visible = native_device(), self.visible

        def device(tensor: torch.Tensor) -> torch.device:
            with torch._C.DisableTorchFunction():  # PyTorch's own answer, not that of a mode, which is this one again
                found: torch.device = native_device_of(tensor)
                if not DISGUISE.on:
                    return found
                if found.type == native.type:
                    return visible
                if found.type == "meta" and is_host(tensor):
                    return CPU
                return found

        def lies_on(tensor: torch.Tensor) -> Literal["device", "host shape", "elsewhere"]:
            with torch._C.DisableTorchFunction():
                kind = native_type(tensor)
                if kind == "meta" and is_host(tensor):
                    return "host shape"
                return "device" if kind == native.type else "elsewhere"

        self.patch(torch.Tensor, "device", property(device))
        numpy = torch.Tensor.numpy

        def to_numpy(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            where = lies_on(tensor)
            if where == "device":
                raise TypeError(
                    f"can't convert {visible} device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory "
                    "first."
                )
            if where == "host shape":
                return torch.zeros(tensor.shape, dtype=tensor.dtype).numpy()
            return numpy(tensor, *args, **kwargs)

        self.patch(torch.Tensor, "numpy", to_numpy)
        self.patch(torch.Tensor, "is_meta", property(lambda t: device(t).type == "meta"))
        self.patch(torch.Tensor, "is_cpu", property(lambda t: device(t).type == "cpu"))
        if self.name == "cuda":
            self.patch(torch.Tensor, "is_cuda", property(lambda t: lies_on(t) == "device"))
        plain_repr: Any = torch.Tensor.__repr__

        def show(tensor: torch.Tensor, *, tensor_contents: Any = None) -> str:
            if type(tensor) in (torch.Tensor, torch.nn.Parameter):
                where = lies_on(tensor)
                if where == "device":
                    return self._shown(tensor)
                if where == "host shape":
                    return f"tensor(..., size={tuple(tensor.shape)}, dtype={tensor.dtype})"
            return str(plain_repr(tensor, tensor_contents=tensor_contents))

        self.patch(torch.Tensor, "__repr__", show)
        make = torch.Tensor._make_wrapper_subclass

        def make_wrapper(cls: Any, *args: Any, **kwargs: Any) -> Any:
            if "device" in kwargs:
                kwargs["device"] = self.functions.place(kwargs["device"])
            return make(cls, *args, **kwargs)

        start = _device.DeviceContext.__init__

        def begin(context: Any, place: Any) -> None:
            # a default device acts after every other mode, so PyTorch's core must be told it as it knows it
            found = self.functions.place(torch.device(place))
            start(context, torch.device(found.type) if found == native else found)

        if self.functions.mapped:
            self.patch(torch.Tensor, "_make_wrapper_subclass", staticmethod(make_wrapper))
            self.patch(_device.DeviceContext, "__init__", begin)

    def _shown(self, tensor: torch.Tensor) -> str:
        """A tensor of the device as PyTorch would print it, with dots for values that are not computed."""
        value = value_of(tensor) if held(tensor).value is not None else None
        tail = f", device='{self.visible}'" + (f", dtype={tensor.dtype}" if value is None else "")
        tail += f", size={tuple(tensor.shape)}" if value is None else ""
        if tensor.grad_fn is not None:
            tail += f", grad_fn=<{type(tensor.grad_fn).__name__}>"
        elif tensor.requires_grad:
            tail += ", requires_grad=True"
        body = "tensor(..." if value is None else repr(value)[:-1]
        return ("Parameter containing:\n" if isinstance(tensor, torch.nn.Parameter) else "") + body + tail + ")"

    def _patch_autocast(self) -> None:
        """A context for the program's device name switches the virtual device's mixed precision as well."""
        native = native_device().type
        enter, leave = torch.autocast.__enter__, torch.autocast.__exit__
        kept: list[tuple[bool, torch.dtype]] = []
        clear: Callable[[], None] = torch.clear_autocast_cache

        def enter_both(context: Any) -> Any:
            result = enter(context)
            if context.device == self.name != native:
                kept.append((torch.is_autocast_enabled(native), torch.get_autocast_dtype(native)))
                torch.set_autocast_enabled(native, context._enabled)
                torch.set_autocast_dtype(native, context.fast_dtype)
            return result

        def leave_both(context: Any, *problem: Any) -> Any:
            if context.device == self.name != native:
                enabled, dtype = kept.pop()
                torch.set_autocast_enabled(native, enabled)
                torch.set_autocast_dtype(native, dtype)
            return leave(context, *problem)

        def clear_both() -> None:
            autocast.forget()
            clear()

        self.patch(torch.autocast, "__enter__", enter_both)
        self.patch(torch.autocast, "__exit__", leave_both)
        self.patch(torch, "clear_autocast_cache", clear_both)
