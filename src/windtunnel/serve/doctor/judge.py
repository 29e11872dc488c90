"""Whether what is installed goes together: for one stack, what conflicts, what is missing, what no source tells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from windtunnel.catalog.stack import ANY_BUILD, Need, Stack, stacks
from windtunnel.catalog.version import public, satisfies
from windtunnel.serve.doctor.found import Sighting
from windtunnel.serve.doctor.installed import Installed
from windtunnel.serve.doctor.machine import Machine, Package
from windtunnel.serve.doctor.requirements import key, requirements
from windtunnel.serve.doctor.spoken import pip_line, spoken

BESIDE = ("torch", "torchvision", "torchaudio", "transformers", "numpy", "triton", "triton-ascend", "jax", "jaxlib", "libtpu",
          "tpu-inference", "openvino", "openvino-tokenizers", "mlx", "vllm")  # fmt: skip
"""Packages whose versions decide whether an engine starts, besides those that the stack's record names."""

CROWDED = "vLLM takes one outside platform in a process"
RECORD = "the catalogue's record {}"


class State(StrEnum):
    """What is said of a stack, best first."""

    TOGETHER = "these go together"
    UNKNOWN = "not known"
    MISSING = "missing"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing that was found. fix: a line for the terminal, "" where there is none; source: who says so."""

    text: str
    source: str
    fix: str = ""


@dataclass
class Judgement:
    """Everything that was found of one stack."""

    conflicts: list[Remark] = field(default_factory=list)
    missing: list[Remark] = field(default_factory=list)
    unknown: list[Remark] = field(default_factory=list)
    good: list[Remark] = field(default_factory=list)

    @property
    def state(self) -> State:
        if self.conflicts:
            return State.CONFLICT
        if self.missing:
            return State.MISSING
        return State.UNKNOWN if self.unknown else State.TOGETHER


def judge(stack: Stack, sighting: Sighting, here: Installed, machine: Machine, toolkit: str) -> Judgement:
    """What goes together for one stack. toolkit: version of its toolkit, "" where it was not found."""
    said = Judgement()
    _torch(stack, sighting, here, said)
    waived = {(key(w.package), key(name)) for w in stack.waivers if here.first(stack.platforms) for name in w.packages}
    asked = {key(name) for name in (*stack.named, *BESIDE)}
    for name in sorted(asked & set(here.packages)):
        _own_metadata(here.packages[name], here, machine, asked, waived, said)
    for name in dict.fromkeys((*stack.plugins, *stack.platforms, *(need.package for need in stack.needs))):
        if key(name) in here.packages:
            _rows(stack, name, here, machine, toolkit, said)
    said.conflicts += crowded(stack, here)
    _absent(stack, here, said)
    return said


def _torch(stack: Stack, sighting: Sighting, here: Installed, said: Judgement) -> None:
    """Whether PyTorch was built for this device, this driver and this chip."""
    if here.torch is None or ANY_BUILD in stack.builds:
        return
    torch = here.torch
    own = "PyTorch's own version file"
    if torch.kind not in stack.builds:
        if torch.kind == "plain":
            said.unknown.append(Remark(f"torch {torch.version} does not tell what it was built for", own))
            return
        what = f"torch {torch.version} is built for {_BUILT.get(torch.kind, torch.kind)}, not for {stack.name}"
        fix = f"pip install --force-reinstall torch=={public(torch.version)}" if stack.id == "cuda" else ""
        said.conflicts.append(Remark(what, own, fix))
        return
    if torch.kind != "cuda" or stack.id != "cuda":
        return
    row = next((row for row in stack.torch if torch.toolkit and satisfies(torch.toolkit, row.versions)), None)
    if row is None:
        said.unknown.append(
            Remark(f"which driver torch {torch.version} (CUDA {torch.toolkit or '?'}) needs", RECORD.format(stack.id))
        )
        return
    named = f"torch {torch.version} (CUDA {torch.toolkit})"
    _compare(named, "the driver", sighting.driver, row.driver, row.source, said)
    for one in {device.capability: device for device in sighting.devices if device.capability}.values():
        major, minor = one.capability or (0, 0)
        if row.capability and satisfies(f"{major}.{minor}", row.capability) is False:
            what = f"{named} has no kernels for {one.name}: compute capability {major}.{minor}"
            said.conflicts.append(Remark(f"{what}, it needs {spoken(row.capability)}", row.source))


_BUILT = {"cpu": "the CPU alone", "cuda": "CUDA", "rocm": "ROCm", "xpu": "Intel GPUs"}


def _compare(who: str, what: str, have: str, spec: str, source: str, said: Judgement) -> None:
    """A driver, toolkit or Python against what is asked of it; one newer than the only one that is named is not known."""
    if not spec:
        return
    if not have:
        said.unknown.append(Remark(f"{who} needs {what} {spoken(spec)}; which is installed was not found", source))
        return
    answer = satisfies(have, spec)
    if answer:
        said.good.append(Remark(f"{who} and {what} {have}", source))
    elif answer is None or (spec.startswith("==") and satisfies(have, f">{spec[2:]}")):
        said.unknown.append(Remark(f"{who} is told to go with {what} {spoken(spec)}; of {have} no source tells", source))
    else:
        said.conflicts.append(Remark(f"{who} needs {what} {spoken(spec)}; {what} {have} is installed", source))


def _own_metadata(
    package: Package, here: Installed, machine: Machine, asked: set[str], waived: set[tuple[str, str]], said: Judgement
) -> None:
    source = f"metadata of {package.name} {package.version}"
    for need in requirements(package, machine):
        if need.name not in asked or (key(package.name), need.name) in waived:
            continue
        _package(f"{package.name} {package.version}", need.name, need.spec, here, source, said)


def _package(who: str, name: str, spec: str, here: Installed, source: str, said: Judgement) -> None:
    """One package's demand on another."""
    metadata = here.packages.get(key(name))
    have = here.version(name)
    if metadata is None:
        said.missing.append(Remark(f"{who} needs {name} {spoken(spec)}".rstrip(), source, pip_line(name, spec)))
        return
    answers = {satisfies(metadata.version, spec), satisfies(have, spec)}
    if True in answers:
        said.good.append(Remark(f"{who} and {name} {have}", source))
    elif False in answers:
        what = f"{who} needs {name} {spoken(spec)}; {name} {have} is installed"
        said.conflicts.append(Remark(what, source, pip_line(name, spec)))
    else:
        said.unknown.append(Remark(f"whether {who} goes with {name} {have}", source))


