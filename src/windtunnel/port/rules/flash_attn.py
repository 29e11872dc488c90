"""The flash-attn package."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from windtunnel.port.finding import Edit, Finding
from windtunnel.port.neutral import TORCH, found, torch_name
from windtunnel.port.python import PythonTree
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._libraries import imports
from windtunnel.port.source import Source

_FUNCTIONS = (
    "flash_attn.flash_attn_func",
    "flash_attn.flash_attn_interface.flash_attn_func",
    "flash_attn_interface.flash_attn_func",
)
_PLACES = ("dropout_p", "softmax_scale", "causal")
_WORDS = {"dropout_p": "dropout_p", "softmax_scale": "scale", "causal": "is_causal"}
OPTIONS = "it is given options (a window, a soft cap, ALiBi) that scaled_dot_product_attention does not have"


def find(source: Source) -> Iterator[Finding]:
    python = source.python
    yield from imports(source, RULE, "flash_attn", "flash_attn_interface", "flash_attn_2_cuda", "flash_attn_3")
    for call in python.calls(*_FUNCTIONS):
        edits = _as_sdpa(python, call)
        yield found(source, RULE, call.func, edits, TORCH, safety="unsafe", unfixed="" if edits else OPTIONS)


def _as_sdpa(python: PythonTree, call: ast.Call) -> tuple[Edit, ...]:
    """flash-attn has (batch, sequence, heads, size); PyTorch's own has heads before sequence. Causal masks agree where
    query and key are equally long, which is why this is an unsafe fix."""
    if len(call.args) < 3 or len(call.args) > 6 or any(isinstance(a, ast.Starred) for a in call.args):
        return ()
    if any(k.arg not in _WORDS for k in call.keywords):
        return ()
    edits = [Edit(*python.span(call.func), f"{torch_name(python)}.nn.functional.scaled_dot_product_attention")]
    for tensor in call.args[:3]:
        start, end = python.span(tensor)
        atom = isinstance(tensor, ast.Name | ast.Attribute | ast.Call | ast.Subscript)
        edits += [Edit(end, end, ".transpose(1, 2)")] if atom else [Edit(start, start, "("), Edit(end, end, ").transpose(1, 2)")]
    for given, word in zip(call.args[3:], _PLACES, strict=False):
        start = python.start(given)
        edits.append(Edit(start, start, f"{_WORDS[word]}="))
    for named in call.keywords:
        start = python.start(named)
        edits.append(Edit(start, start + len(named.arg or ""), _WORDS[named.arg or ""]))
    end = python.end(call)
    # heads that keys and values share between them are counted by PyTorch only when told
    closing = end - 1
    comma = "" if python.source.text[:closing].rstrip().endswith(",") else ", "
    return (*edits, Edit(closing, closing, f"{comma}enable_gqa=True"), Edit(end, end, ".transpose(1, 2)"))


RULE = Rule(
    id="flash-attn",
    kind="capability",
    languages=("python",),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="unsafe",
    what="The flash-attn package.",
    why="Its kernels are written for CUDA (and ROCm); other accelerators cannot load it.",
    instead="Use torch.nn.functional.scaled_dot_product_attention, which takes each accelerator's own fused attention; "
    "its causal mask begins at the other corner where query and key differ in length, and it rounds otherwise.",
    find=find,
    cases=(
        Case("from mine.flash_attn import f\n", 0, note="another's"),
        Case("# import flash_attn\n", 0),
        Case("use_flash_attn = True\n", 0, note="a flag"),
        Case("import flash_attn\n", 1),
        Case("try:\n    from flash_attn.bert_padding import pad_input\nexcept ImportError:\n    pad_input = None\n", 1),
        Case(
            "import torch\nfrom flash_attn import flash_attn_func\ny = flash_attn_func(q, k, v, causal=True)\n",
            2,
            None,
            unsafe="import torch\nfrom flash_attn import flash_attn_func\ny = torch.nn.functional.scaled_dot_product_attention("
            "q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), is_causal=True, enable_gqa=True).transpose(1, 2)\n",
        ),
        Case("from flash_attn import flash_attn_func\ny = flash_attn_func(q, k, v, window_size=(8, 8))\n", 2, None),
    ),
    hints=(b"flash_attn",),
)
