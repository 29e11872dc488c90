"""Files of fitted parameters: the format of ``cost/data/CHIP.toml``, which ``fit`` writes and predictions take in place of it.

chip = "h20"
source = "fitted on operators.csv: 120 points"

[gemm_wide]
points = 80
mape = 0.06
spread = 0.11
values = { compute = 0.81, memory = 0.79, ... }
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from windtunnel.catalog.chip import Chip, chips
from windtunnel.catalog.store import Table, read_toml_file
from windtunnel.cost.parameters import number_kind
from windtunnel.errors import InvalidInputError
from windtunnel.fit.families import FAMILIES
from windtunnel.workload.ops import BITS

_TYPED = ("gemm", "moe")
_OTHER_FIELDS = ("values", "spread", "points", "mape", "source")
_HEAD = ("chip", "source")


def known_families() -> tuple[str, ...]:
    """The names of all tables that a parameter file may hold: ``gemm_wide``, ``attention_decode`` ..."""
    kinds = sorted({number_kind(dtype) for dtype in BITS})
    return tuple(name for family in FAMILIES for name in ([f"{family}_{k}" for k in kinds] if family in _TYPED else [family]))


def read_parameters(path: str | Path) -> Mapping[str, Any]:
    """The tables of a parameter file, checked field by field. Raises InvalidInputError that names the field."""
    content = read_toml_file(path)
    whole = Table(str(path), content)
    families = known_families()
    whole.only((*_HEAD, *families))
    whole.text("chip")
    whole.text("source", "")
    for name in families:
        if name not in content:
            continue
        table = whole.table(name)
        table.only(_OTHER_FIELDS)
        table.number("spread")
        values = table.table("values")
        family = FAMILIES[name if name in FAMILIES else name.rpartition("_")[0]]
        values.only(p.name for p in family.parameters)
        for parameter in family.parameters:
            value = values.fields.get(parameter.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not parameter.low <= value <= parameter.high:
                raise values.fail(parameter.name, f"should be a number from {parameter.low:g} to {parameter.high:g}")
    if not set(content) & set(families):
        raise InvalidInputError(str(path), "holds no parameters of any operator family")
    return content


def applies(parameters: Mapping[str, Any] | None, chip: Chip) -> bool:
    """Whether a parameter file is about this chip, or about the device that it shows."""
    return (
        bool(parameters)
        and parameters is not None
        and parameters.get("chip") in (chip.id, device_of(chip).id, chip.part_of or chip.id)
    )


def device_of(package: Chip) -> Chip:
    """The record of one device of a chip that shows several, where there is one; else the chip itself.

    Operators run on a device, not across them.
    """
    if package.devices < 2:
        return package
    return next((found for found in chips() if found.part_of == package.id), package)
