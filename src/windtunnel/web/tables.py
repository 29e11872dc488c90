"""The question, the key figures and the table of all chips: readable without scripts."""

from __future__ import annotations

from windtunnel.catalog.destination import destination
from windtunnel.plan.result import Candidate, ChipPlan, Plan, Targets
from windtunnel.sim.prediction import Estimate, MemoryUse
from windtunnel.web import words
from windtunnel.web.markup import chip_name, definitions, esc, known, unknown


def question(plan: Plan, date: str, version: str) -> str:
    """What was asked, as a list of terms."""
    t = plan.targets
    where = [("Export rules", f"to {esc(destination(plan.to).name)} on {esc(plan.date)}")] if plan.to else []
    return definitions(
        (
            ("Each request", f"{t.isl:,} tokens in, {t.osl:,} out"),
            ("Time to first token", f"at most {words.seconds(t.ttft_s)}" if t.ttft_s else "no target"),
            ("Time per output token", f"at most {words.seconds(t.tpot_s)}" if t.tpot_s else "no target"),
            ("Traffic", f"{t.requests_per_s:,g} requests/s" if t.requests_per_s else "no target: one instance"),
            *where,
            ("Asked on", f"{esc(date)}, of windtunnel {esc(version)}"),
        )
    )


def summary(plan: Plan) -> str:
    """The key figures of the first answer."""
    best = plan.ranked[0].best if plan.ranked else None
    if best is None:
        return ""
    seen = best.simulated
    figures = (
        ("Deployment", esc(words.in_short(best))),
        ("Output", f"{words.number(best.output_tokens_per_s)} tokens/s"),
        ("First token", _with_interval(ttft(best))),
        *((("First token, p99", words.seconds(seen.ttft_p99_s)),) if seen else ()),
        ("Per token", _with_interval(best.prediction.tpot)),
        ("Power", f"{words.number(best.power_kw)} kW" if best.power_kw is not None else unknown()),
    )
    return definitions(figures, "key")


def _with_interval(estimate: Estimate) -> str:
    return f"{words.seconds(estimate.value)} <small>80&nbsp;%: {words.interval(estimate)}</small>"


def ttft(candidate: Candidate) -> Estimate:
    """Time to the first token; where prefill is apart, the transfer of its cache is added to all three figures."""
    if candidate.prefill is None:
        return candidate.prediction.ttft
    own, moved = candidate.prefill.ttft, candidate.kv_transfer_s
    return Estimate(own.value + moved, own.low + moved, own.high + moved, own.evidence)


COLUMNS = {
    "Chip": "",
    "Deployment": "",
    "Chips": "n",
    "Tokens/s per chip": "n",
    "Tokens/s in all": "n",
    "TTFT": "n",
    "TPOT": "n",
    "Evidence": "t",
    "Memory free": "n",
    "USD per Mtok": "n",
    "J per token": "n",
    "kW": "n",
}
"""Column heads, and ``n`` where figures stand below."""


def chips_table(plan: Plan) -> str:
    """All chips, the answer first; those that fail last, with the reason."""
    places = {id(chip): i for i, chip in enumerate(plan.chips)}
    body = [
        _met_row(chip, chip.best, rank, places[id(chip)], plan.targets) for rank, chip in enumerate(plan.ranked, 1) if chip.best
    ]
    body += [_failed_row(chip, places[id(chip)]) for chip in plan.chips if chip.best is None]
    caption = "The cheapest deployment of each chip that meets the targets. Small print: the 80&nbsp;% interval."
    # the roles keep it a table to screen readers where a phone shows each row as a card
    return (
        f'<table role="table" class="chips"><caption>{caption}</caption><thead role="rowgroup">{_heads(plan.targets)}</thead>'
        f'<tbody role="rowgroup">{"".join(body)}</tbody></table>'
    )


def _heads(targets: Targets) -> str:
    under = {
        "TTFT": f"target {words.seconds(targets.ttft_s)}" if targets.ttft_s else "no target",
        "TPOT": f"target {words.seconds(targets.tpot_s)}" if targets.tpot_s else "no target",
        "Memory free": "of one chip",
        "USD per Mtok": "output tokens",
    }
    cells = []
    for name, kind in COLUMNS.items():
        small = f"<small>{under[name]}</small>" if name in under else ""
        cells.append(f'<th scope="col" role="columnheader" class="{kind}">{name}{small}</th>')
    return f'<tr role="row">{"".join(cells)}</tr>'


def _cell(label: str, value: str, small: str = "") -> str:
    under = f"<small>{small}</small>" if small else ""
    kind = COLUMNS[label] or "t"
    return f'<td role="cell" class="{kind}" data-label="{label}"><span>{value}{under}</span></td>'


def _met_row(chip: ChipPlan, best: Candidate, rank: int, place: int, targets: Targets) -> str:
    own = best.prediction
    first = ttft(best)
    who = []
    for role, text in words.instances(best):
        who.append(f'<span class="nowrap">{esc(text)}</span>' + (f" <em>{role}</em>" if role else ""))
    tightest = min((p.memory for p in (own, best.prefill) if p is not None), key=_free_share)
    cells = (
        f'<th scope="row" role="rowheader"><b class="rank">{rank}</b>{chip_name(chip.name, place)}</th>',
        _cell("Deployment", "<br>".join(who), esc(f"{words.precision(own.deployment)}, {words.engine(own.deployment)}")),
        _cell("Chips", f"{best.chips:,}"),
        _cell("Tokens/s per chip", words.number(best.output_tokens_per_s_per_chip)),
        _cell("Tokens/s in all", words.number(best.output_tokens_per_s)),
        _cell("TTFT", words.seconds(first.value), _interval(first, targets.ttft_s)),
        _cell("TPOT", words.seconds(own.tpot.value), _interval(own.tpot, targets.tpot_s)),
        _cell("Evidence", esc(evidence(first, own.tpot))),
        _cell("Memory free", words.memory(tightest.headroom), words.percent(_free_share(tightest))),
        _cell("USD per Mtok", unknown() if best.usd_per_mtok is None else words.usd(best.usd_per_mtok)),
        _cell("J per token", known(best.joules_per_token)),
        _cell("kW", known(best.power_kw)),
    )
    return f'<tr role="row">{"".join(cells)}</tr>'


def _free_share(use: MemoryUse) -> float:
    return use.headroom / use.capacity if use.capacity else 0.0


def _interval(estimate: Estimate, target: float) -> str:
    may_miss = target and estimate.high > target >= estimate.value
    over = '<span class="over">may miss target</span>' if may_miss else ""
    return f'<span class="nowrap">{words.interval(estimate)}</span>{over}'


def evidence(first: Estimate, then: Estimate) -> str:
    """What both times rest on, or each."""
    if first.evidence == then.evidence:
        return then.evidence.label
    return f"TTFT {first.evidence.label}, TPOT {then.evidence.label}"


def _failed_row(chip: ChipPlan, place: int) -> str:
    why = esc(chip.why_not or "no deployment that was searched meets the targets")
    name = f'<b class="rank" aria-hidden="true">{words.TIMES}</b>{chip_name(chip.name, place)}'
    return (
        f'<tr role="row" class="failed"><th scope="row" role="rowheader">{name}</th>'
        f'<td role="cell" colspan="{len(COLUMNS) - 1}" class="t"><strong>Fails.</strong> {why}</td></tr>'
    )
