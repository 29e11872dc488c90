"""``diagnose``: looks at a machine and says what is here, what goes together, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from windtunnel.catalog.stack import ANY_BUILD, Release, Stack, stack, stacks
from windtunnel.catalog.version import satisfies
from windtunnel.serve.doctor.found import Accelerator, Sighting
from windtunnel.serve.doctor.installed import Installed, installed, toolkit_version
from windtunnel.serve.doctor.judge import BESIDE, Judgement, Remark, State, judge
from windtunnel.serve.doctor.machine import Machine, ThisMachine
from windtunnel.serve.doctor.pci import IDLE, Card, on_the_bus
from windtunnel.serve.doctor.probes import LOOK
from windtunnel.serve.doctor.spoken import spoken

BUS = "PCI ids"


@dataclass(frozen=True, slots=True)
class Finding:
    """One stack of this machine. engine: the package that would serve and its version, "" for none; advice: versions that
    go together on what is here, None where none are known; elsewhere: another stack has this Python's PyTorch."""

    stack: Stack
    sighting: Sighting
    toolkit: str
    engine: str
    judgement: Judgement
    advice: Release | None
    why_none: str = ""
    elsewhere: bool = False

    @property
    def state(self) -> State:
        return self.judgement.state


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """findings: the stacks of the accelerators that are here, or the CPU's where there are none. tools: what tools said that
    found nothing; packages: names and versions that were judged."""

    python: str
    prefix: str
    findings: tuple[Finding, ...]
    tools: tuple[str, ...]
    packages: tuple[tuple[str, str], ...]

    @property
    def well(self) -> bool:
        """Whether every stack that this Python is for goes together, and one serves."""
        mine = [one for one in self.findings if not one.elsewhere]
        return bool(mine) and all(one.state is State.TOGETHER for one in mine)

    @property
    def exit_status(self) -> int:
        """0: all well; 1: a conflict, something missing, or something that no source tells."""
        return 0 if self.well else 1


def diagnose(machine: Machine | None = None) -> Diagnosis:
    """Looks at this machine, or at the one that is given. Raises nothing for whatever tools print."""
    machine = machine or ThisMachine()
    bus = on_the_bus(machine)
    sightings = _look(machine, bus)
    vendors = tuple(b for one in stacks() for b in one.builds if b not in ("cuda", "rocm", "xpu", "cpu", "plain", ANY_BUILD))
    here = installed(machine, dict.fromkeys((*BESIDE, *(name for one in stacks() for name in one.named))), vendors)
    seen = [sightings[name] for name in LOOK if sightings[name].devices]
    findings = [_finding(stack(one.stack), one, here, machine, bus) for one in seen]
    if not findings:
        findings = [_finding(stack("cpu"), Sighting("cpu"), here, machine, ())]
    tools = tuple(s.trouble for s in sightings.values() if s.trouble and not s.devices and _worth_saying(s.trouble))
    return Diagnosis(machine.python, machine.prefix, _apart(findings, here), tools, _named(findings, here))


def _look(machine: Machine, bus: tuple[Card, ...]) -> Mapping[str, Sighting]:
    """Every probe at once, since a tool may take seconds; then the bus for those that found nothing."""
    with ThreadPoolExecutor(max_workers=len(LOOK)) as pool:
        running = {name: pool.submit(look, machine) for name, look in LOOK.items()}
    found: dict[str, Sighting] = {}
    for name, future in running.items():
        problem = future.exception()
        found[name] = Sighting(name, trouble=f"{name}: {type(problem).__name__}") if problem else future.result()
    for name, told in found.items():
        cards = [card for card in bus if card.stack == name]
        if cards and not told.devices:
            devices = tuple(Accelerator(f"PCI device {card.device or 'not read'}") for card in cards)
            found[name] = replace(told, devices=devices, via=BUS)
    return found


def _worth_saying(trouble: str) -> bool:
    return not trouble.startswith("no tool") and not trouble.endswith("names no device")


