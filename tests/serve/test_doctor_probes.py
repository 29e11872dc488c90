"""Every maker's accelerators are found, by their tool, by device nodes, and by the bus alone; garbage finds nothing.

Outputs marked "quoted" are those that gpustack 0.7.1 quotes from machines; all others are written from makers' documentation or
from memory, none was recorded here. They are cut to the lines that matter.
"""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.serve.fake_machine import FakeMachine, on_bus
from windtunnel.catalog.stack import stacks
from windtunnel.serve.doctor.diagnose import diagnose
from windtunnel.serve.doctor.found import chip_id
from windtunnel.serve.doctor.machine import Ran
from windtunnel.serve.doctor.probes import LOOK

GIB = 2**30

NPU_SMI = """\
+------------------------------------------------------------------------------------------------+
| npu-smi 25.2.0                   Version: 25.2.0                                               |
+---------------------------+---------------+----------------------------------------------------+
| NPU   Name                | Health        | Power(W)    Temp(C)           Hugepages-Usage(page)|
| Chip                      | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)        |
+===========================+===============+====================================================+
| 0     910B3               | OK            | 91.8        42                0    / 0             |
| 0                         | 0000:C1:00.0  | 0           0    / 0          3391 / 65536         |
+===========================+===============+====================================================+
| 1     910B3               | Warning       | 92.1        43                0    / 0             |
| 0                         | 0000:C2:00.0  | 0           0    / 0          3391 / 65536         |
+===========================+===============+====================================================+
| NPU     Chip              | Process id    | Process name             | Process memory(MB)      |
| 0       0                 | 12345         | python                   | 910                     |
"""
NPU_SMI_A3 = """\
| npu-smi 25.2.0                   Version: 25.2.0                                               |
| 0     Ascend910           | OK            | 170.1       37                0    / 0             |
| 0     0                   | 0000:9D:00.0  | 0           0    / 0          3146 / 65536         |
| 0     Ascend910           | OK            | -           36                0    / 0             |
| 1     1                   | 0000:9F:00.0  | 0           0    / 0          2893 / 65536         |
"""
NPU_SMI_910A = NPU_SMI_A3.replace("65536", "32768")
CNMON = """\
Card 0
        Product Name                   : MLU370-X8
        Firmware                       : v1.1.6
        Driver Version                 : v5.10.29
        Physical Memory Usage          :
                Total                  : 49152 MiB
                Used                   : 0 MiB
        Virtual Memory Usage           :
                Total                  : 1048576 MiB
"""
GMI = """\
Driver Version         : 3.1.0
GPU0  00000000:23:00.0
    Product Name       : MTT S4000
    FB Memory Usage
        Total          : 49152MiB
        Used           : 1MiB
GPU1  00000000:24:00.0
    Product Name       : MTT S4000
    FB Memory Usage
        Total          : 49152MiB
        Used           : 1MiB
"""
MX_SMI = """\
| MX-SMI 2.2.3                        Kernel Mode Driver Version: 2.13.2            |
| 0           MXC500               | 0000:08:00.0         | 0%                      |
| 35W / 350W  N/A                  | 858/65536 MiB        |                         |
"""
BRSMI = """\
| BR-SMI 1.8.0       Driver Version: 1.8.0       |
| 0    Biren106M     | 0000:3d:00.0 | 12 / 32768 MiB |
"""
EFSMI = """\
| EFSMI: 1.5   Driver Ver: 1.5.0.2   |
| 0   Enflame S60   | 45 / 49152 MiB |
"""
XPU_SMI_KUNLUN = """\
| XPU-SMI    Driver Version: 5.0.21.10    XPU-RT Version: N/A |
|   0  P800 OAM           | 00000000:03:00.0 |   12MiB / 98304MiB |
"""
ROCM = {  # layout quoted; names and sizes are an MI300X's
    "card0": {"Device Name": "AMD Instinct MI300X OAM", "VRAM Total Memory (B)": str(192 * GIB), "Card Series":
              "AMD Instinct MI300X OAM", "Card Vendor": "Advanced Micro Devices, Inc. [AMD/ATI]"},
    "system": {"Driver version": "6.12.12"},
}  # fmt: skip
DCU = {  # a Z100L, quoted; its name put for a K100-AI's
    "card0": {"Card Series": "K100_AI", "Card Vendor": "Chengdu Haiguang IC Design Co., Ltd.", "DCU use (%)": "0.0"},
    "card1": {"Card Series": "K100_AI", "Card Vendor": "Chengdu Haiguang IC Design Co., Ltd.", "DCU use (%)": "0.0"},
}
XPU_SMI = {"device_list": [{"device_id": 0, "device_name": "Intel(R) Data Center GPU Max 1550", "vendor_name":
                            "Intel(R) Corporation", "memory_physical_size_byte": str(128 * GIB)}]}  # fmt: skip
