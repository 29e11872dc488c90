"""Switches of PyTorch's CUDA backend."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.source import Source

_OTHER_RULES = (
    "torch.backends.cuda.matmul.allow_tf32",
    "torch.backends.cuda.matmul.fp32_precision",
    "torch.backends.cuda.is_built",
)


def find(source: Source) -> Iterator[Finding]:
    python = source.python
    for node in python.uses("torch.nn.attention.SDPBackend.CUDNN_ATTENTION"):
        yield source.finding(RULE, *python.span(node))
    for attribute in python.of(ast.Attribute):
        if isinstance(python.parent(attribute), ast.Attribute):
            continue
        owner = python.resolve(attribute.value)
        if not owner.startswith("torch.backends.cuda"):
            continue
        name = f"{owner}.{attribute.attr}"
        if name not in _OTHER_RULES and not name.startswith(tuple(f"{n}." for n in _OTHER_RULES)):
            yield source.finding(RULE, *python.span(attribute))
    for name, nodes in python.references.items():
        if name.startswith("torch.backends.cuda.") and name not in _OTHER_RULES:
            for node in nodes:
                if isinstance(node, ast.Name) and not isinstance(python.parent(node), ast.Attribute):
                    yield source.finding(RULE, *python.span(node))


RULE = Rule(
    id="cuda-backend-flag",
    kind="capability",
    languages=("python",),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="A switch of PyTorch's CUDA backend: which attention kernels, which linear algebra library, which reductions.",
    why="It chooses between CUDA's kernels. Elsewhere nobody reads it, and the choice that was meant is not made.",
    instead="Use torch.nn.attention.sdpa_kernel for attention; leave the others to CUDA, behind a test for it.",
    find=find,
    cases=(
        Case("import torch\nfrom torch.nn.attention import sdpa_kernel\n", 0),
        Case("import torch\ntorch.backends.cuda.matmul.allow_tf32 = True\n", 0, note="another rule's"),
        Case("import torch\ntorch.backends.cuda.enable_flash_sdp(False)\n", 1),
        Case("import torch\nwith torch.backends.cuda.sdp_kernel(enable_math=False):\n    pass\n", 1),
        Case("from torch.backends.cuda import sdp_kernel\nwith sdp_kernel():\n    pass\n", 1),
        Case("import torch\ntorch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False\n", 1),
        Case("from torch.nn.attention import SDPBackend\nb = SDPBackend.CUDNN_ATTENTION\n"),
    ),
    hints=(b"backends", b"CUDNN_ATTENTION"),
)
