"""Functions of ``torch.cuda`` without counterparts elsewhere."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules import torch_cuda_call
from windtunnel.port.source import Source

_OTHER_RULES = frozenset(
    {
        "amp", "nvtx", "nccl", "graphs", "CUDAGraph", "graph", "make_graphed_callables", "graph_pool_handle", "streams",
        "get_device_capability", "get_device_properties", "get_arch_list", "get_gencode_flags", "OutOfMemoryError",
    }
)  # fmt: skip
_KNOWN = torch_cuda_call.SHARED | torch_cuda_call.STREAMS | frozenset(torch_cuda_call.EXACT) | _OTHER_RULES
_MODULES = ("memory", "random")


def find(source: Source) -> Iterator[Finding]:
    python = source.python
    for name, nodes in python.references.items():
        if not name.startswith("torch.cuda."):
            continue
        parts = name.split(".")[2:]
        if parts[0] in _MODULES and len(parts) > 1:
            parts = parts[1:]
        if parts[0] in _KNOWN or parts[0].endswith("Tensor"):
            continue
        for node in nodes:
            parent = python.parent(node)
            # of torch.cuda.tunable.enable the whole is one place
            if not (isinstance(parent, ast.Attribute) and python.resolve(parent)):
                yield source.finding(RULE, *python.span(node))


RULE = Rule(
    id="cuda-only-call",
    kind="capability",
    languages=("python",),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="A function of torch.cuda that other accelerators do not have, or have otherwise.",
    why="It speaks to CUDA's runtime, allocator or driver, of which PyTorch knows no counterpart.",
    instead="Keep it behind a test for CUDA, or do without.",
    find=find,
    cases=(
        Case("import torch\ntorch.cuda.synchronize()\n", 0, note="others have that"),
        Case("import torch.cuda.memory\n", 0, note="an import binds nothing"),
        Case("import torch\nu = torch.cuda.utilization()\n"),
        Case("import torch\nrt = torch.cuda.cudart()\nrt.cudaProfilerStart()\n"),
        Case("import torch\npool = torch.cuda.memory.MemPool(a)\n"),
        Case("import torch\ntorch.cuda.tunable.enable()\n"),
        Case("from torch.cuda import ipc_collect\nipc_collect()\n"),
    ),
    hints=(b"cuda",),
)
