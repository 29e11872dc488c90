from __future__ import annotations

import importlib
import sys

import pytest
import torch

from windtunnel.errors import UnsupportedError
from windtunnel.run.virtual import VirtualChip


def test_torch_npu_can_be_imported_while_its_chip_is_there() -> None:
    with VirtualChip("ascend-910b2"):
        torch_npu = importlib.import_module("torch_npu")

        assert torch_npu.npu is getattr(torch, "npu")  # noqa: B009 - a name that PyTorch's types do not know
        assert torch_npu.__version__
        torch_npu.npu.set_compile_mode(jit_compile=False)
    assert "torch_npu" not in sys.modules


def test_fused_operators_are_one_kernel_each_and_have_gradients(npu: VirtualChip) -> None:
    torch_npu = importlib.import_module("torch_npu")

    gamma = torch.nn.Parameter(torch.ones(64, device="npu"))
    x = torch.randn(8, 64, device="npu", requires_grad=True)
    torch_npu.npu_rms_norm(x, gamma)[0].sum().backward()
    assert gamma.grad is not None
    assert x.grad is not None
    q = torch.randn(2, 128, 512, device="npu", dtype=torch.float16, requires_grad=True)
    out, largest, total, *_ = torch_npu.npu_fusion_attention(q, q, q, 8, "BSH", scale=0.125)
    assert out.shape == q.shape
    assert largest.shape == total.shape == (2, 8, 128, 8)
    out.sum().backward()
    angles, heads = torch.randn(1, 1, 128, 64, device="npu"), torch.randn(2, 8, 128, 64, device="npu", requires_grad=True)
    torch_npu.npu_rotary_mul(heads, angles, angles).sum().backward()
    torch_npu.npu_swiglu(torch.randn(4, 128, device="npu", requires_grad=True)).sum().backward()
    rows, weights = torch.randn(40, 64, device="npu"), torch.randn(4, 64, 32, device="npu")
    (made,) = torch_npu.npu_grouped_matmul(
        [rows], [weights], group_list=torch.tensor([10, 20, 30, 40], device="npu"), split_item=3
    )
    assert made.shape == (40, 32)
    torch_npu.npu_prefetch(x, None, 1024)
    known = npu.machine.calls
    for name in ("npu_rms_norm", "npu_rms_norm_backward", "npu_fusion_attention", "npu_fusion_attention_grad", "npu_rotary_mul",
                 "npu_rotary_mul_backward", "npu_swiglu", "npu_swiglu_backward", "npu_grouped_matmul"):  # fmt: skip
        assert any(name in op and calls[0] == 1 for op, calls in known.items()), (name, list(known))


def test_formulas_and_their_gradients_compute_what_pytorchs_own_operators_do() -> None:
    from windtunnel.workload.program import npu_operators

    npu_operators.define()
    torch.manual_seed(0)
    x, gamma = (
        torch.randn(6, 32, dtype=torch.float64, requires_grad=True),
        torch.randn(32, dtype=torch.float64, requires_grad=True),
    )
    ours, theirs = torch.ops.npu.npu_rms_norm(x, gamma, 1e-6)[0], torch.nn.functional.rms_norm(x, (32,), gamma, 1e-6)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    weights = torch.randn_like(theirs)
    for a, b in zip(
        torch.autograd.grad(ours, (x, gamma), weights), torch.autograd.grad(theirs, (x, gamma), weights), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
    for mode in ("half", "interleave"):
        inputs = tuple(torch.randn(2, 4, 8, dtype=torch.float64, requires_grad=True) for _ in range(3))
        assert torch.autograd.gradcheck(lambda a, b, c, mode=mode: torch.ops.npu.npu_rotary_mul(a, b, c, mode), inputs)
    assert torch.autograd.gradcheck(torch.ops.npu.npu_swiglu, (torch.randn(3, 8, dtype=torch.float64, requires_grad=True),))
    q = torch.randn(2, 16, 64)
    whole = torch.ops.npu.npu_fusion_attention(q, q, q, 4, "BSH", scale=0.25)[0]
    parts = q.view(2, 16, 4, 16).transpose(1, 2)
    expected = torch.nn.functional.scaled_dot_product_attention(parts, parts, parts, scale=0.25).transpose(1, 2).flatten(2)
    torch.testing.assert_close(whole, expected)


def test_operators_that_are_not_known_say_so(npu: VirtualChip) -> None:
    torch_npu = importlib.import_module("torch_npu")

    with pytest.raises(UnsupportedError, match="npu_moe_init_routing_v2: torch_npu has this operator"):
        _ = torch_npu.npu_moe_init_routing_v2
    with pytest.raises(AttributeError, match="no attribute 'npu_nonsense'"):
        _ = torch_npu.npu_nonsense


def test_transfer_to_npu_makes_cuda_mean_the_npu() -> None:
    with VirtualChip("ascend-910b2"):
        importlib.import_module("torch_npu.contrib.transfer_to_npu")

        assert torch.cuda.is_available()
        assert torch.cuda.get_device_name() == "Ascend910B2"
        model, x = torch.nn.Linear(8, 8).cuda(), torch.randn(4, 8, device="cuda:0")
        assert model.weight.device == x.device == torch.device("npu", 0)
        assert x.is_cuda
        with torch.autocast("cuda", dtype=torch.bfloat16):
            assert model(x).dtype is torch.bfloat16
        torch.cuda.synchronize()
    assert not torch.cuda.is_available()
    with VirtualChip("ascend-910b2"), pytest.raises(AssertionError):
        torch.ones(2).cuda()


def test_values_of_fused_operators_are_computed() -> None:
    with VirtualChip("ascend-910b2", values=True):
        torch_npu = importlib.import_module("torch_npu")

        x = torch.randn(4, 16)
        ours = torch_npu.npu_swiglu(x.to("npu")).cpu()
    a, b = x.chunk(2, -1)
    torch.testing.assert_close(ours, torch.nn.functional.silu(a) * b)
