"""NCCL as a setting of a program."""

from __future__ import annotations

from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._entries import entries
from windtunnel.port.source import Source


def find(source: Source) -> Iterator[Finding]:
    for entry in entries(source):
        if entry.value in ("nccl", "NCCL") and (entry.key or entry.path):
            yield source.finding(RULE, entry.start, entry.end)


RULE = Rule(
    id="config-nccl-backend",
    kind="spelling",
    languages=("config",),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="The backend nccl of torch.distributed as a setting in YAML, JSON, TOML, INI and files of variables.",
    why="Other devices have libraries of their own (hccl, mccl, cncl, xccl), and a CPU has gloo.",
    instead="Leave the setting out: init_process_group() without a backend chooses by the device. A launcher that insists on one "
    "needs it by a variable.",
    find=find,
    cases=(
        Case("# backend: nccl\nbackend: gloo\nnccl: 1\ntitle: about nccl\n", 0),
        Case("script: >\n  backend: nccl\nother: x\n", 0, note="text of a block"),
        Case('a:\n  - dist:\n      backend: nccl\n  - {backend: "nccl"}\n', 2),
        Case("distributed_training:\n  distributed_backend: 'nccl'\n"),
        Case('{"comms": {"backend": "nccl"}}\n', name="ds_config.json"),
        Case("backend = nccl\n", name="a.cfg"),
    ),
    hints=(b"nccl", b"NCCL"),
)
