"""C++ that asks whether a tensor is on CUDA, or says that it shall be."""

from __future__ import annotations

import re
from collections.abc import Iterator

from windtunnel.port.finding import Edit, Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._code import code_matches, code_without_strings
from windtunnel.port.source import Source

_ASKS = re.compile(
    r"(?P<check>\b(?:TORCH_CHECK|TORCH_INTERNAL_ASSERT|AT_ASSERTM?|AT_CHECK|TORCH_INTERNAL_ASSERT_DEBUG_ONLY)\s*\(\s*)?"
    r"(?P<what>(?P<receiver>\b\w+(?:\(\))?(?:(?:\.|->)\w+\(\))*)(?:\.|->)is_cuda\(\)|\bis_cuda\(\))"
    r"|(?P<device>\b(?:torch|at|c10)::(?:kCUDA\b|DeviceType::CUDA\b|DispatchKey::CUDA\b|Backend::CUDA\b|BackendComponent::CUDABit\b)"
    r"|\b(?:torch|at)::CUDA(?=\()|\bDeviceType::CUDA\b|\bkCUDA\b|\bDispatchKey::CUDA\b)"
    r"|(?:\.|->)(?P<move>cuda)\(\s*\)"
    r"|\b(?:TORCH_LIBRARY_IMPL|STABLE_TORCH_LIBRARY_IMPL|TORCH_LIBRARY_IMPL_EXPAND|STABLE_TORCH_LIBRARY_IMPL_EXPAND)\s*\(\s*\w+\s*,\s*(?P<key>(?:Autograd)?CUDA)\b"
)

# what declares at::isAccelerator since PyTorch 2.6
_WHOLE_ATEN = re.compile(
    r"^[ \t]*#[ \t]*include[ \t]*[<\"]"
    r"(?:torch/(?:extension|all|torch|types|script|python)\.h|ATen/(?:ATen|Context|DeviceAccelerator)\.h)",
    re.M,
)
_WRITTEN = re.compile(
    r"(?:\b[Dd]evice\b[\w\s]{0,40}[({=]\s*|\.(?:to|device)\(\s*)\"(?P<written>cuda(?::\d*)?)\""
    r"|\b\w*[Dd]ev(?:ice)?(?:_?(?:str|name|string|type))?\s*=\s*(?:std::string\()?\"(?P<kept>cuda(?::\d*)?)\""
    r"|\"(?P<joined>cuda:)\"\s*(?:\)\s*)?\+"
)


def find(source: Source) -> Iterator[Finding]:
    included = _WHOLE_ATEN.search(source.text) is not None
    for match in _ASKS.finditer(code_without_strings(source)):
        if match["key"]:
            yield source.finding(RULE, *match.span("key"), unfixed=_REGISTERED, advice=_REGISTERED)
        elif match["move"]:
            yield source.finding(RULE, *match.span("move"))
        elif match["device"]:
            yield source.finding(RULE, *match.span("device"))
        else:
            start, end = match.span("what")
            neutral = _device_type(match["what"].removesuffix("is_cuda()")) if match["check"] and match["receiver"] else ""
            edits = (Edit(start, end, f"at::isAccelerator({neutral})"),) if neutral and included else ()
            unfixed = _GUARDED if not match["check"] else "" if included or not neutral else _NOT_INCLUDED
            yield source.finding(RULE, end - len("is_cuda()"), end, edits=edits, unfixed=unfixed)

    for match in code_matches(source, _WRITTEN):
        yield source.finding(RULE, *match.span(match.lastgroup or "written"))


def _device_type(owner: str) -> str:
    """The expression of the device type of what ``owner`` (a dot or an arrow at its end) is; empty where it may be no tensor."""
    before = owner.removesuffix("->").removesuffix(".")
    last = re.split(r"\.|->", before)[-1]
    if last == "type()":
        return f"{owner}device_type()"
    if last == "device()" or re.search(r"(^|_)dev(ice)?_?\d?$|Device_?$", last):
        return f"{owner}type()"
    return "" if last == "d" else f"{owner}device().type()"


_GUARDED = "what follows it may be CUDA's own; port that first"
_NOT_INCLUDED = "at::isAccelerator is not declared by what the file includes; include ATen/ATen.h"
_REGISTERED = "Register an implementation for the other devices too (CompositeExplicitAutograd, PrivateUse1, XPU)."

RULE = Rule(
    id="cuda-tensor-check",
    kind="spelling",
    languages=("cpp",),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="safe",
    what="C++ that asks whether a tensor is on CUDA (`x.is_cuda()`), names kCUDA, or registers an operator for CUDA.",
    why="Tensors on other accelerators are refused, though the same code may serve them.",
    instead="Ask whether it is on the accelerator that there is (`at::isAccelerator(x.device().type())`), or on the same device "
    "as the others.",
    find=find,
    cases=(
        Case('log("cuda"); name = "cuda"; f.cuda(x);\n', 0, name="a.cpp", note="no device"),
        Case('// x.is_cuda()\nTORCH_CHECK(x.is_cpu(), "not is_cuda()");\n', 0, name="a.cpp"),
        Case("bool my_is_cuda();\nint kCUDAx;\n", 0, name="a.cpp"),
        Case('TORCH_CHECK(x.is_cuda(), "cuda");\n', name="a.cpp", note="nothing is included that declares the other name"),
        Case(
            '#include <torch/extension.h>\nTORCH_CHECK(x.is_cuda() && !y->is_cuda(), "cuda");\n',
            2,
            after='#include <torch/extension.h>\nTORCH_CHECK(at::isAccelerator(x.device().type()) && !y->is_cuda(), "cuda");\n',
            name="a.cpp",
        ),
        Case(
            '#include <ATen/ATen.h>\n#define CHECK_CUDA(x) TORCH_CHECK(x.device().is_cuda(), #x " must be")\n'
            "AT_ASSERTM(y.type().is_cuda());\nTORCH_CHECK(self_device.is_cuda());\n",
            3,
            after="#include <ATen/ATen.h>\n"
            '#define CHECK_CUDA(x) TORCH_CHECK(at::isAccelerator(x.device().type()), #x " must be")\n'
            "AT_ASSERTM(at::isAccelerator(y.type().device_type()));\nTORCH_CHECK(at::isAccelerator(self_device.type()));\n",
            name="a.h",
        ),
        Case("if (x.is_cuda()) { return f_cuda(x); }\n", name="a.cpp", note="what follows is for CUDA"),
        Case("at::Tensor w = at::zeros({8}, at::CUDA(at::kByte));\n", name="a.cu"),
        Case("auto o = x.options().device(torch::kCUDA, 0);\n", name="a.cpp"),
        Case(
            'device_str = "cuda:" + std::to_string(id);\nstd::string dev = "cuda";\nf(std::string("cuda:") + n);\n',
            3,
            name="a.cpp",
        ),
        Case('torch::Device d("cuda:0");\nx.to("cuda"); y.cuda();\n', 3, name="a.cpp"),
        Case('TORCH_LIBRARY_IMPL(my, CUDA, m) { m.impl("f", &f); }\n', name="a.cpp"),
    ),
    hints=(
        b"cuda",
        b"is_cuda",
        b"kCUDA",
        b"DeviceType::CUDA",
        b"LIBRARY_IMPL",
        b"Key::CUDA",
        b"Backend::CUDA",
        b"::CUDABit",
        b"::CUDA(",
    ),
)
