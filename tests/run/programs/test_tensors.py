"""What holds of tensors whose values nobody computes: views, in-place operations, devices, and what they say of themselves."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from windtunnel.run.virtual import virtual


@pytest.mark.parametrize(("on", "device"), [("h100-sxm", "cuda"), ("ascend-910b2", "npu")])
def test_views_share_and_copies_do_not(on: str, device: str) -> None:
    with virtual(on):
        x = torch.randn(64, 64, device=device)
        start = x.untyped_storage().data_ptr()
        for view in (x.t(), x[3:5], x.view(-1), x.unsqueeze(0), x.expand(2, 64, 64), x.detach(), x.unfold(0, 8, 8), x.data):
            assert view.untyped_storage().data_ptr() == start
            assert view.device == x.device == torch.device(device, 0)
        for one in (x.clone(), x + 0, x.t().contiguous(), x[[1, 2]], x.double(), copy.deepcopy(x)):
            assert one.untyped_storage().data_ptr() != start
        assert x.contiguous() is x
        assert x.to(device) is x
        assert x[5, 6].storage_offset() == 5 * 64 + 6
        assert x.t().stride() == (1, 64)
        assert not x.t().is_contiguous()
        assert x[2:].data_ptr() == x.data_ptr() + 2 * 64 * 4


def test_in_place_operations_count_versions_and_keep_identity() -> None:
    with virtual("h100-sxm"):
        x = torch.randn(8, 8, device="cuda")
        view = x[0]
        before = view._version
        assert x.mul_(2) is x
        assert view._version == before + 1
        w = torch.randn(8, 8, device="cuda", requires_grad=True)
        y = (w * w).exp()
        y.add_(1)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            y.sum().backward()  # type: ignore[no-untyped-call]
        with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
            w.add_(1)


def test_small_integers_are_known_and_steer_the_program() -> None:
    with virtual("h100-sxm") as chip:
        tokens = torch.tensor([[3, 1], [4, 1]], device="cuda")
        tokens[tokens == 1] = 9
        assert tokens.tolist() == [[3, 9], [4, 9]]
        assert tokens.sum().item() == 25
        assert torch.unique(tokens).tolist() == [3, 4, 9]
        lengths = torch.arange(3, device="cuda") + 1
        assert torch.repeat_interleave(torch.arange(3, device="cuda"), lengths).tolist() == [0, 1, 1, 2, 2, 2]
        assert bool((tokens > 2).all())
        assert f"{torch.zeros((), device='cuda').item():.1f}" == "0.0"
    assert not chip.report().stand_ins


def test_values_that_nobody_computed_are_stood_in_for_and_told() -> None:
    with virtual("h100-sxm") as chip:
        x = torch.randn(4096, 4096, device="cuda")
        assert x.sum().item() == 1.0
        assert x[x > 0].shape == (4096 * 4096,)
        assert not bool(x.isnan().any())
        assert x.argmax(1).max() < 4096
        assert x.cpu().shape == (4096, 4096)
    told = {(one.what, one.given): one for one in chip.report().stand_ins}
    assert told["a float read from the device", "1.0"].calls == 1
    assert told["a bool read from the device", "False"].calls == 1
    site = told["a float read from the device", "1.0"].site
    assert site is not None
    assert site.file == __file__


def test_operands_on_two_devices_are_refused_as_pytorch_does() -> None:
    with virtual("h100-sxm"):
        with pytest.raises(RuntimeError, match=r"Expected all tensors to be on the same device.*cuda:0 and cpu"):
            torch.ones(4, 4, device="cuda") @ torch.ones(4, 4)
        with pytest.raises(TypeError, match=r"Use Tensor\.cpu\(\)"):
            torch.ones(4, device="cuda").numpy()
        assert (torch.ones(4, device="cuda") + torch.tensor(1.0)).device.type == "cuda"


def test_operands_that_do_not_fit_are_refused() -> None:
    with virtual("h100-sxm"):
        x = torch.ones(4, 4, device="cuda")
        with pytest.raises(RuntimeError):
            x @ torch.ones(3, 3, device="cuda")
        with pytest.raises(RuntimeError):
            x.view(5, 5)
        with pytest.raises(IndexError):
            x[7]
        with pytest.raises(RuntimeError):
            nn.Linear(5, 5).cuda()(x)


def test_the_process_is_as_before_once_the_chip_is_left() -> None:
    with virtual("h100-sxm"):
        kept = torch.ones(3, device="cuda")
    assert not torch.cuda.is_available()
    assert torch.accelerator.current_accelerator(check_available=True) is None
    layer = nn.Linear(3, 3)
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(3)).sum().backward()
    optimizer.step()
    assert torch.ones(1).device.type == "cpu"
    with virtual("ascend-910b2"):
        assert torch.ones(3, device="npu").sum().item() == 3
    assert kept.shape == (3,)