NEURON = [{"neuron_device": 0, "nc_count": 8, "memory_size": 96 * GIB}, {"neuron_device": 1, "memory_size": 96 * GIB}]
IXSMI = "0, Iluvatar BI-V150, 32768 MiB, 4.1.0\n1, Iluvatar BI-V150, 32768 MiB, 4.1.0\n"  # layout quoted

MACHINES = {
    "nvidia": (FakeMachine({"nvidia-smi": "0, NVIDIA H20, 97871, 550.54.15, 9.0\n" * 8}), "cuda", 8, "h20", "550.54.15"),
    "nvidia, slow tool": (
        FakeMachine({"nvidia-smi": Ran("timed out", "", "gave no answer")}, {
            "/proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.161.08  Tue Mar 5\n",
            "/proc/driver/nvidia/gpus/0000:1b:00.0/information": "Model: \t\t NVIDIA H100 80GB HBM3\nIRQ: 18\n"}),
        "cuda", 1, "h100-sxm", "535.161.08"),
    "amd": (FakeMachine({"rocm-smi": json.dumps(ROCM)}), "rocm", 1, "mi300x", "6.12.12"),
    "intel": (FakeMachine({"xpu-smi": json.dumps(XPU_SMI)}), "xpu", 1, "", ""),
    "gaudi": (FakeMachine({"hl-smi": "0, HL-325L, 131072 MiB, 1.20.0-bd4ce63\n"}), "gaudi", 1, "gaudi3", "1.20.0-bd4ce63"),
    "ascend": (FakeMachine({"npu-smi": NPU_SMI}), "ascend", 2, "ascend-910b3", "25.2.0"),
    "ascend 910c": (FakeMachine({"npu-smi": NPU_SMI_A3}), "ascend", 2, "ascend-910c-die", "25.2.0"),
    "ascend 910a": (FakeMachine({"npu-smi": NPU_SMI_910A}), "ascend", 2, "ascend-910a", "25.2.0"),
    "ascend, no tool": (FakeMachine(files={"/dev/davinci0": "", "/dev/davinci1": "", "/dev/davinci_manager": "",
        "/usr/local/Ascend/driver/version.info": "Version=24.1.rc2\n"}), "ascend", 2, "", "24.1.rc2"),
    "cambricon": (FakeMachine({"cnmon": CNMON}), "mlu", 1, "mlu370-x8", "5.10.29"),
    "moore threads": (FakeMachine({"mthreads-gmi": GMI}), "musa", 2, "mtt-s4000", "3.1.0"),
    "metax": (FakeMachine({"mx-smi": MX_SMI}), "metax", 1, "metax-c500", "2.13.2"),
    "iluvatar": (FakeMachine({"ixsmi": IXSMI}), "iluvatar", 2, "", "4.1.0"),  # half the record's memory: a card's one chip
    "hygon": (FakeMachine({"hy-smi": json.dumps(DCU)}), "dcu", 2, "dcu-k100-ai", ""),
    "hygon, rocm-smi": (FakeMachine({"rocm-smi": json.dumps(DCU)}), "dcu", 2, "dcu-k100-ai", ""),
    "biren": (FakeMachine({"brsmi": BRSMI}), "biren", 1, "br106", "1.8.0"),
    "kunlun": (FakeMachine({"xpu_smi": XPU_SMI_KUNLUN}), "kunlun", 1, "kunlun-p800", "5.0.21.10"),
    "kunlun, intel's name": (
        FakeMachine({"xpu-smi": XPU_SMI_KUNLUN}, {"/dev/xpu0": "", "/dev/xpuctrl": ""}), "kunlun", 1, "kunlun-p800", "5.0.21.10"),
    "enflame": (FakeMachine({"efsmi": EFSMI}), "enflame", 1, "cloudblazer-s60", "1.5.0.2"),
    "t-head": (FakeMachine({"ppu-smi": "0, Zhenwu 810E, 98304 MiB, 1.5.0\n"}), "t-head", 1, "zhenwu-810e", "1.5.0"),
    "apple": (FakeMachine({"sysctl": "Apple M2 Ultra\n206158430208\n"}, system="Darwin", processor="arm64"), "mps", 1, "", ""),
    "google": (FakeMachine(files=on_bus("1ae0", "006f", "accelerator", 4)), "tpu", 4, "tpu-v6e", ""),
    "google, variable": (
        FakeMachine(files={"/dev/accel0": "", "/dev/accel1": ""}, environment={"TPU_ACCELERATOR_TYPE": "v5litepod-2"}),
        "tpu", 2, "tpu-v5e", ""),
    "aws": (FakeMachine({"neuron-ls": json.dumps(NEURON)}, {"/sys/devices/virtual/dmi/id/product_name": "trn2.48xlarge\n",
        "/sys/module/neuron/version": "2.21.37.0\n"}), "neuron", 2, "trainium2", "2.21.37.0"),
    "sophgo": (FakeMachine(files={"/dev/bm-sophon0": "", "/dev/bmdev-ctl": ""}), "sophgo", 1, "", ""),
    "vastai": (FakeMachine({"vasmi": "0  VA16  0000:01:00.0\n"}), "vastai", 1, "", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", MACHINES)
def test_accelerators_are_found_named_and_counted(name: str) -> None:
    machine, stack, count, chip, driver = MACHINES[name]
    (found,) = diagnose(machine).findings
    assert found.stack.id == stack
    assert len(found.sighting.devices) == count
    assert {device.chip for device in found.sighting.devices} == {chip}
    assert found.sighting.driver == driver


def test_at_least_twelve_makers_are_among_them() -> None:
    makers = {one.vendor for one in stacks() if one.id in {stack for _, stack, *_ in MACHINES.values()}}
    assert len(makers) >= 17
    assert set(LOOK) == {one.id for one in stacks()} - {"cpu"}


BUS = {
    "10de": ("2329", "3d", "cuda"), "1002": ("74a1", "accelerator", "rocm"), "8086": ("0bd5", "3d", "xpu"),
    "1da3": ("1060", "accelerator", "gaudi"), "19e5": ("d802", "accelerator", "ascend"), "cabc": ("0370", "accelerator", "mlu"),
    "1ed5": ("0323", "vga", "musa"), "9999": ("4000", "3d", "metax"), "1e3e": ("0002", "3d", "iluvatar"),
    "1d94": ("54b7", "accelerator", "dcu"), "1ee0": ("0106", "accelerator", "biren"), "1d22": ("3684", "accelerator", "kunlun"),
    "1e36": ("0001", "accelerator", "enflame"), "1ded": ("6001", "3d", "t-head"), "1ae0": ("0063", "accelerator", "tpu"),
    "1d0f": ("7164", "accelerator", "neuron"),
}  # fmt: skip


@pytest.mark.parametrize("vendor", BUS)
def test_the_bus_alone_tells_the_maker(vendor: str) -> None:
    device, kind, stack = BUS[vendor]
    (found,) = diagnose(FakeMachine(files=on_bus(vendor, device, kind, 2))).findings
    assert (found.stack.id, len(found.sighting.devices), found.sighting.via) == (stack, 2, "PCI ids")


@pytest.mark.parametrize(
    "files",
    [
        on_bus("19e5", "1711", "vga"),  # the console of Huawei's servers
        on_bus("1a03", "2000", "vga"),  # everybody else's console
        on_bus("1ae0", "001f", "accelerator"),  # Google's NVMe disks, had they that class
        {k.replace("0000:01:00.0", "0000:00:02.0"): v for k, v in on_bus("8086", "4680", "vga").items()},
        {"/sys/bus/pci/devices/x/vendor": "\ufffd\ufffd", "/sys/bus/pci/devices/y/vendor": ""},
    ],
    ids=["console", "another console", "disk", "integrated graphics", "garbage"],
)
def test_what_is_no_accelerator_is_none(files: dict[str, str]) -> None:
    assert [one.stack.id for one in diagnose(FakeMachine(files=files)).findings] == ["cpu"]


def test_kunlun_and_intel_do_not_answer_for_each_other() -> None:
    assert not LOOK["xpu"](FakeMachine({"xpu-smi": XPU_SMI_KUNLUN})).devices
    assert not LOOK["kunlun"](FakeMachine({"xpu-smi": json.dumps(XPU_SMI)}, {"/dev/xpuctrl": ""})).devices


def test_amd_and_hygon_share_a_tool_and_no_card() -> None:
    both = {**ROCM, "card1": DCU["card1"]}
    found = {one.stack.id: len(one.sighting.devices) for one in diagnose(FakeMachine({"rocm-smi": json.dumps(both)})).findings}
    assert found == {"rocm": 1, "dcu": 1}


@pytest.mark.parametrize("name", ["NVIDIA A100-SXM4-80GB", "Tesla V100-SXM2-32GB", "NVIDIA H20"])
def test_a_name_with_another_memory_is_not_that_chip(name: str) -> None:
    assert chip_id(name)
    assert chip_id(name, 10 * GIB) == ""


TOOLS = ("nvidia-smi", "rocm-smi", "hy-smi", "xpu-smi", "xpu_smi", "hl-smi", "npu-smi", "cnmon", "mthreads-gmi", "mx-smi",
         "ixsmi", "brsmi", "efsmi", "ppu-smi", "sysctl", "neuron-ls", "vasmi")  # fmt: skip
WORDS = st.sampled_from(["0, ", "NVIDIA H20", ", ", "\n", "|", "[", "{", '"card0": ', "Product Name : ", "Total : 9 MiB",
                         "/ 65536", "| 0 910B3 | OK |", "\ufffd", "无设备", "9" * 40, "device_list", "null",
                         "}", "]", "mlas"])  # fmt: skip
GARBAGE = st.one_of(st.text(max_size=200), st.lists(WORDS, max_size=30).map("".join))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(GARBAGE, st.sampled_from(["ok", "failed", "timed out"]))
def test_no_output_breaks_a_probe(text: str, outcome: str) -> None:
    machine = FakeMachine({tool: Ran(outcome, text, "it broke") for tool in TOOLS}, {"/dev/xpu0": ""})  # type: ignore[arg-type]
    for look in LOOK.values():
        told = look(machine)
        assert told.devices or told.driver == ""


@pytest.mark.parametrize(
    "text",
    ["", "\n" * 1000, "[" * 100_000, "0, NVIDIA H20, 97871, 550, 9.0\n" * 5000, "没有找到设备", "\x00\x1b[31m", "null", "[1, 2]"],
)
def test_hostile_outputs_leave_a_machine_without_accelerators(text: str) -> None:
    machine = FakeMachine(dict.fromkeys(TOOLS, text))
    assert [one.stack.id for one in diagnose(machine).findings] == ["cpu"]
