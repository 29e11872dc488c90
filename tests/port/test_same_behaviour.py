"""Programs before and after their fix, where there is no accelerator: the same values, or the same errors.

The same holds on CUDA, where the names that a fix uses stand for "cuda" and torch.cuda; the tests below run there too.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from typing import Any

import pytest
import torch

from windtunnel.port.fix import fix_text

QUESTIONS = [
    "torch.cuda.is_available()",
    "torch.cuda.device_count()",
    "torch.cuda.empty_cache()",
    "torch.cuda.memory_allocated()",
    "torch.cuda.max_memory_allocated()",
    "torch.cuda.memory_reserved()",
    "torch.cuda.memory_stats()",
    "torch.cuda.reset_peak_memory_stats()",
    "torch.cuda.mem_get_info()",
    "torch.cuda.manual_seed(1)",
    "torch.cuda.manual_seed_all(1)",
    "torch.cuda.get_rng_state_all()",
    "torch.cuda.get_rng_state()",
    "torch.cuda.synchronize()",
    "torch.cuda.current_device()",
    "torch.cuda.set_device(0)",
    "torch.cuda.is_initialized()",
    "torch.cuda.is_bf16_supported()",
    "torch.cuda.get_device_name(0)",
    "torch.cuda.current_stream()",
    "torch.cuda.Stream()",
    "torch.cuda.Event(enable_timing=True)",
    "torch.cuda.OutOfMemoryError.__name__",
    "torch.device('cuda:1').type",
    "torch.ones(2).cuda()",
    "torch.ones(2).cuda(0)",
    "torch.nn.Linear(2, 2).cuda(0)",
    "torch.ones(2).cuda(non_blocking=True)",
    "torch.ones(2).to('cuda')",
    "torch.ones(2, device='cuda:0')",
    "torch.nn.Linear(2, 2).cuda()",
    "torch.ones(2).is_cuda",
    "not torch.ones(2).is_cuda",
    "torch.ones(2).device.type == 'cuda'",
    "'cuda' in str(torch.ones(2).device)",
    "torch.Generator('cuda')",
    "torch.Generator(device='cuda')",
    "torch.cuda.amp.GradScaler().is_enabled()",
    "torch.amp.GradScaler().is_enabled()",
    "torch.amp.GradScaler('cuda', enabled=False).is_enabled()",
    "torch.load(io.BytesIO(b''), map_location='cuda')",
    "torch.distributed.init_process_group('nccl', rank=0, world_size=1, init_method='tcp://127.0.0.1:1')",
    "torch.ones(2).pin_memory('cuda')",
    "torch.autocast('cuda', dtype=torch.bfloat16).fast_dtype",
    "torch.cuda.amp.autocast(False).fast_dtype",
    "torch.cuda.amp.autocast(True, torch.bfloat16)._enabled",
    "'cuda' if torch.cuda.is_available() else 'cpu'",
    "getattr(torch.cuda, 'no_such_thing', 3)",
    "str(torch.profiler.ProfilerActivity.CUDA)",
    "(lambda device='cuda': device)()",
    "f'{torch.device(\"cuda\", 1)}'",
]


def outcome(program: str) -> tuple[str, str]:
    """What a program leaves in ``answer``, or the error that it ends with."""
    names: dict[str, Any] = {"io": io}
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            exec(compile(program, "<program>", "exec"), names)
        except Exception as error:
            return type(error).__name__, str(error)
    return "", repr(names["answer"]) if not hasattr(names["answer"], "grad_fn") else str(names["answer"])


@pytest.mark.parametrize("question", QUESTIONS)
def test_one_expression(question: str) -> None:
    before = f"import torch\nanswer = {question}\n"
    fixed = fix_text(before)
    assert not fixed.rolled_back
    assert fixed.fixed, "nothing was fixed"
    assert outcome(fixed.text) == outcome(before)


TRAINING = '''
"""A program that prefers CUDA."""
from __future__ import annotations
import argparse, io
import torch
from torch import nn
from torch.cuda.amp import GradScaler, autocast


def train(device="cuda" if torch.cuda.is_available() else "cpu", steps=3):
    torch.manual_seed(0)
    torch.cuda.manual_seed_all(0)
    model = nn.Linear(4, 2)
    if torch.cuda.is_available():
        model = model.cuda()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = GradScaler(enabled=torch.cuda.is_available())
    losses = []
    for _ in range(steps):
        x = torch.randn(8, 4, device=device)
        with autocast(enabled=False):
            loss = model(x).square().mean()
        scaler.scale(loss).backward()
        scaler.step(optimiser)
        scaler.update()
        optimiser.zero_grad()
        losses.append(loss.item())
        torch.cuda.empty_cache()
    if next(model.parameters()).is_cuda:
        torch.cuda.synchronize()
    return losses, torch.get_rng_state().sum().item(), torch.cuda.memory_allocated()


answer = train()
'''


def test_a_training_program() -> None:
    fixed = fix_text(TRAINING)
    assert not fixed.left
    assert "cuda" not in fixed.text.replace('torch.device("cuda")', "").replace("from torch.cuda.amp import", "")
    assert outcome(fixed.text) == outcome(TRAINING)
    assert outcome(fixed.text)[0] == ""


def test_names_are_asked_for_without_waking_the_driver() -> None:
    """Before a fix a program could still choose its devices after its imports; so it can afterwards."""
    fixed = fix_text("import torch\nx = torch.ones(1, device='cuda')\n")
    top = fixed.text.split("x = ")[0]
    exec(compile(top, "<top>", "exec"), {})
    assert not torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
