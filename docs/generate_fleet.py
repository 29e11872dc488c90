"""Writes docs/fleet.md and its picture from examples/fleet-purchase.toml (``make docs``).

What each workload takes of each chip is searched (minutes, the first time) and written to docs/fleet-purchase.json with the
least cost in shares, from which a test solves the fleet again and compares. The plan in whole instances is looked for against the
clock, so that it may be another on another machine; what it rests on is not.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from windtunnel.cli.render_fleet import fleet_sheet, notes
from windtunnel.plan.fleets.assemble import assemble
from windtunnel.plan.fleets.coefficients import coefficients
from windtunnel.plan.fleets.file import read_fleet
from windtunnel.plan.fleets.fleet import plan
from windtunnel.plan.fleets.milp.solve import best
from windtunnel.plan.fleets.result import FleetPlan
from windtunnel.plan.fleets.ways import Found, as_plain, from_plain
from windtunnel.web.fleet_plot import fleet_svg

HERE = Path(__file__).parent
EXAMPLE = HERE.parent / "examples" / "fleet-purchase.toml"
PAGE, PICTURE, KEPT = HERE / "fleet.md", HERE / "fleet.svg", HERE / "fleet-purchase.json"
BEGIN, END = "<!-- example:begin -->", "<!-- example:end -->"


def searched() -> Mapping[str, Found]:
    """What was searched when the page was last written."""
    kept = json.loads(KEPT.read_text(encoding="utf-8"))
    return {name: from_plain(found) for name, found in kept["found"].items()}


def kept_usd() -> float:
    """The least cost when the page was last written."""
    found: float = json.loads(KEPT.read_text(encoding="utf-8"))["least_usd"]
    return found


def least_usd(found: Mapping[str, Found]) -> float:
    """The least cost of the example in shares of whole instances, which is proven."""
    spec = read_fleet(EXAMPLE)
    answer = best(assemble(spec, found).problem(), whole=False)
    assert answer is not None
    return answer.proof.objective


def solved(found: Mapping[str, Found]) -> FleetPlan:
    spec = read_fleet(EXAMPLE)
    return plan(spec, assemble(spec, found))


def rests_on(found: Mapping[str, Found]) -> list[str]:
    """What the page should say that its numbers rest on."""
    spec = read_fleet(EXAMPLE)
    return notes(spec, assemble(spec, found))


def page(found: FleetPlan) -> str:
    """The page as it should be: its text as it stands, and between the marks what the command prints."""
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    printed = _without_time(fleet_sheet(found, width=100, terminal=False).text())
    return (
        f"{before}{BEGIN}\n```text\n{printed}```\n\n![Chips by quarter and workload, and what is paid](fleet.svg)\n{END}{after}"
    )


def _without_time(text: str) -> str:
    """The seconds that the proof took are another machine's."""
    head, _, rest = text.partition("Proven optimal in ")
    return f"{head}Proven optimal{rest[rest.index(',') :]}" if rest else text


if __name__ == "__main__":
    everything = coefficients(read_fleet(EXAMPLE), jobs=os.cpu_count() or 1)
    table = {"least_usd": least_usd(everything), "found": {name: as_plain(found) for name, found in everything.items()}}
    KEPT.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    answer = solved(everything)
    PAGE.write_text(page(answer), encoding="utf-8")
    PICTURE.write_text(fleet_svg(answer), encoding="utf-8")
