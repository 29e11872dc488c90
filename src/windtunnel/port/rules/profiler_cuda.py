"""PyTorch's profiler asked for CUDA."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from windtunnel.port.finding import Edit, Finding
from windtunnel.port.neutral import DEVICE_TYPE, found
from windtunnel.port.python import keyword
from windtunnel.port.rule import Case, Rule
from windtunnel.port.source import Source

_ACTIVITY = "torch.profiler.ProfilerActivity.CUDA"
_OLD = ("torch.autograd.profiler.profile", "torch.profiler.profile", "torch.autograd.profiler.record_function")
OLD = "use_device took its place, and is there in newer versions alone"


def find(source: Source) -> Iterator[Finding]:
    python = source.python
    for node in python.uses(_ACTIVITY):
        start, end = python.span(node)
        owner = source.text[start : end - len("CUDA")]
        # each device's activity goes by its name in capitals; what has none of its own is PrivateUse1
        text = f"getattr({owner.removesuffix('.')}, {DEVICE_TYPE}.upper(), {owner}PrivateUse1)"
        yield found(source, RULE, node, (Edit(start, end, text),))
    for call in python.calls(*_OLD):
        # the old profiler's own switch; the device's name took its place
        asked = keyword(call, "use_cuda")
        if isinstance(asked, ast.Constant) and asked.value is True:
            written = next(k for k in call.keywords if k.arg == "use_cuda")
            yield found(source, RULE, asked, at=python.span(written), unfixed=OLD)


_TOP = (
    'import torch\n\n_DEVICE_TYPE = (torch.accelerator.current_accelerator() or torch.device("cuda")).type\n'
)  # fmt: skip

RULE = Rule(
    id="profiler-cuda",
    kind="spelling",
    languages=("python",),
    targets=("npu", "musa", "mlu", "xpu", "mps"),
    safety="safe",
    what="PyTorch's profiler asked for CUDA's activity, or switched on by use_cuda.",
    why="What runs on another accelerator is not recorded.",
    instead="Record the activity of the accelerator that there is.",
    find=find,
    cases=(
        Case("from torch.profiler import ProfilerActivity\na = ProfilerActivity.CPU\n", 0),
        Case(
            'print(p.key_averages().table(sort_by="self_cuda_time_total"))\n',
            0,
            note="a column that the profiler takes for any device",
        ),
        Case("import torch\nwith torch.autograd.profiler.profile(use_cuda=False) as p:\n    pass\n", 0),
        Case(
            "import torch\na = [torch.profiler.ProfilerActivity.CUDA]\n",
            1,
            _TOP + "a = [getattr(torch.profiler.ProfilerActivity, _DEVICE_TYPE.upper(), "
            "torch.profiler.ProfilerActivity.PrivateUse1)]\n",
        ),
        Case("import torch\nwith torch.autograd.profiler.profile(use_cuda=True) as p:\n    pass\n", 1, None),
    ),
    hints=(b"ProfilerActivity", b"use_cuda"),
)
