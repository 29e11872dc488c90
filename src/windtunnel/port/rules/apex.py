"""NVIDIA's Apex."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from windtunnel.port.finding import Edit, Finding
from windtunnel.port.neutral import TORCH, found, torch_name
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._libraries import imports
from windtunnel.port.source import Source

_OPTIMISERS = {"apex.optimizers.FusedAdam": "AdamW", "apex.optimizers.FusedSGD": "SGD", "apex.optimizers.FusedAdagrad": "Adagrad"}
_KEYWORDS = {
    "AdamW": {"lr", "betas", "eps", "weight_decay", "amsgrad"},
    "SGD": {"lr", "momentum", "dampening", "weight_decay", "nesterov"},
    "Adagrad": {"lr", "weight_decay", "eps"},
}  # fmt: skip
_NORMS = {"apex.normalization.FusedLayerNorm": "LayerNorm", "apex.normalization.fused_layer_norm.FusedLayerNorm": "LayerNorm"}
_NORM_KEYWORDS = {"normalized_shape", "eps", "elementwise_affine"}
DIFFERS = "the fused kernels round otherwise, and take options that PyTorch's do not have"


def find(source: Source) -> Iterator[Finding]:
    python = source.python
    yield from imports(
        source, RULE, "apex", "amp_C", "apex_C", "fused_layer_norm_cuda", "fused_adam_cuda", "xentropy_cuda", "syncbn"
    )
    for name, plain in (*_OPTIMISERS.items(), *_NORMS.items()):
        for call in python.calls(name):
            given = {k.arg for k in call.keywords}
            space = "nn" if plain == "LayerNorm" else "optim"
            known = _NORM_KEYWORDS if plain == "LayerNorm" else _KEYWORDS[plain]
            placed = len(call.args) <= (1 if space == "optim" else 2) and not any(isinstance(a, ast.Starred) for a in call.args)
            if not (given <= known and placed):
                yield source.finding(RULE, *python.span(call.func), unfixed="it is given options that PyTorch's does not have")
                continue
            start, end = python.span(call.func)
            edit = Edit(start, end, f"{torch_name(python)}.{space}.{plain}")
            yield found(source, RULE, call.func, (edit,), TORCH, safety="unsafe")


RULE = Rule(
    id="apex",
    kind="capability",
    languages=("python",),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="unsafe",
    what="NVIDIA's Apex: its fused optimisers, norms and mixed precision.",
    why="Its kernels are compiled for CUDA (and ROCm); elsewhere it cannot be loaded.",
    instead="Use torch.optim (with fused=True where the target has it), torch.nn and torch.amp; they round a little otherwise.",
    find=find,
    cases=(
        Case("import apexlib\n", 0, note="another package"),
        Case("use_apex = True\n", 0),
        Case("from apex import amp\n", 1),
        Case(
            "import torch\nfrom apex.optimizers import FusedAdam\no = FusedAdam(p, lr=1e-3)\n",
            2,
            None,
            unsafe="import torch\nfrom apex.optimizers import FusedAdam\no = torch.optim.AdamW(p, lr=1e-3)\n",
        ),
        Case(
            "import torch\nfrom apex.normalization import FusedLayerNorm as Norm\nn = Norm(8, eps=1e-6)\n",
            2,
            None,
            unsafe="import torch\nfrom apex.normalization import FusedLayerNorm as Norm\nn = torch.nn.LayerNorm(8, eps=1e-6)\n",
        ),
        Case("from apex.optimizers import FusedAdam\no = FusedAdam(p, adam_w_mode=False)\n", 2, None),
        Case("from apex.optimizers import FusedLAMB\no = FusedLAMB(p)\n", 1),
    ),
    hints=(b"apex", b"amp_C", b"fused_", b"xentropy_cuda", b"syncbn"),
)
