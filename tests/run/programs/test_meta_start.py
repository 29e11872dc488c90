"""A sharded model that starts on PyTorch's meta device and gets its first values where it lies, as large ones are made."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.run.programs.running import run_on

PROGRAM = """
import sys, torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import fully_shard
dist.init_process_group()
with torch.device("meta"):
    model = nn.Sequential(nn.Linear(256, 1024, bias=False), nn.LayerNorm(1024), nn.Linear(1024, 256, bias=False))
for layer in model:
    fully_shard(layer)
fully_shard(model)
model.to_empty(device=sys.argv[1])
for layer in model:
    layer.reset_parameters()
optimizer = torch.optim.AdamW(model.parameters())
for _ in range(2):
    model(torch.randn(8, 256, device=sys.argv[1])).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
print(sum(p.to_local().numel() for p in model.parameters()))
"""


@pytest.mark.parametrize(("on", "device"), [("h100-sxm:4", "cuda"), ("ascend-910b2:4", "npu")])
def test_a_sharded_model_from_meta(tmp_path: Path, on: str, device: str) -> None:
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    ran = run_on(on, script, device)
    assert ran.ended.traceback == ""
    assert int(ran.output) == (2 * 256 * 1024 + 2 * 1024) // 4
    assert len(ran.report.steps) == 2
