"""With values, a program on a virtual chip prints what it prints on the CPU, to the last digit."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable

import pytest
import torch
from torch import nn

from tests.run.programs.running import run_here, run_on
from windtunnel.run.virtual import virtual

EXAMPLES = {
    "gpt2_train.py": "--layers 2 --width 64 --heads 4 --context 32 --vocabulary 101 --batch_size 2 --dtype float32 --dropout 0.1",
    "lstm.py": "--steps 4 --batch_size 3 --tokens 6 --width 16 --vocabulary 31",
    "unet.py": "--steps 3 --samples 2 --batch_size 2 --size 16 --width 16",
}  # fmt: skip
CHIPS = {"h100-sxm": "cuda", "ascend-910b2": "npu"}


@pytest.mark.parametrize("on", CHIPS)
@pytest.mark.parametrize("script", EXAMPLES)
def test_losses_are_those_of_the_cpu(script: str, on: str) -> None:
    args = EXAMPLES[script].split()
    here = run_here(script, *args, "--device", "cpu")
    there = run_on(on, script, *args, "--device", CHIPS[on], values=True)
    assert there.ended.traceback == ""
    assert _told(there.output) == _told(here)
    assert len(set(re.findall(r"loss ([\d.]+)", here))) > 1  # it learns
    assert not there.report.stand_ins


def _told(output: str) -> str:
    """Without what tells the time."""
    return re.sub(r", [\d,]+ tokens/s", "", output)


def test_work_is_the_same_with_values_and_without() -> None:
    size = "--layers 1 --width 64 --heads 2 --context 16 --vocabulary 53 --batch_size 2 --steps 2"
    args = [*size.split(), "--device", "npu"]
    with_values, without = (run_on("ascend-910b2", "gpt2_train.py", *args, values=v) for v in (True, False))
    assert with_values.report.flops_per_step == pytest.approx(without.report.flops_per_step, rel=0.05)
    assert "loss 2.000000" in without.output  # the stand-in for a number nobody computed, twice
    assert "loss 2.000000" not in with_values.output


def norms(device: str) -> list[torch.Tensor]:
    """A convolutional net with batch norm: its running statistics too."""
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, groups=4), nn.GroupNorm(2, 8), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5),
    ).to(device)  # fmt: skip
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    for _ in range(3):
        loss = nn.functional.cross_entropy(net(torch.randn(4, 3, 8, 8).to(device)), torch.randint(5, (4,)).to(device))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return [loss, *net.parameters(), *net.buffers(), net.eval()(torch.ones(2, 3, 8, 8, device=device))]


def in_place(device: str) -> list[torch.Tensor]:
    x = torch.arange(24.0, device=device).view(4, 6)
    column, block = x[:, 1], x[1:3, 2:4]
    column += 100
    block.mul_(-1)
    x.t()[0].zero_()
    x[x > 90] = 7
    x[[0, 2]] = x[[2, 0]]
    y = x.clone()
    y.transpose_(0, 1).add_(1)
    z = torch.empty(0, device=device)
    torch.add(x, 1, out=z)
    x.index_add_(0, torch.tensor([0, 0], device=device), torch.ones(2, 6, device=device))
    x.scatter_(1, torch.tensor([[5], [4], [3], [2]], device=device), -9.0)
    x[0].copy_(torch.arange(6))
    w = x.unfold(1, 2, 2)
    w.diagonal(dim1=1, dim2=2).fill_(0.5)
    return [x, column, block, y, z, w, x.view(torch.int32), x.as_strided((2, 3), (1, 6))]


def at_random(device: str) -> list[torch.Tensor]:
    x = torch.empty(3, 4, device=device)
    found = [x.normal_().clone(), x.uniform_(-1, 1).clone(), x.bernoulli_(0.3).clone(), x.exponential_().clone()]
    found += [torch.randn(5, device=device), torch.randint(9, (5,), device=device), torch.randperm(7, device=device)]
    found += [torch.multinomial(torch.ones(4, device=device), 3), nn.functional.dropout(torch.ones(20, device=device), 0.4)]
    return [*found, torch.rand_like(x), torch.normal(0.0, 1.0, (3,), device=device)]


def embeddings(device: str) -> list[torch.Tensor]:
    one = nn.Embedding(11, 4, padding_idx=0).to(device)
    bag = nn.EmbeddingBag(11, 4, mode="mean").to(device)
    head = nn.Linear(4, 11, bias=False).to(device)
    head.weight = one.weight
    tokens = torch.tensor([[1, 2, 2], [0, 10, 3]], device=device)
    loss = head(one(tokens) + bag(tokens)[:, None]).logsumexp(-1).sum()
    loss.backward()
    return [loss, *(p.grad for p in (one.weight, bag.weight) if p.grad is not None)]


def recurrent(device: str) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []
    makers: list[Callable[[], nn.Module]] = [
        lambda: nn.LSTM(8, 6, 2, dropout=0.3, bidirectional=True, batch_first=True), lambda: nn.GRU(8, 6, 2, dropout=0.2),
        lambda: nn.RNN(8, 6),
    ]  # fmt: skip
    for make in makers:
        layer = make().to(device)
        x = torch.randn(4, 5, 8).to(device).requires_grad_()
        y, last = layer(x)
        (y.square().sum() + (last[0] if isinstance(last, tuple) else last).sum()).backward()
        found += [y, *(p.grad for p in (x, *layer.parameters()) if p.grad is not None)]
        with torch.no_grad():
            found.append(layer.eval()(x)[0])
    packed = nn.utils.rnn.pack_padded_sequence(torch.randn(4, 5, 8).to(device), torch.tensor([5, 4, 2, 1]), batch_first=True)
    found.append(nn.LSTM(8, 6).to(device)(packed)[0].data)
    hidden, cell = nn.LSTMCell(8, 6).to(device)(torch.randn(4, 8).to(device))
    return [*found, hidden, cell, nn.GRUCell(8, 6).to(device)(torch.randn(4, 8).to(device))]


def steered(device: str) -> list[torch.Tensor]:
    """Values steer the program: conditions, shapes, sorting, loops to convergence."""
    x = torch.randn(50, device=device)
    while x.abs().max().item() > 1:
        x = x[x.abs() > 0.01] / 2
    values, places = x.sort()
    kinds = torch.unique(places % 7)
    return [x, values, places, kinds, torch.topk(x, 3).values, torch.nonzero(x > 0), torch.bincount(kinds)]


@pytest.mark.parametrize("program", [norms, in_place, at_random, embeddings, recurrent, steered])
def test_results_are_those_of_the_cpu(program: Callable[[str], list[torch.Tensor]]) -> None:
    torch.manual_seed(7)
    wanted = [t.detach() for t in program("cpu")]
    torch.manual_seed(7)
    with virtual("h100-sxm", values=True) as chip:
        found = [t.detach().cpu() for t in program("cuda")]
    assert len(found) == len(wanted)
    for i, (one, other) in enumerate(zip(found, wanted, strict=True)):
        assert torch.equal(one, other), (i, one, other)
    assert not chip.report().stand_ins


def test_a_thread_that_keeps_to_itself_changes_no_numbers() -> None:
    """A data loader's pinning thread sets one thread for itself, which PyTorch's other new threads then take over."""
    before = torch.get_num_threads()
    with virtual("h100-sxm", values=True):
        aside = threading.Thread(target=torch.set_num_threads, args=(1,))
        aside.start()
        aside.join()
    try:
        test_results_are_those_of_the_cpu(norms)
    finally:
        torch.set_num_threads(before)
