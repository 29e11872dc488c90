"""Prices, revenue and shares of the market."""

from __future__ import annotations

from windtunnel.catalog.price import HOURS_A_YEAR
from windtunnel.claims.check import Answer, answer, checks, no_matter
from windtunnel.claims.found import Found, number, over, unknown
from windtunnel.claims.ledger import Ledger
from windtunnel.claims.record import claim


def _h20_price(ledger: Ledger) -> tuple[float, float, float]:
    """USD for an H20 in 2024: the newest price, the least and the most."""
    prices = ledger.prices("h20", year="2024")
    return prices[0].fact.value, min(p.low for p in prices), max(p.high for p in prices)


@checks("S006")
def cost_of_the_stock(ledger: Ledger) -> Answer:
    price, low, high = _h20_price(ledger)
    stock, spent = claim("S007").parts[0], ledger.said("S006")
    least, most = stock.value, stock.high
    each = f"{spent / most:,.0f} to {spent / least:,.0f} a chip"
    implied = f"USD {spent / 1e9:g} billion are {each}; prices were {low:,.0f} to {high:,.0f}."
    how = f"{least:,.0f} to {most:,.0f} chips at USD {low:,.0f} to {high:,.0f}"
    return answer(number((least + most) / 2 * price, "USD", how, least * low, most * high), beside=(implied,))


@checks("S007")
def size_of_the_stock(ledger: Ledger) -> Answer:
    price, low, high = _h20_price(ledger)
    spent = ledger.said("S006")
    return answer(number(spent / price, "chips", f"at USD {low:,.0f} to {high:,.0f}", spent / high, spent / low))


@checks("S008")
def plan_to_spend(ledger: Ledger) -> Answer:
    rent = ledger.prices("h100-sxm", basis="rent")[0].fact.value
    planned = 7e9  # as the claim says
    years = planned / rent / HOURS_A_YEAR
    bought = planned / ledger.prices("h100-sxm")[0].fact.value
    return no_matter(
        "a firm's plan; no source in the catalogue says what became of it",
        f"It would rent {years:,.0f} H100 for a year at USD {rent:g} an hour, or buy {bought:,.0f}.",
    )


@checks("S009")
def grey_market(ledger: Ledger) -> Answer:
    grey = ledger.prices("hgx-h100", year="2024-07")[0]
    usual = ledger.prices("h100-sxm")[0]
    each = grey.fact.value / 8
    how = (
        f"USD {each:,.0f}, an eighth of a server in 2024, over {usual.low:,.0f} to {usual.high:,.0f} for the chip in {usual.date}"
    )
    return answer(
        number(each / usual.fact.value, "x", how, each / usual.high, each / usual.low),
        beside=("The server's other parts are in the price above, so the chip's own premium is less.",),
    )


@checks("S024")
def revenue_of_a_quarter(ledger: Ledger) -> Answer:
    return answer(unknown("no source in the catalogue gives Cambricon's revenue by quarter"))


@checks("S025")
def revenue_forecast(ledger: Ledger) -> Answer:
    before = ledger.row("E009").number()
    expected = 5.5e9  # as the claim says
    times = expected / before
    return answer(
        number(times, "x", f"CNY {expected / 1e9:g} billion over {before / 1e9:.4g} billion"),
        number(times - 1.0, "x", "the same, less the base"),
        beside=(f"A multiple of 3.7 would mean CNY {expected / 3.7e9:.3g} billion the year before.",),
    )


@checks("S026")
def share_of_nvidia(ledger: Ledger) -> Answer:
    before, after = ledger.row("M050"), [ledger.row("M051"), ledger.row("M054")]
    told = "; ".join(f"{row.number():g} % ({row.source}, {row.date})" for row in after)
    later = [ledger.row(name) for name in ("M055", "M056")]
    return answer(
        number(before.number(), "%", f"{before.number():g} % or more ({before.source})", before.number(), 100.0),
        over((row.number() for row in after), "%", told),
        beside=tuple(f"{row.date}: {row.number():g} % ({row.metric}, {row.source})." for row in later),
    )


def _by_units(ledger: Ledger) -> Found:
    price, low, high = _h20_price(ledger)
    units = [row.number() for row in ledger.rows("H20", "China purchases", "2024")]
    how = f"{units[0]:,.0f} chips at USD {low:,.0f} to {high:,.0f}"
    return number(units[0] * price, "USD", how, min(units) * low, max(units) * high)


@checks("S030")
def revenue_of_2024(ledger: Ledger) -> Answer:
    whole = ledger.row("M063b")
    return answer(
        _by_units(ledger), beside=(f"All of Nvidia's revenue in China, {whole.date}: USD {whole.number() / 1e9:g} billion.",)
    )


@checks("S052")
def h20_below_910b(ledger: Ledger) -> Answer:
    price, low, high = _h20_price(ledger)
    cny = [ledger.cny(usd) for usd in (price, low, high)]
    other = ledger.prices("ascend-910b2", year="2024")[0].fact.value
    discount = [100 * (1 - usd / other) for usd in (price, high, low)]
    told = ledger.row("M005")
    return answer(
        number(cny[0], "CNY", f"USD {low:,.0f} to {high:,.0f}", cny[1], cny[2]),
        number(discount[0], "%", f"against USD {other:,.0f} for a 910B", discount[1], discount[2]),
        beside=(f"A source says {told.number():g} % or more ({told.source}, {told.date}).",),
    )
