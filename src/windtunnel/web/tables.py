"""The report's tables as HTML: readable without scripts, everything from outside escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable

from windtunnel.plan.result import Candidate, ChipPlan, Plan, Targets
from windtunnel.sim.prediction import Estimate, MemoryUse, OperatorRow
from windtunnel.units import show_si
from windtunnel.web import answer, words
from windtunnel.web.data import phases


COLOURS = 8
"""Chips whose colour differs; the marks tell the others apart."""


def esc(text: object) -> str:
    return html.escape(str(text), quote=True)


def chip_name(name: str, place: int) -> str:
    """A chip's name with the mark and colour that it has in every plot."""
    return (
        f'<span class="chip" data-place="{place}" style="--c:var(--c{place % COLOURS})">'
        f'<span class="mark" aria-hidden="true"></span>{esc(name)}</span>'
    )


def unknown(text: str = words.NOT_KNOWN) -> str:
    return f'<span class="unknown">{esc(text)}</span>'


def question(plan: Plan, date: str, version: str) -> str:
    """What was asked, as a list of terms."""
    t = plan.targets
    items = [
        ("Model", f"<code>{esc(plan.model)}</code>"),
        ("Each request", f"{t.isl:,} tokens in, {t.osl:,} out"),
        ("Time to first token", f"at most {words.seconds(t.ttft_s)}" if t.ttft_s else "no target"),
        ("Time per output token", f"at most {words.seconds(t.tpot_s)}" if t.tpot_s else "no target"),
        ("Traffic", f"{words.number(t.requests_per_s)} requests/s" if t.requests_per_s else "no target: one instance"),
        ("Asked on", f"{esc(date)}, of windtunnel {esc(version)}"),
    ]
    return "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in items)


def summary(plan: Plan) -> str:
    """The key figures of the first answer."""
    if not plan.ranked or plan.ranked[0].best is None:
        return ""
    best = plan.ranked[0].best
    items = [
        ("Deployment", esc(words.in_short(best))),
        ("Output", f"{words.number(best.output_tokens_per_s)} tokens/s"),
        ("First token", _short(best, "ttft")),
        ("Per token", _short(best, "tpot")),
        ("Power", f"{words.number(best.power_kw)} kW" if best.power_kw is not None else unknown()),
    ]
    return '<dl class="key">' + "".join(f"<div><dt>{k}</dt><dd>{v}</dd></div>" for k, v in items) + "</dl>"


def _short(best: Candidate, metric: str) -> str:
    estimate = ttft(best) if metric == "ttft" else best.prediction.tpot
    return f'{words.seconds(estimate.value)} <small>80&nbsp;%: {words.interval(estimate)}</small>'


def ttft(candidate: Candidate) -> Estimate:
    """Time to the first token; where prefill is apart, the transfer of its cache is added to all three figures."""
    if candidate.prefill is None:
        return candidate.prediction.ttft
    own, moved = candidate.prefill.ttft, candidate.kv_transfer_s
    return Estimate(own.value + moved, own.low + moved, own.high + moved, own.evidence)


COLUMNS = ("Chip", "Deployment", "Chips", "Tokens/s per chip", "Tokens/s in all", "TTFT", "TPOT", "Evidence", "Memory free", "USD per Mtok", "J per token", "kW")


def chips_table(plan: Plan) -> str:
    """All chips, the answer first; those that fail last, with the reason."""
    places = {id(chip): i for i, chip in enumerate(plan.chips)}
    body = [_met_row(chip, rank, places[id(chip)], plan.targets) for rank, chip in enumerate(plan.ranked, 1)]
    body += [_failed_row(chip, places[id(chip)]) for chip in plan.chips if chip.best is None]
    units = {
        "TTFT": f"target {words.seconds(plan.targets.ttft_s)}" if plan.targets.ttft_s else "no target",
        "TPOT": f"target {words.seconds(plan.targets.tpot_s)}" if plan.targets.tpot_s else "no target",
        "Memory free": "of one chip",
        "USD per Mtok": "output tokens",
    }
    head = "".join(
        f'<th scope="col" role="columnheader"{"" if i in (0, 1, 7) else " class=n"}>{name}{f"<small>{units[name]}</small>" if name in units else ""}</th>'
        for i, name in enumerate(COLUMNS)
    )
    return (
        '<table role="table" class="chips"><caption>The cheapest deployment of each chip that meets the targets. Small print: the interval '
        "that holds the value in 80&nbsp;% of cases.</caption>"
        f'<thead role="rowgroup"><tr role="row">{head}</tr></thead><tbody role="rowgroup">{"".join(body)}</tbody></table>'
    )


def _cell(label: str, value: str, small: str = "", kind: str = "n") -> str:
    under = f"<small>{small}</small>" if small else ""
    return f'<td role="cell" class="{kind}" data-label="{label}"><span>{value}{under}</span></td>'


