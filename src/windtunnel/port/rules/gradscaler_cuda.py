"""Gradient scalers for CUDA."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.neutral import DEVICE_TYPE, NOT_PLAIN, device_edit, found, prefixed_call, torch_name
from windtunnel.port.rule import Case, Rule
from windtunnel.port.source import Source

_OLD = ("torch.cuda.amp.GradScaler", "torch.cuda.amp.grad_scaler.GradScaler")
_NEW = ("torch.amp.GradScaler", "torch.amp.grad_scaler.GradScaler", "torch.GradScaler")


def find(source: Source) -> Iterator[Finding]:
    python = source.python
    for spelled in python.device_strings:
        if spelled.role == "gradscaler":
            edits = device_edit(python, spelled.node)
            yield found(source, RULE, spelled.node, edits, unfixed="" if edits else NOT_PLAIN)
    for node in python.uses(*_OLD):
        call = python.parent(node)
        if isinstance(call, ast.Call) and call.func is node:
            yield found(source, RULE, node, prefixed_call(python, call, f"{torch_name(python)}.amp.GradScaler", DEVICE_TYPE))
        else:
            yield found(source, RULE, node, unfixed="it is handed on, and is made elsewhere with other arguments")
    for call in python.calls(*_NEW):
        # without a device it is CUDA's
        if not call.args and not any(k.arg in ("device", None) for k in call.keywords):
            yield found(source, RULE, call.func, prefixed_call(python, call, python.text(call.func), DEVICE_TYPE))


_TOP = (
    'import torch\n\n_DEVICE_TYPE = (torch.accelerator.current_accelerator() or torch.device("cuda")).type\n'
)  # fmt: skip

RULE = Rule(
    id="gradscaler-cuda",
    kind="spelling",
    languages=("python",),
    targets=("npu", "musa", "mlu", "xpu", "mps"),
    safety="safe",
    what="A gradient scaler for CUDA: torch.cuda.amp.GradScaler, or torch.amp.GradScaler without a device.",
    why="Where there is no CUDA it switches itself off with a warning, and half precision gradients underflow unnoticed.",
    instead="Give torch.amp.GradScaler the type of the accelerator that there is.",
    find=find,
    cases=(
        Case("import torch\ns = torch.amp.GradScaler(device.type)\n", 0),
        Case("from mine import GradScaler\ns = GradScaler()\n", 0),
        Case('import torch\ns = torch.amp.GradScaler("cpu")\n', 0),
        Case("import torch\ns = torch.cuda.amp.GradScaler()\n", 1, _TOP + "s = torch.amp.GradScaler(_DEVICE_TYPE)\n"),
        Case(
            "import torch\nfrom torch.cuda.amp import GradScaler\ns = GradScaler(enabled=amp)\n",
            1,
            "import torch\nfrom torch.cuda.amp import GradScaler\n"
            + _TOP.removeprefix("import torch\n")
            + "s = torch.amp.GradScaler(_DEVICE_TYPE, enabled=amp)\n",
        ),
        Case(
            "import torch\ns = torch.amp.GradScaler('cuda', enabled=amp)\n",
            1,
            _TOP + "s = torch.amp.GradScaler(_DEVICE_TYPE, enabled=amp)\n",
        ),
        Case(
            "import torch\ns = torch.amp.GradScaler(enabled=amp)\n",
            1,
            _TOP + "s = torch.amp.GradScaler(_DEVICE_TYPE, enabled=amp)\n",
        ),
        Case("import torch\nscaler = make(torch.cuda.amp.GradScaler)\n", 1, None),
    ),
    hints=(b"GradScaler",),
)
