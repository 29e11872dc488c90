"""The findings of a plan, one sentence each: what a reader takes away before any plot is explained."""

from __future__ import annotations

from windtunnel.plan.result import ChipPlan, Plan
from windtunnel.web import words


def answer(plan: Plan) -> str:
    """Which chip to take, with how many of what, at which price."""
    ranked = plan.ranked
    if not ranked:
        count = len(plan.chips)
        return (
            "No chip was asked about."
            if not count
            else f"None of the {count} chips meets the targets."
            if count > 1
            else (f"{plan.chips[0].name} does not meet the targets.")
        )
    first, best = ranked[0], ranked[0].best
    assert best is not None
    what = _chips(first)
    if best.usd_per_mtok is None:
        return f"Fewest chips: {what}. What it costs is not known: nobody published a price."
    lead = "Cheapest" if len([c for c in ranked if c.best and c.best.usd_per_mtok is not None]) > 1 else "Only priced answer"
    return f"{lead}: {what}, {words.usd(best.usd_per_mtok)} per million output tokens."


def runner_up(plan: Plan) -> str:
    """How far behind the next one is, and how many failed."""
    said = []
    priced = [c for c in plan.ranked if c.best is not None and c.best.usd_per_mtok is not None]
    if len(priced) > 1 and priced[0].best and priced[1].best and priced[0].best.usd_per_mtok:
        ratio = (priced[1].best.usd_per_mtok or 0.0) / priced[0].best.usd_per_mtok
        said.append(f"Next is {_chips(priced[1])} at {words.number(ratio, 2)} times that price.")
    unpriced = [c.name for c in plan.ranked if c.best is not None and c.best.usd_per_mtok is None]
    if unpriced and priced:
        said.append(
            f"{_listed(unpriced)} {'meets' if len(unpriced) == 1 else 'meet'} the targets too, at a price that is not known."
        )
    failed = [c.name for c in plan.chips if c.best is None]
    if failed and plan.ranked:
        said.append(f"{_listed(failed)} {'does' if len(failed) == 1 else 'do'} not meet the targets.")
    return " ".join(said)


def _chips(chip: ChipPlan) -> str:
    """``24 × h20``, but ``24 chips of cloudmatrix-384``: a system is not bought by the chip's number."""
    assert chip.best is not None
    name = chip.name.rpartition(":")[0] or chip.name
    if name != chip.best.prediction.deployment.chip and chip.best.prediction.deployment.system:
        return f"{chip.best.chips} {'chip' if chip.best.chips == 1 else 'chips'} of {name}"
    return f"{chip.best.chips} {words.TIMES} {name}"


def throughput_finding(plan: Plan) -> str:
    """The headline of the first plot: who yields most per chip where the target is met."""
    met = [(c.best.output_tokens_per_s_per_chip, c.name) for c in plan.chips if c.best is not None]
    if not met:
        return "No chip reaches the targets; these are the fronts it would have to move along."
    met.sort(reverse=True)
    most, name = met[0]
    if len(met) == 1:
        return f"{name} yields {words.number(most)} tokens/s per chip at the targets."
    ratio = most / met[1][0] if met[1][0] else 0.0
    ahead = f"hardly more than {met[1][1]}" if ratio < 1.05 else f"{words.number(ratio, 2)} times the next, {met[1][1]}"
    return f"At the targets {name} yields {words.number(most)} tokens/s per chip, {ahead}."


def cost_finding(plan: Plan) -> str:
    """The headline of the cost plot."""
    priced = [(c.best.usd_per_mtok, c.name) for c in plan.ranked if c.best is not None and c.best.usd_per_mtok is not None]
    joules = [
        (c.best.joules_per_token, c.name) for c in plan.ranked if c.best is not None and c.best.joules_per_token is not None
    ]
    said = []
    if priced:
        cheap, cheap_name = min(priced)
        said.append(f"{cheap_name} makes a million tokens for {words.usd(cheap)}")
    else:
        said.append("No price is known")
    if joules:
        least, least_name = min(joules)
        same = priced and min(priced)[1] == least_name
        who = "and also needs the least energy" if same else f"{least_name} needs the least energy"
        said.append(f"{who}, {words.number(least)} J a token")
    return ("; " if not (priced and joules and min(joules)[1] == min(priced)[1]) else ", ").join(said) + "."


def roofline_finding(chip: ChipPlan) -> str:
    """What bounds the decode step of a chip's chosen deployment, and which operator takes most of it."""
    if chip.best is None:
        return ""
    prediction = chip.best.prediction
    rows = [row for row in prediction.operators if row.phase == "decode"] or list(prediction.operators)
    total = sum(row.time_s for row in rows)
    if not total:
        return f"{chip.name}: no operator was recorded."
    longest = max(rows, key=lambda row: row.time_s)
    return (
        f"Decode on {chip.name} is bound by {bound_words(prediction.bound)}; its longest operator, {longest.name}, "
        f"takes {words.percent(longest.time_s / total)} of the step."
    )


def bound_words(bound: str) -> str:
    """What a bound is called in a sentence."""
    known = {
        "memory": "memory bandwidth",
        "compute": "the matrix unit",
        "link": "the links",
        "host": "the host",
        "launch": "launches",
    }
    return known.get(bound, bound or "nothing that was named")


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
