"""Functions of ``torch.cuda`` without counterparts elsewhere."""

from __future__ import annotations

import ast
import re
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
_PRIVATE = re.compile(
    r"_?(?:cuda|Cuda|CUDA|cudnn|nccl|Nccl|nvtx|nvml|cublas|cusparselt)|has_(?:cuda|cudnn|magma|mkldnn)|_(?:get|set)_cu|_CUDA|amp_def"
)
_BELOW_TORCH = re.compile(
    r"torch\._C\.\w+(?:\.\w+)*|torch\.has_(?:cuda|cudnn)|torch\.cuda\.amp\.(?:common\.\w+|autocast_mode|grad_scaler)|torch\._(?:cudnn|cuda)_\w+"
    r"|torch\.(?:cudnn_\w+|_cslt_\w+)|torch\.ops\.aten\.(?:cudnn|_cudnn|_cslt)\w*"
)
_MODULES_OF_AMP = frozenset({"autocast_mode", "grad_scaler", "amp_definitely_not_available"})
_INSIDE_AMP = ("torch.cuda.amp.common.", "torch.cuda.amp.grad_scaler.", "torch.cuda.amp.autocast_mode.")
_OF_OTHER_RULES = frozenset({"GradScaler", "autocast", "custom_fwd", "custom_bwd"})
_MODULES = ("memory", "random")


def find(source: Source) -> Iterator[Finding]:
    python = source.python
    yield from _below_torch(source)
    for name, nodes in python.references.items():
        if not name.startswith("torch.cuda."):
            continue
        parts = name.split(".")[2:]
        if parts[0] in _MODULES and len(parts) > 1:
            parts = parts[1:]
        if name.startswith(_INSIDE_AMP) and parts[-1] not in _OF_OTHER_RULES:
            yield from (source.finding(RULE, *python.span(node)) for node in nodes if isinstance(node, ast.Name))
            continue
        if parts[0] in _KNOWN or parts[0].endswith("Tensor"):
            continue
        for node in nodes:
            parent = python.parent(node)
            # of torch.cuda.tunable.enable the whole is one place
            if not (isinstance(parent, ast.Attribute) and python.resolve(parent)):
                yield source.finding(RULE, *python.span(node))


def _below_torch(source: Source) -> Iterator[Finding]:
    """What PyTorch's compiled part and its older attributes have for CUDA, and the modules of autocast."""
    python = source.python
    for attribute in python.of(ast.Attribute):
        if not _PRIVATE.match(attribute.attr) and attribute.attr not in _MODULES_OF_AMP:
            continue
        name = f"{python.resolve(attribute.value)}.{attribute.attr}"
        if _BELOW_TORCH.fullmatch(name):
            yield source.finding(RULE, *python.span(attribute))


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
        Case("import torch\ntorch._C._cuda_clearCublasWorkspaces()\nn = torch._C._cuda_getDeviceCount()\n", 2),
        Case("import torch\nok = torch.has_cuda and torch.cuda.amp.common.amp_definitely_not_available()\n", 2),
        Case("from torch.cuda.amp.common import amp_definitely_not_available as off\nif off():\n    pass\n"),
        Case("import torch\ntorch.cuda.tunable.enable()\n"),
        Case("from torch.cuda import ipc_collect\nipc_collect()\n"),
    ),
    hints=(b"cuda", b"cudnn", b"_C.", b"_cslt"),
)
