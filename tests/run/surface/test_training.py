from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection
from typing import Any

import pytest
import torch
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, Dataset


class Images(Dataset[tuple[torch.Tensor, int]]):
    """Samples made by the workers themselves, some as large as what the host keeps as shapes alone, and of inherited data."""

    def __init__(self) -> None:
        self.inherited = torch.randn(16, 3, 256, 256)

    def __len__(self) -> int:
        return 16

    def __getitem__(self, i: int) -> tuple[torch.Tensor, torch.Tensor, int]:  # type: ignore[override]
        return self.inherited[i], torch.randn(3, 1024, 512), i


def try_the_device(name: str, answer: Connection) -> None:
    try:
        torch.zeros(3, device=name)
    except RuntimeError as problem:
        answer.send(str(problem))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_data_loader_with_workers_and_pinned_memory(on, workers: int) -> None:  # type: ignore[no-untyped-def]
    loader = DataLoader(Images(), batch_size=8, num_workers=workers, pin_memory=True, persistent_workers=workers > 0)
    recorded = on.chip.machine.operators
    for _ in range(2):
        seen = []
        for inherited, made, numbers in loader:
            assert inherited.shape == (8, 3, 256, 256)
            assert numbers.is_pinned()
            assert made.device.type == "cpu"
            made.to(on.name, non_blocking=True)
            seen += numbers.to(on.name).tolist()
        assert seen == list(range(16))
    assert on.chip.machine.operators - recorded < 20
    del loader


def test_a_worker_cannot_use_the_device(on) -> None:  # type: ignore[no-untyped-def]
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe()
    worker = fork.Process(target=try_the_device, args=(on.name, theirs))
    worker.start()
    worker.join()
    assert "Cannot re-initialize" in ours.recv()
    assert torch.zeros(3, device=on.name).device.type == on.name


def test_pinned_memory_is_remembered(on) -> None:  # type: ignore[no-untyped-def]
    plain = torch.ones(4)
    assert not plain.is_pinned()
    assert plain.pin_memory().is_pinned()
    assert torch.empty(4, pin_memory=True).is_pinned()
    assert plain.pin_memory().tolist() == plain.tolist()


def test_the_host_goes_on_during_a_copy_from_pinned_memory_alone(on) -> None:  # type: ignore[no-untyped-def]
    timeline = on.chip.machine.timeline
    plain = torch.zeros(1 << 19)
    pinned = plain.pin_memory()

    def host_time(tensor: torch.Tensor) -> float:
        on.module.synchronize()
        begun = timeline.host_s
        tensor.to(on.name, non_blocking=True)
        return float(timeline.host_s - begun)

    assert host_time(pinned) < (1 << 21) / 25e9 < host_time(plain)


def test_a_gradient_scaler_scales_steps_and_keeps_its_scale(on) -> None:  # type: ignore[no-untyped-def]
    model = torch.nn.Linear(64, 64).to(on.name)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler(on.name)
    for _ in range(3):
        optimizer.zero_grad()
        with torch.autocast(on.name, dtype=torch.float16):
            out = model(torch.randn(8, 64, device=on.name))
            assert out.dtype is torch.float16
            loss = out.float().square().mean()
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
    assert scaler.get_scale() == 65536.0
    assert len(on.chip.machine.step_marks) == 3


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointing_runs_the_forward_again(on, reentrant: bool) -> None:  # type: ignore[no-untyped-def]
    model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.Dropout(0.1)).to(on.name)
    x = torch.randn(8, 64, device=on.name, requires_grad=True)
    checkpoint(model, x, use_reentrant=reentrant).sum().backward()
    assert x.grad is not None
    assert on.chip.machine.calls["aten.addmm.default"][0] == 2


def test_function_transforms(on) -> None:  # type: ignore[no-untyped-def]
    model = torch.nn.Linear(8, 8).to(on.name)

    def loss(parameters: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        made: Any = torch.func.functional_call(model, parameters, (x,)).sum()
        return made  # type: ignore[no-any-return]

    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))
    gradients = each(dict(model.named_parameters()), torch.randn(5, 8, device=on.name))
    assert gradients["weight"].shape == (5, 8, 8)
    assert gradients["weight"].device.type == on.name