def _rows(stack: Stack, name: str, here: Installed, machine: Machine, toolkit: str, said: Judgement) -> None:
    """What the record says of one package beyond its metadata."""
    version = here.version(name)
    rows = [row for row in stack.needs if row.package == name and satisfies(public(version), row.versions)]
    row: Need | None = rows[0] if rows else None
    if row is None:
        with_what = stack.toolkit or stack.name
        said.unknown.append(Remark(f"which {with_what} goes with {name} {version}: no source tells", RECORD.format(stack.id)))
        return
    who = f"{name} {version}"
    if row.toolkit:
        _compare(who, stack.toolkit, toolkit, row.toolkit, row.source, said)
    _compare(who, "Python", machine.python, row.python, row.source, said)
    for other, spec in (row.packages or {}).items():
        _package(who, other, spec, here, row.source, said)


def crowded(stack: Stack, here: Installed) -> Iterator[Remark]:
    """More than one where only one has room: vLLM's outside platform, PyTorch's outside backend."""
    named = {key(name) for one in stacks() for name in one.platforms}
    there = sorted(name for name, package in here.packages.items() if package.platform or name in named)
    if len(there) > 1:
        keep = next((name for name in there if name in {key(p) for p in stack.platforms}), there[0])
        text = f"{CROWDED}, and {' and '.join(there)} are installed"
        fix = f"pip uninstall {' '.join(name for name in there if name != keep)}"
        yield Remark(text, "vLLM, its platform plugins (recalled)", fix)
    backends = sorted({name for one in stacks() if one.private for p in one.plugins if (name := key(p)) in here.packages})
    if len(backends) > 1:
        keep = next((name for name in backends if name in {key(p) for p in stack.plugins}), backends[0])
        text = f"PyTorch takes one outside backend in a process, and {' and '.join(backends)} are installed"
        fix = f"pip uninstall {' '.join(name for name in backends if name != keep)}"
        yield Remark(text, "PyTorch, torch.utils.rename_privateuse1_backend", fix)


def _absent(stack: Stack, here: Installed, said: Judgement) -> None:
    """What must be there to serve, and is not."""
    engine, record = here.first(stack.engines), RECORD.format(stack.id)
    for plugin in stack.plugins:
        if key(plugin) not in here.packages:
            said.missing.append(Remark(f"{plugin}, which brings PyTorch the device {stack.device}", record))
    if not engine:
        known = f", one of {', '.join(stack.engines)}" if stack.engines else "; none is known"
        said.missing.append(Remark(f"an engine{known}", record))
    needs_torch = engine == "transformers" or (not engine and bool(stack.plugins))
    if needs_torch and here.torch is None and not any(" needs torch" in one.text for one in said.missing):
        said.missing.append(Remark("torch", record))
