"""Strings that name a CUDA device: ``"cuda"``, ``"cuda:0"``, ``f"cuda:{rank}"``, where a device is asked for."""

from __future__ import annotations

from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.neutral import NOT_PLAIN, device_edit, found
from windtunnel.port.rule import Case, Rule
from windtunnel.port.source import Source


def find(source: Source) -> Iterator[Finding]:
    for spelled in source.python.device_strings:
        if spelled.role == "device":
            edits = device_edit(source.python, spelled.node)
            yield found(source, RULE, spelled.node, edits, unfixed="" if edits else NOT_PLAIN)


_TOP = (
    'import torch\n\n_DEVICE_TYPE = (torch.accelerator.current_accelerator() or torch.device("cuda")).type\n'
)  # fmt: skip

RULE = Rule(
    id="cuda-device-string",
    kind="spelling",
    languages=("python",),
    targets=("npu", "musa", "mlu", "xpu", "mps"),
    safety="safe",
    what="A string that names a CUDA device where a device is asked for.",
    why="Only CUDA (and ROCm, which goes by its name) answers to it; elsewhere the same tensor lies on npu, musa, "
    "mlu, xpu or mps.",
    instead="Ask PyTorch for the accelerator that there is: torch.accelerator.current_accelerator().",
    find=find,
    cases=(
        Case('path = "/usr/local/cuda"\n', 0, note="a path"),
        Case('import torch\nprint("cuda")\n', 0, note="a message"),
        Case('import torch\nstate = {"cuda": torch.ones(1)}\nx = state["cuda"]\n', 0, note="a key"),
        Case('import torch\n"""cuda"""\n# device="cuda"\n', 0, note="a text and a comment"),
        Case('import torch\nparser.add_argument("--cuda", action="store_true")\n', 0, note="a flag"),
        Case('import torch\nif mode == "cuda":\n    pass\n', 0, note="nothing says that this is a device"),
        Case('import torch\nlogger.info("cuda", extra=1)\n', 0),
        Case('import torch\nmylib = torch.library.Library("a", "IMPL")\ntorch.library.register_kernel("a::b", "cuda")\n', 0),
        Case(
            'import torch\nd = (torch.accelerator.current_accelerator() or torch.device("cuda")).type\n', 0, note="a last resort"
        ),
        Case('for device in ["cuda", "npu", "xpu"]:\n    print(device)\n', 0, note="others are offered"),
        Case('import torch\nx = torch.ones(1, device="cuda")\n', 1, _TOP + "x = torch.ones(1, device=_DEVICE_TYPE)\n"),
        Case('import torch\nx = torch.ones(1).to("cuda:0")\n', 1, _TOP + 'x = torch.ones(1).to(f"{_DEVICE_TYPE}:0")\n'),
        Case("import torch\nd = torch.device('cuda', 0)\n", 1, _TOP + "d = torch.device(_DEVICE_TYPE, 0)\n"),
        Case("import torch\nd = f'cuda:{i}'\nx.to(d)\n", 1, _TOP + "d = f'{_DEVICE_TYPE}:{i}'\nx.to(d)\n"),
        Case('import torch\nx.to("cuda:%d" % i)\n', 1, _TOP + 'x.to(f"{_DEVICE_TYPE}:%d" % i)\n'),
        Case('import torch\nx.to("cuda:{}".format(i))\n', 1, _TOP + 'x.to((_DEVICE_TYPE + ":{}").format(i))\n'),
        Case('import torch\nx.to("cuda:" + str(i))\n', 1, _TOP + 'x.to(f"{_DEVICE_TYPE}:" + str(i))\n'),
        Case(
            'import torch\n\n\ndef load(path, device="cuda"):\n    pass\n',
            1,
            _TOP + "\n\ndef load(path, device=_DEVICE_TYPE):\n    pass\n",
        ),
        Case(
            'import torch\np.add_argument("--device", default="cuda")\n',
            1,
            _TOP + 'p.add_argument("--device", default=_DEVICE_TYPE)\n',
        ),
        Case(
            'import torch\nwhere = "cuda" if torch.cuda.is_available() else "cpu"\nmodel.to(where)\n',
            1,
            _TOP + 'where = _DEVICE_TYPE if torch.cuda.is_available() else "cpu"\nmodel.to(where)\n',
            note="the call is another rule's",
        ),
        Case('import torch\nconfig = {"device": "cuda"}\n', 1, _TOP + 'config = {"device": _DEVICE_TYPE}\n'),
        Case('import torch\nd = cfg.get("device", "cuda")\n', 1, _TOP + 'd = cfg.get("device", _DEVICE_TYPE)\n'),
        Case(
            'import torch as th\nx = th.ones(1, device="cuda")\n',
            1,
            'import torch as th\n\n_DEVICE_TYPE = (th.accelerator.current_accelerator() or th.device("cuda")).type\n'
            "x = th.ones(1, device=_DEVICE_TYPE)\n",
        ),
        Case(
            'import torch\n\n\n@torch.jit.script\ndef f(x):\n    return x.to("cuda")\n',
            1,
            None,
            note="TorchScript reads no name of the file",
        ),
        Case('import torch\nx.to("cuda" ":0")\n', 1, None, note="in two pieces"),
        Case(
            'import torch\ndevices = ["cpu"]\ndevices += ["cuda"]\n',
            1,
            _TOP + 'devices = ["cpu"]\ndevices += [_DEVICE_TYPE]\n',
        ),
        Case(
            'import torch\nrun(devices=[f"cuda:{i}" for i in range(2)])\n',
            1,
            _TOP + 'run(devices=[f"{_DEVICE_TYPE}:{i}" for i in range(2)])\n',
        ),
    ),
    hints=(b"cuda",),
)
