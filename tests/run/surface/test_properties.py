from __future__ import annotations

import importlib

import pytest
import torch

from windtunnel.errors import UnsupportedError
from windtunnel.run.virtual import VirtualChip


def test_the_device_is_there_under_its_own_name(on) -> None:  # type: ignore[no-untyped-def]
    assert on.module.is_available()
    assert on.module.device_count() == 1
    assert on.module.current_device() == 0
    assert torch.accelerator.is_available()
    assert torch.accelerator.current_accelerator() == torch.device(on.name)
    assert torch.get_device_module() is on.module or on.name == "cuda"
    assert on.module.get_device_name(0) == {"cuda": "NVIDIA H20", "npu": "Ascend910B2"}[on.name]
    assert on.module.get_device_properties(0).total_memory == on.chip.machine.capacity
    assert on.module.is_bf16_supported()


def test_a_devices_context_goes_back_to_the_one_before(on) -> None:  # type: ignore[no-untyped-def]
    with on.module.device(0), on.module.device(None), on.module.device_of(torch.ones(2, device=on.name)):
        assert on.module.current_device() == 0
    for same in (0, f"{on.name}:0", torch.device(on.name, 0), on.name):
        on.module.set_device(same)


def test_a_device_that_there_is_not_is_refused(on) -> None:  # type: ignore[no-untyped-def]
    for use in (
        lambda: on.module.set_device(9),
        lambda: torch.zeros(2, device=f"{on.name}:1"),
        lambda: torch.ones(2).to(f"{on.name}:3"),
    ):
        with pytest.raises(RuntimeError, match="invalid device ordinal"):
            use()


def test_cuda_has_capability_and_version(cuda: VirtualChip) -> None:
    assert torch.cuda.get_device_capability() == (9, 0)
    assert torch.cuda.get_arch_list() == ["sm_90"]
    assert isinstance(torch.version.cuda, str)
    assert torch.backends.cuda.is_built()  # type: ignore[no-untyped-call]
    torch.cuda.nvtx.range_push("step")  # type: ignore[no-untyped-call]
    torch.cuda.nvtx.range_pop()  # type: ignore[no-untyped-call]
    with pytest.raises(RuntimeError, match="no driver or sensor"):
        torch.cuda.utilization()
    with pytest.raises(RuntimeError, match="not known: shared_memory_per_block of h20"):
        _ = torch.cuda.get_device_properties().shared_memory_per_block
    assert not hasattr(torch.cuda.get_device_properties(), "no_such_property")


def test_a_chip_without_a_sourced_capability_says_so() -> None:
    with VirtualChip("metax-c500"), pytest.raises(RuntimeError, match="not known: compute capability of metax-c500"):
        torch.cuda.get_device_capability()


def test_everything_is_as_before_once_the_chip_is_left() -> None:
    before = {name: getattr(torch.cuda, name) for name in ("is_available", "Stream", "memory_allocated", "device")}
    stream, generator, version = torch.Stream, torch.Generator, torch.version.cuda
    with VirtualChip("h20"):
        assert torch.cuda.is_available()
        assert torch.Stream is not stream
    assert {name: getattr(torch.cuda, name) for name in before} == before
    assert (torch.Stream, torch.Generator, torch.version.cuda) == (stream, generator, version)
    assert not torch.cuda.is_available()


def test_one_host_shows_its_own_devices_and_a_process_has_one() -> None:
    with VirtualChip("h20:16"):
        assert torch.cuda.device_count() == 8
        assert {torch.cuda.get_device_name(i) for i in range(8)} == {"NVIDIA H20"}
        with pytest.raises(UnsupportedError, match="cuda:1 beside cuda:0 in one process"):
            torch.zeros(2, device="cuda:1")


def test_an_npu_has_no_cuda(npu: VirtualChip) -> None:
    assert not torch.cuda.is_available()
    assert torch.cuda.device_count() == 0
    for use in (
        lambda: torch.ones(2).cuda(), lambda: torch.zeros(2, device="cuda"), lambda: torch.ones(2).to("cuda"),
        lambda: torch.nn.Linear(2, 2).cuda(), lambda: torch.Generator(device="cuda"), lambda: torch.cuda.current_device(),
    ):  # fmt: skip
        with pytest.raises(AssertionError, match="Torch not compiled with CUDA enabled"):
            use()


def test_a_cuda_chip_has_no_npu(cuda: VirtualChip) -> None:
    assert not hasattr(torch, "npu")
    with pytest.raises(ImportError):
        importlib.import_module("torch_npu")
    with pytest.raises(RuntimeError, match="device string: npu"):
        torch.zeros(2, device="npu")


def test_tf32_is_what_the_program_allows(cuda: VirtualChip) -> None:
    pricing = cuda.machine.pricing
    try:
        # the switches are the process's, and other tests turn them
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = True
        assert (pricing.allow_tf32, pricing.allow_tf32_convolutions) == (False, True)
        torch.backends.cudnn.allow_tf32 = False
        assert not pricing.allow_tf32_convolutions
        torch.set_float32_matmul_precision("high")
        assert pricing.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = False
        assert not pricing.allow_tf32
    finally:
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.allow_tf32 = True


def test_default_devices(on) -> None:  # type: ignore[no-untyped-def]
    with torch.device(on.name):
        assert torch.zeros(2).device.type == on.name
        assert torch.nn.Linear(2, 2).weight.device.type == on.name
    torch.set_default_device(on.name)
    try:
        assert torch.get_default_device() == torch.device(on.name, 0)
        assert torch.tensor([1]).device.type == on.name
    finally:
        torch.set_default_device(None)
    assert torch.zeros(2).device.type == "cpu"


def test_tensors_tell_and_change_their_place(on) -> None:  # type: ignore[no-untyped-def]
    x = torch.tensor([1.0, 2.0], device=on.name)
    assert x.type() == f"torch.{on.name}.FloatTensor"
    assert getattr(x, f"is_{on.name}")
    assert x.get_device() == 0
    assert torch.ones(2).type(f"torch.{on.name}.HalfTensor").dtype is torch.float16
    assert getattr(torch.ones(2), on.name)(non_blocking=True).device.type == on.name
    assert getattr(torch.nn.Linear(2, 2), on.name)().weight.device.type == on.name
    assert torch.ones(2).to(0).device.type == on.name
    assert torch.empty(2, device=0).device.type == on.name
    assert (x.tolist(), bool(x[0]), f"{x[1]:.2f}") == ([1.0, 2.0], True, "2.00")
    for read in (x.numpy, x.__array__):
        with pytest.raises(TypeError, match=f"can't convert {on.name}:0 device type tensor to numpy"):
            read()
