"""Machines that are not there: what their commands print, what their files say, which packages are installed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from windtunnel.serve.doctor.machine import Package, Ran
from windtunnel.serve.doctor.requirements import key

CLASSES = {"accelerator": "0x120000", "3d": "0x030200", "vga": "0x030000"}


@dataclass
class FakeMachine:
    """commands: name or whole line -> what it prints, or a Ran; files: path -> text, whose folders follow from them."""

    commands: Mapping[str, str | Ran] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    software: tuple[Package, ...] = ()
    torch_file: str = ""
    system: str = "Linux"
    processor: str = "x86_64"
    python: str = "3.11.9"
    prefix: str = "/venv"

    def run(self, command: Sequence[str]) -> Ran:
        told = self.commands.get(" ".join(command), self.commands.get(command[0], Ran("no tool")))
        return told if isinstance(told, Ran) else Ran("ok", told)

    def read(self, path: str) -> str:
        return self.files.get(path, "")

    def entries(self, path: str) -> tuple[str, ...]:
        inside = (file.removeprefix(f"{path}/") for file in self.files if file.startswith(f"{path}/"))
        return tuple(sorted({one.partition("/")[0] for one in inside}))

    def env(self, name: str) -> str:
        return self.environment.get(name, "")

    def packages(self, names: Iterable[str]) -> tuple[Package, ...]:
        wanted = {key(name) for name in names}
        return tuple(one for one in self.software if key(one.name) in wanted or one.platform)

    def package_file(self, name: str, path: str) -> str:
        return self.torch_file if (name, path) == ("torch", "torch/version.py") else ""


def on_bus(vendor: str, device: str, kind: str = "accelerator", count: int = 1, driver: str = "bound") -> dict[str, str]:
    """Files of a PCI bus with ``count`` cards."""
    files: dict[str, str] = {}
    for slot in range(count):
        folder = f"/sys/bus/pci/devices/0000:{slot + 1:02x}:00.0"
        files |= {f"{folder}/vendor": f"0x{vendor}\n", f"{folder}/device": f"0x{device}\n"}
        files |= {f"{folder}/class": CLASSES[kind] + "\n", f"{folder}/uevent": f"DRIVER={driver}\n" if driver else ""}
    return files


def torch_file(version: str, cuda: str = "", hip: str = "", xpu: str = "") -> str:
    """PyTorch's version file, laid out as in torch 2.13.0+cpu."""
    values = {"cuda": cuda, "hip": hip, "rocm": hip, "xpu": xpu}
    lines = [f"{name}: Optional[str] = {value!r}" if value else f"{name}: Optional[str] = None" for name, value in values.items()]
    return "\n".join(["from typing import Optional", "", f"__version__ = '{version}'", "debug = False", *lines, ""])
