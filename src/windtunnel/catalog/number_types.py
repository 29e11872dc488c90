"""Which number types a chip computes with, as far as its record tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from windtunnel.catalog.chip import DTYPES, Chip
from windtunnel.catalog.overload import split_overload
from windtunnel.errors import UnknownNameError

State = Literal["computed", "lacking", "unknown"]

TORCH_TYPES: Mapping[str, str] = {
    "float64": "fp64", "double": "fp64", "float32": "fp32", "float": "fp32", "bfloat16": "bf16",
    "float16": "fp16", "half": "fp16",
    "float8_e4m3fn": "fp8", "float8_e5m2": "fp8", "float8_e4m3fnuz": "fp8", "float8_e5m2fnuz": "fp8", "float8_e8m0fnu": "fp8",
    "float4_e2m1fn_x2": "fp4",
}  # fmt: skip
"""PyTorch's names of the types that a chip's record may list."""

OTHERS = frozenset({
    "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool", "complex32", "complex64", "complex128",
})  # fmt: skip
"""Types that no record lists."""

STORING = frozenset({
    "alias", "as_strided", "clone", "contiguous", "copy_", "detach", "empty", "empty_like", "empty_strided", "expand", "flatten",
    "is_pinned", "narrow", "new_empty", "new_empty_strided", "permute", "pin_memory", "_pin_memory", "reshape", "_reshape_alias",
    "resize_", "select", "set_", "slice", "split", "split_with_sizes", "squeeze", "t", "transpose", "unbind", "unfold",
    "unsqueeze", "_unsafe_view", "view", "view_as",
})  # fmt: skip
"""Operators (without overload) that look at bytes, or move them, and compute nothing."""

CASTING = frozenset({"_to_copy", "to", "type_as", "_copy_from", "_copy_from_and_resize"})
"""Operators that turn one type into another."""

PRODUCTS = frozenset({
    "mm", "bmm", "addmm", "baddbmm", "addbmm", "matmul", "linear", "mv", "addmv", "dot", "_int_mm", "_scaled_mm", "_scaled_mm_v2",
    "_grouped_mm", "_scaled_grouped_mm", "_scaled_grouped_mm_v2", "convolution", "_convolution", "convolution_overrideable",
    "convolution_backward", "convolution_backward_overrideable", "conv1d", "conv2d", "conv3d",
})  # fmt: skip
"""Operators (without overload) that are the matrix unit's."""


@dataclass(frozen=True, slots=True)
class TypeSupport:
    """Whether a chip computes with a type; reason: one line, why or why that is not known. source: who says so."""

    state: State
    reason: str
    source: str


def type_name(dtype: str) -> str:
    """``bf16`` for ``torch.bfloat16``, ``bfloat16`` and ``bf16``. Raises UnknownNameError with the nearest."""
    name = dtype.strip().lower().removeprefix("torch.")
    name = TORCH_TYPES.get(name, name)
    if name not in DTYPES and name not in OTHERS:
        raise UnknownNameError("number type", dtype, [*DTYPES, *OTHERS, *TORCH_TYPES])
    return name


def computes(chip: Chip, dtype: str, op: str = "") -> TypeSupport:
    """Whether a chip computes with a number type, in the operator ``op`` (``aten.mm.default``) where one is named.

    A type that a complete record does not list is lacking where the list is evidence of that. It is none of FP32 and FP64,
    which the vector unit may compute while makers print the matrix unit's types; of INT8 and INT4 outside matrix products,
    since any chip handles integers; of what a compiler or PyTorch itself computes through another type: devices of XLA,
    and BF16 on Nvidia's own chips (``torch.cuda.is_bf16_supported`` counts that as supported). Raises UnknownNameError.
    """
    name, source = type_name(dtype), _source(chip)
    can = ", ".join(chip.dtypes)
    operator = split_overload(op)[1].partition(".")[0] if op else ""
    if name in chip.dtypes:
        return TypeSupport("computed", f"{chip.id} computes {can}", source)
    if operator in STORING:
        return TypeSupport("computed", f"{operator} moves or views bytes, whatever type they are of", "PyTorch's operator")
    if name in OTHERS:
        return TypeSupport("unknown", f"no record of a chip tells of {name}", source)
    if operator in CASTING:
        return TypeSupport("unknown", f"{chip.id} does not compute {name}; of its casts to {name} no source tells", source)
    if not chip.dtypes_complete:
        return TypeSupport("unknown", f"the types known of {chip.id} ({can}) are not all", source)
    if name in ("fp32", "fp64"):
        return TypeSupport(
            "unknown", f"the types known of {chip.id} ({can}) are its matrix unit's; its vector unit may have {name}", source
        )
    if name in ("int8", "int4") and operator not in PRODUCTS:
        return TypeSupport("unknown", f"no source tells of {name} on {chip.id} outside matrix products", source)
    if chip.device == "xla" or (name == "bf16" and chip.vendor == "Nvidia"):
        return TypeSupport("unknown", f"{chip.id} has no unit for {name}; software may compute it through another type", source)
    return TypeSupport("lacking", f"{chip.id} does not compute {name}; it computes {can}", source)


def lacking(chip: Chip, dtype: str, op: str = "") -> str | None:
    """The reason, with its source, where a chip is known not to compute a type; None where it does, and where that is not
    known (``computes`` tells the two apart). Raises UnknownNameError."""
    found = computes(chip, dtype, op)
    return f"{found.reason} ({found.source})" if found.state == "lacking" else None


def _source(chip: Chip) -> str:
    """Who stands behind the list of types: the source of the chip's peaks, else of its first figure."""
    keys = sorted(chip.figures, key=lambda key: not key.startswith("matrix_flops_per_s."))
    return f"{chip.id}.toml: {chip.figures[keys[0]].source}" if keys else f"{chip.id}.toml"
