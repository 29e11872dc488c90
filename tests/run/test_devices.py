"""The devices of this machine, and the chips that devices say they are."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from windtunnel.errors import UnknownNameError, UnsupportedError
from windtunnel.run.devices import KINDS, chip_of, device_named, is_real, present

CHIPS = {
    "NVIDIA H20": "h20",
    "NVIDIA H20-3e": "h20-141gb",
    "NVIDIA H100 80GB HBM3": "h100-sxm",
    "NVIDIA H100 PCIe": "h100-pcie",
    "NVIDIA H200": "h200-sxm",
    "NVIDIA H800": "h800-sxm",
    "NVIDIA A100-SXM4-80GB": "a100-sxm-80gb",
    "NVIDIA A100-SXM4-40GB": "a100-sxm-40gb",
    "NVIDIA A800-SXM4-80GB": "a800-sxm",
    "Tesla V100-SXM2-32GB": "v100-sxm-32gb",
    "NVIDIA B200": "b200-sxm",
    "NVIDIA L20": "l20",
    "NVIDIA L40S": "l40s",
    "NVIDIA GeForce RTX 3090": "rtx-3090",
    "NVIDIA GeForce RTX 4090": "rtx-4090",
    "NVIDIA GeForce RTX 4090 D": "rtx-4090d",
    "NVIDIA GeForce RTX 5090": "rtx-5090",
    "NVIDIA GeForce RTX 5090 D v2": "rtx-5090d-v2",
    "NVIDIA RTX PRO 6000 Blackwell Workstation Edition": "rtx-pro-6000",
    "NVIDIA RTX PRO 6000 Blackwell Server Edition": "rtx-pro-6000",
    "AMD Instinct MI300X": "mi300x",
    "AMD Instinct MI308X": "mi308x",
    "Ascend910B1": "ascend-910b1",
    "Ascend910B2": "ascend-910b2",
    "Ascend910B4": "ascend-910b4",
    "Ascend910_9392": "ascend-910c-die",
    "MTT S4000": "mtt-s4000",
}
UNKNOWN = ("NVIDIA A100 80GB PCIe", "NVIDIA GeForce GTX 1080", "AMD EPYC", "NVIDIA", "")


@pytest.mark.parametrize(("name", "chip"), CHIPS.items())
def test_a_device_is_the_chip_that_it_says(name: str, chip: str) -> None:
    found = chip_of(name)
    assert found is not None
    assert found.id == chip


@pytest.mark.parametrize("name", UNKNOWN)
def test_no_chip_is_guessed(name: str) -> None:
    assert chip_of(name) is None


def test_kinds_of_devices_are_no_chips() -> None:
    assert all(is_real(kind) for kind in KINDS)
    assert is_real("cuda:1")
    assert not is_real("h20")
    assert not is_real("cuda:x")
    assert not is_real("ascend-910c:8")


def test_the_cpu_is_always_there() -> None:
    assert present()[0] == "cpu"
    device = device_named("CPU")
    assert (device.kind, device.torch_name, device.asynchronous) == ("cpu", "cpu", False)
    assert device.name
    device.wait()
    device.head_start(1.0)


def test_a_device_that_is_not_there_says_what_is() -> None:
    absent = next(kind for kind in KINDS if kind not in present())
    with pytest.raises(UnsupportedError, match=rf"this machine has no {absent} device; it has: cpu"):
        device_named(absent)
    with pytest.raises(UnknownNameError, match="unknown device 'cudo'; nearest: cuda"):
        device_named("cudo")
