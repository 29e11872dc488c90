"""Programs before and after their fix, where there is no accelerator: the same values, or the same errors.

On CUDA the names that a fix uses stand for "cuda" and torch.cuda themselves.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from windtunnel.port.fix import fix_text
from windtunnel.port.neutral import MODULE_LINE, TYPE_LINE

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

TOP = f"import torch\n{TYPE_LINE}\n{MODULE_LINE}\n"

RUNNER = """
import contextlib, io, json, sys, warnings
def outcome(program):
    names = {"io": io}
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            exec(compile(program, "<program>", "exec"), names)
        except Exception as error:
            return [type(error).__name__, str(error)]
    return ["", repr(names.get("answer"))]
print(json.dumps([outcome(program) for program in json.load(sys.stdin)]))
"""


def outcomes(programs: list[str]) -> list[list[str]]:
    """What each program leaves in ``answer``, or the error that it ends with; in a process where no test made a device."""
    done = subprocess.run(
        [sys.executable, "-c", RUNNER], input=json.dumps(programs), capture_output=True, text=True, check=True, timeout=120
    )
    answers: list[list[str]] = json.loads(done.stdout.splitlines()[-1])
    return answers


@pytest.fixture(scope="module")
def answers() -> dict[str, list[list[str]]]:
    """For each program its outcome before and after its fix."""
    before = [
        *(f"import torch\nanswer = {question}\n" for question in QUESTIONS),
        TRAINING,
        f"{TOP}answer = torch.cuda.is_initialized()\n",
    ]
    after = [fix_text(program).text for program in before]
    found = outcomes(before + after)
    return {program: [found[i], found[i + len(before)]] for i, program in enumerate(before)}


@pytest.mark.parametrize("question", QUESTIONS)
def test_one_expression(question: str, answers: dict[str, list[list[str]]]) -> None:
    program = f"import torch\nanswer = {question}\n"
    fixed = fix_text(program)
    assert not fixed.rolled_back
    assert fixed.fixed, "nothing was fixed"
    before, after = answers[program]
    assert after == before


def test_a_training_program(answers: dict[str, list[list[str]]]) -> None:
    fixed = fix_text(TRAINING)
    assert not fixed.left
    assert "cuda" not in fixed.text.replace('torch.device("cuda")', "").replace("from torch.cuda.amp import", "")
    before, after = answers[TRAINING]
    assert before[0] == ""
    assert after == before


def test_names_are_asked_for_without_waking_the_driver(answers: dict[str, list[list[str]]]) -> None:
    """Before a fix a program could still choose its devices after its imports; so it can afterwards."""
    assert answers[f"{TOP}answer = torch.cuda.is_initialized()\n"][0] == ["", "False"]
