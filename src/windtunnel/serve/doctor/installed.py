"""The software that is installed: packages by name, the build of PyTorch, the toolkit beside them. Nothing is imported."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from windtunnel.catalog.stack import Stack
from windtunnel.catalog.version import local_label, public, version_order
from windtunnel.serve.doctor.machine import Machine, Package
from windtunnel.serve.doctor.requirements import key
from windtunnel.serve.doctor.text import version_in


@dataclass(frozen=True, slots=True)
class TorchBuild:
    """PyTorch as it was built. version: with its local label; kind: ``cuda``, ``rocm``, ``xpu``, ``cpu``, a vendor's label,
    or ``plain`` where nothing tells; toolkit: the version that it was built with."""

    version: str
    kind: str
    toolkit: str = ""


@dataclass(frozen=True)
class Installed:
    packages: Mapping[str, Package]
    torch: TorchBuild | None

    def version(self, name: str) -> str:
        """Version of a package, "" where it is not installed."""
        if name == "torch" and self.torch is not None:
            return self.torch.version
        found = self.packages.get(key(name))
        return found.version if found is not None else ""

    def first(self, names: tuple[str, ...]) -> str:
        """The first of ``names`` that is installed, "" for none."""
        return next((name for name in names if key(name) in self.packages), "")


def installed(machine: Machine, names: Iterable[str], vendors: tuple[str, ...]) -> Installed:
    """Which of ``names`` are installed. vendors: the local labels by which makers mark their own builds of PyTorch."""
    packages: dict[str, Package] = {}
    for one in machine.packages(names):
        if isinstance(one.name, str) and isinstance(one.version, str):
            packages.setdefault(key(one.name), one)
    torch = packages.get("torch")
    return Installed(packages, torch_build(machine, torch.version, vendors) if torch is not None else None)


def torch_build(machine: Machine, version: str, vendors: tuple[str, ...]) -> TorchBuild:
    """The build, from PyTorch's own version file; its metadata leaves out what the package index does not want to see."""
    text = machine.package_file("torch", "torch/version.py")
    own = version_in(text, r"(?m)^__version__\s*=\s*['\"]([^'\"]+)['\"]")
    if own and not local_label(version) and public(own) == version and version_order(own) is not None:
        version = own
    label = local_label(version)
    for vendor in vendors:
        if label.startswith(vendor):
            return TorchBuild(version, vendor)
    for kind, field in (("rocm", "hip"), ("cuda", "cuda"), ("xpu", "xpu")):
        built = version_in(text, rf"(?m)^{field}\b[^=\n]*=\s*['\"](\d[^'\"]*)['\"]")
        if built:
            return TorchBuild(version, kind, version_in(built, r"^(\d+\.\d+)"))
    if found := re.match(r"cu(\d{2})(\d)(?!\d)", label):
        return TorchBuild(version, "cuda", f"{found[1]}.{found[2]}")
    if found := re.match(r"(rocm)(\d+\.\d+)", label):
        return TorchBuild(version, "rocm", found[2])
    return TorchBuild(version, "cpu" if label.startswith("cpu") or text else "xpu" if label.startswith("xpu") else "plain")


def toolkit_version(machine: Machine, stack: Stack) -> str:
    """Version of the stack's toolkit, where its environment or its usual place says one."""
    if not stack.toolkit_pattern:
        return ""
    names = [file.rpartition("/")[2] for file in stack.toolkit_files]
    folders = [folder.rstrip("/") for name in stack.toolkit_env if (folder := machine.env(name))]
    for path in (*(f"{folder}/{name}" for folder in folders for name in dict.fromkeys(names)), *stack.toolkit_files):
        found = version_in(machine.read(path), stack.toolkit_pattern)
        if found:
            return found
    return ""
