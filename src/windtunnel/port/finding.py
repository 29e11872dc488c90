"""One place that ties a repository to a vendor, and the edit that would untie it. Plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["spelling", "capability"]
"""spelling: only a name binds ("cuda", .cuda(), nccl), another name does the same elsewhere. capability: something is used
that others lack or do otherwise (custom kernels, flash-attn, NVML, compute capability, bare integer devices, TF32)."""

Safety = Literal["safe", "unsafe", "none"]
"""safe: after the fix it does the same on CUDA and on a machine without an accelerator. unsafe: it may not, in a stated way;
made only on request. none: left to the reader, with the reason."""

TARGETS = ("cuda", "npu", "musa", "mlu", "xpu", "mps", "cpu")
"""Devices of PyTorch that a repository can be asked to run on, by PyTorch's words for them."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where: path relative to the root, with forward slashes; lines from 1, columns from 1 in characters, end exclusive.
    cell: number of a notebook's cell from 0 (lines then count within it), -1 elsewhere."""

    path: str
    line: int
    column: int
    end_line: int
    end_column: int
    cell: int = -1


@dataclass(frozen=True, slots=True)
class Edit:
    """Characters ``start`` to ``end`` of the file's text (of the cell's source, in a notebook) become ``text``."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that binds.

    rule: id of the rule (``cuda-device-string``). why: why it binds, in this place. advice: what to do. targets: devices
    that it concerns. edits: what the fix changes, together; empty where there is none, with ``unfixed`` saying why.
    needs: imports and helpers that the fixed file must have (lines of Python, as ``import torch``).
    """

    rule: str
    kind: Kind
    place: Place
    excerpt: str
    why: str
    advice: str
    targets: tuple[str, ...]
    safety: Safety = "none"
    edits: tuple[Edit, ...] = ()
    needs: tuple[str, ...] = ()
    unfixed: str = ""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that was not read, and why."""

    path: str
    reason: str