def _met_row(chip: ChipPlan, rank: int, place: int, targets: Targets) -> str:
    best = chip.best
    assert best is not None
    own = best.prediction.deployment
    who = "<br>".join(f"{esc(text)}{f' <em>{role}</em>' if role else ''}" for role, text in words.instances(best))
    first = ttft(best)
    tightest = min((p.memory for p in (best.prediction, best.prefill) if p is not None), key=_free_share)
    free = f"{tightest.headroom / tightest.capacity:.0%}" if tightest.capacity else words.NOT_KNOWN
    cells = [
        f'<th scope="row" role="rowheader"><b class="rank">{rank}</b>{chip_name(chip.name, place)}</th>',
        _cell(COLUMNS[1], who, esc(f"{words.precision(own)}, {words.engine(own)}"), "t"),
        _cell(COLUMNS[2], f"{best.chips:,}"),
        _cell(COLUMNS[3], words.number(best.output_tokens_per_s_per_chip)),
        _cell(COLUMNS[4], words.number(best.output_tokens_per_s)),
        _cell(COLUMNS[5], words.seconds(first.value), _interval(first, targets.ttft_s)),
        _cell(COLUMNS[6], words.seconds(best.prediction.tpot.value), _interval(best.prediction.tpot, targets.tpot_s)),
        _cell(COLUMNS[7], _evidence(first, best.prediction.tpot), kind="t"),
        _cell(COLUMNS[8], words.gigabytes(tightest.headroom), free),
        _cell(COLUMNS[9], words.usd(best.usd_per_mtok) if best.usd_per_mtok is not None else unknown()),
        _cell(COLUMNS[10], words.number(best.joules_per_token) if best.joules_per_token is not None else unknown()),
        _cell(COLUMNS[11], words.number(best.power_kw) if best.power_kw is not None else unknown()),
    ]
    return f'<tr role="row">{"".join(cells)}</tr>'


def _free_share(use: MemoryUse) -> float:
    return use.headroom / use.capacity if use.capacity else 0.0


def _interval(estimate: Estimate, target: float) -> str:
    over = '<span class="over">can miss the target</span>' if target and estimate.high > target >= estimate.value else ""
    return f'<span class="nowrap">{words.interval(estimate)}</span>{over}'


def _evidence(first: Estimate, then: Estimate) -> str:
    if first.evidence == then.evidence:
        return esc(then.evidence.label)
    return f"TTFT {esc(first.evidence.label)}, TPOT {esc(then.evidence.label)}"


def _failed_row(chip: ChipPlan, place: int) -> str:
    why = esc(chip.why_not or "no deployment that was searched meets the targets")
    return (
        f'<tr role="row" class="failed"><th scope="row" role="rowheader"><b class="rank" aria-hidden="true">\N{MULTIPLICATION SIGN}</b>'
        f'{chip_name(chip.name, place)}</th><td role="cell" colspan="{len(COLUMNS) - 1}" class="t"><strong>Fails.</strong> {why}</td></tr>'
    )


def pareto_tables(plan: Plan) -> str:
    """The numbers behind the first plot, as one table."""
    rows = []
    for place, chip in enumerate(plan.chips):
        for c in chip.pareto:
            tpot = c.prediction.tpot
            rows.append(
                f'<tr><th scope="row">{chip_name(chip.name, place)}</th><td class="t">{esc(words.in_short(c))}</td><td class="n">{c.chips:,}</td>'
                f'<td class="n">{words.number(1 / tpot.value) if tpot.value > 0 else words.NOT_KNOWN}</td>'
                f'<td class="n">{words.number(c.output_tokens_per_s_per_chip)}</td><td class="n">{words.seconds(c.ttft_s)}</td></tr>'
            )
    head = _head(("Chip", "Deployment"), ("Chips", "Tokens/s per user", "Tokens/s per chip", "TTFT"))
    return f"<table><caption>Pareto fronts</caption>{head}<tbody>{''.join(rows)}</tbody></table>" if rows else ""


def _head(text: Iterable[str], figures: Iterable[str], after: Iterable[str] = ()) -> str:
    cells = [f'<th scope="col">{t}</th>' for t in text] + [f'<th scope="col" class="n">{t}</th>' for t in figures]
    cells += [f'<th scope="col">{t}</th>' for t in after]
    return f"<thead><tr>{''.join(cells)}</tr></thead>"


def operator_tables(plan: Plan) -> str:
    """For each chip that meets the targets, a collapsed table of the operators of its deployment, longest first."""
    places = {id(chip): i for i, chip in enumerate(plan.chips)}
    blocks = []
    for chip in plan.ranked:
        if chip.best is None:
            continue
        tables = "".join(_phase_table(phase, rows) for phase, _, rows in phases(chip.best))
        summary_text = f"{chip_name(chip.name, places[id(chip)])} <span class='sub'>{esc(words.in_short(chip.best))}</span>"
        blocks.append(f"<details><summary>{summary_text}</summary><div class='scroll' tabindex='0'>{tables or 'No operator was recorded.'}</div></details>")
    return "".join(blocks)


def _phase_table(phase: str, rows: list[OperatorRow]) -> str:
    total = sum(row.time_s for row in rows)
    body = []
    for row in sorted(rows, key=lambda r: -r.time_s):
        share = row.time_s / total if total else 0.0
        rate = show_si(row.flops / row.time_s, "FLOP/s") if row.flops and row.time_s else "\N{EN DASH}"
        body.append(
            f'<tr><th scope="row">{esc(row.name)}</th><td>{esc(row.family)}</td><td class="n">{words.number(row.count)}</td>'
            f'<td class="n">{words.seconds(row.time_s)}</td><td class="n"><meter min="0" max="1" value="{share:.4f}" aria-hidden="true"></meter> {share:.1%}</td>'
            f'<td class="n">{rate}</td><td class="n">{show_si(row.bytes / row.time_s, "B/s") if row.bytes and row.time_s else "–"}</td>'
            f"<td>{esc(answer.bound_words(row.bound))}</td><td>{esc(row.evidence.label)}</td></tr>"
        )
    head = _head(("Operator", "Family"), ("Launches", "Time", "Share", "Computes", "Moves"), ("Bound by", "Evidence"))
    return f"<table class='ops'><caption>One {esc(phase)} step, {words.seconds(total)} on one rank</caption>{head}<tbody>{''.join(body)}</tbody></table>"
