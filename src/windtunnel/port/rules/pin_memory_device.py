"""Host memory that is pinned for CUDA by name."""

from __future__ import annotations

from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.neutral import NOT_PLAIN, device_edit, found
from windtunnel.port.rule import Case, Rule
from windtunnel.port.source import Source


def find(source: Source) -> Iterator[Finding]:
    for spelled in source.python.device_strings:
        if spelled.role == "pin_memory":
            edits = device_edit(source.python, spelled.node)
            yield found(source, RULE, spelled.node, edits, unfixed="" if edits else NOT_PLAIN)


_TOP = (
    'import torch\n\n_DEVICE_TYPE = (torch.accelerator.current_accelerator() or torch.device("cuda")).type\n'
)  # fmt: skip

RULE = Rule(
    id="pin-memory-device",
    kind="spelling",
    languages=("python",),
    targets=("npu", "musa", "mlu", "xpu", "mps"),
    safety="safe",
    what="Host memory pinned for CUDA by name.",
    why="Pages are pinned by the driver of one device; CUDA's is not there elsewhere.",
    instead="Leave the device out (PyTorch takes the accelerator that there is), or name that accelerator.",
    find=find,
    cases=(
        Case("from torch.utils.data import DataLoader\nd = DataLoader(s, pin_memory=True)\n", 0, note="neutral"),
        Case("import torch\nx = x.pin_memory()\n", 0, note="neutral"),
        Case(
            'import torch\nd = torch.utils.data.DataLoader(s, pin_memory=True, pin_memory_device="cuda")\n',
            1,
            _TOP + "d = torch.utils.data.DataLoader(s, pin_memory=True, pin_memory_device=_DEVICE_TYPE)\n",
        ),
        Case("import torch\nx = x.pin_memory('cuda')\n", 1, _TOP + "x = x.pin_memory(_DEVICE_TYPE)\n"),
    ),
    hints=(b"pin_memory",),
)
