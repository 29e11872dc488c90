"""Tables of operators' names, and what a name tells."""

from __future__ import annotations


def names(text: str) -> tuple[str, ...]:
    """The words of a text: how the longer tables of names are written."""
    return tuple(text.split())


def bare(op: str) -> str:
    """An operator's name without namespace and overload: ``addmm`` of ``aten.addmm.default``, and of ``addmm``."""
    parts = op.split(".", 2)
    return parts[1] if len(parts) > 1 else parts[0]


def in_place(name: str) -> bool:
    """Whether an operator of that name writes into its first operand (``add_``, ``__iadd__``)."""
    return (name.endswith("_") and not name.endswith("__")) or name.startswith("__i")
