"""torchvision beside a PyTorch that its compiled operators do not fit: importable, so that models of timm can be made."""

from __future__ import annotations

import contextlib
from importlib.util import find_spec
from pathlib import Path

import torch

_SCHEMAS = {
    "nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
"""The operators of which importing torchvision needs the declaration. **Source:** torchvision's Python code, which registers
shape rules for them."""

_declared: list[torch.library.Library] = []


def declare_torchvision() -> None:
    """Declare torchvision's operators where it is installed and its own library cannot be loaded here."""
    spec = find_spec("torchvision")
    if _declared or spec is None or spec.origin is None:
        return
    for library in sorted(Path(spec.origin).parent.glob("_C*")):
        with contextlib.suppress(OSError):
            torch.ops.load_library(str(library))
    if hasattr(torch.ops.torchvision, "nms"):
        return
    declared = torch.library.Library("torchvision", "DEF")
    for name, schema in _SCHEMAS.items():
        declared.define(name + schema)
    _declared.append(declared)
