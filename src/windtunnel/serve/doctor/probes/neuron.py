"""AWS Inferentia and Trainium: neuron-ls in JSON, one entry a device. **Source:** recalled from the Neuron documentation."""

from __future__ import annotations

from windtunnel.serve.doctor.found import Accelerator, Sighting, accelerator
from windtunnel.serve.doctor.machine import Machine
from windtunnel.serve.doctor.text import found, loaded

INSTANCES = {"trn1": "Trainium", "trn2": "Trainium2", "inf2": "Inferentia2", "inf1": "Inferentia"}


def look(machine: Machine) -> Sighting:
    ran = machine.run(("neuron-ls", "--json-output"))
    told = loaded(ran.text)
    rows = told.get("mlas") or told.get("neuron_devices") if isinstance(told, dict) else told
    instance = str(told.get("instance_type", "")) if isinstance(told, dict) else ""
    name = INSTANCES.get(instance[:4]) or "Neuron device"
    if not INSTANCES.get(instance[:4]):
        product = machine.read("/sys/devices/virtual/dmi/id/product_name").strip()
        name = INSTANCES.get(product[:4], name)
    devices: list[Accelerator] = []
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict) and ("neuron_device" in row or "memory_size" in row):
            memory = row.get("memory_size")
            devices.append(accelerator(name, memory if isinstance(memory, int) else None))
    return found("neuron", "neuron-ls", ran, devices, machine.read("/sys/module/neuron/version").strip()[:40])
