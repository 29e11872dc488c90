"""NVIDIA's chips handed to the services of a Compose file."""

from __future__ import annotations

from collections.abc import Iterator

from windtunnel.port.finding import Edit, Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._entries import Entry, entries
from windtunnel.port.source import Source


def find(source: Source) -> Iterator[Finding]:
    found = entries(source)
    drivers = [e for e in found if e.key == "driver" and "devices" in e.path]
    for entry in found:
        if entry.value == "nvidia" and (entry.key == "runtime" or entry in drivers):
            # Compose puts the variable's value there; unset, it is what it was
            variable = "CONTAINER_RUNTIME" if entry.key == "runtime" else "ACCELERATOR_DRIVER"
            edit = Edit(entry.start, entry.end, f"${{{variable}:-nvidia}}")
            yield source.finding(RULE, entry.start, entry.end, edits=(edit,))
        elif _is_gpu(entry) and not any(_same_device(entry, driver, found) for driver in drivers):
            yield source.finding(RULE, entry.start, entry.end)
        elif entry.key == "gpus" and "services" in entry.path:
            yield source.finding(RULE, entry.key_start, entry.key_end)


def _is_gpu(entry: Entry) -> bool:
    return entry.value == "gpu" and not entry.key and "capabilities" in entry.path and "devices" in entry.path


def _same_device(entry: Entry, driver: Entry, found: tuple[Entry, ...]) -> bool:
    """Whether both belong to one item of a list of devices: nothing between them lies above that list."""
    low, high = sorted((entry.start, driver.start))
    depth = entry.path.index("devices")
    return driver.path[: depth + 1] == entry.path[: depth + 1] and all(
        len(other.path) > depth for other in found if low < other.start < high
    )


RULE = Rule(
    id="compose-nvidia-device",
    kind="spelling",
    languages=("compose",),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="safe",
    what="Handing NVIDIA's chips to a Compose service: runtime: nvidia, devices of the driver nvidia, gpus: all.",
    why="Only NVIDIA's container runtime knows these names; without it the service does not start.",
    instead="Take runtime and driver from variables that are nvidia by default, and keep devices in a file of overrides "
    "for each vendor: runtime ascend with ASCEND_VISIBLE_DEVICES, mthreads with MTHREADS_VISIBLE_DEVICES, "
    "/dev/cambricon_dev0, /dev/dri.",
    find=find,
    cases=(
        Case("services:\n  a:\n    image: x\n    # runtime: nvidia\n    environment:\n      driver: nvidia\n", 0),
        Case(
            "services:\n  a:\n    image: x\n    labels: [gpu]\n    command: |\n      runtime: nvidia\n", 0, note="text of a block"
        ),
        Case("services:\n  a:\n    image: x\n    runtime: ${CONTAINER_RUNTIME:-nvidia}\n", 0, note="fixed"),
        Case(
            "services:\n  a:\n    image: x\n    runtime: nvidia  # here\n",
            after="services:\n  a:\n    image: x\n    runtime: ${CONTAINER_RUNTIME:-nvidia}  # here\n",
        ),
        Case(
            "services:\n  a:\n    image: x\n    deploy:\n      resources:\n        reservations:\n          devices:\n"
            "            - driver: 'nvidia'\n              capabilities: [gpu]\n",
            after="services:\n  a:\n    image: x\n    deploy:\n      resources:\n        reservations:\n          devices:\n"
            "            - driver: '${ACCELERATOR_DRIVER:-nvidia}'\n              capabilities: [gpu]\n",
        ),
        Case(
            "x: &gpu\n  deploy:\n    resources:\n      reservations:\n        devices:\n        - capabilities:\n"
            "            - gpu\n"
            "services:\n  a:\n    <<: *gpu\n    image: x\n",
            name="docker-compose.gpu.yml",
        ),
        Case("services:\n  a:\n    image: x\n    gpus: all\n"),
    ),
    hints=(b"nvidia", b"gpu"),
)
