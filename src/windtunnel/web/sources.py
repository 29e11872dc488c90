"""The last section: how the numbers were got, and what was assumed."""

from __future__ import annotations

from windtunnel.plan.result import ChipPlan, Plan
from windtunnel.sim.prediction import Evidence
from windtunnel.web.markup import chip_name, definitions, esc, unknown
from windtunnel.web.tables import evidence, ttft

MEANING = {
    Evidence.MEASURED: "this very operator was measured on this chip",
    Evidence.FITTED: "the cost model's parameters were fitted to measurements on this chip",
    Evidence.TRANSFERRED: "the parameters come from measurements on other chips, drawn to this chip's datasheet",
    Evidence.DATASHEET: "nothing but the datasheet: peaks and bandwidths, with typical efficiencies",
}


def sources(plan: Plan) -> str:
    """Evidence of each chip, what the words mean, price bases and notes."""
    places = {id(chip): i for i, chip in enumerate(plan.chips)}
    met = [chip for chip in plan.ranked if chip.best is not None]
    used = sorted(
        {e for chip in met if chip.best for e in (ttft(chip.best).evidence, chip.best.prediction.evidence)}, reverse=True
    )
    parts = []
    if used:
        meaning = definitions(((e.label.capitalize(), f"{MEANING[e]}.") for e in used), "terms")
        parts.append(
            "<h3>Evidence</h3><p>A time is the sum of its operators' times, and a sum keeps the weakest evidence of its parts. "
            f"The intervals hold the true value in 80&nbsp;% of cases.</p>{meaning}"
        )
    if met:
        items = "".join(_chip_sources(chip, places[id(chip)]) for chip in met)
        parts.append(f'<h3>Chip by chip</h3><div class="perchip">{items}</div>')
    if plan.notes:
        parts.append(f"<h3>Notes</h3>{_listed(plan.notes)}")
    searched = sum(chip.searched for chip in plan.chips)
    if searched:
        parts.append(f"<p>{searched:,} deployments were priced over {len(plan.chips)} chips and systems.</p>")
    return "".join(parts)


def _chip_sources(chip: ChipPlan, place: int) -> str:
    best = chip.best
    assert best is not None
    price = esc(best.price_basis) if best.price_basis else unknown("nobody published a price")
    notes = dict.fromkeys([*(best.prefill.notes if best.prefill else ()), *best.prediction.notes])
    said = [f"<p>Times: {esc(evidence(ttft(best), best.prediction.tpot))}. Price: {price}.</p>"]
    return f"<section><h4>{chip_name(chip.name, place)}</h4>{''.join(said)}{_listed(notes)}</section>"


def _listed(notes: object) -> str:
    items = "".join(f"<li>{esc(note)}</li>" for note in notes) if isinstance(notes, (tuple, list, dict)) else ""
    return f"<ul>{items}</ul>" if items else ""
