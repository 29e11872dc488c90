"""Comparisons of a device with CUDA where no other accelerator is thought of."""

from __future__ import annotations

from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.neutral import NOT_PLAIN, device_edit, found
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._guards import guards_cuda_only, others_follow
from windtunnel.port.source import Source


def find(source: Source) -> Iterator[Finding]:
    for spelled in source.python.device_strings:
        if spelled.role == "compare":
            edits = device_edit(source.python, spelled.node)
            guarded = guards_cuda_only(source.python, spelled.node) or others_follow(source.python, spelled.node)
            yield found(source, RULE, spelled.node, () if guarded else edits, unfixed=guarded or ("" if edits else NOT_PLAIN))


_TOP = (
    'import torch\n\n_DEVICE_TYPE = (torch.accelerator.current_accelerator() or torch.device("cuda")).type\n'
)  # fmt: skip

RULE = Rule(
    id="cuda-device-compare",
    kind="spelling",
    languages=("python",),
    targets=("npu", "musa", "mlu", "xpu", "mps"),
    safety="safe",
    what="A device compared with CUDA, where no branch is for another accelerator.",
    why="On any other accelerator the program takes the branch that was meant for the CPU.",
    instead="Compare with the type of the accelerator that there is.",
    find=find,
    cases=(
        Case(
            'import torch\nif device.type == "npu":\n    pass\nelif device.type == "cuda":\n    pass\n',
            0,
            note="branches for others",
        ),
        Case(
            'import torch\nif device.type == "cuda":\n    f()\nelif device.type == "mps":\n    g()\nelse:\n    h()\n',
            0,
            note="branches for others, and one for all the rest",
        ),
        Case('import torch\nif device.type in ("cuda", "xpu"):\n    pass\n', 0, note="others are offered"),
        Case('import torch\nif backend == "cuda":\n    pass\n', 0, note="no device"),
        Case('import torch\nok = device.type == "cuda"\n', 1, _TOP + "ok = device.type == _DEVICE_TYPE\n"),
        Case('import torch\nif "cuda" in str(device):\n    pass\n', 1, _TOP + "if _DEVICE_TYPE in str(device):\n    pass\n"),
        Case(
            'import torch\nif args.device.startswith("cuda"):\n    pass\n',
            1,
            _TOP + "if args.device.startswith(_DEVICE_TYPE):\n    pass\n",
        ),
        Case(
            'import torch\nif device.type == "cuda":\n    major, _ = torch.cuda.get_device_capability()\n',
            1,
            None,
            note="what it guards is CUDA's own",
        ),
        Case(
            'import torch\nif device.type == "cuda":\n    f()\nelif device.type == "mps":\n    g()\n',
            1,
            None,
            note="no branch for a third, but mps keeps its own",
        ),
    ),
    hints=(b"cuda",),
)
