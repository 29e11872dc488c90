"""How many chips and dies there are: market rows of other sources than the claim's own."""

from __future__ import annotations

from windtunnel.claims.check import Answer, answer, checks, no_matter
from windtunnel.claims.found import Found, number, over, percent, unknown
from windtunnel.claims.ledger import Ledger
from windtunnel.plan.fleets.dies import packages

DIES_OF_910C = 2
FLEET = {"h20": "S060", "h800-sxm": "S061", "h100-sxm": "S062"}
"""Chip -> the claim that counts DeepSeek's; S059 counts the whole."""
NOBODY_ELSE = "no other source in the catalogue counts DeepSeek's chips"


def _counted(ledger: Ledger, item: str, metric: str, year: str = "") -> Found:
    rows = ledger.rows(item, metric, year)
    how = "; ".join(f"{row.number():,.0f} ({row.source})" for row in rows)
    return over((row.number() for row in rows), rows[0].unit if rows else "", how)


def _by_sales(ledger: Ledger) -> Found:
    """H20 of 2024: their sales over the prices of that year."""
    sales = [row.number() for row in ledger.rows("H20", "sales value", "2024")]
    prices = ledger.prices("h20", year="2024")
    if not sales:
        return unknown("no other source gives the sales")
    least, most = min(p.low for p in prices), max(p.high for p in prices)
    how = f"USD {sales[0] / 1e9:,.3g} billion over USD {least:,.0f} to {most:,.0f}"
    return number(sales[0] / prices[0].fact.value, "chips", how, min(sales) / most, max(sales) / least)


def _fleet(ledger: Ledger, counts: dict[str, float]) -> tuple[float, float, float]:
    """FLOP/s (dense BF16), TPP and bytes/s of memory of a fleet."""
    flops = sum(n * ledger.figure(each, "matrix_flops_per_s.bf16") for each, n in counts.items())
    tpp = sum(n * ledger.metric(each, "tpp") for each, n in counts.items())
    return flops, tpp, sum(n * ledger.figure(each, "memory_bytes_per_s") for each, n in counts.items())


def _both_fleets(ledger: Ledger) -> str:
    of_b = ledger.said("S003")
    h20, b = _fleet(ledger, {"h20": ledger.said("S002")}), _fleet(ledger, {"ascend-910b2": of_b})
    return (
        f"{of_b:,.0f} 910B2 have {b[0] / 1e18:,.0f} EFLOPS of dense BF16 and {b[2] / 1e18:.2f} EB/s of memory; a million H20 "
        f"{h20[0] / 1e18:,.0f} EFLOPS and {h20[2] / 1e18:.2f} EB/s."
    )


@checks("S001")
def installed_compute(ledger: Ledger) -> Answer:
    flops, _, _ = _fleet(ledger, {"h20": ledger.said("S002"), "ascend-910b2": ledger.said("S003")})
    return answer(
        unknown("the accelerators installed in each country are in no source; data sheets of chips cannot give them"),
        beside=(
            f"What these claims say China got in 2024 (a million H20, 450,000 910B2) is {flops / 1e18:,.0f} EFLOPS; ten times it "
            f"would be {10 * flops / ledger.figure('h100-sxm', 'matrix_flops_per_s.bf16') / 1e6:.1f} million H100.",
        ),
    )


@checks("S002", "S056")
def h20_of_2024(ledger: Ledger) -> Answer:
    flops, tpp, _ = _fleet(ledger, {"h20": 1e6})
    return answer(
        _counted(ledger, "H20", "China purchases", "2024"),
        _by_sales(ledger),
        beside=(
            f"A million H20 are {flops / 1e18:,.0f} EFLOPS of dense BF16 and {tpp / 1e9:,.2f} billion TPP.",
            "Sources that give the same round number may all go back to one estimate.",
        ),
    )


@checks("S003")
def ascend_910b_of_2024(ledger: Ledger) -> Answer:
    return answer(_counted(ledger, "Ascend 910B", "shipments", "2024"), beside=(_both_fleets(ledger),))


@checks("S004")
def who_trained_on_huawei(ledger: Ledger) -> Answer:
    return no_matter("who trains on what is no matter of chips; no source in the catalogue lists it")


@checks("S015")
def dies_of_2025(ledger: Ledger) -> Answer:
    output = ledger.row("M030").number()
    cards = ledger.row("M037").number()
    how = f"output {output:,.0f} (Bloomberg); {cards:,.0f} cards shipped (IDC) have one die (910B) or two (910C) each"
    chips = packages(output, DIES_OF_910C)
    return answer(
        number(output, "dies", how, cards, DIES_OF_910C * cards),
        beside=(
            f"A million dies are {chips:,.0f} 910C: "
            f"{chips * ledger.figure('ascend-910c', 'matrix_flops_per_s.bf16') / 1e18:,.0f} EFLOPS of dense BF16.",
        ),
    )


