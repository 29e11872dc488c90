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

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from windtunnel.catalog.chip import Chip, chips
from windtunnel.catalog.store import Table, read_toml_file
from windtunnel.errors import InvalidInputError
from windtunnel.fit.families import FAMILIES, Family

_OTHER_FIELDS = ("values", "spread", "points", "mape", "held_out", "source")
_HEAD = ("chip", "source")


def family_of(table: str) -> Family | None:
    """The family that a table of parameters belongs to: ``gemm`` of ``gemm_fp8``, ``attention_decode`` of itself."""
    fits = [name for name in FAMILIES if table == name or table.startswith(f"{name}_")]
    return FAMILIES[max(fits, key=len)] if fits else None


def read_parameters(path: str | Path) -> Mapping[str, Any]:
    """The tables of a parameter file, checked field by field. Raises InvalidInputError that names the field."""
    content = read_toml_file(path)
    whole = Table(str(path), content)
    whole.text("chip")
    whole.text("source", "")
    found = {name: family for name in content if name not in _HEAD and (family := family_of(name)) is not None}
    whole.only((*_HEAD, *found, *FAMILIES))
    for name, family in found.items():
        table = whole.table(name)
        table.only(_OTHER_FIELDS)
        table.number("spread")
        values = table.table("values")
        values.only(p.name for p in family.parameters)
        for parameter in family.parameters:
            value = values.fields.get(parameter.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not parameter.low <= value <= parameter.high:
                raise values.fail(parameter.name, f"should be a number from {parameter.low:g} to {parameter.high:g}")
    if not found:
        raise InvalidInputError(str(path), "holds no parameters of any operator family")
    return content


def write_parameters(path: Path, text: str) -> None:
    """The whole file or none of it. Raises InvalidInputError where it cannot be written."""
    try:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, prefix=".", suffix=".toml", delete=False) as out:
            out.write(text)
        Path(out.name).chmod(0o644)
        Path(out.name).replace(path)
    except OSError as problem:
        raise InvalidInputError(str(path), f"cannot be written: {problem.strerror}")


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
