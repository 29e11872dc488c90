"""Names of operator overloads, in whichever of PyTorch's spellings they come."""

from __future__ import annotations

import re

_WORD = r"[A-Za-z_][A-Za-z0-9_]*"
_QUALIFIED = re.compile(rf"(?P<space>{_WORD}(?:\.{_WORD})*?)::(?P<name>{_WORD})(?:\.(?P<overload>{_WORD}))?")
_DOTTED = re.compile(rf"(?P<space>{_WORD})\.(?P<name>{_WORD})\.(?P<overload>{_WORD})")
_BARE = re.compile(rf"(?P<name>{_WORD})(?:\.(?P<overload>{_WORD}))?")


def split_overload(text: str) -> tuple[str, str]:
    """Namespace and overload of an operator: ``("aten", "mm")`` for ``aten.mm.default``, ``aten::mm``, ``aten.mm`` and
    ``mm``, ``("aten", "mm.out")`` for ``aten::mm.out`` and ``mm.out``, ``("npu", "npu_rotary_mul")`` for
    ``torch.ops.npu.npu_rotary_mul.default``. A name without a namespace is PyTorch's own (``aten``); one that is no
    operator's name at all has the namespace ``""``.
    """
    name = text.strip().removeprefix("torch.ops.")
    if found := _QUALIFIED.fullmatch(name) or _DOTTED.fullmatch(name):
        return found["space"], _joined(found["name"], found["overload"])
    if name.startswith("aten.") and (found := _BARE.fullmatch(name[5:])):
        return "aten", _joined(found["name"], found["overload"])
    if found := _BARE.fullmatch(name):
        return "aten", _joined(found["name"], found["overload"])
    return "", name


def _joined(name: str, overload: str | None) -> str:
    return name if overload in (None, "default") else f"{name}.{overload}"


def full_name(space: str, name: str) -> str:
    """A name as PyTorch prints overloads: ``aten.mm.default`` for ``mm``."""
    return f"{space}.{name}" + ("" if "." in name else ".default") if space else name
