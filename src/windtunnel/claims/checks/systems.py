"""CloudMatrix 384 against GB200 NVL72."""

from __future__ import annotations

from windtunnel.claims.check import Answer, answer, checks
from windtunnel.claims.found import Found, name, number
from windtunnel.claims.ledger import Ledger

OURS, THEIRS = "cloudmatrix-384", "gb200-nvl72"
SERVER = 8


def _over(ledger: Ledger, key: str, unit: str, scale: float) -> Found:
    """One figure of the CloudMatrix over the NVL72's, over all that sources give for either."""
    above, above_low, above_high = ledger.of_system(OURS, key)
    below, below_low, below_high = ledger.of_system(THEIRS, key)
    how = f"{above / scale:,.4g} over {below / scale:,.4g} {unit}"
    return number(above / below, "x", how, above_low / below_high, above_high / below_low)


def _made_of(ledger: Ledger) -> Found:
    system = ledger.system(OURS)
    return name(f"{system.chips} {system.chip}")


@checks("S020")
def network_of_cloudmatrix(ledger: Ledger) -> Answer:
    wiring = ledger.system(OURS).wiring
    return answer(_made_of(ledger), name("all-optical" if "all-optical" in wiring else wiring, f"recorded as: {wiring}"))


@checks("S021")
def cloudmatrix_against_nvl72(ledger: Ledger) -> Answer:
    links = []
    for each in (OURS, THEIRS):
        system = ledger.system(each)
        links.append(system.chips * ledger.of_system(each, "scaleup_bytes_per_s")[0])
    memory = _over(ledger, "memory_bytes", "TB", 1e12)
    units = ledger.figure("ascend-910c", "matrix_flops_per_s.bf16") * ledger.system(OURS).chips
    ours, theirs = (ledger.of_system(each, "scaleup_bytes_per_s")[0] / 1e9 for each in (OURS, THEIRS))
    return answer(
        _over(ledger, "matrix_flops_per_s.bf16", "PFLOPS", 1e15),
        _over(ledger, "memory_bytes_per_s", "TB/s", 1e12),
        number(links[0] / links[1], "x", f"{links[0] / 1e12:,.0f} over {links[1] / 1e12:,.0f} TB/s, one direction"),
        beside=(
            f"Memory: {memory.value:.3g} x.",
            f"Without the vector units that the marketed sum adds, it has {units / 1e15:,.0f} PFLOPS.",
            f"For each chip it is the other way round: {ours:,.0f} against {theirs:,.0f} GB/s of links.",
        ),
    )


@checks("S022")
def price_and_power(ledger: Ledger) -> Answer:
    prices = [ledger.prices(each)[0] for each in (OURS, THEIRS)]
    power = [ledger.of_system(each, "power_w") for each in (OURS, THEIRS)]
    compute = [ledger.of_system(each, "matrix_flops_per_s.bf16")[0] / 1e15 for each in (OURS, THEIRS)]
    price = [p.fact.value for p in prices]
    told = ledger.row("M077")
    return answer(
        number(
            price[0] / price[1], "x", f"USD {price[0] / 1e6:.3g} over {price[1] / 1e6:.3g} million",
            prices[0].low / prices[1].high, prices[0].high / prices[1].low,
        ),
        number(
            power[0][0] / power[1][0], "x", f"{power[0][0] / 1e3:,.0f} over {power[1][0] / 1e3:,.0f} kW",
            power[0][1] / power[1][2], power[0][2] / power[1][1],
        ),
        beside=(
            f"For each PFLOPS: USD {price[0] / compute[0]:,.0f} against {price[1] / compute[1]:,.0f}, and "
            f"{power[0][0] / compute[0]:,.0f} against {power[1][0] / compute[1]:,.0f} W.",
            f"A published ratio of power: {told.number():g} x.",
        ),
    )  # fmt: skip


@checks("S069")
def rack_scale(ledger: Ledger) -> Answer:
    domain, racks = (ledger.of_system(OURS, key)[0] for key in ("scaleup_chips", "racks"))
    return answer(
        _made_of(ledger),
        number(domain / SERVER, "x", f"{domain:.0f} chips in one domain over {SERVER} of a server"),
        beside=(f"It stands in {racks:.0f} racks, not in one.",),
    )
