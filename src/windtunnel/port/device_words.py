"""The words by which a string is told to be a device, or to be something else: calls, methods, names of parameters."""

from __future__ import annotations

import re
from typing import Literal

Role = Literal["device", "map_location", "autocast", "gradscaler", "generator", "pin_memory", "compare"]

OTHERS = frozenset(
    {"npu", "xpu", "mps", "musa", "mlu", "hpu", "xla", "tpu", "hip", "rocm", "privateuseone", "gcu", "ipu", "neuron", "sdaa"}
)
"""Devices besides cuda and cpu: whoever names one of them has thought of more than CUDA."""

VALUE = re.compile(r"cuda(:\d*)?$")
FORMATTED = re.compile(r"cuda(:(\d*|\{\w*\}|%[ds]))?$")
DEVICE_NAME = re.compile(r"device|(^|_)dev(_|$|type)|map_?location|^accel(erator)?$|accelerator_type|^gpu$", re.I)
NOT_DEVICE_NAME = re.compile(r"device_?(count|num|index)|devices?_(file|path|dir)|num_devices|extension|nvcc", re.I)

ROLE_OF_CALL: dict[str, Role] = {
    "torch.autocast": "autocast", "torch.amp.autocast": "autocast", "torch.amp.autocast_mode.autocast": "autocast",
    "torch.amp.custom_fwd": "autocast", "torch.amp.custom_bwd": "autocast", "torch.amp.is_autocast_available": "autocast",
    "torch.is_autocast_enabled": "autocast", "torch.get_autocast_dtype": "autocast", "torch.set_autocast_dtype": "autocast",
    "torch.set_autocast_enabled": "autocast",
    "torch.amp.GradScaler": "gradscaler", "torch.amp.grad_scaler.GradScaler": "gradscaler", "torch.GradScaler": "gradscaler",
    "torch.Generator": "generator", "torch.load": "map_location", "torch.jit.load": "map_location",
}  # fmt: skip
NO_DEVICE_CALLS = (
    "torch.library.",
    "torch.ops.",
    "torch.utils.cpp_extension.",
    "torch._C.",
    "torch.jit.script",
    "torch._dynamo.",
)
STRING_METHODS = frozenset(
    {
        "endswith", "split", "strip", "replace", "find", "index", "count", "join", "lower", "upper", "removeprefix",
        "removesuffix", "rsplit", "partition", "encode", "title", "casefold", "lstrip", "rstrip",
    }
)  # fmt: skip
LOOKUPS = frozenset({"get", "getenv", "pop", "setdefault", "getattr", "get_config", "setattr", "__setattr__", "set"})
LIST_METHODS = frozenset({"append", "add", "insert", "extend"})
CARRIES = frozenset(
    {
        "str",
        "list",
        "tuple",
        "set",
        "sorted",
        "iter",
        "cycle",
        "Option",
        "Argument",
        "Field",
        "field",
        "ib",
        "attrib",
        "cast",
        "param",
    }
)
MOVES = re.compile(r"^(to|to_empty|to_device|move_to|move_to_device|send_to_device|set_device|with_device|place_on)$")
GETS = re.compile(r"^(get_device|set_device|devices?|Device|default_device|device_put)$")
OTHER_USE = re.compile(
    r"regist|import|find|lib|path|skip|mark|log|warn|print|info|debug|error|exception|requir|tag|label|version|module|ext|"
    r"build|kernel|platform|backend|hasattr|open|isinstance|match|search|sub|system|popen|check_|literal|newtype|typevar|"
    r"discard|remove|run$|write|format|compile|target|enum|dump|load_inline|which|getenv",
    re.I,
)


def names_device(name: str) -> bool:
    """Whether a parameter, keyword, variable or option of this name takes a device."""
    return bool(DEVICE_NAME.search(name)) and not NOT_DEVICE_NAME.search(name)


def role_named(name: str) -> Role:
    """What a parameter, keyword or variable that takes a device takes it as."""
    return "map_location" if re.search(r"map_?location", name, re.I) else "pin_memory" if "pin_memory" in name else "device"
