"""What the target does that the program's machine would not: number types it lacks, operators it sends back to its host."""

from __future__ import annotations

from windtunnel.catalog.chip import Chip
from windtunnel.catalog.number_types import computes
from windtunnel.workload.program.call import FLOATS, Call

HOST_LINK_BYTES_PER_S = 25e9
"""Between host and device. **Source:** what a PCIe 4.0 x16 slot (32 GB/s one way, PCI-SIG) carries of large copies; the
catalogue does not know every chip's slot, so it is one figure for all, and the report says so."""

HOST_BYTES_PER_S = 100e9
"""What the host reads and writes while it runs an operator in a chip's stead: half of an eight-channel DDR4-3200 socket's
204.8 GB/s (JEDEC). An assumption, and the report says so."""

HOST_FLOPS_PER_S = 1e12
"""What the host multiplies and adds meanwhile: half of the FP32 peak of 32 cores with one 512-bit unit each at 2 GHz. An
assumption as well."""


def refuse_type(chip: Chip, call: Call) -> None:
    """Raises RuntimeError, as the chip's plugin would, where it has no arithmetic for the type of a call's operands."""
    for dtype in {t.dtype for t in call.inputs if t.dtype in FLOATS}:
        found = computes(chip, dtype, call.op)
        if found.state == "lacking":
            raise RuntimeError(f'"{call.name}" not implemented for {dtype} on {chip.name}: {found.reason}')
