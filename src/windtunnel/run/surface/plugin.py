"""The plugin's package (``import torch_npu``, ``torch_musa``, ``torch_mlu`` ...) while its virtual chip is there."""

from __future__ import annotations

import sys
import types
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import Any

import torch

from windtunnel.errors import UnsupportedError, nearest
from windtunnel.run.surface.module import PARTS
from windtunnel.run.surface.state import DeviceState
from windtunnel.workload.program import npu_operators
from windtunnel.workload.program.device import VirtualDevice

_TRANSFER = "torch_npu.contrib.transfer_to_npu"


def install_plugin(device: VirtualDevice, state: DeviceState, module: Any, answers: dict[str, Any]) -> None:
    """Put the package in place until ``device`` is left; nothing for devices that PyTorch has built in."""
    package = state.machine.chip.plugin.split()[0] if state.machine.chip.plugin else ""
    if not package.startswith("torch_") or package == "torch_xla":
        return
    undo = ExitStack()
    device.enter(undo)
    main = _Plugin(package, state, module)
    names = {package: main}
    if state.name == "npu":
        npu_operators.define()
        _npu_settings(module)
        names |= {f"{package}.npu": module, f"{package}.contrib": main.contrib, f"{package}.profiler": main.profiler,
                  f"{package}.optim": main.optim}  # fmt: skip
        finder = _Transfer(device, state, answers)
        sys.meta_path.insert(0, finder)
        undo.callback(sys.meta_path.remove, finder)
        undo.callback(sys.modules.pop, _TRANSFER, None)
    for name, found in names.items():
        old = sys.modules.get(name)
        sys.modules[name] = found
        undo.callback(sys.modules.pop, name) if old is None else undo.callback(sys.modules.__setitem__, name, old)


class _Plugin(types.ModuleType):
    """The package: the device's module under its name, and for an NPU the fused operators."""

    def __init__(self, package: str, state: DeviceState, module: Any) -> None:
        super().__init__(package, f"The {package} of a virtual chip.")
        self.__path__: list[str] = []
        self.__version__ = state.machine.support.version or torch.__version__.split("+")[0]
        self._custom = state.machine.support.custom
        setattr(self, state.name, module)
        if state.name == "npu":
            for part in ("contrib", "profiler", "optim"):
                inner = types.ModuleType(f"{package}.{part}")
                inner.__path__ = []
                setattr(self, part, inner)
            self.profiler.__dict__.update(_profiler())
            self.optim.NpuFusedAdamW = torch.optim.AdamW
            self.optim.NpuFusedSGD = torch.optim.SGD
            self.npu_prefetch = lambda *_, **__: None

    def __getattr__(self, name: str) -> Any:
        if not name.startswith(("npu_", "_npu_")):
            raise AttributeError(f"module '{self.__name__}' has no attribute '{name}'")
        known = [schema.split("(")[0].split(".")[0] for schema in npu_operators.SCHEMAS]
        if name in known:
            return getattr(torch.ops.npu, name)
        if name in self._custom:
            raise UnsupportedError(
                f"torch_npu.{name}: torch_npu has this operator, and what it does to shapes is not known here; known: "
                f"{', '.join(nearest(name, known) or known[:3])}"
            )
        raise AttributeError(f"module '{self.__name__}' has no attribute '{name}'")


def _npu_settings(module: Any) -> None:
    """Switches of torch.npu that a virtual chip takes and that change nothing."""
    for name in (
        "set_compile_mode",
        "set_option",
        "set_aoe",
        "set_dump",
        "init_dump",
        "finalize_dump",
        "set_deterministic_level",
    ):
        module.__dict__.setdefault(name, lambda *_, **__: None)
    for name in ("config", "conv", "matmul", "aclnn"):
        module.__dict__.setdefault(name, types.SimpleNamespace(allow_internal_format=True, allow_hf32=True))
    module.__dict__.setdefault("npu_config", module.config)
    module.__dict__.setdefault("is_jit_compile_false", lambda: True)


def _profiler() -> dict[str, Any]:
    """``torch_npu.profiler``: a profile that sees nothing; the run's own report has the times."""

    class profile:  # noqa: N801 - torch_npu's name
        def __init__(self, *_: Any, **__: Any) -> None:
            pass

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def start(self) -> None:
            pass

        stop = step = start

    class Named:
        def __init__(self, *_: Any, **__: Any) -> None:
            pass

        def __getattr__(self, name: str) -> str:
            return name

    given = ("ProfilerActivity", "ProfilerLevel", "AiCMetrics", "ExportType")
    return {
        "profile": profile, "schedule": torch.profiler.schedule, "tensorboard_trace_handler": lambda *_, **__: None,
        "_ExperimentalConfig": Named, **{name: Named() for name in given},
    }  # fmt: skip


class _Transfer(MetaPathFinder, Loader):
    """Importing ``torch_npu.contrib.transfer_to_npu`` makes a program's words of CUDA mean the NPU."""

    def __init__(self, device: VirtualDevice, state: DeviceState, answers: dict[str, Any]) -> None:
        self._device, self._state, self._answers = device, state, answers

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname == _TRANSFER else None

    def exec_module(self, module: Any) -> None:
        device, state = self._device, self._state
        device.functions.names.add("cuda")
        state.names.add("cuda")
        for owner in (torch.cuda, *(getattr(torch.cuda, part, None) for part in PARTS)):
            for word, answer in self._answers.items():
                if owner is torch.cuda or hasattr(owner, word):
                    device.patch(owner, word, answer)
        begin = torch.autocast.__init__

        def start(context: Any, device_type: str, *args: Any, **kwargs: Any) -> None:
            begin(context, state.name if device_type == "cuda" else device_type, *args, **kwargs)

        device.patch(torch.autocast, "__init__", start)
        device.patch(torch.Tensor, "is_cuda", property(lambda tensor: tensor.device.type == state.name))