def _finding(one: Stack, sighting: Sighting, here: Installed, machine: Machine, bus: tuple[Card, ...]) -> Finding:
    toolkit = toolkit_version(machine, one)
    said = judge(one, sighting, here, machine, toolkit)
    _driver(one, sighting, bus, said)
    engine = here.first(one.engines)
    if engine == "transformers" and here.torch is None:
        engine = ""
    advice, why = (None, "") if said.state is State.TOGETHER else _advice(one, sighting, machine, toolkit)
    return Finding(one, sighting, toolkit, f"{engine} {here.version(engine)}" if engine else "", said, advice, why)


def _driver(one: Stack, sighting: Sighting, bus: tuple[Card, ...], said: Judgement) -> None:
    """A tool that failed, or a card that no driver holds."""
    cards = [card for card in bus if card.stack == one.id]
    idle = [card for card in cards if card.driver in IDLE]
    if sighting.via == BUS and idle and one.id != "tpu":
        by = f" ({idle[0].driver} holds it)" if idle[0].driver else ""
        said.missing.insert(0, Remark(f"{one.vendor}'s driver{by}; {sighting.trouble}", "the PCI bus"))
    elif sighting.devices and sighting.trouble.startswith("no tool"):
        said.unknown.append(Remark(f"the driver's version: {sighting.trouble}", "the PCI bus"))
    elif sighting.devices and sighting.trouble:
        said.missing.insert(0, Remark(f"a driver that answers; {sighting.trouble}", "the tool itself"))


def _advice(one: Stack, sighting: Sighting, machine: Machine, toolkit: str) -> tuple[Release | None, str]:
    """The newest versions that go together on what is here; else why none of those that are known do."""
    reasons: list[str] = []
    for release in one.releases:
        reason = _unfit(release, one, sighting, machine, toolkit)
        if not reason:
            return release, ""
        reasons.append(f"{release.engine} needs {reason}")
    return None, "; ".join(reasons) or f"no source that is recorded pairs versions for {one.name}"


def _unfit(release: Release, one: Stack, sighting: Sighting, machine: Machine, toolkit: str) -> str:
    """What of this machine a release does not go with, "" where nothing is known to stand against it."""
    if release.system and release.system != machine.system:
        return release.system
    for what, have, spec in (
        (one.toolkit, toolkit, release.toolkit), ("driver", sighting.driver, release.driver),
        ("Python", machine.python, release.python),
    ):  # fmt: skip
        if have and spec and not satisfies(have, spec):
            return f"{what} {spoken(spec)}"
    for device in sighting.devices:
        if device.capability and release.capability:
            shown = "{}.{}".format(*device.capability)
            if not satisfies(shown, release.capability):
                return f"compute capability {spoken(release.capability)}"
    return ""


def _apart(findings: list[Finding], here: Installed) -> tuple[Finding, ...]:
    """Where there are several stacks, one Python serves one of them: the others are said to be elsewhere's."""
    mine = [one for one in findings if _equipped(one, here)]
    if not mine or len(mine) == len(findings):
        return tuple(findings)
    return tuple(one if one in mine else replace(one, elsewhere=True) for one in findings)


def _equipped(one: Finding, here: Installed) -> bool:
    """Whether this Python's software is for this stack."""
    if here.first((*one.stack.plugins, *one.stack.platforms)):
        return True
    return not one.stack.plugins and here.torch is not None and here.torch.kind in one.stack.builds


def _named(findings: list[Finding], here: Installed) -> tuple[tuple[str, str], ...]:
    names = dict.fromkeys(("torch", "transformers", *(name for one in findings for name in one.stack.named), *_ENGINES))
    return tuple((name, here.version(name)) for name in names if here.version(name))


_ENGINES = ("vllm", "sglang", "xllamacpp", "openvino-genai")
"""Named wherever they are installed: what people ask about first."""
