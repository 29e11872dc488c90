"""A fleet as one JSON object: SI units and USD, quarters as text, what is not known as null."""

from __future__ import annotations

from typing import Any

from windtunnel.cli.render_fleet import barred, notes
from windtunnel.plan.fleets.result import FleetPlan, Solved

Json = dict[str, Any]


def fleet_json(plan: FleetPlan) -> Json:
    spec = plan.spec
    return {
        "name": spec.name,
        "start": str(spec.start),
        "quarters": [str(period) for period in spec.periods],
        "currency": spec.currency,
        "usd_per_currency": spec.rate,
        "objective": spec.goal,
        "scenario": spec.scenario,
        "feasible": plan.solved is not None,
        **(_solved(plan, plan.solved) if plan.solved is not None else {}),
        "binding": [
            {
                "limit": each.limit.kind,
                "of": each.limit.of,
                "quarter": str(spec.periods[each.limit.quarter]) if each.limit.quarter >= 0 else None,
                "unit": each.unit,
                "dual_per_unit": each.per_unit,
                "step": each.step,
                "saved": each.saved,
                "saved_low": each.saved_low if each.saved is not None else None,
                "saved_high": each.saved_high if each.saved is not None else None,
            }
            for each in plan.shadows
        ],
        "other_scenarios_usd": plan.others,
        "conflict": _conflict(plan),
        "supply": {
            stock.name: [
                {"low": terms.supply[t].low, "mid": terms.supply[t].mid, "high": terms.supply[t].high, "allowed_share": allowed}
                for t, allowed in enumerate(stock.allowed)
            ]
            for stock, terms in zip(plan.problem.stocks, plan.assembly.terms, strict=True)
        },
        "why_not": {
            "chips": plan.assembly.dropped,
            "rules": barred(plan),
            "workloads": {name: found.refused for name, found in plan.assembly.found.items()},
        },
        "notes": notes(spec, plan.assembly),
    }


def _solved(plan: FleetPlan, solved: Solved) -> Json:
    periods = [str(period) for period in plan.spec.periods]
    return {
        "objective_usd": solved.objective,
        "paid_usd": solved.paid,
        "credit_usd": solved.credit,
        "bound": solved.bound,
        "gap": solved.gap,
        "proven": solved.proven,
        "whole_instances": solved.whole,
        "whole_instances_usd": solved.whole_usd,
        "cpu_s": solved.seconds,
        "bought": [
            {"quarter": periods[b.quarter], "chip": b.chip, "lots": b.lots, "chips": b.chips, "usd": b.usd, "rented": b.rented}
            for b in solved.bought
        ],
        "serving": [
            {
                "workload": s.workload,
                "quarter": periods[s.quarter],
                "way": s.way,
                "deployed": s.deployed,
                "requests_per_s": s.requests_per_s,
                "instances": list(s.instances),
                "chips": [{"chip": chip, "chips": count} for chip, count in s.chips],
            }
            for s in solved.serving
        ],
        "training": [
            {
                "workload": r.workload,
                "quarter": periods[r.quarter],
                "chip": r.chip,
                "deployed": r.deployed,
                "chips": r.chips,
                "tokens": r.tokens,
            }
            for r in solved.training
        ],
        "costs": [
            {
                "quarter": period,
                "purchases_usd": costs.purchases,
                "rent_usd": costs.rent,
                "energy_usd": costs.energy,
                "not_served_usd": costs.lost,
            }
            for period, costs in zip(periods, solved.costs, strict=True)
        ],
        "stock": [{"chip": u.chip, "quarter": periods[u.quarter], "there": u.there, "in_use": u.in_use} for u in solved.used],
        "not_served_share": {name: list(shares) for name, shares in solved.lost_share.items()},
        "not_trained_share": solved.undone_share,
    }


def _conflict(plan: FleetPlan) -> Json | None:
    if plan.conflict is None:
        return None
    return {
        "limits": [
            {
                "limit": limit.kind,
                "of": limit.of,
                "quarter": str(plan.spec.periods[limit.quarter]) if limit.quarter >= 0 else None,
            }
            for limit in plan.conflict.limits
        ],
        "told": list(plan.conflict.told),
        "would_do": list(plan.conflict.cures),
    }
