"""AMD: rocm-smi in JSON; Hygon's cards answer to the same command and are left to theirs.

**Source:** outputs quoted in gpustack 0.7.1; amd-smi is recalled.
"""

from __future__ import annotations

import re

from windtunnel.serve.doctor.found import Accelerator, Sighting, accelerator
from windtunnel.serve.doctor.machine import Machine, Ran
from windtunnel.serve.doctor.text import found, loaded

COMMAND = ("rocm-smi", "--showproductname", "--showmeminfo", "vram", "--showdriverversion", "--json")
_HYGON = re.compile(r"haiguang|hygon|\bDCU\b|\bHCU\b", re.I)
_NAMES = ("Card Series", "Card series", "Device Name", "Card Model", "Card model")


def cards(ran: Ran, hygon: bool) -> tuple[list[Accelerator], str]:
    """The cards of one of the two makers in rocm-smi's JSON, and the driver's version."""
    told = loaded(ran.text)
    devices: list[Accelerator] = []
    driver = ""
    for key, card in told.items() if isinstance(told, dict) else ():
        if not isinstance(card, dict):
            continue
        texts = {k: v for k, v in card.items() if isinstance(k, str) and isinstance(v, str)}
        driver = driver or texts.get("Driver version", "")[:40]
        whole = " ".join((*texts, *texts.values()))
        if not str(key).startswith("card") or bool(_HYGON.search(whole)) is not hygon:
            continue
        name = next((texts[n] for n in _NAMES if texts.get(n, "N/A") != "N/A"), "")
        total = texts.get("VRAM Total Memory (B)", "")
        devices.append(accelerator(name or "AMD GPU", int(total) if total.isdecimal() and len(total) < 16 else None))
    return devices, driver


def look(machine: Machine) -> Sighting:
    ran = machine.run(COMMAND)
    devices, driver = cards(ran, hygon=False)
    driver = driver or machine.read("/sys/module/amdgpu/version").strip()[:40]
    return found("rocm", "rocm-smi", ran, devices, driver)
