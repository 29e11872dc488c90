"""The manual's table of variables is the catalogue's."""

from __future__ import annotations

import re
from pathlib import Path

from windtunnel.catalog.stack import stacks
from windtunnel.plan.deploy.parts import VISIBLE

MANUAL = Path(__file__).parents[3] / "docs/serve.md"


def test_the_table_of_variables_is_whole() -> None:
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| `([A-Z_]+)` \| ([^|]*)\|$", MANUAL.read_text(encoding="utf-8"), re.M)
    told = {name: (vendor, visible, re.findall(r"`(\w+)=([^`]+)`", more)) for vendor, name, visible, more in rows}
    known = {
        one.name: (one.vendor, one.visible, [(variable.name, variable.value) for variable in one.variables])
        for one in stacks()
        if one.visible or one.variables
    }
    assert told == known


def test_launch_scripts_and_served_engines_choose_devices_alike() -> None:
    served = {one.vendor: one.visible for one in stacks()}
    assert {vendor: served[vendor] for vendor in VISIBLE} == VISIBLE
