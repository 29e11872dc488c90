"""PyTorch's profiler asked for CUDA."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from windtunnel.port.finding import Edit, Finding
from windtunnel.port.neutral import DEVICE_TYPE, found
from windtunnel.port.python import keyword, string
from windtunnel.port.rule import Case, Rule
from windtunnel.port.source import Source

_ACTIVITY = "torch.profiler.ProfilerActivity.CUDA"
_COLUMNS = {f"{own}cuda_{what}" for own in ("", "self_") for what in ("time_total", "memory_usage", "time")}


def find(source: Source) -> Iterator[Finding]:
    python = source.python
    for node in python.uses(_ACTIVITY):
        start, end = python.span(node)
        owner = source.text[start : end - len("CUDA")]
        # each device's activity goes by its name in capitals; what has none of its own is PrivateUse1
        text = f"getattr({owner.removesuffix('.')}, {DEVICE_TYPE}.upper(), {owner}PrivateUse1)"
        yield found(source, RULE, node, (Edit(start, end, text),))
    for call in python.of(ast.Call):
        column = keyword(call, "sort_by")
        value = string(column)
        if column is not None and value in _COLUMNS:
            start, end = python.span(column)
            quoted = python.text(column)
            plain = quoted[1:-1] == value
            edits = (Edit(start + 1, end - 1, value.replace("cuda_", "device_")),) if plain else ()
            yield found(source, RULE, column, edits, ())


_TOP = (
    'import torch\n\n_DEVICE_TYPE = (torch.accelerator.current_accelerator() or torch.device("cuda")).type\n'
)  # fmt: skip

RULE = Rule(
    id="profiler-cuda",
    kind="spelling",
    languages=("python",),
    targets=("npu", "musa", "mlu", "xpu", "mps"),
    safety="safe",
    what="PyTorch's profiler asked for CUDA's activity, or for a column named after CUDA.",
    why="What runs on another accelerator is not recorded, or the column is not there.",
    instead="Record the activity of the accelerator that there is; sort by device_time_total.",
    find=find,
    cases=(
        Case("from torch.profiler import ProfilerActivity\na = ProfilerActivity.CPU\n", 0),
        Case('rows.sort(key="cuda_time_total")\n', 0, note="not the profiler's"),
        Case(
            "import torch\na = [torch.profiler.ProfilerActivity.CUDA]\n",
            1,
            _TOP + "a = [getattr(torch.profiler.ProfilerActivity, _DEVICE_TYPE.upper(), "
            "torch.profiler.ProfilerActivity.PrivateUse1)]\n",
        ),
        Case(
            'import torch\nprint(p.key_averages().table(sort_by="self_cuda_time_total"))\n',
            1,
            'import torch\nprint(p.key_averages().table(sort_by="self_device_time_total"))\n',
        ),
    ),
    hints=(b"ProfilerActivity", b"sort_by"),
)