def _assembled(ledger: Ledger, dies: float) -> Found:
    """910C out of so many dies: at the reported yield of assembly, and at most all."""
    survive = ledger.row("E008").number() / 100.0
    least, most = (packages(dies, DIES_OF_910C, share) for share in (survive, 1.0))
    how = f"{dies:,.0f} dies, {DIES_OF_910C} a chip, {percent(survive)} to 100 % survive assembly"
    return number(least, "chips", how, least, most)


@checks("S016", "S057")
def dies_from_tsmc(ledger: Ledger) -> Answer:
    found = _counted(ledger, "TSMC dies via intermediaries", "stockpile")
    low, high = _assembled(ledger, found.low), _assembled(ledger, found.high)
    return answer(found, beside=(f"They make {low.low:,.0f} to {high.high:,.0f} 910C, by the yield of assembly.",))


@checks("S058")
def packages_from_dies(ledger: Ledger) -> Answer:
    rows = ledger.rows("TSMC dies via intermediaries", "stockpile")
    others = [_assembled(ledger, row.number()) for row in rows]
    claimed, wanted = ledger.said("S057"), ledger.said("S058")
    needed = wanted / packages(claimed, DIES_OF_910C)
    return answer(
        _assembled(ledger, claimed),
        beside=(
            f"{wanted:,.0f} need {percent(needed)} of the packages to survive.",
            f"From the dies that other sources count: {min(o.low for o in others):,.0f} to {max(o.high for o in others):,.0f}.",
        ),
    )


def _counts(ledger: Ledger) -> dict[str, float]:
    return {each: ledger.said(claim) for each, claim in FLEET.items()}


def _shares(ledger: Ledger) -> tuple[str, ...]:
    counts = _counts(ledger)
    whole, total = _fleet(ledger, counts), sum(counts.values())
    lines = [f"Together {whole[0] / 1e18:.1f} EFLOPS of dense BF16, {whole[2] / 1e15:,.0f} PB/s of memory bandwidth."]
    for each, n in counts.items():
        own = _fleet(ledger, {each: n})
        lines.append(
            f"{each}: {percent(n / total)} of the chips, {own[0] / 1e18:.2f} EFLOPS ({percent(own[0] / whole[0])}), "
            f"{percent(own[2] / whole[2])} of the memory bandwidth."
        )
    return tuple(lines)


@checks("S059")
def fleet(ledger: Ledger) -> Answer:
    counts = _counts(ledger)
    how = " + ".join(f"{n:,.0f} {each}" for each, n in counts.items())
    return answer(number(sum(counts.values()), "chips", how), unknown(NOBODY_ELSE), beside=_shares(ledger))


def _rest(ledger: Ledger, which: str) -> Answer:
    whole = ledger.said("S059")
    rest = whole - sum(n for each, n in _counts(ledger).items() if each != which)
    return answer(
        number(rest, "chips", f"{whole:,.0f} less the article's other two counts"),
        unknown(NOBODY_ELSE),
        beside=_shares(ledger),
    )


@checks("S060")
def fleet_h20(ledger: Ledger) -> Answer:
    return _rest(ledger, "h20")


@checks("S061")
def fleet_h800(ledger: Ledger) -> Answer:
    return _rest(ledger, "h800-sxm")


@checks("S062")
def fleet_h100(ledger: Ledger) -> Answer:
    return _rest(ledger, "h100-sxm")


@checks("S031")
def h20_over_910b(ledger: Ledger) -> Answer:
    above = [row.number() for row in ledger.rows("H20", "China purchases", "2024")]
    below = [row.number() for row in ledger.rows("Ascend 910B", "shipments", "2024")]
    how = f"{min(above):,.0f} to {max(above):,.0f} H20 over {min(below):,.0f} to {max(below):,.0f} 910B"
    return answer(over((a / b for a in above for b in below), "x", how), beside=("Half of a million would be 500,000 910B.",))


@checks("S066")
def comparable_volume(ledger: Ledger) -> Answer:
    above = [row.number() for row in ledger.rows("Ascend 910B", "shipments", "2024")]
    below = [row.number() for row in ledger.rows("H20", "China purchases", "2024")]
    both = ledger.row("M052").number() / 100.0
    return answer(
        over((a / b for a in above for b in below), "x", f"{min(above):,.0f} to {max(above):,.0f} 910B"),
        number(1.0 - both, "x", f"Nvidia and Huawei together had {percent(both, 1)} of the revenue"),
    )
