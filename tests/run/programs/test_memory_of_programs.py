"""Memory of programs against figures by hand: parameters, a training step's peak, where it runs out."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.run.programs.running import run_on
from windtunnel.run.virtual import VirtualChip, virtual

MIB = 1 << 20


def held(chip: VirtualChip, kind: str) -> int:
    return sum(one.bytes for one in chip.report().memory.holders if one.kind == kind)


def test_peak_of_a_training_step_by_hand() -> None:
    """Two layers, 1024 -> 4096 -> 1024, fp32, 1024 rows, plain SGD. The peak comes as the backward pass goes through ReLU:
    parameters 32 MiB and biases, x, out and its gradient 4 MiB each, the hidden layer after ReLU, the gradients of it and of
    the layer before ReLU 16 MiB each, and of the second layer's weights 16 MiB and bias."""
    with virtual("h100-sxm") as chip:
        model = nn.Sequential(nn.Linear(1024, 4096), nn.ReLU(), nn.Linear(4096, 1024)).cuda()
        biases = (4096 + 1024) * 4
        assert torch.cuda.memory_allocated() == 32 * MIB + biases
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        x = torch.randn(1024, 1024, device="cuda")
        out = model(x)
        assert torch.cuda.memory_allocated() == 32 * MIB + biases + (4 + 16 + 4) * MIB
        gradient = torch.ones_like(out)
        out.backward(gradient)
        assert torch.cuda.memory_allocated() == 2 * (32 * MIB + biases) + 3 * 4 * MIB
        optimizer.step()
        optimizer.zero_grad()
        assert torch.cuda.memory_allocated() == 32 * MIB + biases + 3 * 4 * MIB
    by_hand = 32 * MIB + biases + 3 * 4 * MIB + 3 * 16 * MIB + 16 * MIB + 1024 * 4
    report = chip.report()
    assert report.memory.peak == by_hand
    assert held(chip, "parameter") == 32 * MIB + biases
    assert held(chip, "gradient") == 2 * 16 * MIB + 16 * MIB + 1024 * 4


def test_optimizer_state_is_two_copies_of_the_parameters() -> None:
    with virtual("ascend-910b2") as chip:
        model = nn.Linear(512, 512, bias=False).npu()  # type: ignore[operator]
        optimizer = torch.optim.AdamW(model.parameters())
        for _ in range(2):
            model(torch.randn(8, 512, device="npu")).sum().backward()
            optimizer.step()
    kinds = {one.kind: one.bytes for one in chip.report().memory.holders}
    assert kinds["parameter"] == MIB
    assert kinds["optimizer state"] >= 2 * MIB


def test_tied_weights_stay_tied_and_are_held_once() -> None:
    layers, width, vocabulary, context = 2, 128, 256, 32
    size = f"--layers {layers} --width {width} --heads 4 --context {context} --vocabulary {vocabulary} --batch_size 2 --steps 1"
    ran = run_on("h100-sxm", "gpt2_train.py", *size.split())
    parameters = (vocabulary + context) * width + layers * (12 * width**2 + 13 * width) + 2 * width
    assert held(ran.chip, "parameter") == 4 * parameters
    with virtual("h100-sxm"):
        one, other = nn.Embedding(16, 8), nn.Linear(8, 16, bias=False)
        other.weight = one.weight
        nn.Sequential(one, other).to("cuda")
        assert other.weight is one.weight
        nn.Sequential(one, other).half()
        assert other.weight is one.weight
        assert torch.cuda.memory_allocated() == 512  # 256 bytes of halves, and 512 freed


def test_a_batch_too_large_runs_out_of_memory_with_those_who_hold_it() -> None:
    """Logits of 64 x 1024 tokens and 50,304 words in bf16 are 6.14 GiB: not beside what the layers have left for backward."""
    ran = run_on("rtx-4090", "gpt2_train.py", "--batch_size", 64, "--steps", 1)
    report = ran.report
    assert report.failure is not None
    assert report.failure.error == "OutOfMemoryError"
    assert report.failure.message.startswith("CUDA out of memory. Tried to allocate 6.14 GiB.")
    assert report.failure.site is not None
    assert report.failure.site.file.endswith("gpt2_train.py")
    assert report.exit_status == 1
    assert "windtunnel/" not in ran.ended.traceback
    holders = {one.kind for one in report.memory.holders}
    assert {"parameter", "activation"} <= holders
    assert sum(one.bytes for one in report.memory.holders) <= report.memory.capacity
    assert max(report.memory.holders, key=lambda one: one.bytes).site is not None
    assert run_on("rtx-4090", "gpt2_train.py", "--batch_size", 8, "--steps", 1).report.status == "finished"
    assert run_on("h200-sxm", "gpt2_train.py", "--batch_size", 64, "--steps", 1).report.status == "finished"


def test_memory_comes_back_when_tensors_go() -> None:
    with virtual("h20"):
        big = torch.empty(1 << 30, device="cuda", dtype=torch.uint8)
        view = big[: 1 << 20].view(1024, 1024)
        del big
        assert torch.cuda.memory_allocated() == 1 << 30  # the view holds it
        del view
        assert torch.cuda.memory_allocated() == 0
        for _ in range(200):
            torch.empty(1 << 30, device="cuda", dtype=torch.uint8)
        assert torch.cuda.max_memory_allocated() == 1 << 30
        with pytest.raises(torch.OutOfMemoryError):
            torch.empty(1 << 40, device="cuda", dtype=torch.uint8)
        assert torch.cuda.memory_allocated() == 0
