"""A census of a program that trains holds its training, whatever it evaluates first."""

from __future__ import annotations

from pathlib import Path

from windtunnel.port.ops import ops

EVALUATES = """
import torch
from torch import nn

model = nn.Linear(8, 2).to("npu")
{optimizer}
with torch.no_grad():
    for _ in range(5):
        model(torch.ones(4, 8, device="npu"))
{training}
"""
TRAINS = """
for _ in range(9):
    optimizer.zero_grad()
    model(torch.ones(4, 8, device="npu")).sum().backward()
    optimizer.step()
"""


def test_what_is_evaluated_before_training_does_not_end_the_census(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    optimizer = "optimizer = torch.optim.SGD(model.parameters(), lr=0.1, foreach=True)"
    script.write_text(EVALUATES.format(optimizer=optimizer, training=TRAINS))
    found = ops(str(script), to="npu")
    assert found.ended_after == "2 optimizer steps"
    assert "aten._foreach_add_.List" in {row.status.op for row in found.rows}


def test_a_program_without_an_optimizer_ends_after_its_forwards(tmp_path: Path) -> None:
    script = tmp_path / "infer.py"
    script.write_text(EVALUATES.format(optimizer="", training=""))
    assert ops(str(script), to="npu").ended_after == "2 forwards"
