"""flash-attn as a setting of a program."""

from __future__ import annotations

import re
from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._entries import entries
from windtunnel.port.source import Source

_KEY = re.compile(r"attn|attention", re.I)
_SWITCH = re.compile(r"(?:use_|enable_)?flash_?(?:attn|attention)(?:_?2)?", re.I)
_VALUE = re.compile(r"(?:vllm_)?flash[_\-]?(?:attention|attn)(?:[_\-]?[234])?|kernels-community/.*flash-attn\d?", re.I)


def find(source: Source) -> Iterator[Finding]:
    for entry in entries(source):
        switched = _SWITCH.fullmatch(entry.key) and entry.value.lower() == "true"
        if switched or (_KEY.search(entry.key) and _VALUE.fullmatch(entry.value)):
            yield source.finding(RULE, entry.start, entry.end)


RULE = Rule(
    id="config-flash-attention",
    kind="capability",
    languages=("config",),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="flash-attn as a setting: attn_implementation: flash_attention_2.",
    why="The package is built for CUDA (and ROCm); elsewhere the model does not load.",
    instead="Say sdpa, which takes each device's own fused attention.",
    find=find,
    cases=(
        Case("# attn_implementation: flash_attention_2\nattn_implementation: sdpa\ntitle: flash_attention_2\n", 0),
        Case("flash_attention: true\nuse_flash_attn: false\n"),
        Case("model:\n  attn_implementation: flash_attention_2\n"),
        Case('{"_attn_implementation": "flash_attention_2"}\n', name="config.json"),
    ),
    hints=(b"flash", b"Flash"),
)
