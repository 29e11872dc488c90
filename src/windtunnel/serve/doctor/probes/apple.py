"""Apple silicon: sysctl names the chip, whose GPU shares the memory of the machine. **Source:** recalled."""

from __future__ import annotations

from windtunnel.serve.doctor.found import Sighting, accelerator
from windtunnel.serve.doctor.machine import Machine
from windtunnel.serve.doctor.text import found, trouble


def look(machine: Machine) -> Sighting:
    if machine.system != "Darwin" or machine.processor != "arm64":
        return Sighting("mps")
    ran = machine.run(("sysctl", "-n", "machdep.cpu.brand_string", "hw.memsize"))
    lines = [line.strip() for line in ran.text.splitlines() if line.strip()]
    if not lines:
        return Sighting("mps", trouble=trouble("sysctl", ran) or "sysctl: says nothing")
    total = lines[1] if len(lines) > 1 else ""
    memory = int(total) if total.isdecimal() and len(total) < 16 else None
    return found("mps", "sysctl", ran, [accelerator(lines[0], memory)], "")
